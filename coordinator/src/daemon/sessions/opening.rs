//! A client that a worker's agent is asked to take, until it has, or its socket is with the agent.
//!
//! Owns: the one-time ids, and the hand-over of a client's socket. Never keeps a socket: it is with the
//! agent, or shut.

use crate::daemon::{
    Daemon,
    sessions::attached::{Attached, ClientLink, ClientPath},
};
use crate::{
    agent::{AgentHandle, ExpectedStream},
    model::WorkerId,
    wire::{ApiError, ErrorKind},
};
use podbay_protocol::{Attach, AttachMode, Reply, Size};
use std::{
    net::Shutdown,
    os::{fd::OwnedFd, unix::net::UnixStream},
    time::Duration,
};

/// The agent dials a stream that it said it would.
const STREAM_DEADLINE: Duration = Duration::from_secs(5);
/// The agent has taken a client's socket by then.
const HAND_DEADLINE: Duration = Duration::from_secs(5);

/// A client that an agent is asked to take.
#[derive(Debug)]
pub(in crate::daemon) struct Opening {
    pub stream: String,
    error_stream: Option<String>,
    /// What the agent is to dial.
    expected: Option<(ExpectedStream, Option<ExpectedStream>)>,
}

impl Opening {
    /// The part of the request to the agent.
    pub fn attach(
        &self,
        session: &str,
        mode: AttachMode,
        size: Option<Size>,
        restore: bool,
        silent: bool,
    ) -> Attach {
        Attach {
            session: session.to_owned(),
            stream: self.stream.clone(),
            error_stream: self.error_stream.clone(),
            mode,
            size,
            restore,
            handed: self.expected.is_none(),
            silent,
        }
    }

    /// The way to the client's session, once the agent has said that it takes the client; `None` when
    /// it does not open its streams.
    pub async fn arrive(self, agent: AgentHandle) -> Option<ClientLink> {
        let Some((out, err)) = self.expected else {
            return Some(ClientLink::Handed(agent));
        };
        let out = out.arrive(STREAM_DEADLINE).await?;
        let err = match err {
            Some(err) => Some(err.arrive(STREAM_DEADLINE).await?),
            None => None,
        };
        Some(ClientLink::Relayed { out, err })
    }
}

impl Daemon {
    /// Prepares for a client; `pipes` says whether its session is on pipes.
    pub(in crate::daemon) fn open_client(
        &self,
        worker: &WorkerId,
        pipes: bool,
        path: ClientPath,
    ) -> Result<Opening, ApiError> {
        let stream = self.random_id()?;
        let (error_stream, expected) = match path {
            ClientPath::Handed => (None, None),
            ClientPath::Relayed => {
                let error_stream = pipes.then(|| self.random_id()).transpose()?;
                let out = self.registry.expect_stream(worker, &stream);
                let err = error_stream.as_deref();
                let err = err.map(|id| self.registry.expect_stream(worker, id));
                (error_stream, Some((out, err)))
            }
        };
        Ok(Opening {
            stream,
            error_stream,
            expected,
        })
    }

    /// Hands a client's socket to its session's agent, with what was read from it already; without a
    /// socket the client has left before it was there. Where that fails the socket is shut without a
    /// last word; its client attaches again, and that answer has the reason.
    pub async fn hand(&self, client: Attached, socket: Option<UnixStream>, first: Vec<u8>) {
        let Attached {
            worker,
            session,
            stream,
            link: ClientLink::Handed(agent),
            ..
        } = client
        else {
            tracing::error!("a client that is relayed has no socket to hand over");
            return;
        };
        let handed = hand_socket(&agent, &worker, &stream, socket, first).await;
        self.update_session(&worker, &session, |s| match &handed {
            Ok(()) => s.clients.opened(&stream),
            Err(_) => s.clients.left(&stream),
        });
        if let Err(why) = handed {
            tracing::debug!(%worker, why, "a client was not handed to its session's agent");
        }
    }
}

async fn hand_socket(
    agent: &AgentHandle,
    worker: &WorkerId,
    stream: &str,
    socket: Option<UnixStream>,
    first: Vec<u8>,
) -> Result<(), String> {
    let socket = match socket {
        Some(socket) => Ok(socket),
        // The agent learns in the ordinary way that its client has left.
        None => UnixStream::pair().map(|(socket, _)| socket),
    };
    let socket = socket.and_then(|socket| socket.set_nonblocking(true).map(|()| socket));
    let socket = socket.map_err(|error| error.to_string())?;
    let handed = match socket.try_clone() {
        Ok(theirs) => {
            let theirs = OwnedFd::from(theirs);
            let asked = agent.hand(stream.to_owned(), first, theirs, HAND_DEADLINE);
            match asked.await.and_then(|said| said.of(worker)) {
                Ok(Reply::Done) => Ok(()),
                Ok(other) => Err(format!("it answered with {}", other.kind())),
                Err(error) => Err(error.to_string()),
            }
        }
        Err(error) => Err(error.to_string()),
    };
    if handed.is_err()
        // The agent may have it all the same.
        && let Err(error) = socket.shutdown(Shutdown::Both)
    {
        tracing::debug!(%error, "the client closed first");
    }
    handed
}

/// Why a client cannot be handed over: its worker's agent is of a version that takes none.
pub(in crate::daemon) fn takes_no_clients() -> ApiError {
    ApiError::new(
        ErrorKind::UpgradeUnsupported,
        "the worker's agent takes no clients' sockets: attach by WebSocket",
    )
}

/// What an agent that did not take a client comes to.
pub(in crate::daemon) fn no_stream() -> ApiError {
    ApiError::new(ErrorKind::Internal, "the agent did not open the stream")
}
