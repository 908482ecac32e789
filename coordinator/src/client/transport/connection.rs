//! A connection to the coordinator, of whatever sort, and what its far side said beside the stream.

use crate::client::ClientError;
use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The target of that name cannot be connected to.
pub(super) fn unreachable(target: &str, reason: impl ToString) -> ClientError {
    ClientError::Unreachable {
        target: target.to_owned(),
        reason: reason.to_string(),
    }
}

/// What the far side of a connection said beside the stream: stderr of the relay. Bounded.
#[derive(Debug, Clone, Default)]
pub(super) struct Notes(Arc<Mutex<Vec<u8>>>);

impl Notes {
    const MAX: usize = 4096;

    pub(super) fn add(&self, bytes: &[u8]) {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = Self::MAX.saturating_sub(notes.len());
        notes.extend(bytes.iter().take(room));
    }

    /// The text in one line, without control characters; `None` when nothing was said.
    pub(super) fn text(&self) -> Option<String> {
        let notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&notes);
        let words: Vec<&str> = text
            .split(|c: char| c.is_control() || c == ' ')
            .filter(|w| !w.is_empty())
            .collect();
        let line = words.join(" ");
        let line = line.strip_prefix("podbay: ").unwrap_or(&line);
        (!line.is_empty()).then(|| line.to_owned())
    }
}

trait Stream: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Stream for T {}

/// One connection to the coordinator.
pub(in crate::client) struct Connection {
    stream: Pin<Box<dyn Stream>>,
    pub(super) notes: Notes,
}

impl Connection {
    pub(super) fn new(stream: impl AsyncRead + AsyncWrite + Send + 'static, notes: Notes) -> Self {
        Self {
            stream: Box::pin(stream),
            notes,
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        self.stream.as_mut().poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.stream.as_mut().poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.stream.as_mut().poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.stream.as_mut().poll_shutdown(cx)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        self.stream.as_mut().poll_write_vectored(cx, bufs)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
