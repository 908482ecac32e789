//! The direction to a session.
//!
//! Owns: the queue of what is said, and how much input may be on its way. Never sends more input than
//! the session's worker has room for.

use super::{
    framed::FrameSink,
    outgoing::{Outgoing, Queue},
    websocket::WebSocketSink,
};
use crate::{
    client::{ClientError, Target, transport::chain},
    wire::ClientMessage,
};
use bytes::Bytes;
use podbay_protocol::{MAX_ATTACH_DATA, Size};
use std::future::poll_fn;
use tokio::sync::watch;

/// Largest piece of input in one message or frame. The server may limit messages; typing never gets
/// there.
const MAX_INPUT: usize = MAX_ATTACH_DATA;

/// How it is sent.
pub(super) enum Sink {
    Frames(FrameSink),
    WebSocket(WebSocketSink),
}

/// The direction to the session. What is said waits in a queue until [`Self::progress`] has sent it;
/// input is at its end, and never more than the session's worker has room for.
pub struct AttachSender {
    sink: Sink,
    target: Target,
    queue: Queue,
    /// Whether something queued is not sent altogether.
    busy: bool,
    /// Input that was queued, and how much may have been; bytes since the start.
    input: u64,
    limit: watch::Receiver<u64>,
}

impl AttachSender {
    pub(super) fn new(sink: Sink, target: Target, limit: watch::Receiver<u64>) -> Self {
        Self {
            sink,
            target,
            queue: Queue::default(),
            busy: false,
            input: 0,
            limit,
        }
    }

    fn say(&mut self, message: &ClientMessage) -> Result<(), ClientError> {
        let text = serde_json::to_string(message).map_err(ClientError::attach)?;
        self.queue_message(text);
        Ok(())
    }

    /// Queues what passes input by.
    pub(super) fn queue_message(&mut self, text: String) {
        self.queue.first(text);
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
        if self.queue.has_input() {
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
            self.queue.last(Outgoing::Input(piece));
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

    /// Sends all that is queued. Safe to drop.
    ///
    /// # Errors
    /// As [`Self::progress`].
    pub(super) async fn flush(&mut self) -> Result<(), ClientError> {
        let (sink, queue) = (&mut self.sink, &mut self.queue);
        let sent = poll_fn(|cx| match sink {
            Sink::Frames(sink) => sink.poll_send(cx, queue).map_err(|error| chain(&error)),
            Sink::WebSocket(sink) => sink.poll_send(cx, queue).map_err(|error| chain(&error)),
        });
        sent.await
            .map_err(|reason| self.target.unreachable(reason))?;
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
        let text = serde_json::to_string(&ClientMessage::Eof).map_err(ClientError::attach)?;
        // It does not pass input by.
        self.queue.last(Outgoing::Message(text));
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

    /// Queues the word that this client leaves on purpose, so that its session goes on.
    ///
    /// # Errors
    /// [`ClientError::Protocol`], when it cannot be written as JSON.
    pub fn queue_detach(&mut self) -> Result<(), ClientError> {
        self.say(&ClientMessage::Detach)
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
        self.queue.last(Outgoing::Close);
        self.busy = true;
        self.flush().await
    }
}
