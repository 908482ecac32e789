//! Attach: a WebSocket on a session.

use super::{
    Client, ClientError, Target,
    encode::{Query, encode},
    exec::chain,
    http::{Call, within},
};
use crate::wire::{
    AttachQuery, ClientMessage, STDERR_CHANNEL, STDOUT_CHANNEL, ServerMessage, SpawnRequest,
    SpawnResponse,
};
use bytes::{Buf, Bytes};
use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use hyper::{Method, StatusCode, header, upgrade::Upgraded};
use hyper_util::rt::TokioIo;
use podbay_protocol::{AttachMode, SessionIo, Size};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message,
        handshake::{client::generate_key, derive_accept_key},
        protocol::{Role, WebSocketConfig},
    },
};

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Largest piece of input in one message. The server may limit messages; typing never gets there.
const MAX_INPUT: usize = 64 << 10;

/// A client's connection to a session.
pub struct AttachStream {
    sender: AttachSender,
    receiver: AttachReceiver,
}

impl AttachStream {
    /// The two directions, to be used from different tasks.
    #[must_use]
    pub fn split(self) -> (AttachSender, AttachReceiver) {
        (self.sender, self.receiver)
    }

    /// Says that the session is on pipes, when the caller knows from how it was started.
    #[must_use]
    pub fn on_pipes(mut self, pipes: bool) -> Self {
        self.receiver.pipes |= pipes;
        self
    }
}

/// The direction to the session.
pub struct AttachSender {
    sink: SplitSink<Socket, Message>,
    target: Target,
}

/// The direction from the session.
pub struct AttachReceiver {
    stream: SplitStream<Socket>,
    target: Target,
    pipes: bool,
    ended: bool,
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

impl AttachSender {
    async fn send(&mut self, message: Message) -> Result<(), ClientError> {
        self.sink
            .send(message)
            .await
            .map_err(|error| self.target.unreachable(chain(&error)))
    }

    async fn say(&mut self, message: &ClientMessage) -> Result<(), ClientError> {
        let text = serde_json::to_string(message).map_err(protocol)?;
        self.send(Message::text(text)).await
    }

    /// Input bytes, as typed.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`] when the connection is gone; the input may be lost.
    pub async fn input(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        for piece in bytes.chunks(MAX_INPUT) {
            self.send(Message::binary(Bytes::copy_from_slice(piece)))
                .await?;
        }
        Ok(())
    }

    /// The client's terminal has this size now.
    ///
    /// # Errors
    /// As [`Self::input`].
    pub async fn resize(&mut self, size: Size) -> Result<(), ClientError> {
        self.say(&ClientMessage::Resize { size }).await
    }

    /// Makes this client the writer.
    ///
    /// # Errors
    /// As [`Self::input`].
    pub async fn takeover(&mut self) -> Result<(), ClientError> {
        self.say(&ClientMessage::Takeover).await
    }

    /// No more input.
    ///
    /// # Errors
    /// As [`Self::input`].
    pub async fn eof(&mut self) -> Result<(), ClientError> {
        self.say(&ClientMessage::Eof).await
    }

    /// Sends a signal to the session's process group.
    ///
    /// # Errors
    /// As [`Self::input`].
    pub async fn signal(&mut self, signal: i32) -> Result<(), ClientError> {
        self.say(&ClientMessage::Signal { signal }).await
    }

    /// Detaches; the session goes on.
    ///
    /// # Errors
    /// As [`Self::input`].
    pub async fn close(&mut self) -> Result<(), ClientError> {
        self.send(Message::Close(None)).await
    }
}

impl AttachReceiver {
    /// The next thing from the session; `None` when the connection ended. An end without
    /// `Exited` or `Error` before it means that the coordinator went away and the session goes on:
    /// attach again. Safe to drop between messages.
    pub async fn next(&mut self) -> Option<Result<Incoming, ClientError>> {
        while !self.ended {
            match self.stream.next().await {
                Some(Ok(Message::Binary(bytes))) => return Some(self.output(bytes)),
                Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
                    Ok(message) => {
                        if let ServerMessage::Attached { pipes: true, .. } = &message {
                            self.pipes = true;
                        }
                        return Some(Ok(Incoming::Message(message)));
                    }
                    // A newer coordinator may say things that this client does not know.
                    Err(error) if error.is_data() => {}
                    Err(error) => return self.end(Some(protocol(error))),
                },
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                // The coordinator's death shows as a close, an end, or a reset: all mean the same.
                Some(Ok(Message::Close(_)) | Err(Error::ConnectionClosed | Error::AlreadyClosed | Error::Io(_)))
                | None => return self.end(None),
                Some(Err(Error::Protocol(
                    tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
                ))) => return self.end(None),
                Some(Err(error)) => return self.end(Some(protocol(chain(&error)))),
            }
        }
        None
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
            other => {
                self.ended = true;
                Err(protocol(format!(
                    "output on channel {other:?} of {}",
                    self.target
                )))
            }
        }
    }
}

