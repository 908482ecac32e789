//! Claims: who waits for which worker, and who gets it.
//!
//! First come, first served within a profile. A worker is given to one claim only: it leaves
//! `Warm` in the same step in which `Assign` is issued, and goes back to `Warm` only where the
//! daemon says that the claim failed and left nothing in it.

use super::Fleet;
use super::claim::{Claim, Phase};
use super::event::{Action, ClaimId, ClaimSpec, Millis, RejectReason, RemoveCause, StartFault};
use super::worker::{Container, WorkerEntry};
use crate::model::{WorkerId, WorkerName, WorkerState};
use crate::wire::WhenEmpty;
use std::collections::BTreeSet;

/// A claim is given to at most so many workers.
const MOST_TRIES: u32 = 3;

impl Fleet {
    pub(super) fn claim(&mut self, spec: ClaimSpec) {
        if self.claims.iter().any(|c| c.spec.claim == spec.claim) {
            return;
        }
        let refused = if self.stopping {
            Some(RejectReason::ShuttingDown)
        } else if !self.pools.contains_key(&spec.profile) {
            Some(RejectReason::NoProfile(
                self.pools.keys().cloned().collect(),
            ))
        } else {
            self.name_taken(&spec.name).map(RejectReason::NameInUse)
        };
        if let Some(reason) = refused {
            self.reject(spec.claim, reason);
            return;
        }
        if let Some(pool) = self.pools.get_mut(&spec.profile) {
            pool.count_arrival(self.now);
        }
        self.claims.push(Claim {
            spec,
            phase: Phase::Waiting,
            counted: false,
            tries: 0,
            trouble: None,
            cancelled: false,
        });
    }

    /// The state of the worker that has a name, or that is being looked for under it.
    #[must_use]
    pub fn name_taken(&self, name: &WorkerName) -> Option<WorkerState> {
        self.by_name(name).map(|w| w.state).or_else(|| {
            self.claims
                .iter()
                .any(|c| c.spec.name == *name)
                .then_some(WorkerState::Creating)
        })
    }

    pub(super) fn cancel(&mut self, id: ClaimId) {
        let Some(at) = self.claims.iter().position(|c| c.spec.claim == id) else {
            return;
        };
        if let Some(claim) = self.claims.get_mut(at)
            && matches!(claim.phase, Phase::Assigned(_))
        {
            claim.cancelled = true;
            return;
        }
        let claim = self.claims.remove(at);
        self.count_miss(&claim);
        self.drop_cold_worker(&claim);
    }

    fn count_miss(&mut self, claim: &Claim) {
        if !claim.counted
            && let Some(pool) = self.pools.get_mut(&claim.spec.profile)
        {
            pool.misses += 1;
        }
    }

    fn drop_cold_worker(&mut self, claim: &Claim) {
        if let Phase::Cold(worker) = &claim.phase
            && let Some(worker) = self.workers.get_mut(worker)
        {
            worker.claim = None;
            worker.name = None;
            worker.remove(self.now, RemoveCause::Released);
        }
    }

    pub(super) fn reject(&mut self, claim: ClaimId, reason: RejectReason) {
        self.out.push(Action::Reject { claim, reason });
    }

    /// Turns down those claims without an `Assign` under way for which there is a reason.
    pub(super) fn reject_where(&mut self, why: impl Fn(&Self, &Claim) -> Option<RejectReason>) {
        let mut at = 0;
        while let Some(claim) = self.claims.get(at) {
            let reason = match claim.phase {
                Phase::Assigned(_) => None,
                Phase::Waiting | Phase::Cold(_) => why(self, claim),
            };
            let Some(reason) = reason else {
                at += 1;
                continue;
            };
            let claim = self.claims.remove(at);
            self.count_miss(&claim);
            self.drop_cold_worker(&claim);
            self.reject(claim.spec.claim, reason);
        }
    }

    /// The worker made for a claim will not be: the claim is turned down, or goes on waiting when
    /// only the engine is away.
    pub(super) fn cold_failed(&mut self, id: ClaimId, reason: &str) {
        if self.engine_down.is_some() && !self.stopping {
            if let Some(claim) = self.claims.iter_mut().find(|c| c.spec.claim == id) {
                claim.phase = Phase::Waiting;
            }
            return;
        }
        self.reject_where(|_, claim| {
            (claim.spec.claim == id).then(|| RejectReason::CreateFailed(reason.to_owned()))
        });
    }

    pub(super) fn placed(&mut self, id: ClaimId) {
        let Some(at) = self.claims.iter().position(|c| c.spec.claim == id) else {
            return;
        };
        let Some(Phase::Assigned(worker)) = self.claims.get(at).map(|c| c.phase.clone()) else {
            return;
        };
        self.claims.remove(at);
        let now = self.now;
        let Some(worker) = self.workers.get_mut(&worker) else {
            return;
        };
        worker.claim = None;
        // A short command has ended already, and a worker on its way out stays so.
        if worker.state == WorkerState::Claiming {
            worker.go(now, WorkerState::Running, None);
            if worker.container == Container::Absent {
                worker.lose(now, "its container was removed");
            }
        }
        let profile = worker.profile.clone();
        if let Some(pool) = self.pools.get_mut(&profile) {
            pool.breaker.proven();
        }
    }

