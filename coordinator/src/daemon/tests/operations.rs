//! What people do, and whether the answers are true.

use super::{
    clients::{attach, hold, path},
    state::World,
    things::{Asked, Permit, tag_of},
};
use crate::{
    daemon::{Daemon, Placed},
    model::{HostPath, Isolation, WorkerId, WorkerState},
    wire::{ApiError, ErrorKind, ExecRequest, ScaleRequest, SpawnRequest, WhenEmpty},
};
use podbay_protocol::{SessionIo, Size};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::task::JoinHandle;

/// Everything that is done, by weight.
pub const OPERATIONS: [(u64, &str); 17] = [
    (34, "spawn"),
    (1, "spawn too large"),
    (4, "spawn absent"),
    (3, "spawn refused"),
    (10, "stop"),
    (1, "stop all"),
    (8, "rm"),
    (8, "rm force"),
    (14, "restart"),
    (5, "rename"),
    (6, "exec"),
    (8, "attach"),
    (3, "input"),
    (3, "scale"),
    (2, "pool"),
    (3, "reload"),
    (2, "list"),
];
/// Operations under way at a time.
const MOST: usize = 8;

/// People at work in one life.
pub struct People {
    world: Arc<World>,
    daemon: Arc<Daemon>,
    busy: Vec<JoinHandle<()>>,
}

impl People {
    pub fn new(world: &Arc<World>, daemon: &Arc<Daemon>) -> Self {
        Self {
            world: world.clone(),
            daemon: daemon.clone(),
            busy: Vec::new(),
        }
    }

    /// Whether anybody still waits for an answer.
    pub fn wait(&mut self) -> bool {
        self.busy.retain(|task| !task.is_finished());
        !self.busy.is_empty()
    }

    /// Somebody begins something, or goes away in the middle of it.
    pub fn act(&mut self) {
        self.busy.retain(|task| !task.is_finished());
        let (what, leaves) = {
            let mut inner = self.world.lock();
            let what = inner.dice.weighted(&OPERATIONS);
            let leaves = !self.busy.is_empty() && inner.dice.chance(40);
            (
                what,
                leaves.then(|| inner.dice.below(self.busy.len() as u64)),
            )
        };
        if let Some(at) = leaves {
            self.world.lock().step("a client goes away", "");
            self.busy.swap_remove(usize::try_from(at).unwrap()).abort();
            return;
        }
        if self.busy.len() >= MOST {
            return;
        }
        let (world, daemon) = (self.world.clone(), self.daemon.clone());
        let task = match what {
            "spawn" => {
                let request = ask(&world, what, "run");
                tokio::spawn(spawn(world, daemon, request))
            }
            "spawn absent" => {
                let request = ask(&world, what, "absent");
                tokio::spawn(spawn(world, daemon, request))
            }
            "spawn too large" => {
                let mut request = ask(&world, what, "run");
                // By its own size, or once it is escaped, which takes long to find out.
                let escaped = world.lock().dice.chance(100);
                request.0.argv.extend(match escaped {
                    true => vec!["\u{1}".repeat(60_000); 2],
                    false => vec!["x".repeat(120_000); 5],
                });
                return refuse(&world, &daemon, request);
            }
            "spawn refused" => {
                let mut request = ask(&world, what, "run");
                request.0.project = Some(HostPath::new("/refused/here"));
                tokio::spawn(spawn(world, daemon, request))
            }
            "scale" => return scale(&world, &daemon),
            "pool" => return steer(&world, &daemon),
            "reload" => {
                let mut inner = world.lock();
                inner.step(what, "");
                let pids = if inner.dice.chance(500) { 100 } else { 200 };
                drop(inner);
                let config = super::config(pids);
                let load: Box<dyn Fn() -> Result<_, String> + Send + Sync> =
                    Box::new(move || Ok(config.clone()));
                tokio::spawn(async move { daemon.reload(&load).await })
            }
            "list" => {
                world.lock().step(what, "");
                let (views, status) = (daemon.workers(true), daemon.status());
                drop((views, status));
                return;
            }
            "stop all" => {
                let mut inner = world.lock();
                inner.step(what, "");
                let workers: Vec<String> = inner
                    .containers
                    .values()
                    .map(|c| c.worker.clone())
                    .collect();
                for worker in workers {
                    inner.permits.entry(worker).or_default().stops += 1;
                }
                drop(inner);
                tokio::spawn(async move { drop(daemon.stop_all(Some(1_000)).await) })
            }
            _ => match choose(&world, &daemon, what) {
                Some(chosen) => tokio::spawn(on_worker(world, daemon, what, chosen)),
                None => return,
            },
        };
        self.busy.push(task);
    }
}

