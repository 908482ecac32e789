//! How often clients are told what one worker's programs make up: titles, activity, notifications.
//!
//! A worker over its bound is reported a little later, as it is then; its notifications are dropped.
//! So what one does pushes nobody else's events out of the bus.

use crate::model::WorkerId;
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Events of one worker that are told at once.
const BURST: u32 = 20;
/// And in the long run one in so long.
const EVERY: Duration = Duration::from_millis(100);

/// What each worker has used. Holds workers of the last seconds only.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Tells(Mutex<BTreeMap<WorkerId, Used>>);

#[derive(Debug)]
struct Used {
    /// When it has its whole burst again.
    full: Instant,
    /// It changed, and nobody was told.
    waits: bool,
}

impl Tells {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<WorkerId, Used>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one event of this worker's; whether it had one left.
    pub(super) fn take(&self, worker: &WorkerId, later: bool, now: Instant) -> bool {
        let mut used = self.lock();
        let used = used.entry(worker.clone()).or_insert(Used {
            full: now,
            waits: false,
        });
        let full = used.full.max(now) + EVERY;
        if full.saturating_duration_since(now) > EVERY * BURST {
            used.waits |= later;
            return false;
        }
        used.full = full;
        true
    }

    /// Workers that changed and were not reported; forgets those that have their whole burst.
    pub(super) fn waiting(&self, now: Instant) -> Vec<WorkerId> {
        let mut all = self.lock();
        let mut waiting = Vec::new();
        for (worker, used) in all.iter_mut() {
            if std::mem::take(&mut used.waits) {
                waiting.push(worker.clone());
            }
        }
        all.retain(|_, used| used.full > now);
        waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_told_now_and_then_and_its_end_always() {
        let tells = Tells::default();
        let (loud, quiet) = (WorkerId::from_bits(1), WorkerId::from_bits(2));
        let began = Instant::now();
        let mut told = 0;
        for ms in 0..10_000 {
            let now = began + Duration::from_millis(ms);
            told += u32::from(tells.take(&loud, true, now));
        }
        assert!((BURST + 90..=BURST + 101).contains(&told), "{told}");
        let end = began + Duration::from_secs(10);
        assert!(tells.take(&quiet, true, end), "another worker's");
        assert_eq!(tells.waiting(end), std::slice::from_ref(&loud));
        assert!(tells.waiting(end).is_empty());
        while tells.take(&loud, false, end) {}
        assert!(tells.waiting(end).is_empty(), "a notification is dropped");
        assert!(tells.waiting(end + EVERY * BURST).is_empty());
        assert!(tells.lock().is_empty(), "nothing is kept");
    }
}
