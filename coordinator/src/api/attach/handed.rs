//! Clients whose sockets go to their session's agent.
//!
//! Owns: the order in which the agent is asked, the client answered, and its socket handed over. Never
//! relays: once the agent has the socket, this process has no part in it.

use super::{socket::ClientSocket, upgrade::switching};
use crate::{
    api::{audit::AuditScope, reply::Failure},
    daemon::{Attached, ClientPath, Daemon, Placed},
    wire::{ApiError, AttachQuery, ErrorKind, ServerMessage},
};
use axum::response::Response;
use hyper::upgrade::OnUpgrade;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Attaches a client; a refusal is an ordinary answer.
pub(super) async fn attach(
    daemon: Arc<Daemon>,
    name: String,
    query: AttachQuery,
    upgrade: OnUpgrade,
) -> Result<Response, Failure> {
    let (answer, answered) = oneshot::channel();
    // In a task of its own: when the client leaves before the answer, the agent that waits for its socket
    // must get one all the same.
    tokio::spawn(async move {
        match daemon.attach(&name, query, ClientPath::Handed).await {
            Ok(attached) => {
                // Without its answer the client's socket never comes.
                answer.send(Ok(attached.pipes)).ok();
                hand(&daemon, attached, ClientSocket::of(upgrade).await).await;
            }
            Err(error) => {
                answer.send(Err(error)).ok();
            }
        }
    });
    let gone = || ApiError::new(ErrorKind::Internal, "the coordinator is stopping");
    let pipes = answered.await.map_err(|_| gone())??;
    Ok(switching(Some(pipes)))
}

/// Claims a worker for the client, as it asks in its first message, and attaches it.
pub(super) fn spawn(daemon: Arc<Daemon>, ticket: AuditScope, upgrade: OnUpgrade) -> Response {
    tokio::spawn(async move {
        if let Some(socket) = ClientSocket::of(upgrade).await {
            claim(daemon, ticket, socket).await;
        }
    });
    switching(None)
}

async fn claim(daemon: Arc<Daemon>, ticket: AuditScope, mut socket: ClientSocket) {
    let spawned = match socket.request(daemon.config().api.max_body).await {
        Ok(request) => {
            ticket.asked(&request);
            daemon.spawn(request, Some(ClientPath::Handed)).await
        }
        Err(error) => Err(error),
    };
    ticket.spawned(spawned.as_ref().map(|placed| &placed.response));
    match spawned {
        Ok(placed) => {
            let Placed {
                response,
                attached,
                follow,
            } = placed;
            let spawned = ServerMessage::Spawned(Box::new(response));
            let told = socket.say(&spawned).await;
            if let Some(attached) = attached {
                hand(&daemon, attached, Some(socket).filter(|_| told)).await;
            }
            drop(follow);
        }
        Err(error) => {
            if !socket.say(&ServerMessage::Error(error)).await {
                tracing::debug!("a client left before it was told why it has no worker");
            }
        }
    }
}

async fn hand(daemon: &Daemon, attached: Attached, socket: Option<ClientSocket>) {
    let (socket, first) = match socket {
        Some(ClientSocket { stream, first }) => (stream.into_std(), first),
        None => return daemon.hand(attached, None, Vec::new()).await,
    };
    let socket = match socket {
        Ok(socket) => Some(socket),
        Err(error) => {
            tracing::warn!(%error, "a client's socket cannot be handed over");
            None
        }
    };
    daemon.hand(attached, socket, first).await;
}
