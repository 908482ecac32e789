//! Agents: they dial the real sockets of the real registry and speak real frames.
//!
//! What an agent knows is in the world, so that it outlives the coordinator; its connection and its
//! timers are of one life.

mod clients;
pub mod sessions;

use super::{dice::AgentFate, mounter::folder, state::World};
use clients::{hand, open};
use podbay_protocol::{
    AgentError, ErrorCode, FrameDecoder, FromAgent, Hello, PROTOCOL_VERSION, Purpose, Readings,
    Reply, Response, ToAgent, ToAgentBody, Welcome, encode, paths,
};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use sessions::{describe, end_later, launch, session_of};
use std::{
    collections::VecDeque,
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    os::fd::OwnedFd,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncWriteExt, Interest},
    net::UnixStream,
    time::{Instant, sleep},
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
    clients::resume(world);
    for (container, session) in ending {
        tokio::spawn(end_later(world.clone(), container, session));
    }
}

/// Resolves once the container is not paused; never for one that is gone.
pub(super) async fn awake(world: &World, container: &str) {
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

/// The coordinator is gone: so are its clients.
fn lost(world: &World, container: &str) {
    let mut inner = world.lock();
    inner.life.outboxes.remove(container);
    clients::lost(&mut inner, container);
}

pub(super) async fn connect(
    world: &World,
    container: &str,
    purpose: Purpose,
) -> Option<UnixStream> {
    let (mut socket, hello) = dial(world, container, purpose).await?;
    socket.write_all(&hello).await.ok().map(|()| socket)
}

/// Connects to the coordinator; what is to be said first is still to be said.
pub(super) async fn dial(
    world: &World,
    container: &str,
    purpose: Purpose,
) -> Option<(UnixStream, Vec<u8>)> {
    let worker = world.lock().containers.get(container)?.worker.clone();
    let run = folder(world, &worker).join("run");
    let token = std::fs::read_to_string(run.join(paths::TOKEN_NAME)).ok()?;
    let socket = UnixStream::connect(run.join(paths::SOCKET_NAME))
        .await
        .ok()?;
    let hello = Hello {
        protocol: PROTOCOL_VERSION,
        build: env!("CARGO_PKG_VERSION").to_owned(),
        worker,
        token,
        purpose,
        takes_clients: true,
    };
    Some((socket, encode(&hello).unwrap()))
}

async fn send(socket: &mut UnixStream, message: &FromAgent) -> bool {
    let frame = message.to_frame().unwrap();
    socket.write_all(&frame).await.is_ok()
}

/// Serves one connection; whether it was welcomed.
async fn serve(world: &Arc<World>, container: &str, mut socket: UnixStream) -> bool {
    let (to, mut events) = tokio::sync::mpsc::unbounded_channel();
    let mut decoder = FrameDecoder::new();
    let mut buffer = [0; 16 << 10];
    let mut sockets = VecDeque::new();
    let mut welcome = false;
    // Whether what is read now was sent this very moment: the agent was not busy meanwhile.
    let (mut quick, mut fresh) = (true, true);
    loop {
        let began = Instant::now();
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
            match decoder.next_request() {
                Ok(Some(request)) => {
                    if !answer(world, container, &mut socket, request, &mut sockets, fresh).await {
                        return true;
                    }
                }
                Ok(None) => break,
                Err(_) => return true,
            }
        }
        let idle = Instant::now();
        quick &= idle == began;
        tokio::select! {
            biased;
            Some(event) = events.recv() => {
                awake(world, container).await;
                unless_down(world).await;
                world.note(|| format!("{container} reports {event:?}"));
                if !send(&mut socket, &FromAgent::Event(event)).await {
                    return welcome;
                }
                quick &= Instant::now() == idle;
            }
            read = receive(&socket, &mut buffer, &mut sockets) => match read {
                Ok(count @ 1..) => {
                    decoder.push(&buffer[..count]);
                    fresh = quick || Instant::now() > idle;
                    quick = true;
                }
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
    sockets: &mut VecDeque<OwnedFd>,
    fresh: bool,
) -> bool {
    let began = Instant::now();
    let with = matches!(request.body, ToAgentBody::Hand { .. });
    let with = with.then(|| sockets.pop_front()).flatten();
    awake(world, container).await;
    unless_down(world).await;
    let fate = world.lock().agent_fate(request.body.name());
    world.note(|| format!("{container} is asked {request:?}: {fate:?}"));
    match fate {
        AgentFate::DropBefore => return false,
        AgentFate::Late(wait) => sleep(wait).await,
        _ => {}
    }
    awake(world, container).await;
    unless_down(world).await;
    let result = match fate {
        AgentFate::Refuse => Err(refuse(ErrorCode::System, "chance")),
        _ => execute(world, container, request.body, with),
    };
    match fate {
        AgentFate::DropAfter => return false,
        AgentFate::AnsweredLate(wait) => sleep(wait).await,
        AgentFate::CrashAfter => world.crash(),
        _ => {}
    }
    let id = request.id;
    unless_down(world).await;
    world.note(|| format!("{container} answers {id}: {result:?}"));
    // Later the coordinator does not wait for it any more.
    if let Ok(Reply::Origin(start)) = &result
        && fresh
        && Instant::now() == began
    {
        let inner = &mut *world.lock();
        let worker = inner.containers.get(container).map(|c| c.worker.clone());
        let told = worker.filter(|worker| !inner.life.execs.contains(worker));
        let told = told.map(|worker| (worker, start.env.get("FOO").cloned()));
        inner.life.origins.extend(told);
    }
    send(socket, &FromAgent::Response(Response { id, result })).await
}

pub(super) fn refuse(code: ErrorCode, message: &str) -> AgentError {
    AgentError {
        code,
        message: message.to_owned(),
    }
}

/// Reads what comes, and the sockets that come with it.
async fn receive(
    socket: &UnixStream,
    buffer: &mut [u8],
    sockets: &mut VecDeque<OwnedFd>,
) -> io::Result<usize> {
    let read = || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut into = [IoSliceMut::new(buffer)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        let got = recvmsg(socket, &mut into, &mut ancillary, flags)?;
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(found) = message {
                sockets.extend(found);
            }
        }
        Ok(got.bytes)
    };
    socket.async_io(Interest::READABLE, read).await
}

fn execute(
    world: &Arc<World>,
    container: &str,
    body: ToAgentBody,
    socket: Option<OwnedFd>,
) -> Result<Reply, AgentError> {
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
        ToAgentBody::Hand { stream, .. } => hand(world, inner, container, &stream, socket),
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
