//! What happens to one worker: created, ready, sick, ended, removed.

use super::backoff::FailureKind;
use super::event::{Action, Millis, RejectReason, RemoveCause};
use super::worker::{Container, WorkerEntry};
use super::{Fleet, backoff};
use crate::model::{WorkerId, WorkerName, WorkerState};

/// A claimed worker whose agent is away is lost after so long: agents redial.
const AGENT_GRACE: Millis = 10_000;
/// A worker that lives for so long shows that its image is sound.
const PROVEN: Millis = 5_000;
/// `ready_timeout` where a profile says none.
const READY_TIMEOUT: Millis = 30_000;
/// Said of a worker that is adopted and whose agent has not described itself yet.
const UNDESCRIBED: &str = "its agent has connected and has not said yet what it runs";
/// An adopted worker that no record calls claimed may take so many times its `ready_timeout` to
/// describe itself once it has connected.
const UNDESCRIBED_FACTOR: u64 = 10;
/// `Ready`s kept of workers that no listing has shown yet.
const MOST_EARLY: usize = 1024;

impl Fleet {
    pub(super) fn ready_timeout(&self, profile: &str) -> Millis {
        match self.pools.get(profile).map_or(0, |p| p.spec.ready_timeout) {
            0 => READY_TIMEOUT,
            timeout => timeout,
        }
    }

    pub(super) fn created(&mut self, id: &WorkerId) {
        let now = self.now;
        let Some(worker) = self.workers.get(id) else {
            // Not ours any more; the listing tells what it is.
            self.ask_for_list();
            return;
        };
        if worker.container != Container::Asked {
            return;
        }
        let answer_by = now.saturating_add(self.ready_timeout(&worker.profile));
        self.with(id, |w, now| {
            w.container = Container::Present(now);
            w.answer_by = answer_by;
        });
        self.promote(id);
    }

    pub(super) fn create_failed(&mut self, id: &WorkerId, reason: &str) {
        let asked = |w: &&WorkerEntry| w.container == Container::Asked;
        if self.workers.get(id).filter(asked).is_none() {
            return;
        }
        let worker = self.workers.get(id).cloned();
        self.bury(id);
        if let Some(worker) = worker {
            self.creation_failed(&worker, reason, FailureKind::Refused);
        }
    }

    /// Books a creation that came to nothing; `worker` is as it was before.
    fn creation_failed(&mut self, worker: &WorkerEntry, reason: &str, kind: FailureKind) {
        if worker.removal.is_some() || worker.adopted.is_some() {
            return;
        }
        if let (true, Some(claim)) = (worker.cold, worker.claim) {
            let reason = self.with_cause(reason);
            self.cold_failed(claim, &reason);
        } else if self.engine_down.is_none() {
            self.pool_failed(&worker.profile, worker.created, reason, kind);
        }
    }

    fn pool_failed(&mut self, profile: &str, started: Millis, reason: &str, kind: FailureKind) {
        let now = self.now;
        let reason = self.with_cause(reason);
        if let Some(pool) = self.pools.get_mut(profile) {
            pool.breaker
                .failed(now, started, &reason, kind, &mut self.rng);
        }
    }

    /// A full disk is why a container could not be made, or stopped; said first where the engine
    /// has not said it itself.
    fn with_cause(&self, reason: &str) -> String {
        match &self.engine_disk {
            Some(full) if !reason.contains("no space left") => format!("{full}: {reason}"),
            _ => reason.to_owned(),
        }
    }

    pub(super) fn ready(&mut self, id: &WorkerId, claimed_as: Option<WorkerName>, ended: bool) {
        let Some(worker) = self.workers.get_mut(id) else {
            // The listing that shows it is still to come.
            if !self.gone.contains_key(id) && self.early.len() < MOST_EARLY {
                self.early.insert(id.clone(), (claimed_as, ended));
            }
            self.ask_for_list();
            return;
        };
        let now = self.now;
        worker.agent = true;
        worker.lost_at = None;
        if worker.removal.is_some() {
            if let Some(name) = claimed_as.filter(|_| !ended) {
                worker.spare(now, name);
            }
            return;
        }
        match (worker.state, claimed_as) {
            (WorkerState::Creating | WorkerState::Warm, Some(name)) => {
                worker.name = Some(name);
                let state = if ended {
                    WorkerState::Exited
                } else {
                    WorkerState::Running
                };
                worker.go(now, state, None);
            }
            (WorkerState::Creating, None) => self.promote(id),
            (WorkerState::Running | WorkerState::Lost, Some(_)) => {
                let state = if ended {
                    WorkerState::Exited
                } else {
                    WorkerState::Running
                };
                worker.go(now, state, None);
            }
            (WorkerState::Running | WorkerState::Lost, None) => {
                worker.lose(now, "it was restarted; its session is gone");
            }
            _ => {}
        }
    }

