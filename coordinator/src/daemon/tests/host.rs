//! A machine of which nothing is this machine's: what it has depends on the seed alone.

use super::state::World;
use crate::{
    daemon::outside::{DiskSpace, Host},
    wire::ListeningPort,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::Path,
    sync::Arc,
};

/// Bytes of its disks.
const DISK: u64 = 1 << 40;
/// Bytes of its memory.
const MEMORY: u64 = 64 << 30;

#[derive(Debug)]
pub struct FakeHost(pub Arc<World>);

impl Host for FakeHost {
    /// Nobody listens.
    fn listening(&self) -> io::Result<BTreeMap<u32, BTreeSet<ListeningPort>>> {
        Ok(BTreeMap::new())
    }

    fn disk(&self, path: &Path) -> io::Result<DiskSpace> {
        let inner = self.0.lock();
        let full = inner.engine_disk_full && path == Path::new("/");
        let free = if full { 0 } else { DISK / 2 };
        Ok(DiskSpace {
            free,
            available: free,
            size: DISK,
            inodes: Some(1 << 20),
        })
    }

    fn memory_available(&self) -> Option<u64> {
        let short = self.0.lock().memory_short;
        Some(if short { 0 } else { MEMORY })
    }

    fn random(&self) -> io::Result<[u8; 16]> {
        let dice = &mut self.0.lock().dice;
        let bits = (u128::from(dice.next()) << 64) | u128::from(dice.next());
        Ok(bits.to_be_bytes())
    }
}
