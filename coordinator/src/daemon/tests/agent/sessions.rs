//! The sessions of a worker in the world: started, ended, attached to and described.

use super::{awake, refuse};
use crate::{
    daemon::tests::{
        state::{Inner, World},
        things::{Container, Session, Started, tag_of},
    },
    mounter_client::MountMode,
};
use podbay_protocol::{
    Activity, ActivityState, AgentError, AgentEvent, Description, ErrorCode, ExitStatus, Readings,
    SessionInfo, SessionIo, StartSession,
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::time::sleep;

pub(super) fn session_of<'a>(
    inner: &'a mut Inner,
    container: &str,
    session: &str,
) -> Option<&'a mut Session> {
    let sessions = &mut inner.containers.get_mut(container)?.sessions;
    sessions.iter_mut().find(|s| s.start.session == session)
}

/// Starts a program; of a main one it is noted where.
pub(super) fn launch(
    world: &Arc<World>,
    inner: &mut Inner,
    container: &str,
    start: StartSession,
) -> Result<i32, AgentError> {
    let found = inner.containers.get(container).cloned();
    let found = found.ok_or_else(|| refuse(ErrorCode::System, "no container"))?;
    if found
        .sessions
        .iter()
        .any(|s| s.start.session == start.session)
    {
        return Err(refuse(ErrorCode::Exists, "it exists already"));
    }
    if start
        .argv
        .first()
        .is_some_and(|program| program == "absent")
    {
        let asked = tag_of(&start.argv).and_then(|tag| inner.asked.get_mut(&tag));
        if let Some(asked) = asked {
            asked.absent += 1;
            if asked.absent > 1 + asked.restarts {
                let worker = found.worker;
                inner.wrong(format!("a wrong request is tried once more, in {worker}"));
            }
        }
        return Err(refuse(ErrorCode::CommandNotFound, "no such program"));
    }
    let pid = i32::try_from(inner.serial()).unwrap();
    if start.primary {
        note_start(inner, &found, &start);
        let overlay = found
            .mount
            .as_ref()
            .is_some_and(|m| m.mode == MountMode::Overlay);
        if overlay && inner.dice.chance(300) {
            inner.changed.insert(found.worker.clone());
        }
    }
    let lives = inner.dice.chance(if start.primary { 600 } else { 300 });
    let lifetime = inner.dice.delay();
    let now = inner.now_ms();
    let ends_ms = (!lives).then(|| now + u64::try_from(lifetime.as_millis()).unwrap());
    let id = start.session.clone();
    inner.say(&format!("{} starts {:?} as {id}", found.worker, start.argv));
    let container = inner.containers.get_mut(container).unwrap();
    container.sessions.push(Session {
        pid,
        primary: start.primary,
        size: match start.io {
            SessionIo::Pty { size } => Some(size),
            SessionIo::Pipes => None,
        },
        exit: None,
        ends_ms,
        again: None,
        claim: start.claim.clone(),
        clients: Vec::new(),
        handed: BTreeSet::new(),
        told: false,
        start,
    });
    if ends_ms.is_some() {
        tokio::spawn(end_later(world.clone(), found.id, id));
    }
    Ok(pid)
}

pub(super) fn note_start(inner: &mut Inner, found: &Container, start: &StartSession) {
    let worker = found.worker.clone();
    if start.argv == ["bash"] || start.argv == ["run", "command"] {
        // The profile's: of a claim whose record was lost and that is started again.
        return;
    }
    let Some(tag) = tag_of(&start.argv) else {
        inner.wrong(format!(
            "{worker} starts {:?}, which nobody asked for",
            start.argv
        ));
        return;
    };
    if let Some(told) = inner.life.origins.remove(&worker)
        && start.env.get("FOO") != told.as_ref()
    {
        inner.wrong(format!(
            "{worker} starts {tag} with another environment than its agent had told"
        ));
    }
    if found.tag.as_ref().is_some_and(|former| *former != tag) {
        inner.wrong(format!("{worker} serves {tag} after {:?}", found.tag));
    }
    let renamed = inner.asked.get(&tag).is_some_and(|asked| asked.renamed);
    let runs = |c: &&Container| !renamed && c.tag.as_ref() == Some(&tag) && c.live();
    if let Some(other) = inner.containers.values().find(runs) {
        let other = other.worker.clone();
        inner.wrong(format!(
            "{tag} is started in {worker} while it runs in {other}"
        ));
    }
    if let Some(container) = inner.containers.get_mut(&found.id) {
        container.tag = Some(tag.clone());
    }
    let started = Started {
        worker: worker.clone(),
        container: found.id.clone(),
        uid: start.uid,
        mount: found.mount.clone(),
        engine_project: found.engine_project.clone(),
    };
    let Some(asked) = inner.asked.get_mut(&tag) else {
        inner.wrong(format!("{worker} starts {tag}, which nobody asked for"));
        return;
    };
    asked.starts.push(started);
    let (count, most) = (asked.starts.len(), 1 + asked.restarts);
    if count > most && asked.profile != "auto" {
        inner.wrong(format!("{tag} was started {count} times, asked for {most}"));
    } else if count == 1 && asked.refused {
        inner.wrong(format!(
            "{tag} is started, and the answer was that it is not"
        ));
    }
}

