//! What the kernel says of this machine, and its random numbers.

use super::listening::listening;
use crate::wire::ListeningPort;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    fs::File,
    io::{self, Read},
    path::Path,
};

/// Bytes that are read of /proc/meminfo: its lines are some dozens.
const MAX_MEMINFO: u64 = 64 << 10;

/// What there is of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::daemon) struct DiskSpace {
    /// Free bytes, those that are reserved for root included.
    pub free: u64,
    /// Free bytes for everybody.
    pub available: u64,
    /// All bytes.
    pub size: u64,
    /// Free inodes, where the file system counts them.
    pub inodes: Option<u64>,
}

/// Blocking calls, to be made through [`blocking`](crate::daemon::blocking), save the last two.
pub(in crate::daemon) trait Host: Debug + Send + Sync {
    /// TCP sockets that are listened on in the parent's network, by their owners' uids.
    fn listening(&self) -> io::Result<BTreeMap<u32, BTreeSet<ListeningPort>>>;
    /// What there is of the file system that a path is on.
    fn disk(&self, path: &Path) -> io::Result<DiskSpace>;
    /// Bytes of memory that are to spare; `None` where the kernel does not say.
    fn memory_available(&self) -> Option<u64>;
    /// 128 random bits.
    fn random(&self) -> io::Result<[u8; 16]>;
}

/// The machine that this process runs on.
#[derive(Debug, Clone, Copy)]
pub(in crate::daemon) struct ThisHost;

impl Host for ThisHost {
    fn listening(&self) -> io::Result<BTreeMap<u32, BTreeSet<ListeningPort>>> {
        listening()
    }

    fn disk(&self, path: &Path) -> io::Result<DiskSpace> {
        let found = rustix::fs::statvfs(path)?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Ok(DiskSpace {
            free: bytes(found.f_bfree),
            available: bytes(found.f_bavail),
            size: bytes(found.f_blocks),
            inodes: (found.f_files > 0).then_some(found.f_ffree),
        })
    }

    /// `MemAvailable` of /proc/meminfo.
    fn memory_available(&self) -> Option<u64> {
        let mut text = String::new();
        let file = File::open("/proc/meminfo").ok()?;
        file.take(MAX_MEMINFO).read_to_string(&mut text).ok()?;
        let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
        let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kib * 1024)
    }

    fn random(&self) -> io::Result<[u8; 16]> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        Ok(bytes)
    }
}
