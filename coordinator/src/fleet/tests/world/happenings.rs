//! What happens in the world beside answers: claims, ends, accidents, restarts, moves, and calm.

use super::*;

impl World {
    pub(super) fn new_claim(&mut self, arg: u16) {
        if self.claims.len() >= MOST_OPEN {
            return;
        }
        self.next_claim += 1;
        let claim = ClaimId(self.next_claim);
        let name: WorkerName = format!("n{}", arg % 40).parse().unwrap();
        self.claims.insert(claim, name.clone());
        let when_empty = match arg % 4 {
            0 => WhenEmpty::Fail,
            1 => WhenEmpty::Queue,
            _ => WhenEmpty::Cold,
        };
        self.tell(Event::Claim(ClaimSpec {
            claim,
            profile: PROFILES[usize::from(arg.is_multiple_of(5))].into(),
            name,
            when_empty,
            force_cold: arg.is_multiple_of(7).then(|| "limits".into()),
        }));
    }

    pub(super) fn session_ends(&mut self, arg: u16) {
        let Some(worker) = self.some_container(arg) else {
            return;
        };
        let Some(real) = self.containers.get_mut(&worker) else {
            return;
        };
        if let Some((_, ended)) = &mut real.session {
            *ended = true;
            self.tell(Event::SessionEnded {
                worker,
                remove: arg.is_multiple_of(2),
            });
        }
    }

    pub(super) fn person_removes(&mut self, arg: u16) {
        if let Some(worker) = self.some_container(arg) {
            self.may_go.insert(worker.clone());
            self.tell(Event::Remove(worker));
        }
    }

    /// Someone else stops, pauses or removes a container.
    pub(super) fn accident(&mut self, arg: u16) {
        let Some(worker) = self.some_container(arg) else {
            return;
        };
        match arg % 3 {
            0 => {
                self.containers.remove(&worker);
            }
            1 => {
                if let Some(real) = self.containers.get_mut(&worker) {
                    real.paused = true;
                }
                return;
            }
            _ => {
                if let Some(real) = self.containers.get_mut(&worker) {
                    real.running = false;
                }
            }
        }
        self.tell(Event::AgentGone(worker));
    }

    pub(super) fn engine(&mut self, arg: u16) {
        self.engine_up = arg.is_multiple_of(2);
        if self.engine_up {
            self.tell(Event::EngineBack);
        } else {
            self.tell(Event::EngineLost("refused".into()));
        }
    }

    pub(super) fn reconfigure(&mut self, arg: u16) {
        let spec = format!("s{}", arg % 4);
        self.specs[0].spec.clone_from(&spec);
        self.specs[0].confinement = format!("c{}", arg % 32 / 16);
        self.specs[0].min_warm = u32::from(arg) % 9;
        self.tell(Event::Configured(self.specs.clone()));
    }

    pub(super) fn switch_pool(&mut self, arg: u16) {
        let profile = PROFILES[usize::from(arg % 2)].to_owned();
        self.tell(match (arg / 2) % 6 {
            0 => Event::Pause(profile),
            1 => Event::Drain(profile),
            2 => Event::Scale {
                profile,
                min_warm: 0,
                max_warm: u32::from(arg % 3),
            },
            _ => Event::Resume(profile),
        });
    }

    /// The coordinator is killed and starts again; what it waited for is gone, though the engine
    /// may still finish it.
    pub(super) fn restart(&mut self, arg: u16) {
        for pending in std::mem::take(&mut self.pending) {
            match pending {
                Pending::Create(id, profile, uid, claimed) if self.engine_up => {
                    let real = Real {
                        profile,
                        spec: "old".into(),
                        confinement: "old".into(),
                        uid,
                        running: arg.is_multiple_of(32),
                        paused: false,
                        claimed,
                        session: None,
                    };
                    self.containers.insert(id, real);
                }
                Pending::Agent(worker) => self.pending.push(Pending::Agent(worker)),
                // Mounted or not: the record says that it was given away.
                Pending::Assign(_, worker) => {
                    if let Some(real) = self.containers.get_mut(&worker) {
                        real.claimed = true;
                    }
                }
                _ => {}
            }
        }
        self.claims.clear();
        self.ever_assigned.clear();
        self.fleet = Fleet::new(u64::from(arg) ^ self.now, 4);
        self.starting = true;
        let uids = self.folders.iter().map(|(id, f)| (id.clone(), f.uid));
        self.tell(Event::Reserve(uids.collect()));
        if !self.engine_up {
            self.tell(Event::EngineLost("refused".into()));
        }
        let all: Vec<_> = self.containers.keys().cloned().collect();
        self.pending.extend(all.into_iter().map(Pending::Agent));
        self.list();
    }

