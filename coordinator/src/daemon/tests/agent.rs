//! Agents: they dial the real sockets of the real hub and speak real frames.
//!
//! What an agent knows is in the world, so that it outlives the coordinator; its connection and its
//! timers are of one life.

use super::{
    dice::AgentFate,
    mounter::folder,
    state::{Inner, Session, Started, World, tag_of},
};
use crate::workspace::MountMode;
use podbay_protocol::{
    Activity, ActivityState, AgentError, AgentEvent, Attach, Description, ErrorCode, ExitStatus,
    FrameDecoder, FromAgent, Hello, PROTOCOL_VERSION, Purpose, Readings, Reply, Response,
    SessionInfo, SessionIo, StartSession, ToAgent, ToAgentBody, Welcome, encode, paths,
};
use serde::Serialize;
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::sleep,
};

/// Between two dials: from the shortest to the longest.
const DIAL: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(400)];

/// Lets a container's agent run, for this life.
pub fn spawn(world: &Arc<World>, container: &str) {
    let task = tokio::spawn(run(world.clone(), container.to_owned()));
    let agents = &mut world.lock().life.agents;
    if let Some(former) = agents.insert(container.to_owned(), task.abort_handle()) {
        former.abort();
    }
}

/// All that runs goes on in a new life.
pub fn resume(world: &Arc<World>) {
    let (running, ending) = {
        let inner = world.lock();
        let running: Vec<String> = inner
            .containers
            .values()
            .filter(|c| c.running)
            .map(|c| c.id.clone())
            .collect();
        let ending: Vec<(String, String)> = inner
            .containers
            .values()
            .flat_map(|c| c.sessions.iter().map(move |s| (c, s)))
            .filter(|(_, s)| s.exit.is_none() && s.ends_ms.is_some())
            .map(|(c, s)| (c.id.clone(), s.start.session.clone()))
            .collect();
        (running, ending)
    };
    for container in running {
        spawn(world, &container);
    }
    for (container, session) in ending {
        tokio::spawn(end_later(world.clone(), container, session));
    }
}

/// Resolves once the container is not paused; never for one that is gone.
async fn awake(world: &World, container: &str) {
    loop {
        let changed = world.changed.notified();
        match world.lock().containers.get(container) {
            Some(found) if !found.paused => return,
            _ => {}
        }
        changed.await;
    }
}

/// Never returns once the coordinator is dead.
async fn unless_down(world: &World) {
    if world.lock().down {
        std::future::pending::<()>().await;
    }
}

async fn run(world: Arc<World>, container: String) {
    let mut pause = DIAL[0];
    loop {
        awake(&world, &container).await;
        unless_down(&world).await;
        if let Some(socket) = connect(&world, &container, Purpose::Control).await {
            if serve(&world, &container, socket).await {
                pause = DIAL[0];
            }
            lost(&world, &container);
        }
        let wait = {
            let mut inner = world.lock();
            let long = !inner.calm && inner.dice.chance(20);
            let part = inner.dice.millis(0, 20);
            if long {
                inner.dice.delay()
            } else {
                pause + part
            }
        };
        pause = (pause * 2).min(DIAL[1]);
        sleep(wait).await;
    }
}

/// The coordinator is gone: so are all clients.
fn lost(world: &World, container: &str) {
    let mut inner = world.lock();
    inner.life.outboxes.remove(container);
    let mut streams = Vec::new();
    if let Some(found) = inner.containers.get_mut(container) {
        streams.extend(found.sessions.iter_mut().flat_map(|s| s.clients.drain(..)));
    }
    for stream in streams {
        if let Some(task) = inner.life.streams.remove(&stream) {
            task.abort();
        }
    }
}

async fn connect(world: &World, container: &str, purpose: Purpose) -> Option<UnixStream> {
    let worker = world.lock().containers.get(container)?.worker.clone();
    let run = folder(world, &worker).join("run");
    let token = std::fs::read_to_string(run.join(paths::TOKEN_NAME)).ok()?;
    let mut socket = UnixStream::connect(run.join(paths::SOCKET_NAME))
        .await
        .ok()?;
    let hello = Hello {
        protocol: PROTOCOL_VERSION,
        build: env!("CARGO_PKG_VERSION").to_owned(),
        worker,
        token,
        purpose,
    };
    send(&mut socket, &hello).await.then_some(socket)
}

async fn send<T: Serialize>(socket: &mut UnixStream, message: &T) -> bool {
    let frame = encode(message).unwrap();
    socket.write_all(&frame).await.is_ok()
}