/// A worker that somebody means, by a name and an id.
struct Chosen {
    name: String,
    id: String,
}

/// Somebody means a worker: mostly a claimed one, or a session that has ended.
fn choose(world: &World, daemon: &Daemon, what: &str) -> Option<Chosen> {
    let (all, live_count) = {
        let state = daemon.lock();
        let live = state.records.values().map(|r| {
            let name = r.claim.as_ref().map(|c| c.name.to_string());
            (r.id.to_string(), name)
        });
        let finished = state.finished.values();
        let finished = finished.map(|f| (f.claim.id.to_string(), Some(f.claim.name.to_string())));
        let all = live.chain(finished).map(|(id, name)| Chosen {
            name: name.unwrap_or_else(|| id.clone()),
            id,
        });
        (all.collect::<Vec<_>>(), state.records.len())
    };
    let mut inner = world.lock();
    let claimed: Vec<usize> = (0..all.len())
        .filter(|at| all[*at].name != all[*at].id)
        .collect();
    let any: Vec<usize> = (0..all.len()).collect();
    let live: Vec<usize> = claimed
        .iter()
        .copied()
        .filter(|at| *at < live_count)
        .collect();
    let from = inner
        .dice
        .weighted(&[(60, &live), (25, &claimed), (15, &any)]);
    let at = inner.dice.pick(from)?;
    let chosen = all.into_iter().nth(at)?;
    inner.step(what, &format!("{} {}", chosen.name, chosen.id));
    // Names go to workers as the coordinator knows them now.
    let found = daemon.find(&chosen.name);
    drop(inner);
    let id = found.map_or(chosen.id, |id| id.to_string());
    Some(Chosen { id, ..chosen })
}

type Request = (SpawnRequest, String, bool);

/// A request with a tag of its own, noted.
fn ask(world: &World, what: &str, program: &str) -> Request {
    let mut inner = world.lock();
    let serial = inner.serial();
    let tag = format!("tag-{serial}");
    let profile = inner
        .dice
        .weighted(&[(6, "default"), (3, "closed"), (2, "auto")]);
    let projects: Vec<PathBuf> = inner.projects.keys().cloned().collect();
    let with = inner.dice.chance(600);
    let project = inner.dice.pick(&projects).filter(|_| with);
    let when_empty = inner.dice.weighted(&[
        (6, WhenEmpty::Cold),
        (2, WhenEmpty::Queue),
        (2, WhenEmpty::Fail),
    ]);
    let overlay = inner.dice.chance(500);
    let named = inner.dice.chance(800);
    // Now and then one that is in use.
    let name = if inner.dice.chance(50) {
        serial.saturating_sub(40)
    } else {
        serial
    };
    let request = SpawnRequest {
        project: project.as_ref().map(HostPath::new),
        name: named.then(|| format!("n-{name}")),
        profile: Some(profile.to_owned()),
        isolation: project.is_some().then_some(match overlay {
            true => Isolation::Overlay,
            false => Isolation::Bind,
        }),
        argv: vec![program.to_owned(), tag.clone()],
        io: match inner.dice.chance(200) {
            true => SessionIo::Pipes,
            false => SessionIo::Pty {
                size: Size::default(),
            },
        },
        remove: inner.dice.chance(600),
        when_empty,
        env: [("FOO".to_owned(), "x".to_owned())].into(),
        ..SpawnRequest::default()
    };
    let asked = Asked {
        profile: profile.to_owned(),
        project,
        ..Asked::default()
    };
    inner.asked.insert(tag.clone(), asked);
    let attach = inner.dice.chance(500);
    inner.step(what, &format!("{tag} {profile} {:?}", request.project));
    (request, tag, attach)
}