/// A session ends at its time, unless that changed.
pub(super) async fn end_later(world: Arc<World>, container: String, session: String) {
    loop {
        let wait = {
            let mut inner = world.lock();
            let now = inner.now_ms();
            let found = session_of(&mut inner, &container, &session);
            let Some(at) = found.filter(|s| s.exit.is_none()).and_then(|s| s.ends_ms) else {
                return;
            };
            at.saturating_sub(now)
        };
        if wait == 0 {
            break;
        }
        sleep(Duration::from_millis(wait)).await;
    }
    awake(&world, &container).await;
    end(&world, &container, &session);
}

/// A session ends; what is to follow it is started.
pub fn end(world: &Arc<World>, container: &str, session: &str) {
    let mut guard = world.lock();
    let inner = &mut *guard;
    let Some(found) = session_of(inner, container, session) else {
        return;
    };
    if found.exit.is_some() {
        return;
    }
    let told = found.told;
    let status = if told {
        ExitStatus::Signal(15)
    } else {
        ExitStatus::Code(0)
    };
    found.exit = Some(status);
    let again = found.again.take();
    let clients: Vec<String> = found.clients.drain(..).collect();
    found.handed.clear();
    let mut start = found.start.clone();
    inner.say(&format!("session {session} in {container} ends"));
    for stream in clients {
        if let Some(task) = inner.life.streams.remove(&stream) {
            task.abort();
        }
        left(inner, container, session, stream);
    }
    if let Some((next, claim)) = again {
        start.session.clone_from(&next);
        (start.claim, start.attach) = (Some(claim), None);
        let outcome = launch(world, inner, container, start);
        if outcome.is_ok()
            && let Some(found) = session_of(inner, container, session)
        {
            found.primary = false;
            found.claim = None;
        }
        let session = session.to_owned();
        let event = AgentEvent::Restarted {
            session,
            next,
            outcome,
        };
        tell(inner, container, event);
    }
    let event = AgentEvent::Exited {
        session: session.to_owned(),
        status,
        oom: false,
    };
    tell(inner, container, event);
}

/// An agent says something, when the coordinator is there.
pub fn tell(inner: &Inner, container: &str, event: AgentEvent) {
    if let Some(to) = inner.life.outboxes.get(container) {
        to.send(event).ok();
    }
}

pub(super) fn left(inner: &Inner, container: &str, session: &str, stream: String) {
    let event = AgentEvent::Detached {
        session: session.to_owned(),
        stream,
        clients: 0,
    };
    tell(inner, container, event);
}

pub(super) fn describe(inner: &mut Inner, container: &str) -> Result<Description, AgentError> {
    let now = inner.now_ms();
    let lie = inner.dice.below(3);
    let found = inner.containers.get(container);
    let found = found.ok_or_else(|| refuse(ErrorCode::System, "no container"))?;
    let mount = found.mount.as_ref();
    let uid = mount.map_or(1000, |m| m.uid);
    let mut sessions: Vec<SessionInfo> = found.sessions.iter().map(|s| info(s, now)).collect();
    if found.liar
        && let Some(main) = sessions.iter_mut().find(|s| s.primary)
    {
        match lie {
            0 => "nobody-started-it".clone_into(&mut main.session),
            1 => {}
            _ => forge(main),
        }
    }
    Ok(Description {
        worker: found.worker.clone(),
        build: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_ms: 1,
        netns: found.netns,
        workspace_dev: mount.map_or(0, |m| m.dev),
        workspace_ino: mount.map_or(0, |m| m.ino),
        workspace_uid: uid,
        workspace_gid: uid,
        workspace_mounted: mount.is_some() || found.engine_project.is_some(),
        landlock: None,
        sessions,
        readings: Readings::default(),
    })
}

pub(super) fn info(session: &Session, now: u64) -> SessionInfo {
    SessionInfo {
        session: session.start.session.clone(),
        argv: session.start.argv.clone(),
        pid: session.pid,
        started_ms: now,
        primary: session.primary,
        size: session.size,
        title: String::new(),
        clients: u32::try_from(session.clients.len()).unwrap(),
        streams: session.handed.iter().cloned().collect(),
        activity: Activity {
            state: ActivityState::Idle,
            why: String::new(),
            seq: 0,
            since_ms: now,
        },
        output_bytes: 0,
        exit: session.exit,
        recording: None,
        claim: session.claim.clone(),
    }
}

/// What a root session would like the coordinator to believe.
pub(super) fn forge(main: &mut SessionInfo) {
    let Some(claim) = main.claim.as_mut().and_then(|claim| claim.as_object_mut()) else {
        return;
    };
    for (key, value) in [
        ("project", serde_json::json!("/srv/victim")),
        ("project_ino", 666.into()),
        ("uid", 0.into()),
        ("isolation", "overlay".into()),
        ("name", "forged".into()),
    ] {
        claim.insert(key.to_owned(), value);
    }
}
