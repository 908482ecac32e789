//! The clients of a session in the world: streams that are dialled, and sockets that are handed over.

use super::{
    awake, connect, dial, refuse,
    sessions::{left, session_of},
};
use crate::daemon::tests::state::{Inner, Waiting, World};
use podbay_protocol::{AgentError, Attach, AttachMode, ErrorCode, Purpose, Reply};
use std::{
    os::{fd::OwnedFd, unix::net::UnixStream as StdStream},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::sleep,
};

/// Opens a client's streams; whether the client writes.
pub(super) fn open(
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
    if attach.handed {
        // Its socket comes, or this connection ends.
        let waits = Waiting {
            attach: attach.clone(),
            leaves,
        };
        inner.life.waiting.insert(attach.stream.clone(), waits);
        let late = missed(world.clone(), container.to_owned(), attach.clone());
        tokio::spawn(late);
        return Ok(writer);
    }
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
pub(super) async fn stream(
    world: Arc<World>,
    container: String,
    attach: Attach,
    leaves: Option<Duration>,
) {
    let purpose = |stream: String| Purpose::Stream { stream };
    let main = purpose(attach.stream.clone());
    if leaves == Some(Duration::ZERO) && world.lock().dice.chance(300) {
        // The coordinator reads of the stream after it has read of the stream's end.
        let dialled = dial(&world, &container, main).await;
        close(&world, &container, &attach);
        let pause = world.lock().dice.millis(1, 50);
        sleep(pause).await;
        if let Some((mut socket, hello)) = dialled {
            // It may be gone.
            socket.write_all(&hello).await.ok();
        }
        return;
    }
    let out = connect(&world, &container, main).await;
    let err = match attach.error_stream.clone() {
        Some(stream) => connect(&world, &container, purpose(stream)).await,
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
    close(&world, &container, &attach);
}

/// How long a client's socket is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// A client's socket is here, with this descriptor.
pub(super) fn hand(
    world: &Arc<World>,
    inner: &mut Inner,
    container: &str,
    stream: &str,
    socket: Option<OwnedFd>,
) -> Result<Reply, AgentError> {
    let Some(socket) = socket else {
        inner.wrong(format!("{container} is handed {stream} without a socket"));
        return Err(refuse(ErrorCode::Invalid, "no socket"));
    };
    let Some(Waiting { attach, leaves }) = inner.life.waiting.remove(stream) else {
        return Err(refuse(ErrorCode::NoSuchSession, "no such client"));
    };
    let found = session_of(inner, container, &attach.session);
    if let Some(found) = found.filter(|found| found.clients.iter().any(|c| c == stream)) {
        found.handed.insert(stream.to_owned());
        let task = tokio::spawn(handed(
            world.clone(),
            container.to_owned(),
            attach,
            Some(socket),
            leaves,
        ));
        let streams = &mut inner.life.streams;
        streams.insert(stream.to_owned(), task.abort_handle());
    }
    Ok(Reply::Done)
}

/// A client whose socket does not come is not waited for any longer.
async fn missed(world: Arc<World>, container: String, attach: Attach) {
    sleep(PATIENCE).await;
    if world.lock().life.waiting.contains_key(&attach.stream) {
        awake(&world, &container).await;
        if world.lock().life.waiting.remove(&attach.stream).is_some() {
            close(&world, &container, &attach);
        }
    }
}

/// A client that has its own socket, until it leaves.
async fn handed(
    world: Arc<World>,
    container: String,
    attach: Attach,
    socket: Option<OwnedFd>,
    leaves: Option<Duration>,
) {
    let socket = socket.map(StdStream::from);
    if let Some(mut socket) = socket.and_then(|s| UnixStream::from_std(s).ok()) {
        let mut buffer = [0; 256];
        let closed = async { while matches!(socket.read(&mut buffer).await, Ok(1..)) {} };
        match leaves {
            Some(wait) => drop(tokio::time::timeout(wait, closed).await),
            None => closed.await,
        }
    } else if let Some(wait) = leaves {
        sleep(wait).await;
    }
    awake(&world, &container).await;
    close(&world, &container, &attach);
}

/// Clients that have their own sockets go on in a new life; how long is a matter of chance.
pub(super) fn resume(world: &Arc<World>) {
    let mut guard = world.lock();
    let inner = &mut *guard;
    let mut all = Vec::new();
    for container in inner.containers.values() {
        for session in &container.sessions {
            for stream in &session.handed {
                let session = session.start.session.clone();
                all.push((container.id.clone(), session, stream.clone()));
            }
        }
    }
    for (container, session, stream) in all {
        let attach = Attach {
            session,
            stream: stream.clone(),
            error_stream: None,
            mode: AttachMode::Write,
            size: None,
            restore: true,
            handed: true,
            silent: false,
        };
        let leaves = Some(inner.dice.delay());
        let task = tokio::spawn(handed(world.clone(), container, attach, None, leaves));
        inner.life.streams.insert(stream, task.abort_handle());
    }
}

/// The coordinator's connection ended: of the clients those stay that have their own sockets.
pub(super) fn lost(inner: &mut Inner, container: &str) {
    let mut gone = Vec::new();
    if let Some(found) = inner.containers.get_mut(container) {
        for session in &mut found.sessions {
            let handed = &session.handed;
            let (stay, go) = session.clients.drain(..).partition(|c| handed.contains(c));
            session.clients = stay;
            gone.extend::<Vec<String>>(go);
        }
    }
    for stream in gone {
        inner.life.waiting.remove(&stream);
        if let Some(task) = inner.life.streams.remove(&stream) {
            task.abort();
        }
    }
}

/// A client has left, unless that is known.
fn close(world: &World, container: &str, attach: &Attach) {
    let mut inner = world.lock();
    inner.life.streams.remove(&attach.stream);
    if let Some(session) = session_of(&mut inner, container, &attach.session) {
        let before = session.clients.len();
        session.clients.retain(|stream| *stream != attach.stream);
        session.handed.remove(&attach.stream);
        if session.clients.len() < before {
            left(&inner, container, &attach.session, attach.stream.clone());
        }
    }
}
