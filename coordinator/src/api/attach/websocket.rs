//! Attach WebSockets: bytes between a client and an agent's stream.
//!
//! Owns: what is said on them, and the relay of output. Never parses what passes through.

use super::uplink::Uplink;
use crate::{
    api::{audit::AuditScope, reply::Failure, security},
    daemon::{Attached, ClientLink, ClientPath, Daemon, Placed, SessionEnd},
    wire::{
        ApiError, AttachQuery, ErrorKind, FlowQuery, INPUT_WINDOW, STDERR_CHANNEL, STDOUT_CHANNEL,
        ServerMessage, SpawnRequest,
    },
};
use axum::{
    extract::{
        WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket},
    },
    response::Response,
};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    io::AsyncReadExt,
    net::unix::OwnedReadHalf,
    sync::{mpsc, watch},
};

/// Bytes read from the agent at once.
const CHUNK: usize = 64 * 1024;
/// A spawn request on a fresh socket has come by then.
const REQUEST_DEADLINE: Duration = Duration::from_secs(10);
/// Messages up to this size together are written at once, when they are flushed.
const WRITE_BUFFER: usize = 4 * 1024;
/// Messages that wait for a slow client; the agent holds back what is more.
const QUEUE: usize = 4;

/// Attaches a client. Before the upgrade, so that a refusal is an ordinary HTTP answer.
pub(super) async fn attach(
    daemon: Arc<Daemon>,
    name: &str,
    query: AttachQuery,
    flow: FlowQuery,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Failure> {
    let attached = daemon.attach(name, query, ClientPath::Relayed).await?;
    let upgrade = sized(&daemon, upgrade);
    Ok(upgrade.on_upgrade(move |socket| async move {
        let (mut to_client, from_client) = socket.split();
        if hello(&mut to_client, &attached, flow).await {
            relay(daemon, attached, to_client, from_client, flow).await;
        }
    }))
}

/// Claims a worker for the client, as it asks in its first message, and attaches it.
pub(super) fn spawn(
    daemon: Arc<Daemon>,
    flow: FlowQuery,
    ticket: AuditScope,
    upgrade: WebSocketUpgrade,
) -> Response {
    let most = daemon.config().api.max_body;
    let upgrade = sized(&daemon, upgrade).max_message_size(most + security::MAX_DISCARDED);
    let upgrade = upgrade.max_frame_size(most + security::MAX_DISCARDED);
    upgrade.on_upgrade(move |socket| async move {
        let (mut to_client, mut from_client) = socket.split();
        let spawned = match read_request(&mut from_client, most).await {
            Ok(request) => {
                ticket.asked(&request);
                daemon.spawn(request, Some(ClientPath::Relayed)).await
            }
            Err(error) => Err(error),
        };
        ticket.spawned(spawned.as_ref().map(|placed| &placed.response));
        match spawned {
            Ok(Placed {
                response,
                attached,
                follow,
            }) => {
                let spawned = ServerMessage::Spawned(Box::new(response));
                let Some(attached) = attached else {
                    say(&mut to_client, &spawned).await;
                    return;
                };
                // One write for all that comes before the output.
                let told = queue(&mut to_client, &spawned).await
                    && hello(&mut to_client, &attached, flow).await;
                drop(follow);
                if told {
                    relay(daemon, attached, to_client, from_client, flow).await;
                }
            }
            Err(error) => finish(&mut to_client, &ServerMessage::Error(error)).await,
        }
    })
}

/// The first words to an attached client; whether it is still there.
async fn hello(
    to_client: &mut SplitSink<WebSocket, Message>,
    attached: &Attached,
    flow: FlowQuery,
) -> bool {
    let bytes = INPUT_WINDOW;
    if flow.input_window && !queue(to_client, &ServerMessage::Window { bytes }).await {
        return false;
    }
    let hello = ServerMessage::Attached {
        writer: attached.writer,
        pipes: attached.pipes,
    };
    say(to_client, &hello).await
}

fn sized(daemon: &Arc<Daemon>, upgrade: WebSocketUpgrade) -> WebSocketUpgrade {
    let limit = daemon.config().api.max_body;
    upgrade
        .max_message_size(limit)
        .max_frame_size(limit)
        .write_buffer_size(WRITE_BUFFER)
}

/// A longer message than `most` bytes is read all the same, up to a bound, so that the refusal
/// arrives.
async fn read_request(
    from_client: &mut SplitStream<WebSocket>,
    most: usize,
) -> Result<SpawnRequest, ApiError> {
    let invalid = |why: String| ApiError::new(ErrorKind::Invalid, why);
    match tokio::time::timeout(REQUEST_DEADLINE, from_client.next()).await {
        Ok(Some(Ok(Message::Text(text)))) if text.len() > most => {
            Err(security::too_large("the spawn request", most))
        }
        Ok(Some(Err(error))) => Err(invalid(format!(
            "the spawn request cannot be read: {error}"
        ))),
        Ok(Some(Ok(Message::Text(text)))) => serde_json::from_str(&text)
            .map_err(|e| invalid(format!("the first message is no spawn request: {e}"))),
        Ok(_) => Err(invalid(
            "the first message has to be a spawn request as text".to_owned(),
        )),
        Err(_) => Err(ApiError::new(ErrorKind::Timeout, "no spawn request came")),
    }
}

/// Sends a message; whether the client is still there.
async fn say(to_client: &mut SplitSink<WebSocket, Message>, message: &ServerMessage) -> bool {
    queue(to_client, message).await && to_client.flush().await.is_ok()
}

/// Writes a message with the next one that is sent; whether the client is still there.
async fn queue(to_client: &mut SplitSink<WebSocket, Message>, message: &ServerMessage) -> bool {
    match text(message) {
        Some(message) => to_client.feed(message).await.is_ok(),
        None => false,
    }
}

fn text(message: &ServerMessage) -> Option<Message> {
    match serde_json::to_string(message) {
        Ok(text) => Some(Message::Text(text.into())),
        Err(error) => {
            tracing::error!(%error, "a message cannot be written");
            None
        }
    }
}

async fn finish(to_client: &mut SplitSink<WebSocket, Message>, last: &ServerMessage) {
    if say(to_client, last).await {
        let close = CloseFrame {
            code: axum::extract::ws::close_code::NORMAL,
            reason: "".into(),
        };
        if let Err(error) = to_client.send(Message::Close(Some(close))).await {
            tracing::debug!(%error, "the client closed first");
        }
    }
}

/// Relays until the session ends, the client leaves, or the agent's stream breaks.
async fn relay(
    daemon: Arc<Daemon>,
    attached: Attached,
    mut to_client: SplitSink<WebSocket, Message>,
    from_client: SplitStream<WebSocket>,
    flow: FlowQuery,
) {
    let Attached {
        worker,
        session,
        stream,
        writer,
        read_only,
        link: ClientLink::Relayed { out, err },
        ..
    } = attached
    else {
        tracing::error!("a client of a WebSocket has no streams");
        return;
    };
    let pipes = err.is_some();
    let (out_reader, agent_writer) = out.socket.into_split();
    let (messages, mut outgoing) = mpsc::channel::<Message>(QUEUE);

    let (taken, mut news) = watch::channel(0);
    let mut writes = daemon.relay_begins(&worker, &session, &stream, writer);
    let client = Uplink::new(
        daemon.clone(),
        worker.clone(),
        session.clone(),
        stream,
        read_only,
        agent_writer,
        flow.input_window.then_some(taken),
    );
    let input = tokio::spawn(client.run(from_client));
    let channel = pipes.then_some(STDOUT_CHANNEL);
    let output = tokio::spawn(pump(out.first, out_reader, channel, messages.clone()));
    let errors = err.map(|err| {
        // The write half is kept: dropping it would half-close stderr's connection.
        let (reader, writer) = err.socket.into_split();
        let slot = err.slot;
        let messages = messages.clone();
        tokio::spawn(async move {
            pump(err.first, reader, Some(STDERR_CHANNEL), messages).await;
            drop((writer, slot));
        })
    });
    drop(messages);
    let input_abort = input.abort_handle();
    let mut left = Box::pin(input);
    let client_left = loop {
        let message = tokio::select! {
            biased;
            _ = &mut left => break true,
            () = daemon.stopped() => break true,
            Ok(()) = news.changed(), if flow.input_window => {
                let total = *news.borrow_and_update();
                match text(&ServerMessage::Taken { total }) {
                    Some(message) => message,
                    None => break true,
                }
            }
            Ok(()) = writes.changes.changed() => {
                let writer = *writes.changes.borrow_and_update();
                match text(&ServerMessage::Writer { writer }) {
                    Some(message) => message,
                    None => break true,
                }
            }
            message = outgoing.recv() => match message {
                Some(message) => message,
                None => break false,
            },
        };
        // A client that does not read is left all the same when it goes.
        let sent = tokio::select! {
            biased;
            sent = to_client.send(message) => sent.is_ok(),
            _ = &mut left => false,
            () = daemon.stopped() => false,
        };
        if !sent {
            break true;
        }
    };
    input_abort.abort();
    output.abort();
    if let Some(errors) = errors {
        errors.abort();
    }
    if client_left {
        return;
    }
    match daemon.session_end(&worker, &session).await {
        SessionEnd::Exited { status, oom } => {
            finish(&mut to_client, &ServerMessage::Exited { status, oom }).await;
        }
        SessionEnd::Gone(why) => {
            let error = ApiError::new(ErrorKind::Conflict, why);
            finish(&mut to_client, &ServerMessage::Error(error)).await;
        }
        // A close without a last word: the client attaches again.
        SessionEnd::StillRunning => {}
    }
}

async fn pump(
    first: Vec<u8>,
    mut reader: OwnedReadHalf,
    channel: Option<u8>,
    messages: mpsc::Sender<Message>,
) {
    let mut buffer = BytesMut::with_capacity(CHUNK);
    buffer.extend(channel);
    buffer.extend_from_slice(&first);
    let mut fresh = !first.is_empty();
    loop {
        if fresh {
            let full: Bytes = buffer.split().freeze();
            if messages.send(Message::Binary(full)).await.is_err() {
                return;
            }
            buffer.extend(channel);
        }
        if buffer.capacity() - buffer.len() < CHUNK / 4 {
            buffer.reserve(CHUNK);
        }
        match reader.read_buf(&mut (&mut buffer).limit(CHUNK)).await {
            Ok(0) | Err(_) => return,
            Ok(_) => fresh = true,
        }
    }
}