/// One that is refused at once, and costs no worker.
fn refuse(world: &Arc<World>, daemon: &Arc<Daemon>, (request, tag, _): Request) {
    let warm = |daemon: &Daemon| {
        let state = daemon.lock();
        let warm = state
            .fleet
            .workers()
            .filter(|w| w.state == WorkerState::Warm);
        warm.map(|w| w.id.clone()).collect::<Vec<_>>()
    };
    let (world, daemon) = (world.clone(), daemon.clone());
    tokio::spawn(async move {
        let (before, faults) = (warm(&daemon), world.lock().faults);
        let began = tokio::time::Instant::now();
        let answer = daemon.spawn(request, None).await;
        let after = warm(&daemon);
        let mut inner = world.lock();
        if inner.down {
            return;
        }
        match answer {
            Err(error) if error.kind == ErrorKind::Invalid || error.kind == ErrorKind::Refused => {}
            other => inner.wrong(format!("{tag} is too large, and the answer was {other:?}")),
        }
        let quick = began.elapsed() < Duration::from_millis(1) && inner.faults == faults;
        if !quick || before.iter().any(|id| !after.contains(id)) {
            inner.wrong(format!("{tag} was too large, and cost time or workers"));
        }
    });
}

async fn spawn(world: Arc<World>, daemon: Arc<Daemon>, (request, tag, attach): Request) {
    let client = attach.then(|| path(&world));
    let answer = daemon.spawn(request, client).await;
    {
        let mut inner = world.lock();
        if inner.down {
            return;
        }
        let asked = inner.asked[&tag].clone();
        match &answer {
            Ok(placed) => {
                let worker = &placed.response.worker;
                inner.say(&format!("{tag} runs in {}", worker.id));
                inner.count(if placed.response.warm {
                    "a warm claim"
                } else {
                    "a cold claim"
                });
                let there = asked.starts.iter().any(|start| {
                    let project = start.mount.as_ref().map(|m| &m.project);
                    let project = project.or(start.engine_project.as_ref());
                    start.worker == worker.id
                        && project == asked.project.as_ref()
                        && Some(start.uid) == worker.uid
                });
                if !there {
                    let answered = (worker.uid, &worker.project);
                    inner.wrong(format!(
                        "{tag} runs in {}, says the answer {answered:?}; it was started {:?}",
                        worker.id, asked.starts
                    ));
                }
            }
            Err(error) => {
                inner.say(&format!("{tag} fails: {error}"));
                let may = error.message.contains("may have been started");
                inner.count(if may {
                    "a claim that may run"
                } else {
                    "a claim that fails"
                });
                if !may && !asked.starts.is_empty() {
                    inner.wrong(format!(
                        "{tag} failed ({error}), and was started {:?}",
                        asked.starts
                    ));
                }
                if let Some(entry) = inner.asked.get_mut(&tag) {
                    entry.refused = !may;
                }
            }
        }
    }
    if let Ok(Placed {
        attached, follow, ..
    }) = answer
        && let Some(attached) = attached
    {
        drop(follow);
        hold(&world, &daemon, attached).await;
    }
}

async fn on_worker(world: Arc<World>, daemon: Arc<Daemon>, what: &'static str, chosen: Chosen) {
    let Chosen { name, id } = chosen;
    match what {
        "stop" => {
            permit(&world, &id, |it| it.stops += 1);
            let grace = world.lock().dice.below(3_000);
            let answer = daemon.stop_worker(&name, Some(grace)).await;
            note(&world, &answer);
        }
        "rm" | "rm force" => {
            let force = what == "rm force";
            permit(&world, &id, |it| {
                it.stops += 1;
                it.drops += usize::from(force);
            });
            let answer = daemon.remove_worker(&name, force).await;
            note(&world, &answer);
            if !force && answer.is_err_and(|error| error.kind == ErrorKind::Conflict) {
                permit(&world, &id, |it| it.stops -= 1);
            }
        }
        "restart" => restart(&world, &daemon, &name, &id).await,
        "rename" => {
            let new = format!("r-{}", world.lock().serial());
            if let Some(tag) = tag_of_worker(&daemon, &id)
                && let Some(asked) = world.lock().asked.get_mut(&tag)
            {
                asked.renamed = true;
            }
            let answer = daemon.rename_worker(&name, &new).await;
            note(&world, &answer);
        }
        "exec" => {
            let request = ExecRequest {
                argv: vec!["exec".to_owned()],
                env: Default::default(),
                caller_env: Default::default(),
                io: SessionIo::Pipes,
                root: false,
            };
            let meant = daemon.workers(true).into_iter().filter(|w| w.name == name);
            world.lock().life.execs.extend(meant.map(|w| w.id));
            if let Ok(response) = daemon.exec(&name, request) {
                attach(&world, &daemon, &name, Some(response.session)).await;
            }
        }
        "attach" => attach(&world, &daemon, &name, None).await,
        "input" => note(&world, &daemon.input(&name, b"x".to_vec()).await),
        other => panic!("{other}"),
    }
}

