//! What happens outside by itself, while the coordinator lives and between its lives.

use super::{
    agent::sessions,
    state::{Inner, Life, World},
    things::Container,
};
use podbay_protocol::{AgentEvent, ExitStatus};
use std::{path::PathBuf, sync::Arc};

/// What may happen while the coordinator lives, by weight.
pub const WHILE_IT_LIVES: [(u64, &str); 18] = [
    (6, "a container dies"),
    (6, "a container is paused"),
    (10, "a container goes on"),
    (3, "a container is removed"),
    (4, "the engine goes"),
    (16, "the engine returns"),
    (5, "the mounter dies"),
    (5, "the guard dies"),
    (30, "a session ends"),
    (3, "the disk is full"),
    (12, "the disk has room"),
    (2, "the engine's disk is full"),
    (6, "the engine's disk has room"),
    (2, "memory is short"),
    (6, "there is memory"),
    (7, "a project goes"),
    (10, "a project is there"),
    (5, "a root session speaks for the agent"),
];

/// What may happen while it is dead.
pub const MEANWHILE: [&str; 4] = [
    "a record is lost",
    "a container dies meanwhile",
    "a container is removed meanwhile",
    "the parent is started again",
];

/// Something happens, or is not possible just now.
pub fn happen(world: &Arc<World>) {
    let mut guard = world.lock();
    let inner = &mut *guard;
    let what = inner.dice.weighted(&WHILE_IT_LIVES);
    let running: Vec<String> = ids(inner, |c| c.running);
    let container = inner.dice.pick(&running).unwrap_or_default();
    let found = inner.containers.get(&container);
    let worker = found.map(|c| c.worker.clone()).unwrap_or_default();
    let needs = what.starts_with("a container") || what.starts_with("a root");
    if needs && worker.is_empty() {
        return;
    }
    let done = match what {
        "a container dies" => {
            inner.kill(&container);
            true
        }
        "a container is removed" => {
            inner.kill(&container);
            inner.containers.remove(&container);
            inner.hint("destroy", &worker);
            true
        }
        "a container is paused" => set_paused(inner, &container, true),
        "a container goes on" => {
            let paused = ids(inner, |c| c.paused);
            let one = inner.dice.pick(&paused);
            one.is_some_and(|container| set_paused(inner, &container, false))
        }
        "the engine goes" => {
            inner.life.events.clear();
            std::mem::replace(&mut inner.engine_up, false)
        }
        "the engine returns" => !std::mem::replace(&mut inner.engine_up, true),
        "the mounter dies" => std::mem::replace(&mut inner.mounter_up, false),
        "the guard dies" => inner.guard.take().is_some(),
        "the disk is full" => !std::mem::replace(&mut inner.disk_full, true),
        "the disk has room" => std::mem::replace(&mut inner.disk_full, false),
        "the engine's disk is full" => !std::mem::replace(&mut inner.engine_disk_full, true),
        "the engine's disk has room" => std::mem::replace(&mut inner.engine_disk_full, false),
        "memory is short" => !std::mem::replace(&mut inner.memory_short, true),
        "there is memory" => std::mem::replace(&mut inner.memory_short, false),
        "a project goes" => change_project(inner, false),
        "a project is there" => change_project(inner, true),
        "a session ends" => {
            let live = ids(inner, |c| c.live() && !c.paused);
            let Some(container) = inner.dice.pick(&live) else {
                return;
            };
            let session = inner.containers[&container].main().unwrap();
            let session = session.start.session.clone();
            inner.step(what, &worker);
            drop(guard);
            sessions::end(world, &container, &session);
            return;
        }
        "a root session speaks for the agent" => lie(inner, &container),
        other => panic!("{other}"),
    };
    if done {
        inner.step(what, &worker);
    }
    drop(guard);
    world.changed.notify_waiters();
}

fn ids(inner: &Inner, which: impl Fn(&Container) -> bool) -> Vec<String> {
    let found = inner.containers.values().filter(|c| which(c));
    found.map(|c| c.id.clone()).collect()
}

