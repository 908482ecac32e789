//! Whether an overlay is still mounted in a worker. Owns `changes/mounted.json`, the process it was
//! mounted for: when that is gone, so are its mount namespace and the overlay. Never says no when in
//! doubt: the kernel does not define what a mounted overlay shows when its upper folder is changed.

use crate::{host::Host, tree::Tree};
use rustix::{
    fs::{AtFlags, FlockOperation, Mode, OFlags, flock, openat, unlinkat},
    io::Errno,
};
use serde::{Deserialize, Serialize};
use std::{
    io::{self, Read, Write},
    os::fd::OwnedFd,
    path::Path,
    time::{Duration, Instant},
};

#[derive(Debug, Serialize, Deserialize)]
struct MountedIn {
    pid: i32,
    start: u64,
    boot: String,
}

const FILE: &str = "mounted.json";
/// How long a mount waits for a change to the upper folder that is under way.
const LOCK_WAIT: Duration = Duration::from_secs(2);
const LOCK_STEP: Duration = Duration::from_millis(20);

/// Excludes all other changes of the upper folder until dropped.
pub(crate) struct Lock(#[expect(dead_code, reason = "closing it gives the lock back")] OwnedFd);

/// Takes the lock that a change to the upper folder takes, for a mount; waits [`LOCK_WAIT`] for
/// one that is under way.
///
/// # Errors
/// `WouldBlock` when it is still under way.
pub(crate) fn lock(worker: &Tree) -> io::Result<Lock> {
    let dir = worker.dir(Path::new("changes"))?;
    let until = Instant::now() + LOCK_WAIT;
    loop {
        match flock(&dir, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Lock(dir)),
            Err(Errno::WOULDBLOCK) if Instant::now() < until => pause(),
            Err(e) => return Err(e.into()),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a thread of the mounter, which has no executor; flock has no deadline"
)]
fn pause() {
    std::thread::sleep(LOCK_STEP);
}

/// Records the worker's PID 1 as the one that has the overlay.
pub(crate) fn record(host: &Host, worker: &Tree, pid: i32) -> io::Result<()> {
    let start = host.start_time(pid).ok_or(Errno::SRCH)?;
    let text = serde_json::to_vec(&MountedIn {
        pid,
        start,
        boot: host.boot_id(),
    })?;
    let dir = worker.dir(Path::new("changes"))?;
    let flags =
        OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = openat(&dir, FILE, flags, Mode::RUSR | Mode::WUSR)?;
    std::fs::File::from(fd).write_all(&text)
}

/// The overlay was unmounted.
pub(crate) fn forget(worker: &Tree) -> rustix::io::Result<()> {
    match unlinkat(worker.dir(Path::new("changes"))?, FILE, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(e) => Err(e),
    }
}

/// Whether the overlay is mounted in a process that lives. A record that cannot be read counts as
/// one that does: then the upper folder is left alone, which is always safe.
pub(crate) fn is_live(host: &Host, worker: &Tree) -> bool {
    let mut text = Vec::new();
    let read = match worker.file(Path::new("changes/mounted.json")) {
        Ok(file) => file.take(4096).read_to_end(&mut text),
        Err(Errno::NOENT) => return false,
        Err(_) => return true,
    };
    match (read, serde_json::from_slice::<MountedIn>(&text)) {
        (Ok(_), Ok(m)) => m.boot == host.boot_id() && host.start_time(m.pid) == Some(m.start),
        _ => true,
    }
}

#[cfg(test)]
#[path = "live_tests.rs"]
mod tests;