    /// Container and agent are there: the worker can be used.
    fn promote(&mut self, id: &WorkerId) {
        let Some(worker) = self.workers.get(id) else {
            return;
        };
        let usable = worker.state == WorkerState::Creating
            && worker.removal.is_none()
            && worker.agent
            && matches!(worker.container, Container::Present(_));
        if !usable {
            return;
        }
        let (profile, took) = (
            worker.profile.clone(),
            self.now.saturating_sub(worker.created),
        );
        if worker.adopted == Some(true) {
            // Made for a claim that never came to its session: what is inside is unknown.
            self.with(id, |w, now| w.remove(now, RemoveCause::Orphan));
            return;
        }
        let (cold, made_here) = (worker.cold, worker.adopted.is_none());
        let mut next_probe = Millis::MAX;
        let full = self.max_parallel;
        if let Some(pool) = self.pools.get_mut(&profile) {
            if made_here {
                pool.count_warm_up(took);
                pool.breaker.succeeded(full);
            }
            if pool.spec.check_interval > 0 {
                next_probe = self.now.saturating_add(pool.spec.check_interval);
            }
        }
        if cold {
            self.assign_cold(id);
        } else {
            self.with(id, |w, now| {
                w.next_probe = next_probe;
                w.go(now, WorkerState::Warm, None);
            });
        }
    }

    /// The agent has connected. What it runs is known when it has described itself: until then
    /// nothing is concluded from its silence.
    pub(super) fn connected(&mut self, id: &WorkerId) {
        let Some(worker) = self.workers.get(id) else {
            return;
        };
        let patience = self
            .ready_timeout(&worker.profile)
            .saturating_mul(UNDESCRIBED_FACTOR);
        self.with(id, |w, now| {
            if w.removal.is_some() {
                return;
            }
            match w.state {
                WorkerState::Creating if w.adopted.is_some() => {
                    w.answer_by = match w.adopted {
                        Some(true) => Millis::MAX,
                        // Most likely unclaimed: it is not waited for without a bound.
                        _ => w.answer_by.max(now.saturating_add(patience)),
                    };
                    w.why = Some(UNDESCRIBED.to_owned());
                }
                WorkerState::Running => w.lost_at = None,
                _ => {}
            }
        });
    }

    /// The agent is away (`agent_gone`), a probe failed, or the container looks wrong.
    pub(super) fn unhealthy(&mut self, id: &WorkerId, reason: &str, agent_gone: bool) {
        if agent_gone {
            self.early.remove(id);
        }
        let now = self.now;
        let patience = self
            .workers
            .get(id)
            .map_or(READY_TIMEOUT, |w| self.ready_timeout(&w.profile));
        let Some(worker) = self.workers.get_mut(id) else {
            return;
        };
        if agent_gone {
            worker.agent = false;
            if worker.state == WorkerState::Creating && worker.adopted.is_some() {
                worker.answer_by = worker.answer_by.min(now.saturating_add(patience));
                worker.why = None;
            }
        }
        if worker.removal.is_some() {
            return;
        }
        match worker.state {
            WorkerState::Warm => self.warm_died(id, reason, true),
            WorkerState::Creating if !agent_gone && worker.container != Container::Asked => {
                self.creating_died(id, reason);
            }
            WorkerState::Running | WorkerState::Claiming => {
                // A probe from when it was warm may fail late: only a missing agent counts.
                if !worker.agent && worker.lost_at.is_none() {
                    worker.lost_at = Some((now.saturating_add(AGENT_GRACE), reason.to_owned()));
                }
                // Should the container be gone, the listing says so before the grace is over.
                self.ask_for_list();
            }
            _ => {}
        }
    }

    /// A warm worker is of no use any more. `own_fault`: its container did not simply vanish, so
    /// dying young counts against its image.
    pub(super) fn warm_died(&mut self, id: &WorkerId, reason: &str, own_fault: bool) {
        let Some(worker) = self.workers.get(id) else {
            return;
        };
        if own_fault && !worker.proven && worker.adopted.is_none() && self.engine_down.is_none() {
            let (profile, started) = (worker.profile.clone(), worker.created);
            self.pool_failed(&profile, started, reason, FailureKind::EarlyDeath);
        }
        self.with(id, |w, now| {
            w.remove(now, RemoveCause::Unhealthy(reason.to_owned()));
        });
    }

