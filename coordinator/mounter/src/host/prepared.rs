//! Overlays made ahead of their claims, one a worker at most. Owns how many are kept, and for how long.
//! Never looks anything up through one.

use super::idmap::SessionIds;
use crate::tree::Meta;
use std::{
    collections::BTreeMap,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Overlays that are kept; the oldest goes.
const MAX_PREPARED: usize = 32;
/// How long one is kept: it keeps the project's file system from being released.
const MAX_AGE: Duration = Duration::from_secs(600);

/// A detached overlay that waits for its claim.
pub(crate) struct PreparedOverlay {
    pub overlay: OwnedFd,
    /// The project, canonical.
    pub project: PathBuf,
    pub meta: Meta,
    /// Whether the project's mount was noexec.
    pub noexec: bool,
    /// The worker's ids.
    pub worker: (u32, u32),
    pub ids: SessionIds,
    pub made: Instant,
}

impl PreparedOverlay {
    /// Whether it is what would be made now: the same folder, with the owner and mode of then.
    pub(crate) fn fits(&self, project: &Path, meta: &Meta, worker: (u32, u32)) -> bool {
        let of = |m: &Meta| (m.dev, m.ino, m.uid, m.gid, m.mode);
        self.project == project && of(&self.meta) == of(meta) && self.worker == worker
    }
}

/// All of them, by worker. What is taken out is dropped by the caller: that waits for the kernel.
#[derive(Default)]
pub(crate) struct PreparedOverlays(Mutex<BTreeMap<String, PreparedOverlay>>);

impl PreparedOverlays {
    /// Keeps one; gives back what it takes the place of.
    pub(crate) fn put(&self, worker: &str, overlay: PreparedOverlay) -> Option<PreparedOverlay> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let former = kept.insert(worker.to_owned(), overlay);
        if former.is_some() || kept.len() <= MAX_PREPARED {
            return former;
        }
        let oldest = kept.iter().min_by_key(|(_, overlay)| overlay.made);
        let oldest = oldest.map(|(worker, _)| worker.clone());
        oldest.and_then(|worker| kept.remove(&worker))
    }

    /// Takes a worker's out.
    pub(crate) fn take(&self, worker: &str) -> Option<PreparedOverlay> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.remove(worker)
    }

    /// Takes out what is too old at `now`.
    pub(crate) fn expired(&self, now: Instant) -> Vec<PreparedOverlay> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let old = |it: &PreparedOverlay| now.saturating_duration_since(it.made) > MAX_AGE;
        let workers: Vec<_> = kept
            .iter()
            .filter(|(_, it)| old(it))
            .map(|(worker, _)| worker.clone())
            .collect();
        let expired = workers.iter().filter_map(|worker| kept.remove(worker));
        expired.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta() -> Meta {
        Meta::of(std::fs::File::open("/").unwrap()).unwrap()
    }

    fn overlay(made: Instant) -> PreparedOverlay {
        PreparedOverlay {
            overlay: std::fs::File::open("/").unwrap().into(),
            project: "/p".into(),
            meta: meta(),
            worker: (200_000, 200_000),
            noexec: false,
            ids: SessionIds {
                session: (200_000, 200_000),
                idmapped: true,
                reason: None,
            },
            made,
        }
    }

    #[test]
    fn the_oldest_goes_when_there_are_too_many_and_each_after_its_time() {
        let all = PreparedOverlays::default();
        let start = Instant::now();
        let second = Duration::from_secs(1);
        for n in 0..MAX_PREPARED {
            let made = start + second * u32::try_from(n).unwrap();
            assert!(all.put(&format!("w{n:02}"), overlay(made)).is_none());
        }
        let late = start + second * 100;
        assert_eq!(all.put("late", overlay(late)).unwrap().made, start);
        assert!(all.take("w00").is_none());
        // Another one of the same worker takes the place of the former.
        assert_eq!(
            all.put("late", overlay(start + second * 101)).unwrap().made,
            late
        );
        assert!(all.take("w01").is_some());
        assert!(all.expired(start + MAX_AGE).is_empty());
        let rest = all.expired(start + MAX_AGE + second * 50);
        assert_eq!(rest.len(), MAX_PREPARED - 2);
        assert!(all.take("late").is_some() && all.take("late").is_none());
    }

    #[test]
    fn it_fits_the_folder_owner_and_mode_of_then_and_one_worker() {
        let made = overlay(Instant::now());
        let ids = (200_000, 200_000);
        assert!(made.fits(Path::new("/p"), &made.meta, ids));
        assert!(!made.fits(Path::new("/q"), &made.meta, ids));
        assert!(!made.fits(Path::new("/p"), &made.meta, (0, 0)));
        for change in [
            |m: &mut Meta| m.ino += 1,
            |m: &mut Meta| m.dev += 1,
            |m: &mut Meta| m.uid += 1,
            |m: &mut Meta| m.gid += 1,
            |m: &mut Meta| m.mode ^= 0o1,
        ] {
            let mut now = made.meta;
            change(&mut now);
            assert!(!made.fits(Path::new("/p"), &now, ids));
        }
        // What is in the folder may have changed.
        let now = Meta {
            mtime: 1,
            ctime: 2,
            size: 3,
            ..made.meta
        };
        assert!(made.fits(Path::new("/p"), &now, ids));
    }
}