    pub(super) fn place_failed(&mut self, id: ClaimId, fault: StartFault, reason: String) {
        let worker_at_fault = fault.may_repeat();
        let Some(at) = self.claims.iter().position(|c| c.spec.claim == id) else {
            return;
        };
        let Some(claim) = self.claims.get_mut(at) else {
            return;
        };
        let Phase::Assigned(worker) = claim.phase.clone() else {
            return;
        };
        let retry = worker_at_fault && !claim.cancelled && claim.tries < MOST_TRIES;
        if retry {
            claim.phase = Phase::Waiting;
            claim.trouble = Some(reason.clone());
            if fault == StartFault::Agent && claim.spec.when_empty != WhenEmpty::Fail {
                claim.spec.force_cold = Some(reason.clone());
            }
        } else {
            let claim = self.claims.remove(at);
            if worker_at_fault && !claim.cancelled {
                self.reject(id, RejectReason::CreateFailed(reason.clone()));
            }
        }
        self.with(&worker, |w, now| w.claim_failed(now, fault, reason));
    }

    /// Turns down the claims that nothing can serve any more.
    pub(super) fn reject_unservable(&mut self) {
        if self.claims.is_empty() {
            return;
        }
        self.reject_where(|fleet, claim| {
            if fleet.stopping {
                return Some(RejectReason::ShuttingDown);
            }
            if claim.phase == Phase::Waiting && !fleet.pools.contains_key(&claim.spec.profile) {
                return Some(RejectReason::NoProfile(
                    fleet.pools.keys().cloned().collect(),
                ));
            }
            None
        });
    }

    /// Gives warm workers to the claims that wait, oldest claim first; then starts cold workers
    /// for those that want one, as far as the bound allows.
    pub(super) fn serve(&mut self) {
        let mut empty: BTreeSet<String> = BTreeSet::new();
        for at in 0..self.claims.len() {
            let Some(claim) = self.claims.get(at) else {
                break;
            };
            if claim.phase != Phase::Waiting
                || claim.spec.force_cold.is_some()
                || empty.contains(&claim.spec.profile)
            {
                continue;
            }
            match self.pick(&claim.spec.profile) {
                Some(worker) => self.assign(at, &worker, true),
                None => {
                    empty.insert(claim.spec.profile.clone());
                }
            }
        }
        for claim in &mut self.claims {
            if !claim.counted {
                claim.counted = true;
                if let Some(pool) = self.pools.get_mut(&claim.spec.profile) {
                    pool.misses += 1;
                }
            }
        }
        // Before the first listing it is not known what is there.
        if self.synced || self.engine_down.is_some() {
            self.reject_where(|fleet, claim| {
                (claim.spec.when_empty == WhenEmpty::Fail).then(|| {
                    let failure = fleet.pools.get(&claim.spec.profile);
                    let failure = failure.and_then(|p| p.breaker.trouble().map(str::to_owned));
                    let trouble = claim.trouble.clone().or(claim.spec.force_cold.clone());
                    RejectReason::Exhausted(trouble.or(failure))
                })
            });
        }
        for at in 0..self.claims.len() {
            if self.slots() == 0 {
                break;
            }
            let Some(claim) = self.claims.get(at) else {
                break;
            };
            if claim.phase != Phase::Waiting || !claim.goes_cold() {
                continue;
            }
            if self.free_uid().is_none() {
                break;
            }
            let (profile, id, name) = (
                claim.spec.profile.clone(),
                claim.spec.claim,
                claim.spec.name.clone(),
            );
            if let Some(worker) = self.create(&profile, Some((id, name)))
                && let Some(claim) = self.claims.get_mut(at)
            {
                claim.phase = Phase::Cold(worker);
            }
        }
    }

    /// The warm worker to give next: of the present specification if there is one, the one that
    /// has been warm the longest.
    fn pick(&self, profile: &str) -> Option<WorkerId> {
        let spec = self.pools.get(profile).map(|p| &p.spec)?;
        self.workers
            .values()
            .filter(|w| w.available() && w.profile == profile)
            .min_by_key(|w| (w.is_stale(&spec.spec, spec.max_age, self.now), w.since))
            .map(|w| w.id.clone())
    }

    /// Gives a worker to the claim at a place of the queue.
    fn assign(&mut self, at: usize, worker: &WorkerId, warm: bool) {
        let now = self.now;
        let (Some(claim), Some(entry)) = (self.claims.get_mut(at), self.workers.get_mut(worker))
        else {
            return;
        };
        claim.phase = Phase::Assigned(worker.clone());
        claim.tries += 1;
        entry.claim = Some(claim.spec.claim);
        entry.name = Some(claim.spec.name.clone());
        entry.go(now, WorkerState::Claiming, None);
        if !claim.counted {
            claim.counted = true;
            if let Some(pool) = self.pools.get_mut(&claim.spec.profile) {
                pool.hits += 1;
            }
        }
        self.out.push(Action::Assign {
            claim: claim.spec.claim,
            worker: worker.clone(),
            warm,
        });
    }

    /// A worker made for a claim is ready.
    pub(super) fn assign_cold(&mut self, worker: &WorkerId) {
        let phase = Phase::Cold(worker.clone());
        match self.claims.iter().position(|c| c.phase == phase) {
            Some(at) => self.assign(at, worker, false),
            // Its project is inside: it serves nobody else.
            None => self.with(worker, |w, now| w.remove(now, RemoveCause::Released)),
        }
    }

    /// Runs on a worker, if it is there.
    pub(super) fn with(&mut self, worker: &WorkerId, f: impl FnOnce(&mut WorkerEntry, Millis)) {
        let now = self.now;
        if let Some(worker) = self.workers.get_mut(worker) {
            f(worker, now);
        }
    }
}
