//! All workers, pools and claims, and each event's way to the part that takes it.

use super::{
    backoff::Rng,
    claim::{Claim, Phase},
    event::{Action, Event, Millis, PoolSpec},
    pool::{Pool, PoolNumbers},
    uids::Uids,
    worker::WorkerEntry,
};
use crate::model::{WorkerId, WorkerName, WorkerState};
use std::collections::{BTreeMap, VecDeque};

/// Ids of workers that are gone, kept so that one that is listed again is known as left over.
const TOMBSTONES: usize = 4096;

/// All workers, pools and claims.
#[derive(Debug, Clone)]
pub struct Fleet {
    pub(super) rng: Rng,
    pub(super) max_parallel: u32,
    /// The greatest `now` seen.
    pub(super) now: Millis,
    pub(super) workers: BTreeMap<WorkerId, WorkerEntry>,
    pub(super) pools: BTreeMap<String, Pool>,
    /// In the order in which they came.
    pub(super) claims: Vec<Claim>,
    /// Why the engine does not answer.
    pub(super) engine_down: Option<String>,
    /// The first listing is in.
    pub(super) synced: bool,
    /// When the last listing that was taken was asked for.
    pub(super) listed_at: Millis,
    pub(super) stopping: bool,
    /// The last reading, less what workers made since are likely to use.
    pub(super) spare_memory: Option<u64>,
    /// That the engine's disk is full.
    pub(super) engine_disk: Option<String>,
    /// Gone workers and when they went.
    pub(super) gone: BTreeMap<WorkerId, Millis>,
    pub(super) gone_order: VecDeque<WorkerId>,
    /// Uids of what is not, or not any more, in `workers`.
    pub(super) uids: Uids,
    /// `Ready` of workers that no listing has shown yet.
    pub(super) early: BTreeMap<WorkerId, (Option<WorkerName>, bool)>,
    /// What clients were told last.
    pub(super) shown_workers: BTreeMap<WorkerId, (WorkerState, Option<String>, Option<WorkerName>)>,
    pub(super) shown_pools: BTreeMap<String, PoolNumbers>,
    /// Actions of this step.
    pub(super) out: Vec<Action>,
}

impl Fleet {
    /// An empty fleet. `seed` is 64 random bits, for ids and jitter; `max_parallel` bounds the
    /// creations under way at once (at least 1).
    #[must_use]
    pub fn new(seed: u64, max_parallel: u32) -> Self {
        Self {
            rng: Rng::new(seed),
            max_parallel: max_parallel.max(1),
            now: 0,
            workers: BTreeMap::new(),
            pools: BTreeMap::new(),
            claims: Vec::new(),
            engine_down: None,
            synced: false,
            listed_at: 0,
            stopping: false,
            spare_memory: None,
            engine_disk: None,
            gone: BTreeMap::new(),
            gone_order: VecDeque::new(),
            uids: Uids::default(),
            early: BTreeMap::new(),
            shown_workers: BTreeMap::new(),
            shown_pools: BTreeMap::new(),
            out: Vec::new(),
        }
    }

    /// Takes an event and says what to do. `now` that goes backwards counts as unchanged.
    pub fn apply(&mut self, now: Millis, event: Event) -> Vec<Action> {
        self.now = self.now.max(now);
        self.handle(event);
        self.settle();
        self.announce();
        std::mem::take(&mut self.out)
    }

    /// Bounds the creations under way at once anew (after a reload; at least 1).
    pub fn set_max_parallel(&mut self, max_parallel: u32) {
        self.max_parallel = max_parallel.max(1);
    }

    /// One worker.
    #[must_use]
    pub fn worker(&self, id: &WorkerId) -> Option<&WorkerEntry> {
        self.workers.get(id)
    }

    /// All workers that are not gone, by id.
    pub fn workers(&self) -> impl Iterator<Item = &WorkerEntry> {
        self.workers.values()
    }

    /// The worker of a name; of several (found after a restart) the one that still has work.
    #[must_use]
    pub fn by_name(&self, name: &WorkerName) -> Option<&WorkerEntry> {
        self.workers
            .values()
            .filter(|w| w.name.as_ref() == Some(name))
            .min_by_key(|w| {
                let live = matches!(w.state, WorkerState::Running | WorkerState::Claiming);
                (!live, w.created)
            })
    }

