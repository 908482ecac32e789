//! The world outside of the coordinator: what there is, whatever becomes of the coordinator.
//!
//! One lock, held for moments. Whatever must never happen is noted in `wrong` the moment it does.

use super::{
    dice::{Dice, Fate},
    things::{Asked, Container, Permit, Project, Session},
};
use crate::{guard_client::Guarded, runtime::EngineEvent};
use podbay_protocol::{AgentEvent, Attach, ExitStatus};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::{
    sync::{Notify, mpsc},
    task::AbortHandle,
    time::Instant,
};

/// Lines of the run's log that are shown, unless `PODBAY_WORLD_LINES` says otherwise.
const SHOWN: usize = 60;

/// One world.
#[derive(Debug)]
pub struct World {
    inner: Mutex<Inner>,
    /// The coordinator died.
    pub crashed: Notify,
    /// A container goes on, or something else that agents wait for.
    pub changed: Notify,
    /// A call missed the mounter.
    pub missed: Notify,
    /// The state volume.
    pub dir: PathBuf,
    /// The network of this process, and so the parent's.
    pub netns: u64,
}

/// All that changes.
#[derive(Debug)]
pub struct Inner {
    pub dice: Dice,
    pub dir: PathBuf,
    /// The coordinator is dead: nothing it does has an effect.
    pub down: bool,
    /// Nothing fails.
    pub calm: bool,
    pub containers: BTreeMap<String, Container>,
    pub engine_up: bool,
    pub image_there: bool,
    pub mounter_up: bool,
    pub guard: Option<u64>,
    pub guard_ready: bool,
    /// In the kernel.
    pub rules: BTreeMap<u32, Guarded>,
    pub disk_full: bool,
    pub engine_disk_full: bool,
    pub memory_short: bool,
    /// Owners of homes.
    pub homes: BTreeMap<String, u32>,
    pub projects: BTreeMap<PathBuf, Project>,
    pub changed: BTreeSet<String>,
    /// What people asked for, by the tag in the command.
    pub asked: BTreeMap<String, Asked>,
    /// What people asked for that ends sessions, by worker.
    pub permits: BTreeMap<String, Permit>,
    pub life: Life,
    pub wall_ms: u64,
    pub steps: u64,
    /// Fates other than `Go` so far.
    pub faults: u64,
    pub counts: BTreeMap<String, u64>,
    pub log: VecDeque<String>,
    /// All that was asked of the outside, that it reported, and that people were answered; kept
    /// only where two runs are compared.
    pub trace: Option<Vec<String>>,
    pub wrong: Vec<String>,
    serial: u64,
    shown: usize,
}

/// A client whose socket its agent waits for.
#[derive(Debug)]
pub struct Waiting {
    pub attach: Attach,
    /// How long after its socket came it leaves.
    pub leaves: Option<Duration>,
}

/// What belongs to one life of the coordinator.
#[derive(Debug, Default)]
pub struct Life {
    pub began: Option<Instant>,
    pub agents: BTreeMap<String, AbortHandle>,
    pub streams: BTreeMap<String, AbortHandle>,
    /// Clients whose sockets agents wait for, by stream.
    pub waiting: BTreeMap<String, Waiting>,
    /// Events on their way to the coordinator, by container.
    pub outboxes: BTreeMap<String, mpsc::UnboundedSender<AgentEvent>>,
    pub events: Vec<mpsc::UnboundedSender<EngineEvent>>,
    /// What workers' agents have told of the request's variable, for a new container.
    pub origins: BTreeMap<String, Option<String>>,
    /// Workers in which an exec was asked for: their agents are asked for its sake as well, which
    /// promises nothing of a new container.
    pub execs: BTreeSet<String>,
}

impl World {
    pub fn new(seed: u64, dir: &Path) -> Arc<Self> {
        use std::os::unix::fs::MetadataExt;
        let project = |ino, idmapped| Project {
            there: true,
            ino,
            idmapped,
            epoch: 0,
        };
        let projects = [("/srv/one", true), ("/srv/two", true), ("/srv/old", false)];
        let projects = projects.into_iter().zip(1..);
        let projects = projects.map(|((path, mapped), n)| (path.into(), project(n, mapped)));
        Arc::new(Self {
            inner: Mutex::new(Inner {
                dice: Dice::new(seed),
                dir: dir.to_owned(),
                down: false,
                calm: false,
                containers: BTreeMap::new(),
                engine_up: true,
                image_there: true,
                mounter_up: false,
                guard: None,
                guard_ready: false,
                rules: BTreeMap::new(),
                disk_full: false,
                engine_disk_full: false,
                memory_short: false,
                homes: BTreeMap::new(),
                projects: projects.collect(),
                changed: BTreeSet::new(),
                asked: BTreeMap::new(),
                permits: BTreeMap::new(),
                life: Life::default(),
                wall_ms: 1_700_000_000_000,
                steps: 0,
                faults: 0,
                counts: BTreeMap::new(),
                log: VecDeque::new(),
                trace: None,
                wrong: Vec::new(),
                serial: 0,
                shown: super::number("PODBAY_WORLD_LINES").map_or(SHOWN, |n| n as usize),
            }),
            crashed: Notify::new(),
            changed: Notify::new(),
            missed: Notify::new(),
            dir: dir.to_owned(),
            netns: std::fs::metadata("/proc/self/ns/net").unwrap().ino(),
        })
    }

    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// A call begins. Never returns once the coordinator is dead.
    pub async fn begin(&self, what: &str, often: bool) -> Fate {
        let (fate, pause) = {
            let mut inner = self.lock();
            if inner.down {
                (None, Duration::ZERO)
            } else {
                let (fate, pause) = inner.fate(what, often);
                inner.note(|| format!("{what} begins: {fate:?} after {pause:?}"));
                if fate.is_none() {
                    inner.down = true;
                    self.crashed.notify_one();
                }
                (fate, pause)
            }
        };
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        match fate {
            Some(fate) if !self.lock().down => fate,
            _ => std::future::pending().await,
        }
    }

