//! What the agent takes from itself, and so from every session: Landlock and resource limits.
//!
//! Owns: which restrictions a kernel gets. It never keeps a worker from running: what is unsupported
//! is reported.

use super::landlock_abi;
use crate::log::log_line;
use landlock::{
    AccessFs, AccessNet, CompatLevel, Compatible, NetPort, PathBeneath, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, Scope,
};
use nix::{
    errno::Errno,
    sys::{
        prctl,
        resource::{Resource, getrlimit, setrlimit},
    },
};
use podbay_protocol::{Landlock, paths};
use std::fs::File;

/// Versions from which the kernel has what is used of it.
const SINCE_REFER: u32 = 2;
const SINCE_TCP: u32 = 4;
const SINCE_SCOPES: u32 = 6;

/// Most open files of a process, and most bytes it may lock in memory. Never more than the engine
/// gives.
const MAX_OPEN_FILES: u64 = 65_536;
const MAX_LOCKED: u64 = 64 << 20;

/// Lowers the resource limits that all sessions inherit. Only a process with CAP_SYS_RESOURCE
/// could raise them again.
pub fn limit_resources() {
    for (resource, max) in [
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_NOFILE, MAX_OPEN_FILES),
        (Resource::RLIMIT_MEMLOCK, MAX_LOCKED),
    ] {
        let lowered = getrlimit(resource)
            .and_then(|(soft, hard)| setrlimit(resource, soft.min(max), hard.min(max)));
        if let Err(error) = lowered {
            log_line(&format!("{resource:?} is not lowered: {error}"));
        }
    }
}

/// Restricts this process, and reports how. Call it before a thread or a program is started.
///
/// All sessions of a worker are in one domain with the agent: they signal, trace and reach each other
/// as processes of one user do, and reach nothing of that beyond the worker. Had each session a
/// domain of its own, `podbay exec NAME kill` could not touch what the main session started.
#[must_use]
pub fn restrict() -> Landlock {
    let ports = std::env::var(paths::PORTS_ENV).ok();
    let may_mount = std::env::var_os(paths::MAY_MOUNT_ENV).is_some();
    match try_restrict(ports.as_deref(), may_mount) {
        Ok(landlock) => landlock,
        Err((abi, missing)) => {
            log_line(&format!("no Landlock: {missing}"));
            Landlock {
                abi,
                missing: Some(missing),
                ..Landlock::default()
            }
        }
    }
}

/// `FIRST-LAST`.
fn parse_ports(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-')?;
    let ports = (first.parse().ok()?, last.parse().ok()?);
    (ports.0 > 0 && ports.0 <= ports.1).then_some(ports)
}

fn try_restrict(ports: Option<&str>, may_mount: bool) -> Result<Landlock, (u32, String)> {
    let abi = landlock_abi::version().map_err(|errno| (0, no_version(errno)))?;
    if !prctl::get_no_new_privs().unwrap_or(false) {
        let why = "the security profile lets programs gain privileges, which the kernel \
                   does not join with Landlock";
        return Err((abi, why.to_owned()));
    }
    let mut wrong = None;
    let ports = ports.and_then(|text| {
        let parsed = parse_ports(text);
        if parsed.is_none() {
            wrong = Some(format!(
                "{}={text:?} is no range of ports",
                paths::PORTS_ENV
            ));
        }
        parsed
    });
    let restrictions = restrictions_for(abi, ports, may_mount);
    apply(&restrictions).map_err(|errno| (abi, format!("the kernel refused: {errno}")))?;
    Ok(Landlock {
        abi,
        scoped: restrictions.scoped,
        tcp_ports: restrictions.ports,
        no_devices: restrictions.files,
        missing: wrong.or(restrictions.missing),
    })
}

fn no_version(errno: Errno) -> String {
    match errno {
        Errno::ENOSYS => "the kernel has no Landlock".to_owned(),
        Errno::EOPNOTSUPP => "Landlock is switched off at the kernel's start".to_owned(),
        Errno::EPERM => "the seccomp list denies Landlock's system calls".to_owned(),
        other => format!("the kernel refused: {other}"),
    }
}

