//! Tells the fleet what happened, and carries out what it decides.
//!
//! Never decides anything, and never waits: each action works in a task of its own.

use super::{Daemon, wakes::Task};
use crate::fleet::{Action, Event};
use std::sync::Arc;

impl Daemon {
    /// Tells the fleet and carries out what it decides.
    pub(super) fn feed(self: &Arc<Self>, event: Event) {
        let now = self.now();
        let actions = self.lock().fleet.apply(now, event);
        for action in actions {
            self.execute(action);
        }
    }

    /// The action of a decision; each returns at once and works in a task of its own.
    pub(super) fn execute(self: &Arc<Self>, action: Action) {
        match action {
            Action::Create {
                worker,
                profile,
                uid,
                cold_for,
            } => {
                self.start_create(worker, profile, uid, cold_for);
            }
            Action::Remove { worker, cause } => self.start_remove(worker, cause),
            Action::Probe(worker) => self.start_probe(worker),
            Action::Unpause(worker) => self.start_unpause(worker),
            Action::Assign {
                claim,
                worker,
                warm,
            } => self.assign(claim, worker, warm),
            Action::Reject { claim, reason } => self.reject(claim, reason),
            Action::Relist => self.wakes.wake(Task::Listing),
            Action::WorkerChanged(worker) => {
                self.tell_worker(&worker);
                self.recreate_if_wanted(&worker);
                self.prepare_overlay_if_warm(&worker);
            }
            Action::PoolChanged(profile) => self.tell_pool(&profile),
        }
    }
}
