//! Finding and signalling processes through `/proc`.
//!
//! Owns: the reading of `/proc/*/stat`. It keeps nothing between calls.

use crate::pty::kill;
use nix::libc::{SIGCONT, SIGKILL, SIGTERM, SIGTTOU};
use std::collections::HashSet;

/// One line of `/proc/PID/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Process {
    pid: i32,
    parent: i32,
    session: i32,
}

/// Fields 4 and 6 come after the name, which may hold anything, also `)`.
fn parse(pid: i32, stat: &str) -> Option<Process> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let session = fields.nth(1)?.parse().ok()?;
    (state != "Z" && state != "X").then_some(Process {
        pid,
        parent,
        session,
    })
}

/// Every process that is not a zombie.
fn processes() -> Vec<Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            parse(
                pid,
                &std::fs::read_to_string(entry.path().join("stat")).ok()?,
            )
        })
        .collect()
}

/// KILL to each process of a kernel session, until none is found (a fork may race with us).
pub fn kill_session(session: i32) {
    let mut killed = HashSet::new();
    for _ in 0..5 {
        let before = killed.len();
        for process in processes().iter().filter(|p| p.session == session) {
            if killed.insert(process.pid) && kill(process.pid, SIGKILL).is_err() {
                killed.remove(&process.pid);
            }
        }
        if killed.len() == before {
            return;
        }
    }
}

/// What a shell with job control ignores while it waits for a command (bash, zsh, ksh).
pub const SHELL_IGNORES: &[i32] = &[SIGTERM, SIGTTOU];

/// Whether a process has these signals' disposition set to "ignore" (`SigIgn` of proc(5)).
#[must_use]
pub fn ignores(pid: i32, signals: &[i32]) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    signals.iter().all(|signal| ignored_in(&status, *signal))
}

fn ignored_in(status: &str, signal: i32) -> bool {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or_default();
    let bit = u32::try_from(signal - 1)
        .ok()
        .and_then(|shift| 1u64.checked_shl(shift));
    bit.is_some_and(|bit| mask & bit != 0)
}

/// A signal to every process but this one: all of the PID namespace for PID 1, else all
/// descendants. Stopped processes are continued, so that they can act on it.
pub fn signal_everything(signal: i32) {
    let own = i32::try_from(std::process::id()).unwrap_or(1);
    let mut send = |target: i32| {
        if kill(target, signal).is_ok() && signal != SIGKILL {
            kill(target, SIGCONT).ok();
        }
    };
    if own == 1 {
        send(-1);
        return;
    }
    let all = processes();
    let mut family = HashSet::from([own]);
    loop {
        let before = family.len();
        family.extend(
            all.iter()
                .filter(|p| family.contains(&p.parent))
                .map(|p| p.pid)
                .collect::<Vec<_>>(),
        );
        if family.len() == before {
            break;
        }
    }
    family.remove(&own);
    family.into_iter().for_each(&mut send);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_blanks_does_not_confuse() {
        let found = parse(7, "7 (a) b (c)) S 3 7 5 0 -1").unwrap();
        assert_eq!(
            found,
            Process {
                pid: 7,
                parent: 3,
                session: 5
            }
        );
        assert_eq!(parse(7, "7 (x) Z 3 7 5 0"), None);
        assert_eq!(parse(7, ""), None);
    }

    #[test]
    fn this_process_is_found() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(processes().iter().any(|p| p.pid == own));
    }

    #[test]
    fn ignored_signals_are_read_from_the_mask() {
        let status = "Name:\tbash\nSigBlk:\t0000000000010000\nSigIgn:\t0000000000384004\n";
        assert!(super::ignored_in(status, 3));
        assert!(super::ignored_in(status, 15));
        assert!(!super::ignored_in(status, 2));
        assert!(super::ignored_in("SigIgn:\t0000000000004000\n", 15));
        assert!(!super::ignored_in("", 15));
        assert!(!super::ignored_in("SigIgn:\tffffffffffffffff\n", 0));
    }
}