/// Serves one connection; whether it was welcomed.
async fn serve(world: &Arc<World>, container: &str, mut socket: UnixStream) -> bool {
    let (to, mut events) = tokio::sync::mpsc::unbounded_channel();
    let mut decoder = FrameDecoder::new();
    let mut buffer = [0; 16 << 10];
    let mut welcome = false;
    loop {
        if !welcome {
            match decoder.next_frame::<Welcome>() {
                Ok(Some(_)) => {
                    welcome = true;
                    let outboxes = &mut world.lock().life.outboxes;
                    outboxes.insert(container.to_owned(), to.clone());
                }
                Ok(None) => {}
                Err(_) => return false,
            }
        }
        loop {
            if !welcome {
                break;
            }
            match decoder.next_frame::<ToAgent>() {
                Ok(Some(request)) => {
                    if !answer(world, container, &mut socket, request).await {
                        return true;
                    }
                }
                Ok(None) => break,
                Err(_) => return true,
            }
        }
        tokio::select! {
            biased;
            Some(event) = events.recv() => {
                awake(world, container).await;
                unless_down(world).await;
                if !send(&mut socket, &FromAgent::Event(event)).await {
                    return welcome;
                }
            }
            read = socket.read(&mut buffer) => match read {
                Ok(count @ 1..) => decoder.push(&buffer[..count]),
                _ => return welcome,
            },
        }
    }
}

/// Answers one request; whether the connection goes on.
async fn answer(
    world: &Arc<World>,
    container: &str,
    socket: &mut UnixStream,
    request: ToAgent,
) -> bool {
    awake(world, container).await;
    unless_down(world).await;
    let fate = world.lock().agent_fate(request.body.name());
    match fate {
        AgentFate::DropBefore => return false,
        AgentFate::Late(wait) => sleep(wait).await,
        _ => {}
    }
    awake(world, container).await;
    unless_down(world).await;
    let result = match fate {
        AgentFate::Refuse => Err(refuse(ErrorCode::System, "chance")),
        _ => carry_out(world, container, request.body),
    };
    match fate {
        AgentFate::DropAfter => return false,
        AgentFate::AnsweredLate(wait) => sleep(wait).await,
        AgentFate::CrashAfter => {
            world.crash();
            std::future::pending::<()>().await;
        }
        _ => {}
    }
    let id = request.id;
    unless_down(world).await;
    send(socket, &FromAgent::Response(Response { id, result })).await
}

fn refuse(code: ErrorCode, message: &str) -> AgentError {
    AgentError {
        code,
        message: message.to_owned(),
    }
}

fn carry_out(world: &Arc<World>, container: &str, body: ToAgentBody) -> Result<Reply, AgentError> {
    let mut guard = world.lock();
    let inner = &mut *guard;
    let none = || refuse(ErrorCode::NoSuchSession, "no such session");
    let now = inner.now_ms();
    match body {
        ToAgentBody::Describe => Ok(Reply::Described(Box::new(describe(inner, container)?))),
        ToAgentBody::Readings => Ok(Reply::Readings(Readings::default())),
        ToAgentBody::Start(start) | ToAgentBody::StartWithSecrets(start) => {
            let attach = start.attach.clone();
            let pid = launch(world, inner, container, *start)?;
            if let Some(attach) = attach {
                open(world, inner, container, &attach)?;
            }
            Ok(Reply::Started { pid, exec_us: 1 })
        }
        ToAgentBody::Attach(attach) => {
            let writer = open(world, inner, container, &attach)?;
            Ok(Reply::Attached { writer })
        }
        ToAgentBody::Stop { session, grace_ms } => {
            inner.judge_end(container, "end of the session");
            let within = inner.dice.below(grace_ms.min(5_000) + 1);
            let found = session_of(inner, container, &session).ok_or_else(none)?;
            if found.exit.is_none() {
                (found.told, found.again) = (true, None);
                found.ends_ms = Some(
                    found
                        .ends_ms
                        .map_or(now + within, |at| at.min(now + within)),
                );
                let (container, session) = (container.to_owned(), session);
                tokio::spawn(end_later(world.clone(), container, session));
            }
            Ok(Reply::Done)
        }
        ToAgentBody::Restart {
            session,
            next,
            grace_ms,
            claim,
        } => {
            let within = inner.dice.below(grace_ms.min(5_000) + 1);
            let found = session_of(inner, container, &session).ok_or_else(none)?;
            if !found.primary || found.exit.is_some() || found.again.is_some() {
                return Err(refuse(ErrorCode::Invalid, "it cannot be restarted now"));
            }
            (found.told, found.again) = (true, Some((next, claim)));
            found.ends_ms = Some(now + within);
            let worker = inner.containers[container].worker.clone();
            let permit = inner.permits.get(&worker).cloned().unwrap_or_default();
            if permit.restarts.is_empty() && permit.stops == 0 {
                inner.wrong(format!("{worker} is restarted, and nobody asked for it"));
            }
            tokio::spawn(end_later(world.clone(), container.to_owned(), session));
            Ok(Reply::Done)
        }
        ToAgentBody::Origin { session } => {
            let found = session_of(inner, container, &session).ok_or_else(none)?;
            Ok(Reply::Origin(Box::new(found.start.clone())))
        }
        ToAgentBody::UpdateClaim { session, claim } => {
            let found = session_of(inner, container, &session).ok_or_else(none)?;
            found.claim = Some(claim);
            Ok(Reply::Done)
        }
        _ => Ok(Reply::Done),
    }
}

