//! Which system calls a worker may use: one list for each security profile.
//!
//! The lists are files of the state volume, so that they can be changed; one that is not there is
//! the built-in one. Owns reading and judging them. What the words in them mean is the engine's
//! business (its seccomp profile format), and it must never be handed a file that would leave a
//! worker without a filter.

use crate::config::SecurityProfile;
use serde_json::Value;
use std::{io, path::Path, sync::Arc};

/// A list larger than this is none.
const LARGEST: u64 = 256 << 10;

/// A filter, in the form the engine takes it inline: JSON without blanks and comments.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Seccomp(Arc<str>);

/// The list of a file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {wrong}; mend it, or remove it for the built-in list")]
pub struct SeccompError {
    /// The file.
    pub path: String,
    /// What is wrong with it.
    pub wrong: String,
}

impl Seccomp {
    /// The list of a profile: `NAME.json` in `folder`, or else the built-in one.
    ///
    /// # Errors
    /// [`SeccompError`]: the file is there and is no list that denies by default.
    pub fn load(folder: &Path, security: SecurityProfile) -> Result<Self, SeccompError> {
        let path = folder.join(format!("{}.json", security.as_str()));
        let wrong = |wrong: String| SeccompError {
            path: path.display().to_string(),
            wrong,
        };
        let text = match read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => built_in(security).to_owned(),
            Err(error) => return Err(wrong(error.to_string())),
        };
        parse(&text).map_err(wrong)
    }

    /// The option that the engine takes.
    pub(super) fn option(&self) -> String {
        format!("seccomp={}", self.0)
    }
}

fn read(path: &Path) -> io::Result<String> {
    let size = std::fs::metadata(path)?.len();
    if size > LARGEST {
        let message = format!("it has {size} bytes, at most {LARGEST} are taken");
        return Err(io::Error::other(message));
    }
    std::fs::read_to_string(path)
}

/// The list that this binary brings along.
fn built_in(security: SecurityProfile) -> &'static str {
    match security {
        SecurityProfile::Strict => include_str!("../../../volumes/seccomp/strict.json"),
        SecurityProfile::Build => include_str!("../../../volumes/seccomp/build.json"),
        SecurityProfile::NestedSandbox => {
            include_str!("../../../volumes/seccomp/nested-sandbox.json")
        }
    }
}

