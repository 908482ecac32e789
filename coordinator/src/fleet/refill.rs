//! After each event: serve claims, fill and trim the pools, issue what is due.

use super::Fleet;
use super::event::{Action, ClaimId, RemoveCause};
use super::pool::{Census, Plan};
use super::worker::{Container, WorkerEntry};
use crate::model::{WorkerId, WorkerName, WorkerState};
use std::collections::BTreeMap;

impl Fleet {
    /// Brings everything in line with the state the event left.
    pub(super) fn settle(&mut self) {
        self.timers();
        self.reject_unservable();
        if self.stopping {
            let now = self.now;
            for worker in self.workers.values_mut() {
                if worker.removal.is_none() {
                    worker.remove(now, RemoveCause::Drained);
                }
            }
        } else {
            self.drop_unwanted();
            self.serve();
            self.fill();
        }
        self.issue_removals();
    }

    /// Creations that may be started now.
    pub(super) fn slots(&self) -> u32 {
        if !self.synced || !self.uids.known() || self.engine_down.is_some() || self.stopping {
            return 0;
        }
        let asked = self
            .workers
            .values()
            .filter(|w| w.container == Container::Asked)
            .count();
        self.max_parallel
            .saturating_sub(u32::try_from(asked).unwrap_or(u32::MAX))
    }

    /// Starts a creation, for a claim or for the pool.
    pub(super) fn create(
        &mut self,
        profile: &str,
        cold_for: Option<(ClaimId, WorkerName)>,
    ) -> Option<WorkerId> {
        let pool = &self.pools.get(profile)?.spec;
        let (spec, confinement) = (pool.spec.clone(), pool.confinement.clone());
        let uid = self.free_uid()?;
        let id = self.fresh_id();
        let profile = profile.to_owned();
        let mut worker = WorkerEntry::new(
            id.clone(),
            profile.clone(),
            spec,
            self.now,
            Container::Asked,
        );
        let claim = cold_for.as_ref().map(|(claim, _)| *claim);
        worker.confinement = confinement;
        worker.uid = uid;
        worker.cold = cold_for.is_some();
        worker.claim = claim;
        worker.name = cold_for.map(|(_, name)| name);
        self.workers.insert(id.clone(), worker);
        self.book_memory(&profile);
        self.out.push(Action::Create {
            worker: id.clone(),
            profile,
            uid,
            cold_for: claim,
        });
        Some(id)
    }

    fn fresh_id(&mut self) -> WorkerId {
        loop {
            let id = WorkerId::from_bits(self.rng.next());
            if !self.workers.contains_key(&id) && !self.gone.contains_key(&id) {
                return id;
            }
        }
    }

    /// Unclaimed workers of drained pools, of profiles that are not there any more, and those that
    /// confine their sessions in another way than their profile says now.
    fn drop_unwanted(&mut self) {
        let now = self.now;
        for worker in self.workers.values_mut() {
            // One that was found may be claimed; that is known when its agent has called.
            let ours = worker.state == WorkerState::Warm || worker.adopted.is_none();
            if !ours || !worker.unclaimed() || worker.removal.is_some() {
                continue;
            }
            match self.pools.get(&worker.profile) {
                None => worker.remove(now, RemoveCause::Replaced),
                Some(pool) if pool.draining => worker.remove(now, RemoveCause::Drained),
                Some(pool) if worker.confinement != pool.spec.confinement => {
                    worker.remove(now, RemoveCause::Replaced);
                }
                Some(_) => {}
            }
        }
    }

    fn fill(&mut self) {
        let now = self.now;
        let census = self.census();
        let mut plans: Vec<(String, Plan)> = Vec::with_capacity(self.pools.len());
        for (profile, pool) in &mut self.pools {
            let counts = census.get(profile).copied().unwrap_or_default();
            plans.push((profile.clone(), pool.plan(counts, now, self.spare_memory)));
        }
        for (profile, plan) in &plans {
            if plan.retire + plan.surplus + plan.spare > 0 {
                self.trim(profile, *plan);
            }
        }
        // One each in turn, so that no pool starves another.
        let mut slots = self.slots();
        while slots > 0 && plans.iter().any(|(_, plan)| plan.create > 0) {
            for (profile, plan) in &mut plans {
                if slots > 0 && plan.create > 0 {
                    plan.create -= 1;
                    slots -= 1;
                    self.create(profile, None);
                }
            }
        }
    }

    fn census(&self) -> BTreeMap<String, Census> {
        let mut census: BTreeMap<String, Census> = BTreeMap::new();
        for worker in self.workers.values() {
            let returns = worker.may_return(self.now);
            if worker.removal.is_some() || !(returns || worker.unclaimed()) {
                continue;
            }
            let Some(pool) = self.pools.get(&worker.profile) else {
                continue;
            };
            if !census.contains_key(&worker.profile) {
                census.insert(worker.profile.clone(), Census::default());
            }
            let Some(counts) = census.get_mut(&worker.profile) else {
                continue;
            };
            if returns {
                counts.returning += 1;
            } else if worker.state == WorkerState::Creating {
                counts.coming += 1;
                counts.making += u32::from(worker.adopted.is_none());
            } else if !worker.available() {
                counts.frozen += 1;
            } else if worker.is_stale(&pool.spec.spec, pool.spec.max_age, self.now) {
                counts.stale += 1;
            } else {
                counts.fresh += 1;
            }
        }
        for claim in self.claims.iter().filter(|c| c.queues()) {
            census
                .entry(claim.spec.profile.clone())
                .or_default()
                .waiting += 1;
        }
        census
    }

    /// Removes warm workers as planned: stale ones, those above the maximum, and those above the
    /// target that have been idle for long enough; the oldest first.
    fn trim(&mut self, profile: &str, mut plan: Plan) {
        let now = self.now;
        let Some(spec) = self.pools.get(profile).map(|p| &p.spec) else {
            return;
        };
        let mut warm: Vec<_> = self
            .workers
            .values_mut()
            .filter(|w| w.available() && w.profile == profile)
            .collect();
        warm.sort_by_key(|w| w.since);
        for worker in warm {
            if worker.is_stale(&spec.spec, spec.max_age, now) {
                if plan.retire > 0 {
                    plan.retire -= 1;
                    let cause = if worker.spec == spec.spec {
                        RemoveCause::Aged
                    } else {
                        RemoveCause::Replaced
                    };
                    worker.remove(now, cause);
                }
                continue;
            }
            let idle =
                spec.idle_timeout > 0 && now.saturating_sub(worker.since) >= spec.idle_timeout;
            if plan.surplus > 0 || (plan.spare > 0 && idle) {
                plan.surplus = plan.surplus.saturating_sub(1);
                plan.spare = plan.spare.saturating_sub(1);
                worker.remove(now, RemoveCause::Idle);
            }
        }
    }

    /// Issues `Remove` for what is to go, as soon as there is something that can be removed and
    /// an engine to do it.
    fn issue_removals(&mut self) {
        if self.engine_down.is_some() {
            return;
        }
        for worker in self.workers.values_mut() {
            let created = worker.container != Container::Asked;
            if let Some(removal) = &mut worker.removal
                && created
                && !removal.in_flight
                && removal.next <= self.now
            {
                removal.in_flight = true;
                self.out.push(Action::Remove {
                    worker: worker.id.clone(),
                    cause: removal.cause.clone(),
                });
            }
        }
    }
}
