//! Attach: a WebSocket on a session.

use super::{
    Client, ClientError, Target,
    query::Query,
    transport::{Call, chain, within},
};
use crate::wire::{
    AttachQuery, ClientMessage, INPUT_WINDOW, INPUT_WINDOW_PARAM, STDERR_CHANNEL, STDOUT_CHANNEL,
    ServerMessage, SpawnRequest, SpawnResponse, percent::encode,
};
use bytes::{Buf, Bytes};
use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use hyper::{Method, StatusCode, header, upgrade::Upgraded};
use hyper_util::rt::TokioIo;
use podbay_protocol::{AttachMode, SessionIo, Size};
use std::{collections::VecDeque, future::poll_fn, task::ready};
use tokio::sync::watch;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message,
        handshake::{client::generate_key, derive_accept_key},
        protocol::{Role, WebSocketConfig},
    },
};

use std::time::Duration;

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Largest piece of input in one message. The server may limit messages; typing never gets there.
const MAX_INPUT: usize = 64 << 10;

/// After a request that could not be sent whole, the coordinator's reason is there by then.
const ANSWER: Duration = Duration::from_secs(2);

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

/// The direction to the session. What is said waits in a queue until [`Self::progress`] has sent it;
/// input is at its end, and never more than the session's worker has room for.
pub struct AttachSender {
    sink: SplitSink<Socket, Message>,
    target: Target,
    queue: VecDeque<Message>,
    /// Whether something queued is not sent altogether.
    busy: bool,
    /// Input that was queued, and how much may have been; bytes since the start.
    input: u64,
    limit: watch::Receiver<u64>,
}

/// The direction from the session.
pub struct AttachReceiver {
    stream: SplitStream<Socket>,
    target: Target,
    pipes: bool,
    ended: bool,
    /// What the session's worker has room for.
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

impl AttachSender {
    fn say(&mut self, message: &ClientMessage) -> Result<(), ClientError> {
        let text = serde_json::to_string(message).map_err(protocol)?;
        self.control(Message::text(text));
        Ok(())
    }

    /// Queues what passes input by.
    fn control(&mut self, message: Message) {
        let input = |queued: &Message| queued.is_binary();
        let at = self.queue.iter().position(input);
        self.queue.insert(at.unwrap_or(self.queue.len()), message);
        self.busy = true;
    }

    /// Whether [`Self::progress`] has something to send.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.busy
    }

    /// How much input [`Self::queue_input`] would take now; bytes.
    #[must_use]
    pub fn room(&self) -> usize {
        // One piece at a time: what is said meanwhile goes before the next.
        if self.queue.iter().any(Message::is_binary) {
            return 0;
        }
        let room = self.limit.borrow().saturating_sub(self.input);
        usize::try_from(room).unwrap_or(usize::MAX).min(MAX_INPUT)
    }

    /// Queues input, as typed; says how much of it there was room for.
    pub fn queue_input(&mut self, bytes: &[u8]) -> usize {
        let piece = bytes.get(..self.room()).unwrap_or(bytes);
        if !piece.is_empty() {
            self.input += piece.len() as u64;
            let piece = Bytes::copy_from_slice(piece);
            self.queue.push_back(Message::Binary(piece));
            self.busy = true;
        }
        piece.len()
    }

