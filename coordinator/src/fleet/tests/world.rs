//! A world for the fleet: an engine, agents and a daemon that answer late, out of order, or badly.
//!
//! Each `step` does one thing chosen by a code, feeds the fleet and checks what must always hold.

mod happenings;

use super::*;
use std::collections::{BTreeMap, BTreeSet};

const PROFILES: [&str; 2] = ["default", "big"];
/// Claims open at once, so that the number of containers has a bound.
const MOST_OPEN: usize = 12;
const MOST_WARM: u32 = 8;

/// A worker's folder on disk.
#[derive(Clone)]
struct Folder {
    uid: u32,
    profile: String,
    /// Its claim's record says that its container is being recreated.
    moving: Option<WorkerName>,
}

/// A container of the world.
#[derive(Clone)]
struct Real {
    profile: String,
    spec: String,
    confinement: String,
    uid: u32,
    running: bool,
    paused: bool,
    /// Made for, or given to, a claim.
    claimed: bool,
    /// The session that was started, and whether it has ended.
    session: Option<(WorkerName, bool)>,
}

/// Asked for and not answered.
enum Pending {
    Create(WorkerId, String, u32, bool),
    Remove(WorkerId),
    Assign(ClaimId, WorkerId),
    Listing(Millis, Vec<Observed>),
    /// The agent of a new container is about to call.
    Agent(WorkerId),
    Unpause(WorkerId),
    /// The next step of recreating a lost worker's container.
    Move(WorkerId, Step, WorkerName),
}

/// Between each two of these a coordinator may die.
#[derive(Clone, Copy)]
enum Step {
    Note,
    Remove,
    Create,
    Start,
}