    /// What a coordinator does once it knows which containers there are.
    pub(super) fn took_stock(&mut self) {
        let gone: Vec<_> = self
            .folders
            .iter()
            .filter(|(id, _)| !self.containers.contains_key(*id))
            .map(|(id, folder)| (id.clone(), folder.clone()))
            .collect();
        for (worker, folder) in &gone {
            if let Some(name) = &folder.moving {
                self.tell(Event::LeftBehind {
                    worker: worker.clone(),
                    profile: folder.profile.clone(),
                    name: name.clone(),
                    uid: folder.uid,
                    reason: "cut short".into(),
                });
            }
        }
        self.tell(Event::Configured(self.specs.clone()));
        for (worker, folder) in gone {
            if folder.moving.is_none() && self.fleet.worker(&worker).is_none() {
                self.folders.remove(&worker);
                self.tell(Event::Release(worker));
            }
        }
    }

    /// A folder is removed, or cannot be and keeps its uid.
    pub(super) fn folder_goes(&mut self, worker: &WorkerId, uid: Option<u32>) {
        match uid {
            Some(uid) if uid % 5 == 0 => {
                self.tell(Event::Reserve(vec![(worker.clone(), uid)]));
            }
            _ => {
                self.folders.remove(worker);
            }
        }
    }

    /// Somebody wants the first lost worker back.
    pub(super) fn begin_move(&mut self) {
        let lost = |w: &&WorkerEntry| w.state == WorkerState::Lost && w.removal.is_none();
        let Some(worker) = self.fleet.workers().find(lost) else {
            return;
        };
        let (id, name) = (worker.id.clone(), worker.name.clone());
        let Some(name) = name.filter(|_| self.folders.contains_key(&id)) else {
            return;
        };
        self.tell(Event::Recreate(id.clone()));
        self.pending.push(Pending::Move(id, Step::Note, name));
    }

    pub(super) fn moves(&mut self, worker: WorkerId, step: Step, name: WorkerName, badly: bool) {
        let fails = |world: &mut Self, worker: WorkerId| {
            let outcome = Err("no image".to_owned());
            world.tell(Event::Recreated { worker, outcome });
        };
        let removed = self
            .fleet
            .worker(&worker)
            .is_none_or(|w| w.removal.is_some());
        let Some(folder) = self.folders.get_mut(&worker) else {
            return fails(self, worker);
        };
        if badly || removed || (!self.engine_up && !matches!(step, Step::Note)) {
            return fails(self, worker);
        }
        let next = match step {
            Step::Note => {
                folder.moving = Some(name.clone());
                Step::Remove
            }
            Step::Remove => {
                self.containers.remove(&worker);
                Step::Create
            }
            Step::Create => {
                let real = Real {
                    profile: folder.profile.clone(),
                    spec: "moved".into(),
                    confinement: "moved".into(),
                    uid: folder.uid,
                    running: true,
                    paused: false,
                    claimed: true,
                    session: None,
                };
                self.containers.insert(worker.clone(), real);
                Step::Start
            }
            Step::Start => {
                folder.moving = None;
                if let Some(real) = self.containers.get_mut(&worker) {
                    real.session = Some((name, false));
                }
                let outcome = Ok(());
                return self.tell(Event::Recreated { worker, outcome });
            }
        };
        self.check();
        self.pending.push(Pending::Move(worker, next, name));
    }

    /// Everything works again for ten minutes; then what must come about in the end is checked.
    pub(in super::super) fn heal_and_check(&mut self) {
        self.engine_up = true;
        self.broken = false;
        self.tell(Event::EngineBack);
        self.tell(Event::MemoryAvailable(64 << 30));
        for profile in PROFILES {
            self.tell(Event::Resume(profile.into()));
        }
        self.tell(Event::Configured(self.specs.clone()));
        for _ in 0..600 {
            self.calm_second();
        }
        assert!(self.claims.is_empty(), "unanswered: {:?}", self.claims);
        for id in self.containers.keys() {
            assert!(self.fleet.worker(id).is_some(), "{id} is an orphan");
        }
        if self.stopping {
            assert_eq!(self.fleet.workers().count(), 0);
            return;
        }
        for pool in self.fleet.pools() {
            assert!(
                pool.warm >= pool.target.max(pool.min_warm) && pool.warm <= pool.max_warm,
                "{pool:?}"
            );
        }
        for worker in self.fleet.workers() {
            assert!(
                !matches!(
                    worker.state,
                    WorkerState::Creating
                        | WorkerState::Claiming
                        | WorkerState::Failed
                        | WorkerState::Stopping
                ),
                "{worker:?}"
            );
            let spec = self.specs.iter().find(|s| s.profile == worker.profile);
            if worker.state == WorkerState::Warm {
                assert_eq!(Some(&worker.spec), spec.map(|s| &s.spec));
            }
        }
    }

    pub(super) fn calm_second(&mut self) {
        self.list();
        while !self.pending.is_empty() {
            self.deliver(0, false);
        }
        self.now += 1_000;
        self.tell(Event::Tick);
    }

    /// Everything goes.
    pub(in super::super) fn shut_down(&mut self) {
        self.stopping = true;
        self.tell(Event::Shutdown);
    }
}