    /// Sends what is queued; with nothing queued, waits for room for input. Safe to drop.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`] when the connection is gone; what was queued may be lost.
    pub async fn progress(&mut self) -> Result<(), ClientError> {
        if self.busy {
            return self.flush().await;
        }
        let input = self.input;
        // The receiver is gone only when nobody reads this connection any more.
        let waited = self.limit.wait_for(|limit| *limit > input).await.is_ok();
        if !waited {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), ClientError> {
        let sent = poll_fn(|cx| {
            while !self.queue.is_empty() {
                ready!(self.sink.poll_ready_unpin(cx))?;
                if let Some(next) = self.queue.pop_front() {
                    self.sink.start_send_unpin(next)?;
                }
            }
            self.sink.poll_flush_unpin(cx)
        });
        sent.await
            .map_err(|error: Error| self.target.unreachable(chain(&error)))?;
        self.busy = false;
        Ok(())
    }

    /// Sends all of this input, as typed; waits for room for it.
    ///
    /// # Errors
    /// As [`Self::progress`].
    pub async fn input(&mut self, mut bytes: &[u8]) -> Result<(), ClientError> {
        while !bytes.is_empty() {
            let taken = self.queue_input(bytes);
            bytes = bytes.get(taken..).unwrap_or_default();
            self.progress().await?;
        }
        Ok(())
    }

    /// Queues the size that the client's terminal has now.
    ///
    /// # Errors
    /// [`ClientError::Protocol`], when it cannot be written as JSON.
    pub fn queue_resize(&mut self, size: Size) -> Result<(), ClientError> {
        self.say(&ClientMessage::Resize { size })
    }

    /// The client's terminal has this size now.
    ///
    /// # Errors
    /// As [`Self::progress`].
    pub async fn resize(&mut self, size: Size) -> Result<(), ClientError> {
        self.queue_resize(size)?;
        self.flush().await
    }

    /// Makes this client the writer.
    ///
    /// # Errors
    /// As [`Self::progress`].
    pub async fn takeover(&mut self) -> Result<(), ClientError> {
        self.say(&ClientMessage::Takeover)?;
        self.flush().await
    }

    /// Queues the end of the input.
    ///
    /// # Errors
    /// [`ClientError::Protocol`], when it cannot be written as JSON.
    pub fn queue_eof(&mut self) -> Result<(), ClientError> {
        let text = serde_json::to_string(&ClientMessage::Eof).map_err(protocol)?;
        // It does not pass input by.
        self.queue.push_back(Message::text(text));
        self.busy = true;
        Ok(())
    }

    /// No more input.
    ///
    /// # Errors
    /// As [`Self::progress`].
    pub async fn eof(&mut self) -> Result<(), ClientError> {
        self.queue_eof()?;
        self.flush().await
    }

    /// Queues a signal for the session's process group.
    ///
    /// # Errors
    /// [`ClientError::Protocol`], when it cannot be written as JSON.
    pub fn queue_signal(&mut self, signal: i32) -> Result<(), ClientError> {
        self.say(&ClientMessage::Signal { signal })
    }

    /// Sends a signal to the session's process group.
    ///
    /// # Errors
    /// As [`Self::progress`].
    pub async fn signal(&mut self, signal: i32) -> Result<(), ClientError> {
        self.queue_signal(signal)?;
        self.flush().await
    }

    /// Detaches; the session goes on. What was queued is sent before.
    ///
    /// # Errors
    /// As [`Self::progress`].
    pub async fn close(&mut self) -> Result<(), ClientError> {
        self.queue.push_back(Message::Close(None));
        self.busy = true;
        self.flush().await
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
                    Ok(ServerMessage::Window { bytes }) => self.window = Some(bytes),
                    Ok(ServerMessage::Taken { total }) => self.taken(total),
                    Ok(message) => {
                        if let ServerMessage::Attached { pipes, .. } = &message {
                            self.pipes |= *pipes;
                            self.taken(0);
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
            .pair(INPUT_WINDOW_PARAM, b"true")
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
        let params = Query::default().pair(INPUT_WINDOW_PARAM, b"true").done();
        let stream = self.open_websocket(format!("/v1/spawn{params}")).await?;
        let mut stream = stream.on_pipes(request.io == SessionIo::Pipes);
        let text = serde_json::to_string(request).map_err(protocol)?;
        stream.sender.control(Message::text(text));
        if let Err(error) = stream.sender.flush().await {
            // A coordinator that refuses a request closes before it has read all of it.
            return match within(ANSWER, "GET /v1/spawn", async {
                Ok(stream.receiver.next().await)
            })
            .await
            {
                Ok(Some(Ok(Incoming::Message(ServerMessage::Error(said))))) => Err(said.into()),
                _ => Err(error),
            };
        }
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
        let (limit, room) = watch::channel(INPUT_WINDOW.into());
        Ok(AttachStream {
            sender: AttachSender {
                sink,
                target: target.clone(),
                queue: VecDeque::new(),
                busy: false,
                input: 0,
                limit: room,
            },
            receiver: AttachReceiver {
                stream,
                target,
                pipes: false,
                ended: false,
                window: None,
                limit,
            },
        })
    }
}