/// What is asked of a kernel.
#[derive(Debug, Clone)]
struct Restrictions {
    /// No device files; the rest of the file system as before.
    files: bool,
    /// TCP ports to listen on.
    ports: Option<(u16, u16)>,
    /// Signals and abstract sockets end at the domain's edge.
    scoped: bool,
    missing: Option<String>,
}

fn restrictions_for(abi: u32, ports: Option<(u16, u16)>, may_mount: bool) -> Restrictions {
    let mut missing = Vec::new();
    // Version 1 would forbid every rename between folders with it, and every version forbids
    // mounts to whom a file system right is restricted.
    let files = abi >= SINCE_REFER && !may_mount;
    let ports = ports.filter(|_| {
        let able = abi >= SINCE_TCP;
        if !able {
            missing.push(format!("limits of TCP ports (since version {SINCE_TCP})"));
        }
        able
    });
    let scoped = abi >= SINCE_SCOPES;
    if !scoped {
        let what = "limits of signals and abstract sockets";
        missing.push(format!("{what} (since version {SINCE_SCOPES})"));
    }
    let missing = (!missing.is_empty())
        .then(|| format!("the kernel has version {abi}: no {}", missing.join(", no ")));
    Restrictions {
        files,
        ports,
        scoped,
        missing,
    }
}

fn apply(restrictions: &Restrictions) -> nix::Result<()> {
    let any = restrictions.files || restrictions.ports.is_some() || restrictions.scoped;
    if !any {
        return Ok(());
    }
    let root = restrictions.files.then(|| File::open("/")).transpose();
    let root = root.map_err(|_| Errno::ENOENT)?;
    enforce(restrictions, root).map_err(|error| Errno::from_raw(*landlock::Errno::from(error)))
}

/// All of it or an error: what the kernel does not know was left out before.
fn enforce(restrictions: &Restrictions, root: Option<File>) -> Result<(), RulesetError> {
    let mut rules = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    if restrictions.files {
        rules = rules.handle_access(AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::Refer)?;
    }
    if restrictions.ports.is_some() {
        rules = rules.handle_access(AccessNet::BindTcp)?;
    }
    if restrictions.scoped {
        rules = rules.scope(Scope::AbstractUnixSocket | Scope::Signal)?;
    }
    let mut rules = rules.create()?.no_new_privs(false);
    if let Some(root) = root {
        rules = rules.add_rule(PathBeneath::new(root, AccessFs::Refer))?;
    }
    if let Some((first, last)) = restrictions.ports {
        // 0 is a port of the kernel's choice, which is never one that is in use: tests, language
        // servers and log-ins through a browser listen there.
        for port in std::iter::once(0).chain(first..=last) {
            rules = rules.add_rule(NetPort::new(port, AccessNet::BindTcp))?;
        }
    }
    rules.restrict_self().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_kernel_gets_what_it_knows_and_the_rest_is_said() {
        let ports = Some((20_000, 20_019));
        let newest = restrictions_for(7, ports, false);
        assert_eq!(newest.missing, None);
        assert_eq!(
            (newest.files, newest.ports, newest.scoped),
            (true, ports, true)
        );

        let without_scopes = restrictions_for(5, ports, false);
        assert!(!without_scopes.scoped);
        assert!(without_scopes.missing.unwrap().contains("abstract sockets"));

        let first = restrictions_for(1, ports, false);
        assert_eq!(
            (first.files, first.ports, first.scoped),
            (false, None, false)
        );
        assert!(first.missing.unwrap().contains("TCP ports"));
        assert_eq!(apply(&restrictions_for(0, None, false)), Ok(()));
    }

    #[test]
    fn who_is_to_mount_is_not_restricted_in_files() {
        assert!(!restrictions_for(7, None, true).files);
    }

    #[test]
    fn ports_are_a_range() {
        assert_eq!(parse_ports("20000-20019"), Some((20_000, 20_019)));
        for bad in ["", "1", "2-1", "0-5", "1-65536", "a-b", "1-2-3"] {
            assert_eq!(parse_ports(bad), None, "{bad}");
        }
    }
}
