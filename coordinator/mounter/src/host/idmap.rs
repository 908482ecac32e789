//! User namespaces that carry an id-map, one per pair of owner and worker. Owns the ones that are
//! kept for the next time. Never leaves a process: the child that made one is killed immediately.

use crate::sys;
use nix::{
    sys::{
        signal::{Signal, kill},
        wait::waitpid,
    },
    unistd::Pid,
};
use rustix::fs::{Mode, OFlags, openat};
use std::{
    collections::VecDeque,
    io::{self, Write},
    os::fd::OwnedFd,
    sync::{Arc, Mutex, PoisonError},
};

/// Whose files appear as whose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IdPair {
    /// The project's owner.
    pub owner: (u32, u32),
    /// The worker.
    pub worker: (u32, u32),
}

/// As whom a session runs: the worker's own ids where the project is id-mapped, else its owner's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionIds {
    pub session: (u32, u32),
    pub idmapped: bool,
    /// Why it is not.
    pub reason: Option<String>,
}

/// How many are kept; the oldest goes. One costs the kernel about a kilobyte.
const KEPT: usize = 256;
/// How many owners are remembered for [`IdMaps::prepare`].
const OWNERS: usize = 4;

/// The cache.
#[derive(Default)]
pub(crate) struct IdMaps {
    made: Mutex<VecDeque<(IdPair, Arc<OwnedFd>)>>,
    owners: Mutex<VecDeque<(u32, u32)>>,
}

impl IdMaps {
    /// The namespace for a pair, made now if need be (about 1 ms); `proc` has our own processes.
    pub(crate) fn get(&self, proc: &OwnedFd, pair: IdPair) -> io::Result<Arc<OwnedFd>> {
        remember(&self.owners, pair.owner);
        if let Some(found) = self.find(pair) {
            return Ok(found);
        }
        let made = Arc::new(make(proc, pair)?);
        let mut cache = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= KEPT {
            cache.pop_front();
        }
        cache.push_back((pair, Arc::clone(&made)));
        Ok(made)
    }

    /// Makes the namespaces a worker will most likely need: for the owners seen last.
    pub(crate) fn prepare(&self, proc: &OwnedFd, worker: (u32, u32)) {
        let owners: Vec<_> = {
            let owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
            owners.iter().copied().collect()
        };
        for owner in owners.into_iter().chain([(1000, 1000)]) {
            let pair = IdPair { owner, worker };
            if owner == worker || self.find(pair).is_some() {
                continue;
            }
            if let Ok(made) = make(proc, pair) {
                let mut cache = self.made.lock().unwrap_or_else(PoisonError::into_inner);
                if cache.len() >= KEPT {
                    cache.pop_front();
                }
                cache.push_back((pair, Arc::new(made)));
            }
        }
    }

    fn find(&self, pair: IdPair) -> Option<Arc<OwnedFd>> {
        let cache = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let found = cache.iter().find(|(known, _)| *known == pair)?;
        Some(Arc::clone(&found.1))
    }
}

fn remember(owners: &Mutex<VecDeque<(u32, u32)>>, owner: (u32, u32)) {
    let mut owners = owners.lock().unwrap_or_else(PoisonError::into_inner);
    if owners.front() == Some(&owner) {
        return;
    }
    owners.retain(|known| *known != owner);
    owners.push_front(owner);
    owners.truncate(OWNERS);
}

fn make(proc: &OwnedFd, pair: IdPair) -> io::Result<OwnedFd> {
    let child = sys::userns_child()?;
    // Showing anything as id 0 needs CAP_SETFCAP (user_namespaces(7)); without it root's files in
    // the project appear as an id that nobody has. Unmapped they could not even be removed.
    let result = fill(proc, child, pair, true).or_else(|_| fill(proc, child, pair, false));
    let child = Pid::from_raw(child);
    kill(child, Signal::SIGKILL)?;
    waitpid(child, None)?;
    result
}

fn fill(proc: &OwnedFd, child: i32, pair: IdPair, root: bool) -> io::Result<OwnedFd> {
    for (file, from, to) in [
        ("gid_map", pair.owner.1, pair.worker.1),
        ("uid_map", pair.owner.0, pair.worker.0),
    ] {
        let fd = open(proc, &format!("{child}/{file}"), OFlags::RDWR)?;
        let mut file = std::fs::File::from(fd);
        // A map is written once; on the second try the first one may be there already.
        let mut known = String::new();
        io::Read::read_to_string(&mut file, &mut known)?;
        if known.is_empty() {
            file.write_all(map(from, to, root).as_bytes())?;
        }
    }
    open(proc, &format!("{child}/ns/user"), OFlags::RDONLY)
}

fn open(proc: &OwnedFd, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
    Ok(openat(proc, path, flags | OFlags::CLOEXEC, Mode::empty())?)
}

/// The last id there is; the one above means "none".
const LAST: u32 = u32::MAX - 1;

/// As what root's files appear where they cannot appear as root's.
const NOT_ROOT: u32 = LAST - 1;

/// Lines of a uid_map: `from` on disk appears as `to`, all others as themselves; without `root`,
/// 0 as [`NOT_ROOT`]. No id is used twice: `to` on disk and `from` as shown stay unmapped.
fn map(from: u32, to: u32, root: bool) -> String {
    use std::fmt::Write as _;
    let mut text = format!("{from} {to} 1\n");
    let mut holes = vec![from, to];
    if !root {
        holes.push(0);
        if !holes.contains(&NOT_ROOT) {
            holes.push(NOT_ROOT);
            if from != 0 {
                // Writing to a String cannot fail.
                writeln!(text, "0 {NOT_ROOT} 1").unwrap_or_default();
            }
        }
    }
    holes.sort_unstable();
    let mut start = 0;
    for hole in holes {
        if hole > start {
            writeln!(text, "{start} {start} {}", hole - start).unwrap_or_default();
        }
        if hole >= start {
            start = hole.saturating_add(1);
        }
    }
    if start <= LAST {
        writeln!(text, "{start} {start} {}", LAST - start + 1).unwrap_or_default();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_ordinary_pair() {
        assert_eq!(
            map(1000, 20001, true),
            "1000 20001 1\n0 0 1000\n1001 1001 19000\n20002 20002 4294947293\n"
        );
        assert!(map(0, 20001, false).starts_with("0 20001 1\n1 1 20000\n"));
        assert!(map(1000, 20001, false).starts_with("1000 20001 1\n0 4294967293 1\n1 1 999\n"));
    }

    proptest! {
        #![proptest_config(crate::seeds::config())]

        #[test]
        fn no_id_is_used_twice(from in 0..=LAST, to in 0..=LAST, root: bool) {
            let mut inside = Vec::new();
            let mut outside = Vec::new();
            for line in map(from, to, root).lines() {
                let n: Vec<u64> = line.split(' ').map(|n| n.parse().unwrap()).collect();
                prop_assert!(n[2] > 0 && n[0] + n[2] <= u64::from(LAST) + 1);
                inside.push((n[0], n[0] + n[2]));
                outside.push((n[1], n[1] + n[2]));
            }
            for mut ranges in [inside, outside] {
                ranges.sort_unstable();
                prop_assert!(ranges.windows(2).all(|w| w[0].1 <= w[1].0));
            }
        }
    }
}
