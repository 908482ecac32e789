//! Connections to the coordinator: its socket, exec in its container, TLS; and the protocols on them.
//!
//! Owns deadlines of connecting and framing. Knows no call of the API.

mod exec;
mod http;
mod mux;
mod sse;
mod tls;

pub(super) use exec::chain;
pub(super) use http::{Call, Http, within};
pub(super) use sse::SseParser;
pub use tls::TlsTarget;

use super::{ClientError, EngineAddress};
use std::{
    path::PathBuf,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::UnixStream,
};

/// Where the coordinator is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Its socket, in this file system.
    Socket(PathBuf),
    /// In a container: `podbay relay` runs there by engine exec, and its stdio is the connection.
    Exec {
        /// The engine.
        engine: EngineAddress,
        /// The parent container's name or id.
        container: String,
    },
    /// Over TCP.
    Tls(Arc<TlsTarget>),
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "{}", path.display()),
            Self::Tls(tls) => write!(f, "https://{}", tls.authority),
            Self::Exec { engine, container } => write!(f, "container {container} on {engine}"),
        }
    }
}

impl Target {
    /// Opens one connection.
    pub(super) async fn connect(&self) -> Result<Connection, ClientError> {
        match self {
            Self::Socket(path) => match UnixStream::connect(path).await {
                Ok(stream) => Ok(Connection::new(stream, Notes::default())),
                Err(error) => Err(self.unreachable(error)),
            },
            Self::Tls(tls) => tls.connect(self).await,
            Self::Exec { engine, container } => exec::open(self, engine, container).await,
        }
    }

    pub(super) fn unreachable(&self, reason: impl ToString) -> ClientError {
        ClientError::Unreachable {
            target: self.to_string(),
            reason: reason.to_string(),
        }
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
pub(super) struct Connection {
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