fn session_of<'a>(inner: &'a mut Inner, container: &str, session: &str) -> Option<&'a mut Session> {
    let sessions = &mut inner.containers.get_mut(container)?.sessions;
    sessions.iter_mut().find(|s| s.start.session == session)
}

/// Starts a program; of a main one it is noted where.
fn launch(
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
            if asked.absent > 1 {
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
        told: false,
        start,
    });
    if ends_ms.is_some() {
        tokio::spawn(end_later(world.clone(), found.id, id));
    }
    Ok(pid)
}

fn note_start(inner: &mut Inner, found: &super::state::Container, start: &StartSession) {
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
    if found.tag.as_ref().is_some_and(|former| *former != tag) {
        inner.wrong(format!("{worker} serves {tag} after {:?}", found.tag));
    }
    let runs = |c: &&super::state::Container| c.tag.as_ref() == Some(&tag) && c.live();
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
async fn end_later(world: Arc<World>, container: String, session: String) {
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

fn left(inner: &Inner, container: &str, session: &str, stream: String) {
    let event = AgentEvent::Detached {
        session: session.to_owned(),
        stream,
        clients: 0,
    };
    tell(inner, container, event);
}

/// Opens a client's streams; whether the client writes.
fn open(
    world: &Arc<World>,
    inner: &mut Inner,
    container: &str,
    attach: &Attach,
) -> Result<bool, AgentError> {
    let leaves = (!inner.calm && inner.dice.chance(250)).then(|| inner.dice.delay());
    let leaves = leaves.map(|wait| {
        if inner.dice.chance(700) {
            Duration::ZERO
        } else {
            wait
        }
    });
    let found = session_of(inner, container, &attach.session);
    let Some(found) = found.filter(|s| s.exit.is_none()) else {
        return Err(refuse(ErrorCode::NoSuchSession, "no such session"));
    };
    let writer = found.clients.is_empty();
    found.clients.push(attach.stream.clone());
    let task = tokio::spawn(stream(
        world.clone(),
        container.to_owned(),
        attach.clone(),
        leaves,
    ));
    let streams = &mut inner.life.streams;
    streams.insert(attach.stream.clone(), task.abort_handle());
    Ok(writer)
}

/// One client's streams, until either side closes them.
async fn stream(world: Arc<World>, container: String, attach: Attach, leaves: Option<Duration>) {
    let dial = |stream: String| connect(&world, &container, Purpose::Stream { stream });
    let out = dial(attach.stream.clone()).await;
    let err = match attach.error_stream {
        Some(stream) => dial(stream).await,
        None => None,
    };
    if let Some(mut out) = out {
        let mut buffer = [0; 256];
        let closed = async { while matches!(out.read(&mut buffer).await, Ok(1..)) {} };
        match leaves {
            // Its end is told before the coordinator has looked at it.
            Some(Duration::ZERO) => {}
            Some(wait) => drop(tokio::time::timeout(wait, closed).await),
            None => closed.await,
        }
    }
    drop(err);
    let mut inner = world.lock();
    inner.life.streams.remove(&attach.stream);
    if let Some(session) = session_of(&mut inner, &container, &attach.session) {
        let before = session.clients.len();
        session.clients.retain(|stream| *stream != attach.stream);
        if session.clients.len() < before {
            left(&inner, &container, &attach.session, attach.stream);
        }
    }
}

fn describe(inner: &mut Inner, container: &str) -> Result<Description, AgentError> {
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

fn info(session: &Session, now: u64) -> SessionInfo {
    SessionInfo {
        session: session.start.session.clone(),
        argv: session.start.argv.clone(),
        pid: session.pid,
        started_ms: now,
        primary: session.primary,
        size: session.size,
        title: String::new(),
        clients: u32::try_from(session.clients.len()).unwrap(),
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
fn forge(main: &mut SessionInfo) {
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