fn protocol(error: impl ToString) -> ClientError {
    ClientError::Protocol {
        what: "attach".into(),
        reason: error.to_string(),
    }
}

fn mode_name(mode: AttachMode) -> Result<String, ClientError> {
    match serde_json::to_value(mode).map_err(protocol)? {
        serde_json::Value::String(name) => Ok(name),
        other => Err(protocol(format!("mode {other}"))),
    }
}

impl Client {
    /// Attaches to a worker's session.
    ///
    /// # Errors
    /// [`ClientError::Api`] with `not_found` when there is no such worker; any other when there is
    /// no connection.
    pub async fn attach(
        &self,
        name: &str,
        query: &AttachQuery,
    ) -> Result<AttachStream, ClientError> {
        let params = Query::default()
            .pair("mode", mode_name(query.mode)?.as_bytes())
            .maybe("cols", query.cols)
            .maybe("rows", query.rows)
            .maybe("session", query.session.as_ref())
            .done();
        self.open_websocket(format!(
            "/v1/workers/{}/attach{params}",
            encode(name.as_bytes())
        ))
        .await
    }

    /// Claims a worker, starts a command in it and attaches to it, in one round trip.
    ///
    /// # Errors
    /// [`ClientError::Api`] says why there is no worker or why its command did not start.
    pub async fn spawn_attached(
        &self,
        request: &SpawnRequest,
    ) -> Result<(SpawnResponse, AttachStream), ClientError> {
        let stream = self.open_websocket("/v1/spawn".into()).await?;
        let mut stream = stream.on_pipes(request.io == SessionIo::Pipes);
        let text = serde_json::to_string(request).map_err(protocol)?;
        stream.sender.send(Message::text(text)).await?;
        let spawned = within(self.deadlines().spawn, "GET /v1/spawn", async {
            match stream.receiver.next().await {
                Some(Ok(Incoming::Message(ServerMessage::Spawned(response)))) => Ok(*response),
                Some(Ok(Incoming::Message(ServerMessage::Error(error)))) => Err(error.into()),
                Some(Ok(other)) => Err(protocol(format!("{other:?} before the worker"))),
                Some(Err(error)) => Err(error),
                None => Err(self
                    .target()
                    .unreachable("it went away while the worker was claimed")),
            }
        })
        .await?;
        Ok((spawned, stream))
    }

    async fn open_websocket(&self, path: String) -> Result<AttachStream, ClientError> {
        let key = generate_key();
        let mut call = Call::new(Method::GET, path);
        call.headers = vec![
            (header::CONNECTION, "Upgrade".into()),
            (header::UPGRADE, "websocket".into()),
            (header::SEC_WEBSOCKET_VERSION, "13".into()),
            (header::SEC_WEBSOCKET_KEY, key.clone()),
        ];
        let deadline = self.deadlines().ordinary;
        let expected = StatusCode::SWITCHING_PROTOCOLS;
        let (answer, _link) = self.http().stream(&call, expected, deadline).await?;
        let accept = answer.headers().get(header::SEC_WEBSOCKET_ACCEPT);
        if accept
            .is_none_or(|given| given.as_bytes() != derive_accept_key(key.as_bytes()).as_bytes())
        {
            return Err(protocol("not a WebSocket: the accept key is wrong"));
        }
        let target = self.target().clone();
        let upgraded = within(deadline, "attach", async {
            hyper::upgrade::on(answer)
                .await
                .map_err(|error| target.unreachable(chain(&error)))
        })
        .await?;
        let config = WebSocketConfig::default()
            .read_buffer_size(256 << 10)
            // Keystrokes and their echo must not wait for more.
            .write_buffer_size(0);
        let socket =
            WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, Some(config))
                .await;
        let (sink, stream) = socket.split();
        Ok(AttachStream {
            sender: AttachSender {
                sink,
                target: target.clone(),
            },
            receiver: AttachReceiver {
                stream,
                target,
                pipes: false,
                ended: false,
            },
        })
    }
}
