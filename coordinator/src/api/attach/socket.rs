//! A client's socket between its Upgrade and its hand-over.
//!
//! Owns: the bytes that came with the Upgrade, the spawn request, and the few messages that only the
//! coordinator may say. Never reads more than the request.

use crate::{
    api::security,
    wire::{ApiError, ErrorKind, ServerMessage, SpawnRequest},
};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use podbay_protocol::{AttachHead, AttachKind, message_frame};
use std::{io, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

/// A spawn request on a fresh connection has come by then.
const REQUEST_DEADLINE: Duration = Duration::from_secs(10);
/// A client has taken a message by then.
const SAY_DEADLINE: Duration = Duration::from_secs(5);

/// A client's socket.
pub(super) struct ClientSocket {
    pub(super) stream: UnixStream,
    /// What came with the Upgrade and belongs to the session.
    pub(super) first: Vec<u8>,
}

impl ClientSocket {
    /// The socket under a connection that was upgraded; `None` when its client has left.
    pub(super) async fn of(upgrade: OnUpgrade) -> Option<Self> {
        let upgraded = match upgrade.await {
            Ok(upgraded) => upgraded,
            Err(error) => {
                tracing::debug!(%error, "a client left before its connection was upgraded");
                return None;
            }
        };
        match upgraded.downcast::<TokioIo<UnixStream>>() {
            Ok(parts) => Some(Self {
                stream: parts.io.into_inner(),
                first: parts.read_buf.to_vec(),
            }),
            Err(_) => {
                tracing::error!("a client of the socket is on another connection");
                None
            }
        }
    }

    /// Reads the spawn request. A longer one than `most` bytes is read all the same, up to a bound, so
    /// that the refusal arrives.
    pub(super) async fn request(&mut self, most: usize) -> Result<SpawnRequest, ApiError> {
        let mut first = self.first.as_slice();
        let reading = read_request((&mut first).chain(&mut self.stream), most);
        let read = tokio::time::timeout(REQUEST_DEADLINE, reading).await;
        self.first = first.to_vec();
        let late = || ApiError::new(ErrorKind::Timeout, "no spawn request came");
        read.unwrap_or_else(|_| Err(late()))
    }

    /// Says something that only the coordinator may say; whether the client was told.
    pub(super) async fn say(&mut self, message: &ServerMessage) -> bool {
        let frame = match message_frame(message) {
            Ok(frame) => frame,
            Err(error) => {
                tracing::error!(%error, "a message cannot be written");
                return false;
            }
        };
        let written = tokio::time::timeout(SAY_DEADLINE, self.stream.write_all(&frame)).await;
        matches!(written, Ok(Ok(())))
    }
}

async fn read_request(
    mut from: impl AsyncRead + Unpin,
    most: usize,
) -> Result<SpawnRequest, ApiError> {
    let invalid = |why: String| ApiError::new(ErrorKind::Invalid, why);
    let unreadable =
        |error: io::Error| invalid(format!("the spawn request cannot be read: {error}"));
    let mut head = [0; AttachHead::LEN];
    from.read_exact(&mut head).await.map_err(unreadable)?;
    let bound = most.saturating_add(security::MAX_DISCARDED);
    let head = AttachHead::parse(head, bound).map_err(|error| invalid(error.to_string()))?;
    if head.kind != AttachKind::Message {
        return Err(invalid(
            "the first frame has to be a message with a spawn request".to_owned(),
        ));
    }
    let length = u64::try_from(head.len).unwrap_or(u64::MAX);
    if head.len > most {
        let mut rest = from.take(length);
        tokio::io::copy(&mut rest, &mut tokio::io::sink())
            .await
            .map_err(unreadable)?;
        return Err(security::too_large("the spawn request", most));
    }
    let mut text = Vec::with_capacity(head.len);
    from.take(length)
        .read_to_end(&mut text)
        .await
        .map_err(unreadable)?;
    serde_json::from_slice(&text)
        .map_err(|e| invalid(format!("the first message is no spawn request: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: AttachKind, body: &[u8]) -> Vec<u8> {
        let len = body.len();
        [&AttachHead { kind, len }.bytes()[..], body].concat()
    }

    /// What is read of these bytes, and what is left of those that came with the Upgrade.
    async fn read(bytes: &[u8], first: usize) -> (Result<SpawnRequest, ApiError>, Vec<u8>) {
        let (stream, mut client) = UnixStream::pair().unwrap();
        let (first, rest) = bytes.split_at(first.min(bytes.len()));
        let first = first.to_vec();
        let mut socket = ClientSocket { stream, first };
        let (request, ()) = tokio::join!(socket.request(64), async {
            // A refusal may come before all of it was taken.
            drop(client.write_all(rest).await);
            drop(client.shutdown().await);
        });
        let mut left = socket.first;
        socket.stream.read_to_end(&mut left).await.unwrap();
        (request, left)
    }

    #[tokio::test]
    async fn a_request_is_read_and_nothing_behind_it() {
        let mut wire = frame(AttachKind::Message, br#"{"argv":["true"]}"#);
        let behind = frame(AttachKind::Main, b"typed ahead");
        wire.extend(&behind);
        for first in [0, 3, 5, 20, wire.len() - 4, wire.len()] {
            let (request, left) = read(&wire, first).await;
            assert_eq!(request.unwrap().argv, ["true"], "{first}");
            assert_eq!(left, behind, "{first}");
        }
    }

    #[tokio::test]
    async fn what_is_no_request_or_too_long_is_refused() {
        let long = frame(AttachKind::Message, &[b' '; 65]);
        let endless = AttachHead {
            kind: AttachKind::Message,
            len: 65 + security::MAX_DISCARDED,
        };
        let cut = &frame(AttachKind::Message, br#"{"argv":["true"]}"#)[..12];
        for (wire, kind, part) in [
            (long.as_slice(), ErrorKind::TooLarge, "too large"),
            (&endless.bytes(), ErrorKind::Invalid, "too long"),
            (
                &frame(AttachKind::Main, b"{}"),
                ErrorKind::Invalid,
                "message",
            ),
            (&[9, 0, 0, 0, 1, 0], ErrorKind::Invalid, "kind 9"),
            (cut, ErrorKind::Invalid, "no spawn request"),
            (b"", ErrorKind::Invalid, "cannot be read"),
        ] {
            let (request, _) = read(wire, 0).await;
            let error = request.unwrap_err();
            assert_eq!(error.kind, kind, "{error}");
            assert!(error.message.contains(part), "{error}");
        }
    }
}
