//! What must be true: always, and once nothing has failed for a while.

use super::{
    state::{Inner, World},
    things::Container,
};
use crate::{
    daemon::{Daemon, State, workers::record::Record},
    model::{FIRST_UID, UIDS, WorkerState},
    store::ClaimRecord,
};
use std::collections::{BTreeMap, BTreeSet};

/// After each step.
pub fn always(world: &World, daemon: &Daemon) {
    let state = daemon.lock();
    let mut inner = world.lock();
    if inner.down {
        return;
    }
    let mut found = Vec::new();
    let mut uids: BTreeMap<u32, &str> = BTreeMap::new();
    for container in inner.containers.values() {
        if let Some(other) = uids.insert(container.uid, &container.worker) {
            let uid = container.uid;
            found.push(format!(
                "{} and {other} both have the uid {uid}",
                container.worker
            ));
        }
    }
    let mut names: BTreeMap<&str, &Record> = BTreeMap::new();
    for record in state.records.values() {
        let Some(claim) = &record.claim else { continue };
        if let Some(other) = names.insert(claim.name.as_str(), record) {
            found.push(format!(
                "{} and {} are both {}",
                record.id, other.id, claim.name
            ));
        }
        let container = record
            .container
            .as_ref()
            .and_then(|id| inner.containers.get(id));
        if let Some(container) = container {
            found.extend(untrue(&state, record, claim, container));
        }
    }
    for what in found {
        inner.wrong(what);
    }
}

/// What of a claim's record is not so.
fn untrue(
    state: &State,
    record: &Record,
    claim: &ClaimRecord,
    container: &Container,
) -> Option<String> {
    let id = &record.id;
    let entry = state.fleet.worker(id)?;
    let known = matches!(
        entry.state,
        WorkerState::Running | WorkerState::Lost | WorkerState::Exited
    );
    if !known
        || record.underway.recreates()
        || claim.moving
        || claim.unproven.is_some()
        || !container.running
    {
        return None;
    }
    if record.uid != container.uid {
        return Some(format!(
            "{id} has the uid {}, not {}",
            container.uid, record.uid
        ));
    }
    let mount = container.mount.as_ref();
    let project = mount
        .map(|m| &m.project)
        .or(container.engine_project.as_ref());
    if claim.project.as_ref().map(|p| p.as_path()) != project.map(|p| p.as_path()) {
        let project = project.map(|p| p.display().to_string());
        return Some(format!(
            "{id} has {project:?}, its record says {:?}",
            claim.project
        ));
    }
    if let Some(mount) = mount
        && (claim.project_dev, claim.project_ino) != (mount.dev, mount.ino)
    {
        let recorded = claim.project_ino;
        return Some(format!(
            "{id} has folder {}, its record says {recorded}",
            mount.ino
        ));
    }
    let main = container
        .sessions
        .iter()
        .find(|s| s.start.session == claim.session)?;
    if main.start.uid != claim.uid {
        let uid = main.start.uid;
        return Some(format!("{id} runs as {uid}, its record says {}", claim.uid));
    }
    if record.session.exit.is_some() && main.exit.is_none() && !container.liar {
        return Some(format!("{id} has ended, its record says, and it runs"));
    }
    None
}

