//! A lost worker whose container is made anew: where the network is, of the same folders.
//!
//! Meanwhile it is `Claiming`: it is somebody's, nothing takes it for gone, and only a person's
//! `Remove` ends it.

use super::{Fleet, worker::Container, worker::WorkerEntry};
use crate::model::{WorkerId, WorkerName, WorkerState};

const UNDER_WAY: &str = "its container is being made anew";

impl Fleet {
    pub(super) fn recreate(&mut self, id: &WorkerId) {
        self.with(id, |w, now| {
            if w.state == WorkerState::Lost && w.removal.is_none() {
                w.lost_at = None;
                w.recreating = true;
                w.go(now, WorkerState::Claiming, Some(UNDER_WAY.to_owned()));
            }
        });
    }

    pub(super) fn recreated(&mut self, id: &WorkerId, outcome: Result<(), String>) {
        self.with(id, |w, now| {
            if !std::mem::take(&mut w.recreating) {
                // It was removed meanwhile.
                return;
            }
            w.lost_at = None;
            match outcome {
                Ok(()) => {
                    w.agent = true;
                    w.container = Container::Present(now);
                    w.go(now, WorkerState::Running, None);
                }
                Err(reason) => w.lose(now, &reason),
            }
        });
        self.ask_for_list();
    }

    pub(super) fn interrupted_recreation(
        &mut self,
        id: WorkerId,
        profile: String,
        name: WorkerName,
        uid: u32,
        reason: &str,
    ) {
        if self.workers.contains_key(&id) || self.gone.contains_key(&id) {
            return;
        }
        let now = self.now;
        let spec = String::new();
        let mut worker = WorkerEntry::new(id.clone(), profile, spec, now, Container::Absent);
        self.uids.hand_over(&id);
        worker.uid = uid;
        worker.adopted = Some(true);
        worker.name = Some(name);
        worker.lose(now, reason);
        self.workers.insert(id, worker);
    }
}