    /// A worker that was to become ready will not. One that a record calls claimed is kept for a
    /// person to look at.
    pub(super) fn creating_died(&mut self, id: &WorkerId, reason: &str) {
        let Some(before) = self.workers.get(id).cloned() else {
            return;
        };
        self.with(id, |w, now| {
            if w.adopted == Some(true) {
                w.lose(now, reason);
            } else {
                // The name is free for another try.
                w.name = None;
                w.claim = None;
                w.remove(now, RemoveCause::Unhealthy(reason.to_owned()));
                if let Some(removal) = &mut w.removal {
                    removal.unheard = w.adopted.is_some();
                }
            }
        });
        self.creation_failed(&before, reason, FailureKind::Silent);
    }

    pub(super) fn session_ended(&mut self, id: &WorkerId, remove: bool) {
        self.with(id, |w, now| {
            let being_made = w.state == WorkerState::Creating && w.adopted.is_none();
            if w.removal.is_some() || w.recreating || being_made {
                return;
            }
            if remove {
                w.remove(now, RemoveCause::Released);
            } else {
                w.lost_at = None;
                w.go(now, WorkerState::Exited, None);
            }
        });
    }

    /// The agent answers, but the worker is of no use (its network is gone).
    pub(super) fn lost(&mut self, id: &WorkerId, reason: &str) {
        let Some(worker) = self.workers.get_mut(id) else {
            return;
        };
        if worker.removal.is_some() {
            return;
        }
        match worker.state {
            WorkerState::Warm => self.warm_died(id, reason, false),
            WorkerState::Creating => self.creating_died(id, reason),
            WorkerState::Running => worker.lose(self.now, reason),
            _ => {}
        }
    }

    /// A person wants it gone.
    pub(super) fn remove(&mut self, id: &WorkerId) {
        let Some(worker) = self.workers.get(id) else {
            return;
        };
        let claim = worker.claim.filter(|_| worker.removal.is_none());
        if let (WorkerState::Creating, Some(claim)) = (worker.state, claim) {
            self.reject_where(|_, c| {
                let reason = "it was removed before it was ready".to_owned();
                (c.spec.claim == claim).then_some(RejectReason::CreateFailed(reason))
            });
        }
        self.with(id, |w, now| w.remove(now, RemoveCause::Released));
    }

    pub(super) fn removed(&mut self, id: &WorkerId) {
        let Some(worker) = self.workers.get(id) else {
            return;
        };
        if worker.removal.is_some() {
            self.bury(id);
        } else {
            self.vanished(id);
        }
    }

    pub(super) fn remove_failed(&mut self, id: &WorkerId, reason: &str) {
        let now = self.now;
        let Some(worker) = self.workers.get_mut(id) else {
            return;
        };
        let Some(removal) = &mut worker.removal else {
            return;
        };
        removal.in_flight = false;
        if let Some(name) = removal.spared.take() {
            worker.spare(now, name);
            if !worker.agent {
                worker.lost_at = Some((now.saturating_add(AGENT_GRACE), reason.to_owned()));
            }
            return;
        }
        removal.attempts = removal.attempts.saturating_add(1);
        let wait = backoff::delay(removal.attempts, &mut self.rng);
        removal.next = now.saturating_add(wait);
        worker.why = Some(format!("could not be removed: {reason}"));
    }

    /// What only the passing of time brings about.
    pub(super) fn timers(&mut self) {
        let now = self.now;
        let mut silent = Vec::new();
        for worker in self.workers.values_mut() {
            if worker.removal.is_some() {
                continue;
            }
            match worker.state {
                WorkerState::Creating if worker.answer_by <= now => {
                    silent.push(worker.id.clone());
                }
                WorkerState::Running => {
                    if let Some((at, why)) = worker.lost_at.take() {
                        if at <= now {
                            worker.lose(now, &why);
                        } else {
                            worker.lost_at = Some((at, why));
                        }
                    }
                }
                WorkerState::Warm => {
                    let pool = self.pools.get_mut(&worker.profile);
                    if !worker.proven && now.saturating_sub(worker.since) >= PROVEN {
                        worker.proven = true;
                        if let Some(pool) = pool {
                            pool.breaker.proven();
                        }
                    } else if worker.next_probe <= now
                        && let Some(pool) = pool
                    {
                        let every = pool.spec.check_interval.max(1);
                        worker.next_probe = now.saturating_add(every);
                        self.out.push(Action::Probe(worker.id.clone()));
                    }
                }
                _ => {}
            }
        }
        for id in silent {
            self.creating_died(&id, "its agent does not answer");
        }
    }
}
