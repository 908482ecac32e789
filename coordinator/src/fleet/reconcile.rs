//! Reconcile: what the engine lists against what the fleet believes.
//!
//! A listing is the whole truth of the moment it was asked for, so it says nothing about what
//! was created, or asked to be removed, after that moment.

use super::Fleet;
use super::event::{Action, Millis, Observed, RemoveCause};
use super::worker::{Container, WorkerEntry};
use crate::model::{WorkerId, WorkerState};
use std::collections::BTreeMap;

const PAUSED: &str = "its container is paused";
const SILENT: &str = "its agent does not answer since it went on";
const STOPPED: &str = "its container has stopped";
const VANISHED: &str = "its container was removed from outside";

impl Fleet {
    pub(super) fn relisted(&mut self, asked_at: Millis, containers: Vec<Observed>) {
        // Answers may overtake each other; an older one has nothing to tell.
        if self.synced && asked_at < self.listed_at {
            return;
        }
        self.synced = true;
        self.listed_at = asked_at;
        let mut listed: BTreeMap<WorkerId, Observed> = containers
            .into_iter()
            .map(|seen| (seen.worker.clone(), seen))
            .collect();
        self.uids
            .listed(asked_at, |worker| listed.contains_key(worker));

        let known: Vec<(WorkerId, Container)> = self
            .workers
            .values()
            .map(|w| (w.id.clone(), w.container))
            .collect();
        for (id, container) in known {
            let seen = listed.remove(&id);
            match (container, seen) {
                // Present since before the question was asked: the answer is about it.
                (Container::Present(since), None) if since < asked_at => self.vanished(&id),
                (Container::Present(since), Some(seen)) if since < asked_at => {
                    self.inspected(&id, &seen, asked_at);
                }
                (Container::Absent, Some(seen)) => {
                    self.with(&id, |w, _| w.container = Container::Present(asked_at));
                    self.inspected(&id, &seen, asked_at);
                }
                _ => {}
            }
        }
        for seen in listed.into_values() {
            self.found(seen, asked_at);
        }
    }

    /// A known worker's container is not there any more.
    pub(super) fn vanished(&mut self, id: &WorkerId) {
        let Some(worker) = self.workers.get_mut(id) else {
            return;
        };
        if worker.container == Container::Asked {
            return;
        }
        worker.container = Container::Absent;
        worker.agent = false;
        if worker.removal.is_some() {
            return;
        }
        let now = self.now;
        match worker.state {
            // `Remove` for what is left on disk.
            WorkerState::Warm => self.warm_died(id, VANISHED, false),
            WorkerState::Creating => self.creating_died(id, VANISHED),
            WorkerState::Running | WorkerState::Lost => worker.lose(now, VANISHED),
            // Claiming: the daemon's answer to `Assign` is on its way. Exited: kept by intent.
            _ => {}
        }
    }

    /// A known worker's container as the engine sees it.
    fn inspected(&mut self, id: &WorkerId, seen: &Observed, asked_at: Millis) {
        let now = self.now;
        let patience = self.ready_timeout(&seen.profile);
        let Some(worker) = self.workers.get_mut(id) else {
            return;
        };
        if worker.removal.is_some() {
            return;
        }
        let idle = matches!(worker.state, WorkerState::Warm | WorkerState::Creating);
        if seen.paused {
            if seen.held && worker.state == WorkerState::Creating && worker.adopted == Some(true) {
                worker.held = true;
                worker.go(now, WorkerState::Running, Some(PAUSED.to_owned()));
                return;
            }
            if !idle {
                if worker.state == WorkerState::Running {
                    worker.why = Some(PAUSED.to_owned());
                }
                return;
            }
            match worker.unpause_asked {
                None => {
                    worker.unpause_asked = Some(now);
                    worker.why = Some(PAUSED.to_owned());
                    self.out.push(Action::Unpause(id.clone()));
                }
                Some(at) if at < asked_at => match worker.state {
                    WorkerState::Warm => self.warm_died(id, PAUSED, false),
                    _ => self.creating_died(id, PAUSED),
                },
                Some(_) => {}
            }
            return;
        }
        if worker.unpause_asked.is_some_and(|at| at < asked_at) {
            worker.unpause_asked = None;
        }
        if worker.unpause_asked.is_none() && worker.why.as_deref() == Some(PAUSED) {
            worker.why = None;
        }
        if std::mem::take(&mut worker.held) && !worker.agent && worker.lost_at.is_none() {
            worker.lost_at = Some((now.saturating_add(patience), SILENT.to_owned()));
        }
        if seen.running {
            return;
        }
        match worker.state {
            WorkerState::Warm => self.warm_died(id, STOPPED, true),
            WorkerState::Creating => self.creating_died(id, STOPPED),
            WorkerState::Running => worker.lose(now, STOPPED),
            _ => {}
        }
    }

    /// A container of ours that the fleet does not know.
    fn found(&mut self, seen: Observed, asked_at: Millis) {
        let now = self.now;
        let buried = self.gone.get(&seen.worker).copied();
        if buried.is_some_and(|at| asked_at <= at) {
            return;
        }
        let id = seen.worker.clone();
        let mut worker = WorkerEntry::new(
            id.clone(),
            seen.profile.clone(),
            seen.spec.clone(),
            now,
            Container::Present(asked_at),
        );
        worker.adopted = Some(seen.claimed);
        worker.confinement.clone_from(&seen.confinement);
        worker.uid = seen.uid;
        if seen.uid != 0 {
            self.uids.hand_over(&id);
        }
        worker.name = seen.name.clone().filter(|_| seen.claimed);
        worker.answer_by = now.saturating_add(self.ready_timeout(&seen.profile));
        let left_over = buried.is_some() || !(seen.claimed || seen.running || seen.paused);
        if left_over {
            worker.remove(now, RemoveCause::Orphan);
        }
        self.workers.insert(id.clone(), worker);
        if !left_over {
            self.inspected(&id, &seen, asked_at);
            if let Some((claimed_as, ended)) = self.early.remove(&id) {
                self.ready(&id, claimed_as, ended);
            }
        }
    }
}