pub(super) struct World {
    pub(super) fleet: Fleet,
    now: Millis,
    containers: BTreeMap<WorkerId, Real>,
    folders: BTreeMap<WorkerId, Folder>,
    /// The first listing after a start is not in yet.
    starting: bool,
    pending: Vec<Pending>,
    /// Open claims and their names.
    claims: BTreeMap<ClaimId, WorkerName>,
    answered: BTreeSet<ClaimId>,
    next_claim: u64,
    /// Workers that may be removed although they have live work.
    may_go: BTreeSet<WorkerId>,
    ever_assigned: BTreeSet<WorkerId>,
    specs: Vec<PoolSpec>,
    engine_up: bool,
    /// The engine makes nothing but mistakes.
    broken: bool,
    stopping: bool,
    asked_for_list: bool,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut world = Self {
            fleet: Fleet::new(seed, 4),
            now: 10,
            containers: BTreeMap::new(),
            folders: BTreeMap::new(),
            starting: false,
            pending: vec![],
            claims: BTreeMap::new(),
            answered: BTreeSet::new(),
            next_claim: 0,
            may_go: BTreeSet::new(),
            ever_assigned: BTreeSet::new(),
            specs: vec![
                spec(PROFILES[0], 1 + (seed % 8) as u32, MOST_WARM),
                spec(PROFILES[1], 1, 2),
            ],
            engine_up: true,
            broken: false,
            stopping: false,
            asked_for_list: false,
        };
        world.specs[1].max_age = 400_000;
        world.tell(Event::Reserve(vec![]));
        world.tell(Event::Configured(world.specs.clone()));
        world
    }

    fn tell(&mut self, event: Event) {
        let before: BTreeMap<_, _> = self.shown();
        let actions = self.fleet.apply(self.now, event);
        let mut told = BTreeSet::new();
        for action in actions {
            if let Action::WorkerChanged(id) = &action {
                assert!(told.insert(id.clone()), "told twice of {id}");
            }
            self.execute(action);
        }
        let after = self.shown();
        for id in before.keys().chain(after.keys()) {
            let differs = before.get(id) != after.get(id);
            assert_eq!(differs, told.contains(id), "{id}: told = changed");
        }
        self.check();
    }

    fn shown(&self) -> BTreeMap<WorkerId, (WorkerState, Option<String>, Option<WorkerName>)> {
        self.fleet
            .workers()
            .map(|w| (w.id.clone(), (w.state, w.why.clone(), w.name.clone())))
            .collect()
    }

    fn execute(&mut self, action: Action) {
        match action {
            Action::Create {
                worker,
                profile,
                uid,
                cold_for,
            } => {
                assert!(self.engine_up, "create without an engine");
                assert!(!self.stopping);
                let other = self.folders.iter().find(|(_, folder)| folder.uid == uid);
                assert!(
                    other.is_none(),
                    "{worker} has the uid of {}",
                    other.unwrap().0
                );
                let folder = Folder {
                    uid,
                    profile: profile.clone(),
                    moving: None,
                };
                self.folders.insert(worker.clone(), folder);
                self.pending
                    .push(Pending::Create(worker, profile, uid, cold_for.is_some()));
            }
            Action::Remove { worker, .. } => {
                assert!(self.engine_up, "remove without an engine");
                let live = self
                    .containers
                    .get(&worker)
                    .is_some_and(|c| c.running && matches!(c.session, Some((_, false))));
                assert!(
                    !live || self.stopping || self.may_go.contains(&worker),
                    "live work of {worker} removed"
                );
                let double = self
                    .pending
                    .iter()
                    .any(|p| matches!(p, Pending::Remove(w) if *w == worker));
                assert!(!double, "{worker} removed twice at once");
                self.pending.push(Pending::Remove(worker));
            }
            Action::Assign {
                claim,
                worker,
                warm,
            } => {
                let used = self.containers.get(&worker).is_some_and(|c| c.claimed);
                assert!(!warm || !used, "{worker} was used before");
                if warm {
                    let real = self.containers.get(&worker).map(|c| &c.confinement);
                    let profile = self.fleet.worker(&worker).map(|w| w.profile.clone());
                    let spec = self
                        .specs
                        .iter()
                        .find(|s| Some(&s.profile) == profile.as_ref());
                    if let (Some(real), Some(spec)) = (real, spec) {
                        assert_eq!(*real, spec.confinement, "{worker} confines otherwise");
                    }
                }
                assert!(self.claims.contains_key(&claim), "assigned after its end");
                assert!(
                    self.ever_assigned.insert(worker.clone()),
                    "{worker} given to two claims"
                );
                let again = self
                    .pending
                    .iter()
                    .any(|p| matches!(p, Pending::Assign(c, _) if *c == claim));
                assert!(!again, "two workers for one claim");
                self.pending.push(Pending::Assign(claim, worker));
            }
            Action::Reject { claim, .. } => self.answer(claim),
            Action::Relist => self.asked_for_list = true,
            Action::Unpause(worker) => self.pending.push(Pending::Unpause(worker)),
            Action::Probe(_) | Action::WorkerChanged(_) | Action::PoolChanged(_) => {}
        }
    }

    fn answer(&mut self, claim: ClaimId) {
        assert!(self.claims.remove(&claim).is_some(), "answered twice");
        self.answered.insert(claim);
    }

    /// What holds after every step.
    fn check(&self) {
        let mut given: BTreeMap<ClaimId, &WorkerId> = BTreeMap::new();
        for worker in self.fleet.workers() {
            if let Some(claim) = worker.claim
                && worker.removal.is_none()
                && let Some(other) = given.insert(claim, &worker.id)
            {
                panic!("{claim:?} has {other} and {}", worker.id);
            }
        }
        let mut owners: BTreeMap<u32, &WorkerId> = BTreeMap::new();
        for (id, real) in &self.containers {
            if let Some(other) = owners.insert(real.uid, id) {
                panic!("{id} and {other} have the uid {}", real.uid);
            }
        }
        let unclaimed = self.fleet.workers().filter(|w| w.unclaimed());
        let here = unclaimed.filter(|w| w.adopted.is_none()).count();
        // One over the maximum of each pool while it is replaced; bounds may have shrunk since,
        // with creations still under way.
        assert!(
            here <= (MOST_WARM + 1 + 4 + 2 + 1) as usize,
            "{here} unclaimed"
        );
        let making = self
            .fleet
            .workers()
            .filter(|w| w.container == super::worker::Container::Asked)
            .count();
        assert!(making <= 4, "{making} creations at once");
    }

    fn list(&mut self) {
        let seen = self
            .containers
            .iter()
            .map(|(id, c)| Observed {
                worker: id.clone(),
                profile: c.profile.clone(),
                spec: c.spec.clone(),
                confinement: c.confinement.clone(),
                uid: c.uid,
                running: c.running && !c.paused,
                paused: c.paused,
                held: false,
                claimed: c.claimed,
                name: c.session.as_ref().map(|(name, _)| name.clone()),
            })
            .collect();
        self.pending.push(Pending::Listing(self.now, seen));
    }

    fn some_container(&self, arg: u16) -> Option<WorkerId> {
        let n = self.containers.len();
        (n > 0).then(|| self.containers.keys().nth(usize::from(arg) % n).cloned())?
    }

    /// Answers one thing that is pending, well or badly.
    fn deliver(&mut self, which: usize, badly: bool) {
        if which >= self.pending.len() {
            return;
        }
        match self.pending.swap_remove(which) {
            Pending::Create(worker, profile, uid, claimed) => {
                if badly || self.broken || !self.engine_up {
                    if badly && uid % 2 == 0 {
                        // It failed, and yet there is something that a listing shows.
                        let real = Real {
                            spec: "half".into(),
                            confinement: "half".into(),
                            uid,
                            profile,
                            running: false,
                            paused: false,
                            claimed: false,
                            session: None,
                        };
                        self.containers.insert(worker.clone(), real);
                    }
                    self.folders.remove(&worker);
                    return self.tell(Event::CreateFailed {
                        worker,
                        reason: "disk full".into(),
                    });
                }
                let spec = self.specs.iter().find(|s| s.profile == profile);
                let real = Real {
                    spec: spec.map_or("gone".into(), |s| s.spec.clone()),
                    confinement: spec.map_or("gone".into(), |s| s.confinement.clone()),
                    uid,
                    profile,
                    running: true,
                    paused: false,
                    claimed,
                    session: None,
                };
                self.containers.insert(worker.clone(), real);
                self.pending.push(Pending::Agent(worker.clone()));
                self.tell(Event::Created(worker));
            }
            Pending::Remove(worker) => {
                if badly || !self.engine_up {
                    return self.tell(Event::RemoveFailed {
                        worker,
                        reason: "busy".into(),
                    });
                }
                // It waits for the end of a move, which gives up.
                self.pending
                    .retain(|p| !matches!(p, Pending::Move(w, ..) if *w == worker));
                let uid = self.containers.remove(&worker).map(|c| c.uid);
                self.folder_goes(&worker, uid);
                self.tell(Event::Removed(worker));
            }
            Pending::Assign(claim, worker) => {
                let usable = self
                    .containers
                    .get(&worker)
                    .is_some_and(|c| c.running && !c.paused);
                if badly || !usable {
                    let worker_at_fault = !usable || claim.0 % 2 == 0;
                    let name = self.claims.get(&claim).cloned();
                    if !worker_at_fault && self.claims.contains_key(&claim) {
                        self.answer(claim);
                    }
                    let fault = match (worker_at_fault, claim.0 % 3) {
                        (false, 0) => StartFault::Request,
                        (false, 1) => StartFault::Tainted,
                        (false, _) => StartFault::Unknown,
                        (true, 0) => StartFault::Agent,
                        (true, _) => StartFault::Worker,
                    };
                    match fault {
                        StartFault::Request => {
                            self.ever_assigned.remove(&worker);
                        }
                        StartFault::Unknown => {
                            if let Some(real) = self.containers.get_mut(&worker) {
                                real.claimed = true;
                                real.session = name.map(|name| (name, false));
                            }
                        }
                        _ => {}
                    }
                    return self.tell(Event::PlaceFailed {
                        claim,
                        fault,
                        reason: "no mount".into(),
                    });
                }
                let name = self.claims.get(&claim).cloned();
                if let (Some(name), Some(real)) = (name, self.containers.get_mut(&worker)) {
                    real.claimed = true;
                    real.session = Some((name, false));
                }
                if self.claims.contains_key(&claim) {
                    self.answer(claim);
                }
                self.tell(Event::Placed(claim));
            }
            Pending::Listing(asked_at, containers) => {
                if self.engine_up && !badly {
                    self.tell(Event::Relisted {
                        asked_at,
                        containers,
                    });
                    if std::mem::take(&mut self.starting) {
                        self.took_stock();
                    }
                }
            }
            Pending::Agent(worker) => self.agent_calls(worker),
            Pending::Move(worker, step, name) => self.moves(worker, step, name, badly),
            Pending::Unpause(worker) => {
                if let Some(real) = self.containers.get_mut(&worker)
                    && !badly
                {
                    real.paused = false;
                }
            }
        }
    }

    fn agent_calls(&mut self, worker: WorkerId) {
        let Some(real) = self.containers.get(&worker).filter(|c| c.running) else {
            return;
        };
        let session = real.session.clone();
        let moving = self
            .folders
            .get(&worker)
            .is_some_and(|f| f.moving.is_some());
        if moving && session.is_none() {
            let reason = "cut short".into();
            return self.tell(Event::Lost { worker, reason });
        }
        self.tell(Event::Ready {
            worker,
            ended: session.as_ref().is_some_and(|(_, ended)| *ended),
            claimed_as: session.map(|(name, _)| name),
        });
    }

    /// One thing happens.
    pub(super) fn step(&mut self, code: u8, arg: u16) {
        let which = usize::from(arg) % self.pending.len().max(1);
        match code % 32 {
            0..=7 => self.deliver(which, false),
            8 => self.deliver(which, true),
            9..=12 => {
                self.now += u64::from(arg % 3_000);
                self.tell(Event::Tick);
            }
            13..=16 => self.new_claim(arg),
            17 => {
                let open: Vec<_> = self.claims.keys().copied().collect();
                if let Some(claim) = open.get(usize::from(arg) % open.len().max(1)) {
                    self.claims.remove(claim);
                    self.tell(Event::Cancel(*claim));
                }
            }
            18..=20 => {
                self.now += 1;
                self.list();
            }
            21 => self.session_ends(arg),
            22 => self.person_removes(arg),
            23 => self.accident(arg),
            24 => {
                if let Some(worker) = self.some_container(arg) {
                    self.tell(Event::AgentGone(worker.clone()));
                    self.pending.push(Pending::Agent(worker));
                }
            }
            25 => self.engine(arg),
            26 => self.reconfigure(arg),
            27 => self.switch_pool(arg),
            28 => self.broken = arg.is_multiple_of(3),
            29 if arg.is_multiple_of(16) => self.restart(arg),
            29 => self.begin_move(),
            30 => self.tell(Event::MemoryAvailable(u64::from(arg) << 17)),
            31 => {
                if let Some(worker) = self.some_container(arg) {
                    self.tell(Event::Unhealthy {
                        worker,
                        reason: "probe".into(),
                    });
                }
            }
            _ => self.tell(Event::Tick),
        }
    }
}