fn set_paused(inner: &mut Inner, container: &str, paused: bool) -> bool {
    let Some(found) = inner.containers.get_mut(container) else {
        return false;
    };
    let news = std::mem::replace(&mut found.paused, paused) != paused;
    let worker = found.worker.clone();
    inner.hint(if paused { "pause" } else { "unpause" }, &worker);
    news
}

/// A project is removed, or is there again: the same folder or another one in its place.
fn change_project(inner: &mut Inner, there: bool) -> bool {
    let all: Vec<PathBuf> = inner.projects.keys().cloned().collect();
    let Some(path) = inner.dice.pick(&all) else {
        return false;
    };
    let another = inner.dice.chance(300);
    let serial = inner.serial();
    let Some(project) = inner.projects.get_mut(&path) else {
        return false;
    };
    let news = project.there != there || (there && another);
    if news {
        project.epoch += 1;
        if there && another {
            project.ino = serial + 1000;
        }
    }
    project.there = there;
    news
}

/// A root session takes its agent's place; one that did speaks of another worker's session.
fn lie(inner: &mut Inner, container: &str) -> bool {
    let others = inner.containers.values().filter(|c| c.id != container);
    let victims = others.filter_map(|c| Some(c.main()?.start.session.clone()));
    let victims: Vec<String> = victims.collect();
    let found = inner.containers.get_mut(container);
    let Some(found) = found.filter(|c| c.live()) else {
        return false;
    };
    found.liar = true;
    let Some(session) = inner.dice.pick(&victims) else {
        return true;
    };
    let event = AgentEvent::Exited {
        session,
        status: ExitStatus::Code(7),
        oom: false,
    };
    sessions::tell(inner, container, event);
    true
}

/// The coordinator is dead: its life's tasks are gone, and some things happen before the next one.
pub fn between_lives(world: &World) {
    let mut guard = world.lock();
    let inner = &mut *guard;
    inner.wall_ms = inner.now_ms();
    inner.life = Life::default();
    inner.down = false;
    for container in inner.containers.values_mut() {
        for session in &mut container.sessions {
            let handed = &session.handed;
            session.clients.retain(|stream| handed.contains(stream));
        }
    }
    inner.wall_ms += inner.dice.below(20_000);
    let all = ids(inner, |_| true);
    for container in all {
        let worker = inner.containers[&container].worker.clone();
        if inner.dice.chance(40) {
            let file = super::mounter::folder(world, &worker).join("worker.json");
            if std::fs::remove_file(file).is_ok() {
                inner.step(MEANWHILE[0], &worker);
            }
        }
        if inner.dice.chance(20) {
            inner.step(MEANWHILE[1], &worker);
            inner.kill(&container);
        } else if inner.dice.chance(15) {
            inner.step(MEANWHILE[2], &worker);
            inner.kill(&container);
            inner.containers.remove(&container);
        }
    }
    if inner.dice.chance(150) {
        inner.step(MEANWHILE[3], "");
        // Its network is another one, its helpers and their rules are gone with the old one.
        for container in inner.containers.values_mut() {
            container.netns = 1;
        }
        (inner.mounter_up, inner.guard) = (false, None);
        inner.rules.clear();
    }
    if inner.dice.chance(200) {
        inner.mounter_up = false;
    }
    if inner.dice.chance(200) {
        inner.guard = None;
    }
}

/// Nothing is wrong any more, and nothing fails from now on.
pub fn heal(world: &World) {
    {
        let mut inner = world.lock();
        inner.calm = true;
        (inner.engine_up, inner.image_there, inner.disk_full) = (true, true, false);
        (inner.engine_disk_full, inner.memory_short) = (false, false);
        for project in inner.projects.values_mut() {
            if !project.there {
                (project.there, project.epoch) = (true, project.epoch + 1);
            }
        }
        for container in inner.containers.values_mut() {
            container.paused = false;
        }
    }
    world.changed.notify_waiters();
}
