//! What a worker may do: capabilities, hidden paths, temporary file systems, and the words for it.
//!
//! Owns the table from a security profile to what its container is made with. It calls nothing.

use crate::{
    config::{Network, SecurityProfile},
    model::Limits,
};
use podbay_protocol::{Landlock, paths};
use std::collections::HashMap;

/// Paths that say much of the host and nothing to a session. Given in full, so that they do not
/// depend on the engine's version.
const MASKED: [&str; 16] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/key-users",
    "/proc/keys",
    "/proc/kmsg",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/slabinfo",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/kernel/security",
];

/// Paths through which the kernel is set up.
const READ_ONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// `oom_score_adj` of all that runs in a worker: when the host itself is short of memory, workers go
/// before the host's own services. Sessions add to it (see the agent), so the agent goes last.
pub(super) const OOM_SCORE_ADJ: i64 = 200;

/// What the agent, root in its container, needs: other uids for sessions, and signals to them.
/// Sessions of another uid have none of it.
pub(super) fn capabilities(security: SecurityProfile) -> Vec<String> {
    let mut caps = vec!["SETUID", "SETGID", "KILL"];
    if security == SecurityProfile::Build {
        caps.extend(["CHOWN", "DAC_OVERRIDE", "FOWNER"]);
    }
    caps.into_iter().map(str::to_owned).collect()
}

/// Whether programs may gain privileges through set-uid files.
pub(super) fn may_gain_privileges(security: SecurityProfile) -> bool {
    security == SecurityProfile::Build
}

/// Whether sessions may be root there. A nested sandbox mounts a `/proc` of its own, which the
/// kernel permits only where none is hidden; root would reach the host's settings through it.
#[must_use]
pub fn allows_root(security: SecurityProfile) -> bool {
    security != SecurityProfile::NestedSandbox
}

fn owned(paths: &[&str]) -> Vec<String> {
    paths.iter().map(|path| (*path).to_owned()).collect()
}

/// Paths that are hidden, and paths that are read-only.
pub(super) fn hidden_paths(security: SecurityProfile) -> (Vec<String>, Vec<String>) {
    if security == SecurityProfile::NestedSandbox {
        (Vec::new(), Vec::new())
    } else {
        (owned(&MASKED), owned(&READ_ONLY))
    }
}

/// Temporary file systems over a read-only root. They count as the worker's memory, so none is
/// larger than half of that.
pub(super) fn temporary(limits: Limits) -> HashMap<String, String> {
    const MOST: u64 = 2 << 30;
    let size = limits.memory_bytes.map_or(MOST, |all| (all / 2).min(MOST));
    let small = size.min(64 << 20);
    [
        // Programs are built and run there; the engine's own default is noexec.
        ("/tmp", format!("exec,nosuid,nodev,mode=1777,size={size}")),
        (
            "/var/tmp",
            format!("exec,nosuid,nodev,mode=1777,size={size}"),
        ),
        ("/run", format!("noexec,nosuid,nodev,mode=755,size={small}")),
        ("/root", format!("exec,nosuid,nodev,mode=700,size={size}")),
    ]
    .into_iter()
    .map(|(path, options)| (path.to_owned(), options))
    .collect()
}

/// What a session may do, for people; says what the container is made with, and what its agent
/// says of Landlock.
#[must_use]
pub fn security_words(
    security: SecurityProfile,
    root: bool,
    landlock: Option<&Landlock>,
) -> String {
    let caps = capabilities(security).join(", ");
    let rest = match security {
        SecurityProfile::Strict => "no new privileges",
        SecurityProfile::Build => "new privileges through set-uid programs",
        SecurityProfile::NestedSandbox => {
            "no new privileges; namespaces and mounts of its own; nothing of /proc and /sys hidden"
        }
    };
    let has = if root {
        format!("root with {caps}")
    } else if security == SecurityProfile::Build {
        format!("no capabilities of its own, at most {caps}")
    } else {
        "no capabilities".to_owned()
    };
    let name = security.as_str();
    let landlock = landlock.map_or_else(String::new, |l| format!("; {}", landlock_words(l)));
    format!("{name}: {has}; {rest}; seccomp list {name}{landlock}")
}

fn landlock_words(landlock: &Landlock) -> String {
    let mut has = Vec::new();
    if landlock.scoped {
        has.push("signals and abstract sockets stay in the worker".to_owned());
    }
    if let Some((first, last)) = landlock.tcp_ports {
        has.push(format!(
            "TCP listens on ports {first} to {last} and free ones"
        ));
    }
    if landlock.no_devices {
        has.push("no device files".to_owned());
    }
    let missing = landlock.missing.as_ref().map(|why| format!("not: {why}"));
    let has: Vec<String> = has.into_iter().chain(missing).collect();
    let version = match landlock.abi {
        0 => String::new(),
        abi => format!(" (version {abi})"),
    };
    format!("Landlock{version}: {}", has.join(", "))
}

/// Which network a worker has, for people.
#[must_use]
pub fn network_words(network: Network) -> String {
    match network {
        Network::Shared => "shared with the parent and all other workers",
        Network::Isolated => "its own, through the engine's bridge; no other worker is reached",
        Network::None => "none",
    }
    .to_owned()
}

/// What of the host every worker has, for people, besides its project.
#[must_use]
pub fn mount_words(network: Network) -> Vec<String> {
    let mut all = vec![
        (
            "a home of its own",
            paths::HOME,
            "kept until the worker is removed",
        ),
        (
            "the agent and its recordings",
            "/.podbay",
            "the agent's own",
        ),
    ];
    if network == Network::Shared {
        all.push(("hosts and resolv.conf of the parent", "/etc", "read-only"));
    }
    all.into_iter()
        .map(|(what, target, how)| format!("{what} → {target} ({how})"))
        .collect()
}