    /// One pool's numbers.
    #[must_use]
    pub fn pool(&self, profile: &str) -> Option<PoolNumbers> {
        self.pools.get(profile).map(|p| self.numbers(profile, p))
    }

    /// All pools' numbers, by profile.
    pub fn pools(&self) -> impl Iterator<Item = PoolNumbers> {
        self.pools.iter().map(|(name, p)| self.numbers(name, p))
    }

    /// The lowest uid that nothing has.
    #[must_use]
    pub fn free_uid(&self) -> Option<u32> {
        self.uids.free(self.workers.values().map(|w| w.uid))
    }

    /// Whether everything is being stopped.
    #[must_use]
    pub fn stopping(&self) -> bool {
        self.stopping
    }

    pub(super) fn numbers(&self, profile: &str, pool: &Pool) -> PoolNumbers {
        let mut numbers = PoolNumbers {
            profile: profile.to_owned(),
            min_warm: pool.min,
            max_warm: pool.max,
            target: pool.target,
            warm: 0,
            creating: 0,
            claimed: 0,
            queued: 0,
            paused: pool.paused,
            draining: pool.draining,
            short_of_memory: pool.short_of_memory,
            hits: pool.hits,
            misses: pool.misses,
            last_failure: pool.breaker.last().cloned(),
        };
        for worker in self.workers.values().filter(|w| w.profile == profile) {
            match worker.state {
                WorkerState::Creating => numbers.creating += 1,
                WorkerState::Warm if worker.available() => numbers.warm += 1,
                WorkerState::Claiming | WorkerState::Running | WorkerState::Lost => {
                    numbers.claimed += 1;
                }
                _ => {}
            }
        }
        let waits = |c: &&Claim| c.spec.profile == profile && c.phase == Phase::Waiting;
        let queued = self.claims.iter().filter(waits).count();
        numbers.queued = u32::try_from(queued).unwrap_or(u32::MAX);
        numbers
    }

    pub(super) fn handle(&mut self, event: Event) {
        match event {
            Event::Tick => {}
            Event::Configured(specs) => self.configured(specs),
            Event::Relisted {
                asked_at,
                containers,
            } => self.relisted(asked_at, containers),
            Event::EngineLost(why) => self.engine_down = Some(why),
            Event::EngineBack => self.engine_back(),
            Event::Created(worker) => self.created(&worker),
            Event::CreateFailed { worker, reason } => self.create_failed(&worker, &reason),
            Event::Ready {
                worker,
                claimed_as,
                ended,
            } => self.ready(&worker, claimed_as, ended),
            Event::Connected(worker) => self.connected(&worker),
            Event::AgentGone(worker) => self.unhealthy(&worker, "its agent is gone", true),
            Event::Unhealthy { worker, reason } => self.unhealthy(&worker, &reason, false),
            Event::Lost { worker, reason } => self.lost(&worker, &reason),
            Event::Claim(spec) => self.claim(spec),
            Event::Cancel(claim) => self.cancel(claim),
            Event::Placed(claim) => self.placed(claim),
            Event::PlaceFailed {
                claim,
                fault,
                reason,
            } => self.place_failed(claim, fault, reason),
            Event::SessionEnded { worker, remove } => self.session_ended(&worker, remove),
            Event::Rename { worker, name } => {
                if self.name_taken(&name).is_none() {
                    self.with(&worker, |w, _| w.name = Some(name));
                }
            }
            Event::Recreate(worker) => self.recreate(&worker),
            Event::Recreated { worker, outcome } => self.recreated(&worker, outcome),
            Event::LeftBehind {
                worker,
                profile,
                name,
                uid,
                reason,
            } => self.interrupted_recreation(worker, profile, name, uid, &reason),
            Event::Reserve(uids) => self.uids.reserve(uids),
            Event::Release(worker) => self.uids.release(&worker, self.now),
            Event::Remove(worker) => self.remove(&worker),
            Event::Removed(worker) => self.removed(&worker),
            Event::RemoveFailed { worker, reason } => self.remove_failed(&worker, &reason),
            Event::Scale {
                profile,
                min_warm,
                max_warm,
            } => self.with_pool(&profile, |p| p.scale(min_warm, max_warm)),
            Event::Pause(profile) => self.with_pool(&profile, |p| p.paused = true),
            Event::Resume(profile) => self.with_pool(&profile, |p| {
                p.paused = false;
                p.draining = false;
            }),
            Event::Drain(profile) => self.with_pool(&profile, |p| p.draining = true),
            Event::MemoryAvailable(bytes) => {
                self.spare_memory = Some(bytes);
                let coming = |w: &&WorkerEntry| w.state == WorkerState::Creating;
                let coming = self.workers.values().filter(coming);
                // Those that are coming are not in the reading yet.
                for profile in coming.map(|w| w.profile.clone()).collect::<Vec<_>>() {
                    self.book_memory(&profile);
                }
            }
            Event::EngineDisk(full) => self.engine_disk = full,
            Event::Shutdown => self.stopping = true,
        }
    }

