//! `podbay-attach/1` as a client speaks it.
//!
//! Owns: frames on a connection that was upgraded. Never believes a length before it was checked, and
//! never holds a frame of output back until it is whole.

use super::outgoing::{Outgoing, Queue};
use crate::client::{ClientError, transport::Connection};
use bytes::{Buf, Bytes, BytesMut};
use podbay_protocol::{
    AttachFrameError, AttachFraming, AttachHead, AttachKind, MAX_ATTACH_MESSAGE,
};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncReadExt, AsyncWrite, ReadHalf, WriteHalf};

/// How much is read at once.
const READ: usize = 64 << 10;
/// So much room is left at least before more is allocated.
const LEAST_ROOM: usize = 4 << 10;
/// The coordinator's answer to a spawn has so many bytes at most.
pub(super) const MAX_SPAWNED: usize = 1 << 20;

/// The two directions of a connection, on which some bytes have come already, and some are to be sent
/// first.
pub(super) fn frames(
    connection: Connection,
    came: &[u8],
    unsent: &[u8],
) -> (FrameSink, FrameSource) {
    let (reader, writer) = tokio::io::split(connection);
    let sink = FrameSink {
        writer,
        pending: BytesMut::from(unsent),
        closing: false,
    };
    let source = FrameSource {
        reader,
        buffer: BytesMut::from(came),
        framing: AttachFraming::new(MAX_ATTACH_MESSAGE),
    };
    (sink, source)
}

/// The direction to the session.
pub(super) struct FrameSink {
    writer: WriteHalf<Connection>,
    /// Frames on their way: some messages, and a piece of input at most.
    pending: BytesMut,
    closing: bool,
}

impl FrameSink {
    /// Sends what is queued: what is said together is one write.
    pub(super) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        queue: &mut Queue,
    ) -> Poll<io::Result<()>> {
        loop {
            while !self.pending.is_empty() {
                let written = Pin::new(&mut self.writer).poll_write(cx, &self.pending);
                match ready!(written)? {
                    0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    count => self.pending.advance(count),
                }
            }
            if self.closing {
                return Pin::new(&mut self.writer).poll_shutdown(cx);
            }
            if queue.is_empty() {
                return Pin::new(&mut self.writer).poll_flush(cx);
            }
            self.encode(queue);
        }
    }

    /// Takes from the queue up to a piece of input: what is said meanwhile goes before the next one.
    fn encode(&mut self, queue: &mut Queue) {
        while let Some(next) = queue.pop() {
            let (kind, body) = match &next {
                Outgoing::Input(bytes) => (AttachKind::Main, bytes.as_ref()),
                Outgoing::Message(text) => (AttachKind::Message, text.as_bytes()),
                Outgoing::Close => {
                    self.closing = true;
                    return;
                }
            };
            let len = body.len();
            self.pending
                .extend_from_slice(&AttachHead { kind, len }.bytes());
            self.pending.extend_from_slice(body);
            if kind == AttachKind::Main {
                return;
            }
        }
    }
}

/// What comes in a frame; of output perhaps only a part of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FramePiece {
    Main(Bytes),
    Error(Bytes),
    Message(Bytes),
}

/// The direction from the session.
pub(super) struct FrameSource {
    reader: ReadHalf<Connection>,
    buffer: BytesMut,
    framing: AttachFraming,
}

impl FrameSource {
    /// The next piece; `None` at the connection's end, wherever in a frame that is. Safe to drop.
    pub(super) async fn next(&mut self) -> Option<Result<FramePiece, ClientError>> {
        loop {
            match self.parse() {
                Ok(None) => {}
                Ok(Some(piece)) => return Some(Ok(piece)),
                Err(error) => return Some(Err(ClientError::attach(error))),
            }
            if self.buffer.capacity() - self.buffer.len() < LEAST_ROOM {
                self.buffer.reserve(READ);
            }
            match self.reader.read_buf(&mut self.buffer).await {
                Ok(1..) => {}
                // An agent that is gone shows as an end or a reset.
                Ok(0) | Err(_) => return None,
            }
        }
    }

    /// The first message, which is the coordinator's; `None` when it went away without a word.
    pub(super) async fn coordinator_says(&mut self) -> Option<Result<Bytes, ClientError>> {
        self.framing.set_max_message(MAX_SPAWNED);
        let said = self.next().await;
        self.framing.set_max_message(MAX_ATTACH_MESSAGE);
        said.map(|said| match said? {
            FramePiece::Message(text) => Ok(text),
            other => Err(ClientError::attach(format!("{other:?} before the worker"))),
        })
    }

    fn parse(&mut self) -> Result<Option<FramePiece>, AttachFrameError> {
        while let Some(span) = self.framing.next_span(&self.buffer)? {
            self.buffer.advance(span.skip);
            let piece = self.buffer.split_to(span.len).freeze();
            return Ok(Some(match span.kind {
                AttachKind::Message => FramePiece::Message(piece),
                AttachKind::Main | AttachKind::Error if piece.is_empty() => continue,
                AttachKind::Main => FramePiece::Main(piece),
                AttachKind::Error => FramePiece::Error(piece),
            }));
        }
        Ok(None)
    }
}