/// Judges a list and takes its comments away.
fn parse(text: &str) -> Result<Seccomp, String> {
    let mut list: Value = serde_json::from_str(text).map_err(|e| format!("no JSON: {e}"))?;
    let action = list.get("defaultAction").and_then(Value::as_str);
    match action {
        None => return Err("\"defaultAction\" is missing".to_owned()),
        // Whatever else an engine knows, these let through or only watch.
        Some("SCMP_ACT_ALLOW" | "SCMP_ACT_LOG" | "SCMP_ACT_TRACE" | "SCMP_ACT_NOTIFY") => {
            return Err(format!(
                "\"defaultAction\" is {:?}: what is not listed would be allowed; \
                 \"SCMP_ACT_ERRNO\" denies it",
                action.unwrap_or_default()
            ));
        }
        Some(_) => {}
    }
    let rules = list
        .get_mut("syscalls")
        .and_then(Value::as_array_mut)
        .ok_or("\"syscalls\" is missing or no list")?;
    for (n, rule) in rules.iter_mut().enumerate() {
        let complete = rule.get("names").is_some_and(Value::is_array)
            && rule.get("action").is_some_and(Value::is_string);
        let Some(rule) = rule.as_object_mut().filter(|_| complete) else {
            return Err(format!(
                "\"syscalls\"[{n}] has no \"names\" or no \"action\""
            ));
        };
        rule.remove("comment");
    }
    Ok(Seccomp(list.to_string().into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn list(security: SecurityProfile) -> Value {
        serde_json::from_str(&parse(built_in(security)).unwrap().0).unwrap()
    }

    /// System calls allowed whatever their arguments are, and those allowed with some.
    fn allowed(security: SecurityProfile) -> [BTreeSet<String>; 2] {
        let mut sets = [BTreeSet::new(), BTreeSet::new()];
        for rule in list(security)["syscalls"].as_array().unwrap() {
            if rule["action"] == "SCMP_ACT_ALLOW" {
                let names = rule["names"].as_array().unwrap();
                let names = names.iter().map(|n| n.as_str().unwrap().to_owned());
                sets[usize::from(rule.get("args").is_some())].extend(names);
            }
        }
        sets
    }

    #[test]
    fn what_no_session_needs_is_in_no_list() {
        let never = [
            "add_key",
            "keyctl",
            "request_key",
            "bpf",
            "perf_event_open",
            "userfaultfd",
            "io_uring_setup",
            "kexec_load",
            "kexec_file_load",
            "init_module",
            "finit_module",
            "delete_module",
            "reboot",
            "swapon",
            "swapoff",
            "quotactl",
            "clock_settime",
            "settimeofday",
            "iopl",
            "ioperm",
            "open_by_handle_at",
            "acct",
            "syslog",
            "socketcall",
            "fsopen",
            "fsmount",
            "move_mount",
            "open_tree",
            "mount_setattr",
            "clone3",
            "pidfd_getfd",
            "lookup_dcookie",
            "nfsservctl",
            "uselib",
            "fanotify_init",
        ];
        let own = [
            "mount",
            "umount2",
            "pivot_root",
            "unshare",
            "setns",
            "chroot",
            "sethostname",
        ];
        for security in SecurityProfile::ALL {
            let [whole, some] = allowed(security);
            for name in never {
                assert!(!whole.contains(name) && !some.contains(name), "{name}");
            }
            for name in own {
                let nested = security == SecurityProfile::NestedSandbox;
                assert_eq!(whole.contains(name), nested, "{name} in {security:?}");
            }
            for name in [
                "ioctl",
                "socket",
                "socketpair",
                "personality",
                "mknod",
                "mknodat",
            ] {
                assert!(!whole.contains(name) && some.contains(name), "{name}");
            }
        }
    }

    #[test]
    fn strict_is_part_of_the_looser_ones() {
        let [strict, _] = allowed(SecurityProfile::Strict);
        for looser in [SecurityProfile::Build, SecurityProfile::NestedSandbox] {
            let [whole, _] = allowed(looser);
            let missing: Vec<_> = strict.difference(&whole).collect();
            assert!(missing.is_empty(), "{missing:?} in {looser:?}");
            assert!(whole.len() > strict.len());
        }
    }

    #[test]
    fn every_value_of_ioctl_but_one_is_allowed() {
        let list = list(SecurityProfile::Strict);
        let rules: Vec<(u64, u64)> = list["syscalls"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|rule| rule["names"][0] == "ioctl")
            .map(|rule| {
                let arg = &rule["args"][0];
                assert_eq!(
                    (&arg["index"], &arg["op"]),
                    (&1.into(), &"SCMP_CMP_MASKED_EQ".into())
                );
                (
                    arg["value"].as_u64().unwrap(),
                    arg["valueTwo"].as_u64().unwrap(),
                )
            })
            .collect();
        let allows = |value: u64| rules.iter().any(|(mask, datum)| value & mask == *datum);
        const TIOCSTI: u64 = 0x5412;
        for value in (0..0x1_0000).chain([0x8004_5430, u64::from(u32::MAX)]) {
            assert_eq!(allows(value), value != TIOCSTI, "{value:#x}");
        }
        // The kernel looks at 32 bits: more of them must be no way around it.
        assert!(!allows(TIOCSTI | 1 << 32) && !allows(TIOCSTI | 0xffff_ffff << 32));
    }

    #[test]
    fn a_file_wins_and_a_broken_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let load = || Seccomp::load(dir.path(), SecurityProfile::Strict);
        let usual = load().unwrap();
        assert!(usual.option().starts_with("seccomp={") && !usual.0.contains("comment"));
        let file = dir.path().join("strict.json");
        std::fs::write(&file, r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[]}"#).unwrap();
        assert_ne!(load().unwrap(), usual);
        for (text, expected) in [
            ("{", "no JSON"),
            ("{}", "\"defaultAction\" is missing"),
            (
                r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[]}"#,
                "SCMP_ACT_ERRNO",
            ),
            (r#"{"defaultAction":"SCMP_ACT_ERRNO"}"#, "\"syscalls\""),
            (
                r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{}]}"#,
                "[0]",
            ),
            (&" ".repeat(300 << 10), "at most"),
        ] {
            std::fs::write(&file, text).unwrap();
            let error = load().unwrap_err().to_string();
            assert!(
                error.contains(expected) && error.contains("strict.json"),
                "{error}"
            );
        }
    }
}
