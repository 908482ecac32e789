//! Whether the engine's disk is full.
//!
//! An engine does not always say so: Docker makes a container on a nearly full disk, logs that its
//! state could not be stored, and lists it as stopped from then on. The coordinator's own root is on
//! that disk, so it can look for itself.

use super::{Daemon, blocking};
use crate::fleet::Event;
use std::{path::Path, sync::Arc, time::Duration};

/// How often it is looked at.
const INTERVAL: Duration = Duration::from_secs(2);
/// Less than this, in bytes, and making a container is likely to fail: its folders, its log, and
/// the state that the engine keeps of it.
const MIN_FREE: u64 = 16 << 20;
/// The same for inodes: a container's layers, with all its mount points, take some dozens.
const MIN_INODES: u64 = 256;

impl Daemon {
    /// Tells the fleet when the engine's disk becomes full, and when it no longer is.
    pub(super) async fn keep_disk(self: Arc<Self>) {
        let mut known = None;
        loop {
            // A disk that hangs must not hold anything else up.
            match blocking(|| full(Path::new("/"))).await {
                Ok(now) => {
                    if now.is_some() != known.is_some() {
                        self.feed(Event::EngineDisk(now.clone()));
                    }
                    known = now;
                }
                Err(error) => tracing::debug!(%error, "the engine's disk cannot be looked at"),
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }
}

/// That the file system of this path is full for root, for people.
fn full(path: &Path) -> std::io::Result<Option<String>> {
    let disk = rustix::fs::statvfs(path)?;
    Ok(words(
        disk.f_bfree.saturating_mul(disk.f_frsize),
        (disk.f_files > 0).then_some(disk.f_ffree),
    ))
}

fn words(free: u64, inodes: Option<u64>) -> Option<String> {
    if free < MIN_FREE {
        return Some(format!(
            "no space left on the engine's disk ({free} bytes free)"
        ));
    }
    let inodes = inodes.filter(|inodes| *inodes < MIN_INODES)?;
    Some(format!(
        "no space left on the engine's disk ({inodes} inodes free)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_full_without_bytes_or_without_inodes() {
        assert_eq!(words(MIN_FREE, Some(MIN_INODES)), None);
        // Some file systems count none.
        assert_eq!(words(MIN_FREE, None), None);
        let bytes = words(4096, Some(1 << 20)).unwrap();
        assert_eq!(
            bytes,
            "no space left on the engine's disk (4096 bytes free)"
        );
        let inodes = words(1 << 40, Some(3)).unwrap();
        assert_eq!(inodes, "no space left on the engine's disk (3 inodes free)");
        assert!(full(Path::new("/proc/self/nothing")).is_err());
    }
}
