//! Whether an overlay is still mounted in a worker.
//!
//! The kernel does not define what a mounted overlay shows when its upper folder is changed
//! underneath, so such an upper is never written to. The process the overlay was mounted for is
//! recorded beside it: when that is gone, so are its mount namespace and the overlay.

use crate::workspace::{mounter::Host, tree::Tree};
use rustix::{
    fs::{AtFlags, Mode, OFlags, openat, unlinkat},
    io::Errno,
};
use serde::{Deserialize, Serialize};
use std::{
    io::{self, Read, Write},
    path::Path,
};

#[derive(Debug, Serialize, Deserialize)]
struct MountedIn {
    pid: i32,
    start: u64,
    boot: String,
}

const FILE: &str = "mounted.json";

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
