//! The other end of a client's `podbay-attach/1`, and what a client hears.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use crate::server::{Answer, Server, request_bytes};
use coordinator::{
    client::{ClientError, Incoming},
    wire::{AttachQuery, ServerMessage},
};
use podbay_protocol::{AttachHead, AttachKind};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
};

pub const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: podbay-attach/1\r\n";
pub const ATTACHED: &str = r#"{"type":"attached","writer":true,"pipes":false}"#;
pub const EXITED: &str = r#"{"type":"exited","status":{"how":"code","value":7},"oom":false}"#;

pub fn frame(kind: AttachKind, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let len = body.len();
    [&AttachHead { kind, len }.bytes()[..], body].concat()
}

pub fn message(text: &str) -> Vec<u8> {
    frame(AttachKind::Message, text)
}

pub fn main(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    frame(AttachKind::Main, bytes)
}

/// The server's end of a connection that was upgraded, and what came with the Upgrade.
pub struct Peer(pub UnixStream, Vec<u8>);

impl Peer {
    pub async fn switch(listener: &UnixListener, more: &str) -> Self {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = request_bytes(&mut stream).await.unwrap();
        let end = asked.windows(4).position(|four| four == b"\r\n\r\n");
        let first = asked.split_off(end.unwrap() + 4);
        let asked = String::from_utf8(asked).unwrap().to_ascii_lowercase();
        assert!(asked.contains("upgrade: podbay-attach/1\r\n"), "{asked}");
        assert!(!asked.contains("input_window"), "it always has one");
        let answer = format!("{SWITCH}{more}\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
        Self(stream, first)
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// The next frame of the client; `None` once it has left.
    pub async fn frame(&mut self) -> Option<(AttachKind, Vec<u8>)> {
        let mut first = self.1.as_slice();
        let mut bytes = (&mut first).chain(&mut self.0);
        let mut head = [0; AttachHead::LEN];
        bytes.read_exact(&mut head).await.ok()?;
        let head = AttachHead::parse(head, 1 << 20).unwrap();
        let mut body = vec![0; head.len];
        bytes.read_exact(&mut body).await.unwrap();
        self.1 = first.to_vec();
        Some((head.kind, body))
    }
}

/// Why an attach fails on this answer, and the server that gave it.
pub async fn attach_refused(answer: &str, query: &AttachQuery) -> (ClientError, Server) {
    let server = Server::new([Answer::keep(answer)]);
    let error = server.client.attach("w", query).await.err().unwrap();
    (error, server)
}

pub fn is_protocol(item: &Result<Incoming, ClientError>) -> bool {
    matches!(item, Err(ClientError::Protocol { .. }))
}

/// Output, joined; and the other things.
pub fn sorted(all: &[Result<Incoming, ClientError>]) -> ([Vec<u8>; 2], Vec<&ServerMessage>) {
    let (mut output, mut messages) = ([Vec::new(), Vec::new()], Vec::new());
    for item in all {
        match item.as_ref().unwrap() {
            Incoming::Output(bytes) => output[0].extend_from_slice(bytes),
            Incoming::Stderr(bytes) => output[1].extend_from_slice(bytes),
            Incoming::Message(said) => messages.push(said),
        }
    }
    (output, messages)
}
