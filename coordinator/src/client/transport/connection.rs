//! A connection to the coordinator, of whatever sort, and what its far side said beside the stream.

use crate::client::ClientError;
use bytes::{Buf, Bytes};
use std::{
    io::IoSlice,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
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
    /// What is sent with the end of the first request's head, without waiting for its answer.
    behind: Bytes,
    /// The last bytes that were written of the head; nothing of `behind` goes before its end.
    last: [u8; HEAD_END.len()],
}

/// The end of a request's head.
const HEAD_END: [u8; 4] = *b"\r\n\r\n";

impl Connection {
    pub(super) fn new(stream: impl AsyncRead + AsyncWrite + Send + 'static, notes: Notes) -> Self {
        Self {
            stream: Box::pin(stream),
            notes,
            behind: Bytes::new(),
            last: [0; HEAD_END.len()],
        }
    }

    /// Sends this with the first request, which has no body.
    pub(super) fn say_behind(mut self, behind: Bytes) -> Self {
        self.behind = behind;
        self
    }

    /// What of that is not sent yet.
    pub(in crate::client) fn take_behind(&mut self) -> Bytes {
        std::mem::take(&mut self.behind)
    }

    fn waits_for_the_head(&self) -> bool {
        !self.behind.is_empty() && self.last != HEAD_END
    }

    /// Writes a part of the head, and with its end what goes behind it; of that no byte is counted.
    fn poll_write_head(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let head: usize = bufs.iter().map(|buf| buf.len()).sum();
        let mut all = bufs.to_vec();
        if after(self.last, bufs, head) == HEAD_END {
            all.push(IoSlice::new(&self.behind));
        }
        let written = ready!(self.stream.as_mut().poll_write_vectored(cx, &all))?;
        self.last = after(self.last, bufs, written);
        self.behind.advance(written.saturating_sub(head));
        Poll::Ready(Ok(written.min(head)))
    }
}

/// The last bytes when so many of these have followed.
fn after<const N: usize>(mut last: [u8; N], bufs: &[IoSlice<'_>], count: usize) -> [u8; N] {
    for byte in bufs.iter().flat_map(|buf| buf.iter()).take(count) {
        last.rotate_left(1);
        if let Some(end) = last.last_mut() {
            *end = *byte;
        }
    }
    last
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
        if self.waits_for_the_head() {
            return self.poll_write_head(cx, &[IoSlice::new(buf)]);
        }
        self.stream.as_mut().poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let it = &mut *self;
        while !it.behind.is_empty() && it.last == HEAD_END {
            match ready!(it.stream.as_mut().poll_write(cx, &it.behind))? {
                0 => return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into())),
                written => it.behind.advance(written),
            }
        }
        self.stream.as_mut().poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.stream.as_mut().poll_shutdown(cx)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        if self.waits_for_the_head() {
            return self.poll_write_head(cx, bufs);
        }
        self.stream.as_mut().poll_write_vectored(cx, bufs)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const HEAD: &[u8] = b"GET / HTTP/1.1\r\nupgrade: x\r\n\r\n";

    /// What comes out at the other end when the head is written in pieces.
    async fn sent(stream: impl Stream + 'static, behind: &Bytes, piece: usize) -> Connection {
        let mut connection = Connection::new(stream, Notes::default()).say_behind(behind.clone());
        for piece in HEAD.chunks(piece) {
            connection.write_all(piece).await.unwrap();
        }
        connection.flush().await.unwrap();
        connection.write_all(b"after").await.unwrap();
        connection
    }

    #[tokio::test]
    async fn what_is_said_behind_the_head_comes_once_and_right_behind_it() {
        let long = Bytes::from(vec![b'b'; 300_000]);
        let behind = long.slice(..10_000);
        let whole = [HEAD, &behind, b"after"].concat();
        for piece in [1, 5, HEAD.len()] {
            for room in [1, 40, 1 << 20] {
                let (ours, mut theirs) = tokio::io::duplex(room);
                let mut all = Vec::new();
                let writing = async { drop(sent(ours, &behind, piece).await) };
                let (read, ()) = tokio::join!(theirs.read_to_end(&mut all), writing);
                read.unwrap();
                assert!(all == whole, "{piece} {room}");
            }
            // A socket takes both in one call, as far as it has room.
            let (ours, mut theirs) = tokio::net::UnixStream::pair().unwrap();
            let mut all = Vec::new();
            let writing = async { drop(sent(ours, &long, piece).await) };
            let (read, ()) = tokio::join!(theirs.read_to_end(&mut all), writing);
            read.unwrap();
            assert!(all == [HEAD, &long, b"after"].concat(), "{piece}");
        }
    }

    #[tokio::test]
    async fn what_was_not_sent_can_be_taken_back() {
        let (ours, _theirs) = tokio::io::duplex(HEAD.len() + 10);
        let behind = Bytes::from_static(b"0123456789abc");
        let connection = Connection::new(ours, Notes::default());
        let mut connection = connection.say_behind(behind);
        connection.write_all(HEAD).await.unwrap();
        let flushed = tokio::time::timeout(std::time::Duration::ZERO, connection.flush()).await;
        assert!(flushed.is_err());
        assert_eq!(connection.take_behind(), "abc");
        assert!(connection.take_behind().is_empty());
    }
}
