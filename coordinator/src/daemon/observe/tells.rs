//! Telling clients what changed, and how often what one worker's programs make up: titles, activity,
//! notifications.
//!
//! A worker over its bound is reported a little later, as it is then; its notifications are dropped.
//! So what one does pushes nobody else's events out of the bus.

use crate::daemon::Daemon;
use crate::{model::WorkerId, runtime::RuntimeError, wire::EventBody};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Events of one worker that are told at once.
const BURST: u32 = 20;
/// And in the long run one in so long.
const EVERY: Duration = Duration::from_millis(100);
/// How often workers that wait are reported.
const LATER: Duration = Duration::from_millis(250);

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
    fn take(&self, worker: &WorkerId, later: bool, now: Instant) -> bool {
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
    fn waiting(&self, now: Instant) -> Vec<WorkerId> {
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

impl Daemon {
    pub(in crate::daemon) fn tell_worker(&self, id: &WorkerId) {
        if !self.bus.heard() {
            return;
        }
        let view = {
            let state = self.lock();
            self.view(&state, id)
        };
        match view {
            Some(worker) => self.bus.send(EventBody::Worker {
                worker: Box::new(worker),
            }),
            None => {
                let id = id.to_string();
                self.bus.send(EventBody::Removed {
                    name: id.clone(),
                    id,
                });
            }
        }
    }

    pub(in crate::daemon) fn tell_pool(&self, profile: &str) {
        if !self.bus.heard() {
            return;
        }
        let pool = {
            let state = self.lock();
            self.pool_view(&state, profile)
        };
        if let Some(pool) = pool {
            self.bus.send(EventBody::Pool { pool });
        }
    }

    pub(in crate::daemon) fn note_limits_failure(
        self: &Arc<Self>,
        id: &WorkerId,
        error: &RuntimeError,
    ) {
        self.bus.send(EventBody::Notification {
            worker: id.to_string(),
            text: format!("the limits asked for are not in force: {error}"),
        });
    }

    /// Tells clients of a worker that changed by its program's doing: now, or soon.
    pub(in crate::daemon) fn tell_program(&self, worker: &WorkerId) {
        if self.tells.take(worker, true, Instant::now()) {
            self.tell_worker(worker);
        }
    }

    /// Passes a notification of the worker of that name on, within the worker's bound.
    pub(in crate::daemon) fn tell_notice(&self, worker: &WorkerId, name: String, text: String) {
        if !self.tells.take(worker, false, Instant::now()) {
            tracing::warn!(%worker, "too many notifications: some are dropped");
            return;
        }
        self.bus
            .send(EventBody::Notification { worker: name, text });
    }

    /// Tells of workers that had used up what they may.
    pub(in crate::daemon) async fn tell_later(self: Arc<Self>) {
        let mut interval = tokio::time::interval(LATER);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            for worker in self.tells.waiting(Instant::now()) {
                self.tell_worker(&worker);
            }
        }
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
