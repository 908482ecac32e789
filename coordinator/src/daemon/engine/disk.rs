//! The disks that Podbay can be stopped by: the engine's, and the state volume's.
//!
//! An engine does not always say that its disk is full: Docker makes a container on a nearly full
//! disk, logs that its state could not be stored, and lists it as stopped from then on. The
//! coordinator's own root is on that disk, so it can look for itself. On the state volume are the
//! homes, changes and recordings of all workers; what is left there is told before nothing is.

use crate::{daemon::outside::Host, fleet::Space};
use std::path::Path;

/// With less than this free, in bytes, making a container is likely to fail: its folders, its log,
/// and the state that the engine keeps of it. An ext4 that is full still says 16 MiB: it keeps 4,096
/// clusters for itself (`/sys/fs/ext4/*/reserved_clusters`), also from root.
const MIN_ENGINE_FREE: u64 = 32 << 20;
/// The same for inodes: a container's layers, with all its mount points, take some dozens.
const MIN_ENGINE_INODES: u64 = 256;

/// What is wrong with the disks, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::daemon) struct Disks {
    /// The engine's is full.
    pub(super) engine: Option<String>,
    /// The state volume is nearly full.
    state: Option<String>,
}

impl Disks {
    /// Each of them.
    pub(in crate::daemon) fn warnings(&self) -> impl Iterator<Item = String> {
        [&self.engine, &self.state].into_iter().flatten().cloned()
    }
}

/// Looks at both. Blocks, where a disk hangs.
pub(super) fn look(host: &dyn Host, root: &Path, state: &Path) -> std::io::Result<Disks> {
    let engine = host.disk(root)?;
    Ok(Disks {
        // The engine is root, to whom what is reserved is free.
        engine: engine_full(engine.free, engine.inodes),
        state: state_short(space(host, state)?),
    })
}

/// How much there is of the state volume.
///
/// # Errors
/// It cannot be asked.
pub(in crate::daemon) fn space(host: &dyn Host, state: &Path) -> std::io::Result<Space> {
    let volume = host.disk(state)?;
    Ok(Space {
        free: volume.available,
        size: volume.size,
    })
}

/// `inodes`: those that are free, where the file system counts them.
fn engine_full(free: u64, inodes: Option<u64>) -> Option<String> {
    let what = match inodes {
        _ if free < MIN_ENGINE_FREE => format!("{free} bytes"),
        Some(inodes) if inodes < MIN_ENGINE_INODES => format!("{inodes} inodes"),
        _ => return None,
    };
    Some(format!("no space left on the engine's disk ({what} free)"))
}

/// With less than its reserve free a warning is shown.
fn state_short(space: Space) -> Option<String> {
    let Space { free, size } = space;
    (free < space.reserve()).then(|| {
        format!(
            "the state volume is nearly full: {} of {} MiB free; the homes, changes and recordings \
             of all workers are on it",
            free >> 20,
            size >> 20
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_disk_is_full_without_bytes_or_without_inodes() {
        let enough = (MIN_ENGINE_FREE, Some(MIN_ENGINE_INODES));
        assert_eq!(engine_full(enough.0, enough.1), None);
        // Some file systems count none.
        assert_eq!(engine_full(MIN_ENGINE_FREE, None), None);
        let words = |free, inodes| engine_full(free, inodes).unwrap();
        let full = "no space left on the engine's disk";
        assert_eq!(words(4096, enough.1), format!("{full} (4096 bytes free)"));
        assert_eq!(words(1 << 40, Some(3)), format!("{full} (3 inodes free)"));
    }

    #[test]
    fn a_small_state_volume_is_short_below_a_twentieth_and_a_large_one_below_a_gibibyte() {
        let short = |free, size| state_short(Space { free, size });
        assert_eq!(short(13 << 20, 256 << 20), None);
        assert!(
            short(12 << 20, 256 << 20)
                .unwrap()
                .contains("12 of 256 MiB free")
        );
        assert_eq!(short(1 << 30, 1 << 40), None);
        assert!(short((1 << 30) - 1, 1 << 40).is_some());
    }
}