    /// Counts one more worker of a profile against the memory to spare.
    pub(super) fn book_memory(&mut self, profile: &str) {
        if let (Some(spare), Some(pool)) = (&mut self.spare_memory, self.pools.get(profile)) {
            *spare = spare.saturating_sub(pool.typical_bytes());
        }
    }

    pub(super) fn with_pool(&mut self, profile: &str, f: impl FnOnce(&mut Pool)) {
        if let Some(pool) = self.pools.get_mut(profile) {
            f(pool);
        }
    }

    pub(super) fn configured(&mut self, specs: Vec<PoolSpec>) {
        let mut old = std::mem::take(&mut self.pools);
        for spec in specs {
            let pool = match old.remove(&spec.profile) {
                Some(mut pool) => {
                    pool.configure(spec.clone());
                    pool
                }
                None => Pool::new(spec.clone()),
            };
            self.pools.insert(spec.profile, pool);
        }
        if !self.synced {
            self.ask_for_list();
        }
    }

    pub(super) fn engine_back(&mut self) {
        self.engine_down = None;
        for pool in self.pools.values_mut() {
            pool.breaker.hasten(self.now, &mut self.rng);
        }
        self.ask_for_list();
    }

    /// Asks for a new listing, once per step.
    pub(super) fn ask_for_list(&mut self) {
        if !self.out.contains(&Action::Relist) {
            self.out.push(Action::Relist);
        }
    }

    /// Forgets a worker that is gone.
    pub(super) fn bury(&mut self, id: &WorkerId) {
        if let Some(worker) = self.workers.remove(id) {
            self.uids.retire(id.clone(), worker.uid, self.now);
        }
        self.early.remove(id);
        if self.gone.insert(id.clone(), self.now).is_none() {
            self.gone_order.push_back(id.clone());
        }
        if self.gone_order.len() > TOMBSTONES
            && let Some(oldest) = self.gone_order.pop_front()
        {
            self.gone.remove(&oldest);
        }
    }

    /// Tells clients what is different from what they were told last.
    pub(super) fn announce(&mut self) {
        let mut changed = Vec::new();
        // Both by id: what was shown of a worker is the next one, or a little further.
        let mut shown = self.shown_workers.iter();
        let mut next = shown.next();
        for (id, w) in &self.workers {
            while next.is_some_and(|(before, _)| before < id) {
                next = shown.next();
            }
            let same = next.is_some_and(|(of, (state, why, name))| {
                of == id && *state == w.state && *why == w.why && *name == w.name
            });
            if !same {
                changed.push(id.clone());
            }
        }
        for id in &changed {
            if let Some(w) = self.workers.get(id) {
                let shown = (w.state, w.why.clone(), w.name.clone());
                self.shown_workers.insert(id.clone(), shown);
            }
        }
        if self.shown_workers.len() > self.workers.len() {
            let workers = &self.workers;
            self.shown_workers.retain(|id, _| {
                let there = workers.contains_key(id);
                if !there {
                    changed.push(id.clone());
                }
                there
            });
        }
        self.out
            .extend(changed.into_iter().map(Action::WorkerChanged));

        let shown = &self.shown_pools;
        let fresh: Vec<_> = self
            .pools()
            .filter(|n| shown.get(&n.profile) != Some(n))
            .collect();
        for numbers in fresh {
            let profile = numbers.profile.clone();
            self.out.push(Action::PoolChanged(profile.clone()));
            self.shown_pools.insert(profile, numbers);
        }
        if self.shown_pools.len() > self.pools.len() {
            let (pools, out) = (&self.pools, &mut self.out);
            self.shown_pools.retain(|profile, _| {
                let there = pools.contains_key(profile);
                if !there {
                    out.push(Action::PoolChanged(profile.clone()));
                }
                there
            });
        }
    }
}
