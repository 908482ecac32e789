//! Processes of this machine, by what they are and what they were given.

use crate::wait;
use std::{fs, path::PathBuf, time::Duration};

fn proc(pid: i32, file: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{file}"))
}

/// Every process there is.
#[must_use]
pub fn all() -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

/// A process's arguments; empty when it is gone or a zombie.
#[must_use]
pub fn argv(pid: i32) -> Vec<String> {
    let raw = fs::read(proc(pid, "cmdline")).unwrap_or_default();
    let words = raw
        .split(|b| *b == 0)
        .map(|word| String::from_utf8_lossy(word).into_owned());
    let mut words: Vec<String> = words.collect();
    words.pop();
    words
}

/// Children of a process.
#[must_use]
pub fn children(of: i32) -> Vec<i32> {
    all()
        .into_iter()
        .filter(|pid| parent(*pid) == Some(of))
        .collect()
}

/// The parent of a process.
#[must_use]
pub fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(proc(pid, "stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(") ")?;
    after_name.split(' ').nth(1)?.parse().ok()
}

/// Living processes whose environment has this variable with this value: a session given it by
/// `-e`, and all it started. Sorted.
#[must_use]
pub fn marked(name: &str, value: &str) -> Vec<i32> {
    let wanted = format!("{name}={value}").into_bytes();
    let has_it = |pid: &i32| {
        let environ = fs::read(proc(*pid, "environ")).unwrap_or_default();
        environ.split(|b| *b == 0).any(|entry| entry == wanted)
    };
    let mut found: Vec<i32> = all().into_iter().filter(has_it).collect();
    found.sort_unstable();
    found
}

/// Sends a signal; whether there was anyone to get it.
pub fn signal(pid: i32, signal: nix::sys::signal::Signal) -> bool {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).is_ok()
}

/// Stops a process and waits until each of its threads has stopped: on a busy machine the others
/// run on until the one that got the signal is scheduled.
///
/// # Panics
/// It does not stop in time.
pub fn stop(pid: i32) {
    assert!(
        signal(pid, nix::sys::signal::Signal::SIGSTOP),
        "no process {pid}"
    );
    wait::until_true(
        "every thread to be stopped",
        Duration::from_secs(20),
        || {
            let tasks = fs::read_dir(proc(pid, "task"))
                .into_iter()
                .flatten()
                .flatten();
            let mut states = tasks.map(|task| {
                let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
                stat.rsplit_once(") ")
                    .is_some_and(|(_, rest)| rest.starts_with('T'))
            });
            states.all(|stopped| stopped)
        },
    );
}