/// Once all that was broken is mended, and some minutes have passed.
pub fn settled(world: &World, daemon: &Daemon, waiting: bool) {
    let listening = daemon.registry.listening();
    let state = daemon.lock();
    let mut inner = world.lock();
    let mut found = Vec::new();
    if waiting || !state.waiting.is_empty() {
        found.push(format!("somebody still waits: {:?}", state.waiting.keys()));
    }
    found.extend(folders(world, &state));
    let rules: BTreeSet<u32> = inner.rules.keys().copied().collect();
    let of_workers = |uid: &u32| (FIRST_UID..FIRST_UID + UIDS).contains(uid);
    let uids: BTreeSet<u32> = state
        .records
        .values()
        .map(|r| r.uid)
        .filter(of_workers)
        .collect();
    if rules != uids {
        found.push(format!("rules for {rules:?}, workers have {uids:?}"));
    }
    let listening: BTreeSet<_> = listening.into_iter().collect();
    for id in listening
        .iter()
        .filter(|id| !state.records.contains_key(*id))
    {
        found.push(format!("{id} is gone and still listened to"));
    }
    for container in inner.containers.values() {
        let record = state.records.get(&container.id_of_worker());
        if record.is_none_or(|r| r.container.as_ref() != Some(&container.id)) {
            let known = record.map(|r| &r.container);
            found.push(format!(
                "{} of {} is left over: {known:?}",
                container.id, container.worker
            ));
        }
    }
    for record in state.records.values() {
        found.extend(worker(daemon, &state, &inner, record));
    }
    for pool in state.fleet.pools() {
        if pool.warm < pool.min_warm && !pool.paused && !pool.draining {
            found.push(format!(
                "pool {} has {} of {}",
                pool.profile, pool.warm, pool.min_warm
            ));
        }
        if pool.queued > 0 {
            found.push(format!(
                "{} claims wait for pool {}",
                pool.queued, pool.profile
            ));
        }
    }
    for what in found {
        inner.wrong(format!("settled: {what}"));
    }
}

fn folders(world: &World, state: &State) -> Option<String> {
    let found = std::fs::read_dir(world.dir.join("workers")).unwrap();
    let found = found.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let found: BTreeSet<String> = found.collect();
    let live: BTreeSet<String> = state.records.keys().map(ToString::to_string).collect();
    let ended: BTreeSet<String> = state.finished.keys().map(ToString::to_string).collect();
    let more: Vec<_> = found
        .iter()
        .filter(|id| !live.contains(*id) && !ended.contains(*id))
        .collect();
    // Of one that was being removed the record may be left alone.
    let less: Vec<_> = live.difference(&found).collect();
    (!more.is_empty() || !less.is_empty())
        .then(|| format!("folders {more:?} are left over, {less:?} are missing"))
}

/// What is wrong with one worker.
fn worker(daemon: &Daemon, state: &State, inner: &Inner, record: &Record) -> Option<String> {
    let id = &record.id;
    let Some(entry) = state.fleet.worker(id) else {
        return Some(format!("the fleet does not know {id}"));
    };
    let container = record
        .container
        .as_ref()
        .and_then(|c| inner.containers.get(c));
    let reason = |what: &str| {
        Some(format!(
            "{id} is {:?}: {what} ({:?})",
            entry.state, entry.why
        ))
    };
    let Some(container) = container else {
        return match entry.state {
            WorkerState::Lost | WorkerState::Exited => None,
            _ => reason("it has no container"),
        };
    };
    if container.liar {
        return None;
    }
    let cut_off = container.netns == 1;
    match entry.state {
        WorkerState::Warm => {
            let fresh = container.mount.is_none() && container.sessions.is_empty();
            if record.claim.is_some() || !fresh || !container.running || cut_off {
                return reason("it is not fresh");
            }
        }
        WorkerState::Running => {
            if !container.live() {
                return reason("its session does not run");
            }
            let main = container.main()?;
            if !record.is_main(&main.start.session) {
                return reason("its main session is another one");
            }
            let (seen, clients) = (record.session.clients.count(), main.clients.len());
            if usize::try_from(seen).ok() != Some(clients) {
                return reason(&format!("{seen} clients are counted, {clients} are there"));
            }
        }
        WorkerState::Exited => {
            if container.live() {
                return reason("its session runs");
            }
            if record.claim.as_ref().is_some_and(|claim| claim.remove) && container.running {
                return reason("it was to be removed");
            }
        }
        WorkerState::Lost => {
            if container.live() && !cut_off {
                return reason("its session runs and its agent answers");
            }
        }
        _ => return reason("for minutes"),
    }
    if container.running && daemon.registry.handle(id).is_none() {
        return reason("its agent is not connected");
    }
    None
}
