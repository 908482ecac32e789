//! The direction from a session.
//!
//! Owns: what the connection itself needs (windows, what the session is on) and the end. Never hands on
//! what only the coordinator may say, where it is a worker that speaks.

use super::{
    framed::{FramePiece, FrameSource},
    websocket::{WebSocketPiece, WebSocketSource},
};
use crate::{
    client::{ClientError, Target},
    wire::{INPUT_WINDOW, STDERR_CHANNEL, STDOUT_CHANNEL, ServerMessage},
};
use bytes::{Buf, Bytes};
use podbay_protocol::SessionMessage;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

/// Where it comes from.
pub(super) enum Source {
    /// The session's worker: nothing of it is the coordinator's word.
    Frames(FrameSource),
    /// The coordinator.
    WebSocket(WebSocketSource),
}

/// The direction from the session.
pub struct AttachReceiver {
    source: Source,
    target: Target,
    pub(super) pipes: bool,
    ended: bool,
    /// What the session's worker has room for; `None`: whatever comes.
    window: Option<u32>,
    limit: watch::Sender<u64>,
}

/// What comes from a session.
#[derive(Debug, Clone)]
pub enum Incoming {
    /// Output of the terminal, or stdout of a session on pipes.
    Output(Bytes),
    /// Stderr of a session on pipes.
    Stderr(Bytes),
    /// Anything else.
    Message(ServerMessage),
}

/// What is said on an attach, as JSON; `None`: a newer version may say things that this client does not
/// know.
pub(super) fn understand<T: DeserializeOwned>(text: &[u8]) -> Result<Option<T>, ClientError> {
    match serde_json::from_slice(text) {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.is_data() => Ok(None),
        Err(error) => Err(ClientError::attach(error)),
    }
}

impl AttachReceiver {
    pub(super) fn new(
        source: Source,
        target: Target,
        pipes: bool,
        limit: watch::Sender<u64>,
    ) -> Self {
        let window = match source {
            Source::Frames(_) => Some(INPUT_WINDOW),
            Source::WebSocket(_) => None,
        };
        Self {
            source,
            target,
            pipes,
            ended: false,
            window,
            limit,
        }
    }

    /// The next thing from the session; `None` when the connection ended. An end without
    /// `Exited` or `Error` before it means that the connection broke and the session goes on:
    /// attach again. Safe to drop between messages.
    pub async fn next(&mut self) -> Option<Result<Incoming, ClientError>> {
        while !self.ended {
            let heard = match &mut self.source {
                Source::Frames(source) => match source.next().await {
                    Some(piece) => piece.and_then(|piece| self.piece(piece)),
                    None => return self.end(None),
                },
                Source::WebSocket(source) => match source.next().await {
                    Some(piece) => piece.and_then(|piece| self.message(piece)),
                    None => return self.end(None),
                },
            };
            match heard {
                Ok(Some(Incoming::Message(message))) => {
                    if let Some(message) = self.note(message) {
                        return Some(Ok(Incoming::Message(message)));
                    }
                }
                Ok(Some(output)) => return Some(Ok(output)),
                Ok(None) => {}
                Err(error) => return self.end(Some(error)),
            }
        }
        None
    }

    /// What a worker says in a frame.
    fn piece(&self, piece: FramePiece) -> Result<Option<Incoming>, ClientError> {
        match piece {
            FramePiece::Main(bytes) => Ok(Some(Incoming::Output(bytes))),
            FramePiece::Error(bytes) if self.pipes => Ok(Some(Incoming::Stderr(bytes))),
            FramePiece::Error(_) => Err(ClientError::attach("stderr of a terminal")),
            FramePiece::Message(text) => {
                let said = understand::<SessionMessage>(&text)?;
                Ok(said.map(|said| {
                    Incoming::Message(match said.into() {
                        // What the session is on is not for its worker to say.
                        ServerMessage::Attached { writer, .. } => ServerMessage::Attached {
                            writer,
                            pipes: self.pipes,
                        },
                        said => said,
                    })
                }))
            }
        }
    }

    /// What the coordinator says in a message.
    fn message(&mut self, piece: WebSocketPiece) -> Result<Option<Incoming>, ClientError> {
        match piece {
            WebSocketPiece::Binary(bytes) => self.output(bytes).map(Some),
            WebSocketPiece::Text(text) => Ok(understand(text.as_bytes())?.map(Incoming::Message)),
        }
    }

    /// Takes note of what is the connection's own; gives the rest.
    fn note(&mut self, message: ServerMessage) -> Option<ServerMessage> {
        match message {
            ServerMessage::Window { bytes } => self.window = Some(bytes),
            ServerMessage::Taken { total } => self.taken(total),
            message => {
                if let ServerMessage::Attached { pipes, .. } = &message {
                    self.pipes |= *pipes;
                    self.taken(0);
                }
                return Some(message);
            }
        }
        None
    }

    /// So much input was taken: there is room for the window's bytes beyond it.
    fn taken(&self, total: u64) {
        // A coordinator that grants no window takes what it is sent.
        let limit = self
            .window
            .map_or(u64::MAX, |window| total.saturating_add(window.into()));
        self.limit.send_if_modified(|now| {
            let more = limit > *now;
            *now = limit.max(*now);
            more
        });
    }

    fn end(&mut self, error: Option<ClientError>) -> Option<Result<Incoming, ClientError>> {
        self.ended = true;
        error.map(Err)
    }

    fn output(&mut self, mut bytes: Bytes) -> Result<Incoming, ClientError> {
        if !self.pipes {
            return Ok(Incoming::Output(bytes));
        }
        let channel = bytes.first().copied();
        bytes.advance(bytes.len().min(1));
        match channel {
            Some(STDOUT_CHANNEL) => Ok(Incoming::Output(bytes)),
            Some(STDERR_CHANNEL) => Ok(Incoming::Stderr(bytes)),
            other => Err(ClientError::attach(format!(
                "output on channel {other:?} of {}",
                self.target
            ))),
        }
    }
}