pub(super) fn note<T>(world: &World, answer: &Result<T, ApiError>) {
    match answer {
        Ok(_) => world.note(|| "answered: done".to_owned()),
        Err(error) => world.lock().say(&format!("answered: {error}")),
    }
}

/// A person's word on a worker.
fn permit(world: &World, id: &str, word: impl FnOnce(&mut Permit)) {
    word(world.lock().permits.entry(id.to_owned()).or_default());
}

/// The tag of what a worker runs, or ran.
fn tag_of_worker(daemon: &Daemon, id: &str) -> Option<String> {
    let state = daemon.lock();
    let worker = WorkerId::new(id.to_owned()).unwrap();
    let live = state.records.get(&worker).and_then(|r| r.claim.as_ref());
    let claim = live.or_else(|| state.finished.get(&worker).map(|f| &f.claim));
    claim.and_then(|claim| tag_of(&claim.argv))
}

async fn restart(world: &Arc<World>, daemon: &Arc<Daemon>, name: &str, id: &str) {
    let number = {
        let mut guard = world.lock();
        let inner = &mut *guard;
        let number = inner.serial();
        let tag = tag_of_worker(daemon, id);
        let mut doomed = None;
        if let Some(asked) = tag.and_then(|tag| inner.asked.get_mut(&tag)) {
            asked.restarts += 1;
            let project = asked.project.as_ref();
            let project = project.and_then(|path| Some((path, inner.projects.get(path)?)));
            doomed = project
                .filter(|(_, p)| !p.there)
                .map(|(path, p)| (path.clone(), p.epoch));
        }
        let permit = inner.permits.entry(id.to_owned()).or_default();
        permit.restarts.insert(number, doomed);
        number
    };
    let answer = daemon.restart_worker(name, Some(500)).await;
    note(world, &answer);
    let late = answer
        .as_ref()
        .is_err_and(|error| error.kind == ErrorKind::Timeout);
    world.lock().count(match answer {
        Ok(_) => "a restart that works",
        Err(_) => "a restart that fails",
    });
    // One that was not answered may still be carried out.
    if !world.lock().down && !late {
        permit(world, id, |it| drop(it.restarts.remove(&number)));
    }
}

fn profile_of(world: &World, what: &str) -> &'static str {
    let mut inner = world.lock();
    let profile = inner
        .dice
        .weighted(&[(1, "default"), (1, "closed"), (1, "auto")]);
    inner.step(what, profile);
    profile
}

fn scale(world: &World, daemon: &Arc<Daemon>) {
    let profile = profile_of(world, "scale");
    let min_warm = u32::try_from(world.lock().dice.below(3)).unwrap();
    let max_warm = min_warm + 1;
    let request = ScaleRequest { min_warm, max_warm };
    note(world, &daemon.scale(profile, request));
}

fn steer(world: &World, daemon: &Arc<Daemon>) {
    let profile = profile_of(world, "pool");
    let action = world
        .lock()
        .dice
        .weighted(&[(1, "drain"), (1, "pause"), (3, "resume")]);
    note(world, &daemon.steer_pool(profile, action));
}

/// Nobody holds a pool back any more.
pub fn resume_pools(daemon: &Arc<Daemon>) {
    for profile in ["default", "closed", "auto"] {
        daemon.steer_pool(profile, "resume").ok();
    }
}