    /// A call was carried out. Never returns once the coordinator is dead.
    pub async fn end(&self, what: &str, fate: Fate) {
        self.note(|| format!("{what} is done: {fate:?}"));
        if fate == Fate::Crash {
            self.crash();
        }
        if self.lock().down {
            std::future::pending::<()>().await;
        }
    }

    /// The coordinator dies now, unless nothing is to fail: what was to kill it may have taken so
    /// long that a quiet time has begun.
    pub fn crash(&self) {
        let inner = &mut *self.lock();
        if !inner.calm {
            inner.down = true;
            self.crashed.notify_one();
        }
    }

    /// A line of the trace, where there is one.
    pub fn note(&self, text: impl FnOnce() -> String) {
        self.lock().note(text);
    }
}

impl Inner {
    pub fn now_ms(&self) -> u64 {
        let since = self.life.began.map_or(Duration::ZERO, |at| at.elapsed());
        self.wall_ms + u64::try_from(since.as_millis()).unwrap()
    }

    pub fn serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// A step of this kind.
    pub fn step(&mut self, kind: &str, detail: &str) {
        self.steps += 1;
        self.count(kind);
        self.say(&format!("{kind} {detail}"));
    }

    /// Something happened that is counted.
    pub fn count(&mut self, kind: &str) {
        *self.counts.entry(kind.to_owned()).or_default() += 1;
    }

    /// A line of the trace, where there is one.
    pub fn note(&mut self, text: impl FnOnce() -> String) {
        let now = self.now_ms();
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{now} {}", text()));
        }
    }

    /// A line of the log.
    pub fn say(&mut self, text: &str) {
        self.note(|| text.to_owned());
        if self.log.len() >= self.shown {
            self.log.pop_front();
        }
        let (steps, ms) = (self.steps, self.now_ms() % 100_000_000);
        self.log.push_back(format!("{steps:>7} {ms:>9} {text}"));
    }

    /// Something happened that must not.
    pub fn wrong(&mut self, what: String) {
        self.say(&format!("WRONG: {what}"));
        self.wrong.push(what);
    }

    /// The container of a worker, and of several the newest.
    pub fn container_of(&self, worker: &str) -> Option<&Container> {
        let mut of = self.containers.values().filter(|c| c.worker == worker);
        of.next_back()
    }

    pub fn hint(&mut self, action: &str, worker: &str) {
        if !self.calm && self.dice.chance(150) {
            return;
        }
        let event = EngineEvent {
            action: action.to_owned(),
            worker: Some(worker.to_owned()),
            image: false,
        };
        self.life.events.retain(|to| to.send(event.clone()).is_ok());
    }

    /// A process that is gone has no agent and no clients.
    pub fn silence(&mut self, container: &str) {
        if let Some(agent) = self.life.agents.remove(container) {
            agent.abort();
        }
        self.life.outboxes.remove(container);
        let Some(found) = self.containers.get_mut(container) else {
            return;
        };
        for session in &mut found.sessions {
            session.handed.clear();
            for stream in session.clients.drain(..) {
                self.life.waiting.remove(&stream);
                if let Some(task) = self.life.streams.remove(&stream) {
                    task.abort();
                }
            }
        }
    }

    /// Its processes end: by themselves, by the engine, by whoever.
    pub fn kill(&mut self, container: &str) {
        self.silence(container);
        if let Some(found) = self.containers.get_mut(container) {
            (found.running, found.paused) = (false, false);
            found.mount = None;
            for session in &mut found.sessions {
                session.exit.get_or_insert(ExitStatus::Signal(9));
                (session.ends_ms, session.again) = (None, None);
            }
            let worker = found.worker.clone();
            self.hint("die", &worker);
        }
    }

    /// The coordinator ends what runs in a container: whether a person wants that.
    pub fn judge_end(&mut self, container: &str, how: &str) {
        let Some(found) = self.containers.get(container) else {
            return;
        };
        let live = |s: &Session| s.primary && s.exit.is_none() && !s.told;
        if !found.running || found.liar || !found.sessions.iter().any(live) {
            return;
        }
        let found_mounted = found.mount.is_some();
        let auto = found.tag.as_ref().and_then(|tag| self.asked.get(tag));
        if auto.is_some_and(|asked| asked.profile == "auto") {
            return;
        }
        let permit = self.permits.get(&found.worker).cloned().unwrap_or_default();
        let folder = self.dir.join("workers").join(&found.worker);
        let noted = ["worker.json", "mount.json"]
            .iter()
            .any(|file| folder.join(file).exists());
        if permit.stops > 0 || !noted {
            // Of one whose record was lost and that has no project nobody can know.
            return;
        }
        let worker = found.worker.clone();
        if permit.restarts.is_empty() {
            self.wrong(format!(
                "{how} of {worker}, which has live work, and nobody asked for it"
            ));
            return;
        }
        let fails = |doomed: &Option<(PathBuf, u64)>| {
            doomed.as_ref().is_some_and(|(project, epoch)| {
                self.projects
                    .get(project)
                    .is_some_and(|p| p.epoch == *epoch)
            })
        };
        // Where the engine mounted it, only the engine can look.
        if found_mounted && permit.restarts.values().all(fails) {
            self.wrong(format!("{how} of {worker} for a restart that must fail"));
        }
    }
}
