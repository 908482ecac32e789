//! Tests of the fleet: rules as sentences, and a simulated world that does its worst.

mod claims;
mod pools;
mod simulation;
mod spared;
mod survival;
mod world;

use super::*;
use crate::model::{WorkerId, WorkerName, WorkerState};
use crate::wire::WhenEmpty;

/// A fleet with an engine that does what it is told when the test says so.
pub(super) struct Bench {
    pub(super) fleet: Fleet,
    pub(super) now: Millis,
    pub(super) actions: Vec<Action>,
    claims: u64,
}

pub(super) fn spec(profile: &str, min_warm: u32, max_warm: u32) -> PoolSpec {
    PoolSpec {
        profile: profile.into(),
        spec: "a".into(),
        confinement: "strict".into(),
        min_warm,
        max_warm,
        idle_timeout: 60_000,
        max_age: 0,
        check_interval: 10_000,
        ready_timeout: 30_000,
        memory: 4 << 30,
    }
}

impl Bench {
    /// Configured and listed; nothing is there.
    pub(super) fn new(specs: Vec<PoolSpec>) -> Self {
        let mut bench = Self {
            fleet: Fleet::new(7, 4),
            now: 1_000,
            actions: Vec::new(),
            claims: 0,
        };
        bench.tell(Event::Reserve(vec![]));
        bench.tell(Event::Configured(specs));
        bench.list(vec![]);
        bench
    }

    /// A full pool `default` of so many warm workers.
    pub(super) fn warm(n: u32) -> Self {
        let mut bench = Self::new(vec![spec("default", n, n)]);
        bench.settle();
        assert_eq!(bench.pool().warm, n);
        bench
    }

    pub(super) fn tell(&mut self, event: Event) -> Vec<Action> {
        self.actions = self.fleet.apply(self.now, event);
        self.actions.clone()
    }

    pub(super) fn after(&mut self, ms: Millis) -> Vec<Action> {
        self.now += ms;
        self.tell(Event::Tick)
    }

    pub(super) fn list(&mut self, containers: Vec<Observed>) -> Vec<Action> {
        self.now += 10;
        let asked_at = self.now - 1;
        self.tell(Event::Relisted {
            asked_at,
            containers,
        })
    }

    /// What the engine lists if it has what the fleet believes.
    pub(super) fn listing(&self) -> Vec<Observed> {
        self.fleet.workers().map(|w| observed(&w.id)).collect()
    }

    pub(super) fn claim_with(
        &mut self,
        name: &str,
        when_empty: WhenEmpty,
        change: impl FnOnce(&mut ClaimSpec),
    ) -> Vec<Action> {
        self.claims += 1;
        let mut spec = ClaimSpec {
            claim: ClaimId(self.claims),
            profile: "default".into(),
            name: name.parse().unwrap(),
            when_empty,
            force_cold: None,
        };
        change(&mut spec);
        self.tell(Event::Claim(spec))
    }

    pub(super) fn claim(&mut self, name: &str, when_empty: WhenEmpty) -> Vec<Action> {
        self.claim_with(name, when_empty, |_| {})
    }

    /// A worker that runs a session of this name.
    pub(super) fn running(&mut self, name: &str) -> WorkerId {
        let (claim, worker) = assigned(&self.claim(name, WhenEmpty::Queue))[0].clone();
        self.tell(Event::Placed(claim));
        worker
    }

    pub(super) fn up(&mut self, worker: &WorkerId) -> Vec<Action> {
        self.now += 100;
        let mut actions = self.tell(Event::Created(worker.clone()));
        actions.extend(self.ready(worker));
        actions
    }

    pub(super) fn ready(&mut self, worker: &WorkerId) -> Vec<Action> {
        self.tell(Event::Ready {
            worker: worker.clone(),
            claimed_as: None,
            ended: false,
        })
    }

    pub(super) fn fails(&mut self, worker: &WorkerId) -> Vec<Action> {
        self.tell(Event::CreateFailed {
            worker: worker.clone(),
            reason: "no such image".into(),
        })
    }

    /// Lets every creation and removal succeed until nothing is under way.
    pub(super) fn settle(&mut self) -> Vec<Action> {
        let mut all = Vec::new();
        for _ in 0..50 {
            let making: Vec<_> = self
                .fleet
                .workers()
                .filter(|w| w.state == WorkerState::Creating && w.adopted.is_none())
                .map(|w| w.id.clone())
                .collect();
            let going: Vec<_> = self
                .fleet
                .workers()
                .filter(|w| w.removal.as_ref().is_some_and(|r| r.in_flight))
                .map(|w| w.id.clone())
                .collect();
            if making.is_empty() && going.is_empty() {
                break;
            }
            for id in making {
                all.extend(self.up(&id));
            }
            for id in going {
                all.extend(self.tell(Event::Removed(id)));
            }
        }
        all
    }

    pub(super) fn pool(&self) -> PoolNumbers {
        self.fleet.pool("default").unwrap()
    }

    pub(super) fn state(&self, worker: &WorkerId) -> Option<WorkerState> {
        self.fleet.worker(worker).map(|w| w.state)
    }

    pub(super) fn why(&self, worker: &WorkerId) -> String {
        let worker = self.fleet.worker(worker).unwrap();
        worker.why.clone().unwrap_or_default()
    }

    pub(super) fn in_state(&self, state: WorkerState) -> Vec<WorkerId> {
        self.fleet
            .workers()
            .filter(|w| w.state == state)
            .map(|w| w.id.clone())
            .collect()
    }
}

pub(super) fn observed(worker: &WorkerId) -> Observed {
    Observed {
        worker: worker.clone(),
        profile: "default".into(),
        spec: "a".into(),
        confinement: "strict".into(),
        uid: 0,
        running: true,
        paused: false,
        held: false,
        claimed: false,
        name: None,
    }
}

pub(super) fn created(actions: &[Action]) -> Vec<WorkerId> {
    actions
        .iter()
        .filter_map(|a| match a {
            Action::Create { worker, .. } => Some(worker.clone()),
            _ => None,
        })
        .collect()
}

pub(super) fn removed(actions: &[Action]) -> Vec<(WorkerId, RemoveCause)> {
    actions
        .iter()
        .filter_map(|a| match a {
            Action::Remove { worker, cause } => Some((worker.clone(), cause.clone())),
            _ => None,
        })
        .collect()
}

pub(super) fn assigned(actions: &[Action]) -> Vec<(ClaimId, WorkerId)> {
    actions
        .iter()
        .filter_map(|a| match a {
            Action::Assign { claim, worker, .. } => Some((*claim, worker.clone())),
            _ => None,
        })
        .collect()
}

pub(super) fn rejected(actions: &[Action]) -> Vec<RejectReason> {
    actions
        .iter()
        .filter_map(|a| match a {
            Action::Reject { reason, .. } => Some(reason.clone()),
            _ => None,
        })
        .collect()
}
