//! Telling clients what changed.

use crate::daemon::Daemon;
use crate::{model::WorkerId, runtime::RuntimeError, wire::EventBody};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// How often workers that wait are reported.
const LATER: Duration = Duration::from_millis(250);

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
