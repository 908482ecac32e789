//! An attach WebSocket as a client speaks it.
//!
//! Owns: messages on a connection that was upgraded. Never asks what they say.

use super::outgoing::{Outgoing, Queue};
use crate::client::{ClientError, transport::chain};
use bytes::Bytes;
use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use std::task::{Context, Poll, ready};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message, Utf8Bytes,
        error::ProtocolError,
        protocol::{Role, WebSocketConfig},
    },
};

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// The two directions of a connection.
pub(super) async fn websocket(upgraded: Upgraded) -> (WebSocketSink, WebSocketSource) {
    let config = WebSocketConfig::default()
        .read_buffer_size(256 << 10)
        // Keystrokes and their echo must not wait for more.
        .write_buffer_size(0);
    let io = TokioIo::new(upgraded);
    let socket = WebSocketStream::from_raw_socket(io, Role::Client, Some(config)).await;
    let (sink, source) = socket.split();
    (WebSocketSink(sink), WebSocketSource(source))
}

/// The direction to the session.
pub(super) struct WebSocketSink(SplitSink<Socket, Message>);

impl WebSocketSink {
    /// Sends what is queued.
    pub(super) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        queue: &mut Queue,
    ) -> Poll<Result<(), Error>> {
        while !queue.is_empty() {
            ready!(self.0.poll_ready_unpin(cx))?;
            if let Some(next) = queue.pop() {
                self.0.start_send_unpin(match next {
                    Outgoing::Input(bytes) => Message::Binary(bytes),
                    Outgoing::Message(text) => Message::text(text),
                    Outgoing::Close => Message::Close(None),
                })?;
            }
        }
        self.0.poll_flush_unpin(cx)
    }
}

/// What comes in a message.
#[derive(Debug)]
pub(super) enum WebSocketPiece {
    Binary(Bytes),
    Text(Utf8Bytes),
}

/// The direction from the session.
pub(super) struct WebSocketSource(SplitStream<Socket>);

impl WebSocketSource {
    /// The next message; `None` at the connection's end. Safe to drop.
    pub(super) async fn next(&mut self) -> Option<Result<WebSocketPiece, ClientError>> {
        loop {
            return match self.0.next().await {
                Some(Ok(Message::Binary(bytes))) => Some(Ok(WebSocketPiece::Binary(bytes))),
                Some(Ok(Message::Text(text))) => Some(Ok(WebSocketPiece::Text(text))),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                // The coordinator's death shows as a close, an end, or a reset: all mean the same.
                None
                | Some(
                    Ok(Message::Close(_))
                    | Err(
                        Error::ConnectionClosed
                        | Error::AlreadyClosed
                        | Error::Io(_)
                        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake),
                    ),
                ) => None,
                Some(Err(error)) => Some(Err(ClientError::attach(chain(&error)))),
            };
        }
    }
}
