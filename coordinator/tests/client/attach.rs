//! The client's WebSockets against a server that is written by hand: wrong upgrades, wrong frames, and
//! what is said in which order.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use crate::{
    frames::{attach_refused, is_protocol},
    server::{json, listen, request},
};
use coordinator::{
    client::{AttachStream, ClientError, Incoming},
    wire::{AttachQuery, ErrorKind, INPUT_WINDOW, ServerMessage, SpawnRequest},
};
use podbay_protocol::AttachMode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const ATTACHED: &str = r#"{"type":"attached","writer":true}"#;
const EXITED: &str = r#"{"type":"exited","status":{"how":"code","value":7},"oom":false}"#;

fn query() -> AttachQuery {
    AttachQuery {
        mode: AttachMode::Write,
        cols: None,
        rows: None,
        session: None,
        silent: false,
    }
}

/// A frame as a server sends it, unmasked and whole.
fn frame(opcode: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut out = vec![0x80 | opcode];
    match u8::try_from(payload.len()) {
        Ok(length) if length < 126 => out.push(length),
        _ => {
            out.push(127);
            out.extend((payload.len() as u64).to_be_bytes());
        }
    }
    out.extend(payload);
    out
}

/// The server's end of a WebSocket.
struct Peer(UnixStream);

impl Peer {
    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// The next frame of the client: its opcode and what it says.
    async fn frame(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).await.unwrap();
        assert_eq!(head[0] & 0x80, 0x80, "in one piece");
        assert_eq!(head[1] & 0x80, 0x80, "a client masks what it says");
        let length = match head[1] & 0x7f {
            126 => u64::from(self.0.read_u16().await.unwrap()),
            127 => self.0.read_u64().await.unwrap(),
            short => u64::from(short),
        };
        let mut mask = [0; 4];
        self.0.read_exact(&mut mask).await.unwrap();
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.0.read_exact(&mut payload).await.unwrap();
        for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= mask;
        }
        (head[0] & 0x0f, payload)
    }
}

/// An attached client and the server's end of its connection.
async fn attached() -> (AttachStream, Peer, tempfile::TempDir) {
    let (listener, client, folder) = listen();
    let accept = upgraded(&listener);
    let query = query();
    let (stream, peer) = tokio::join!(client.attach("w", &query), accept);
    (stream.unwrap(), peer, folder)
}

/// A server that knows WebSocket alone.
async fn upgraded(listener: &UnixListener) -> Peer {
    let (mut first, _) = listener.accept().await.unwrap();
    let asked = request(&mut first).await.unwrap();
    assert!(asked.contains("podbay-attach/1"), "{asked}");
    let error = r#"{"kind":"upgrade_unsupported","message":"use WebSocket"}"#;
    let refused = json("426 Upgrade Required", error);
    first.write_all(refused.as_bytes()).await.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    let asked = request(&mut stream).await.unwrap();
    let mut keys = asked.lines().filter_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("sec-websocket-key")
            .then_some(value)
    });
    let accept = derive_accept_key(keys.next().unwrap().as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-accept: {accept}\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).await.unwrap();
    Peer(stream)
}

/// What a client hears of these bytes, after which the connection ends.
async fn heard(bytes: impl AsRef<[u8]>) -> Vec<Result<Incoming, ClientError>> {
    let (stream, mut peer, _folder) = attached().await;
    let (_sender, mut receiver) = stream.split();
    peer.send(bytes).await;
    drop(peer);
    let mut all = Vec::new();
    while let Some(next) = receiver.next().await {
        all.push(next);
        assert!(all.len() < 100);
    }
    assert!(receiver.next().await.is_none(), "what has ended stays so");
    all
}

#[tokio::test]
async fn what_is_no_websocket_is_no_session() {
    let upgrade =
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n";
    let wrong = format!("{upgrade}sec-websocket-accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n");
    let none = format!("{upgrade}\r\n");
    for bytes in [
        wrong,
        none,
        json("200 OK", "{}"),
        json("204 No Content", ""),
    ] {
        let (error, _) = attach_refused(&bytes, &query()).await;
        assert!(
            matches!(error, ClientError::Protocol { .. }),
            "{error:?} to {bytes}"
        );
    }
    let refused = r#"{"kind":"conflict","message":"w is paused","hint":"free some space"}"#;
    let (error, _) = attach_refused(&json("409 Conflict", refused), &query()).await;
    assert_eq!(error.hint().as_deref(), Some("free some space"));
    assert!(matches!(error, ClientError::Api(e) if e.kind == ErrorKind::Conflict));
}

#[tokio::test]
async fn an_end_without_a_last_word_is_no_exit_and_no_error() {
    assert!(heard("").await.is_empty());
    // A frame that is cut off is not handed on in part.
    let output = frame(BINARY, [b'x'; 300]);
    assert!(heard(&output[..200]).await.is_empty());
    // What came whole before is.
    let mut bytes = frame(TEXT, ATTACHED);
    bytes.extend(&output);
    bytes.extend(&output[..200]);
    let all = heard(bytes).await;
    assert_eq!(all.len(), 2, "{all:?}");
    assert!(matches!(&all[1], Ok(Incoming::Output(bytes)) if bytes.len() == 300));
}

#[tokio::test]
async fn output_comes_before_the_exit_that_was_sent_behind_it_and_nothing_after_a_close() {
    let mut bytes = frame(TEXT, ATTACHED);
    for n in 0..20_u8 {
        bytes.extend(frame(BINARY, vec![n; 5000]));
    }
    bytes.extend(frame(TEXT, EXITED));
    bytes.extend(frame(CLOSE, 1000_u16.to_be_bytes()));
    bytes.extend(frame(BINARY, "late"));
    let all = heard(bytes).await;
    assert_eq!(all.len(), 22);
    for (n, item) in (0..20_u8).zip(&all[1..]) {
        assert!(matches!(item, Ok(Incoming::Output(bytes)) if **bytes == vec![n; 5000]));
    }
    let last = all.last().unwrap().as_ref().unwrap();
    assert!(
        matches!(last, Incoming::Message(ServerMessage::Exited { status, .. }) if status.shell_code() == 7)
    );
}

#[tokio::test]
async fn messages_of_a_newer_coordinator_are_passed_over_and_nonsense_ends_the_connection() {
    let mut bytes = frame(TEXT, r#"{"type":"of_the_future","x":1}"#);
    bytes.extend(frame(
        TEXT,
        r#"{"type":"attached","writer":false,"more":[]}"#,
    ));
    bytes.extend(frame(BINARY, "out"));
    let all = heard(&bytes).await;
    assert_eq!(all.len(), 2, "{all:?}");
    let masked = [0x82, 0x81, 1, 2, 3, 4, b'x'];
    let reserved = [0xc2, 0x01, b'x'];
    let too_long = [&[0x82, 127][..], &(1_u64 << 32).to_be_bytes()].concat();
    for nonsense in [
        frame(TEXT, r#"{"type":"exited","#),
        frame(TEXT, "hello"),
        frame(TEXT, [0xff, 0xfe]),
        masked.to_vec(),
        reserved.to_vec(),
        // Refused for its length, before any of it has come.
        too_long,
    ] {
        let mut bytes = bytes.clone();
        bytes.extend(&nonsense);
        bytes.extend(frame(TEXT, EXITED));
        let all = heard(bytes).await;
        assert_eq!(all.len(), 3, "{all:?}");
        assert!(is_protocol(&all[2]), "{:?} of {nonsense:?}", all[2]);
    }
}

#[tokio::test]
async fn on_pipes_each_message_has_its_channel_or_is_none() {
    let pipes = frame(TEXT, r#"{"type":"attached","writer":true,"pipes":true}"#);
    let mut bytes = pipes.clone();
    bytes.extend(frame(BINARY, b"\x01out"));
    bytes.extend(frame(BINARY, b"\x02err"));
    bytes.extend(frame(BINARY, b"\x01"));
    let all = heard(bytes).await;
    assert!(matches!(&all[1], Ok(Incoming::Output(bytes)) if **bytes == *b"out"));
    assert!(matches!(&all[2], Ok(Incoming::Stderr(bytes)) if **bytes == *b"err"));
    assert!(matches!(&all[3], Ok(Incoming::Output(bytes)) if bytes.is_empty()));
    for wrong in [&b""[..], b"\x00x", b"\x03x", b"out"] {
        let mut bytes = pipes.clone();
        bytes.extend(frame(BINARY, wrong));
        bytes.extend(frame(BINARY, b"\x01out"));
        let all = heard(bytes).await;
        assert_eq!(all.len(), 2, "{all:?}");
        assert!(is_protocol(&all[1]), "{wrong:?}");
    }
}

#[tokio::test]
async fn no_more_input_is_on_its_way_than_the_window_and_none_of_it_is_lost() {
    let (stream, mut peer, _folder) = attached().await;
    let (mut sender, mut receiver) = stream.split();
    let window = format!(r#"{{"type":"window","bytes":{INPUT_WINDOW}}}"#);
    peer.send(frame(TEXT, window)).await;
    peer.send(frame(TEXT, ATTACHED)).await;
    receiver.next().await.unwrap().unwrap();
    let typed: Vec<u8> = (0..200_000_u32).map(|n| (n >> 3) as u8).collect();
    let all = typed.clone();
    let typing = tokio::spawn(async move {
        sender.input(&all).await.unwrap();
        sender.eof().await.unwrap();
        sender
    });
    // Everything that is said is read, so that what was taken is known.
    let reading = tokio::spawn(async move { while receiver.next().await.is_some() {} });
    let window = INPUT_WINDOW as usize;
    let (mut got, mut taken) = (Vec::new(), 0);
    while got.len() < typed.len() {
        // Whatever is on its way, and nothing beyond what was granted.
        while got.len() < typed.len().min(taken + window) {
            let (opcode, payload) = peer.frame().await;
            assert_eq!(opcode, BINARY);
            got.extend(payload);
            assert!(got.len() <= taken + window, "{} of {taken}", got.len());
        }
        // A part is taken; an older count takes nothing back, and gives nothing.
        let before = taken;
        taken = (taken + window / 3).min(got.len());
        for total in [taken, before, 0] {
            let told = format!(r#"{{"type":"taken","total":{total}}}"#);
            peer.send(frame(TEXT, told)).await;
        }
    }
    assert!(got == typed);
    let (opcode, said) = peer.frame().await;
    assert_eq!(
        (opcode, said),
        (TEXT, br#"{"type":"eof"}"#.to_vec()),
        "behind all input"
    );
    drop((typing.await.unwrap(), peer));
    reading.await.unwrap();
}

#[tokio::test]
async fn signals_and_sizes_pass_input_by_and_the_end_of_the_input_does_not() {
    let (stream, mut peer, _folder) = attached().await;
    let (mut sender, mut receiver) = stream.split();
    peer.send(frame(TEXT, ATTACHED)).await;
    receiver.next().await.unwrap().unwrap();
    assert_eq!(sender.queue_input(b"typed"), 5);
    assert_eq!(sender.room(), 0, "one piece at a time");
    assert_eq!(sender.queue_input(b"more"), 0);
    sender.queue_eof().unwrap();
    sender.queue_signal(2).unwrap();
    sender.queue_signal(15).unwrap();
    assert!(sender.is_busy());
    sender.progress().await.unwrap();
    assert!(!sender.is_busy());
    sender.close().await.unwrap();
    let mut said = Vec::new();
    loop {
        let (opcode, payload) = peer.frame().await;
        if opcode == CLOSE {
            break;
        }
        said.push(String::from_utf8(payload).unwrap());
    }
    assert_eq!(
        said,
        [
            r#"{"type":"signal","signal":2}"#,
            r#"{"type":"signal","signal":15}"#,
            "typed",
            r#"{"type":"eof"}"#
        ]
    );
}

/// What a spawn comes to when the server sends these bytes after it has read the request.
async fn spawned(bytes: Vec<u8>) -> ClientError {
    let (listener, client, _folder) = listen();
    let serve = async {
        let mut peer = upgraded(&listener).await;
        let (opcode, text) = peer.frame().await;
        assert_eq!(opcode, TEXT);
        let request: SpawnRequest = serde_json::from_slice(&text).unwrap();
        assert_eq!(request.argv, ["true"]);
        peer.send(bytes).await;
    };
    let request = SpawnRequest {
        argv: vec!["true".into()],
        ..SpawnRequest::default()
    };
    let (result, ()) = tokio::join!(client.spawn_attached(&request), serve);
    result.err().unwrap()
}

#[tokio::test]
async fn a_spawn_that_is_not_answered_with_a_worker_says_why() {
    let error = r#"{"type":"error","kind":"exhausted","message":"none is warm","hint":"wait"}"#;
    let refused = spawned(frame(TEXT, error)).await;
    assert_eq!(refused.hint().as_deref(), Some("wait"));
    assert!(matches!(refused, ClientError::Api(e) if e.kind == ErrorKind::Exhausted));
    let gone = spawned(Vec::new()).await;
    assert!(
        matches!(&gone, ClientError::Unreachable { reason, .. } if reason.contains("claimed")),
        "{gone:?}"
    );
    let closed = spawned(frame(CLOSE, "")).await;
    assert!(
        matches!(closed, ClientError::Unreachable { .. }),
        "{closed:?}"
    );
    for early in [
        frame(TEXT, ATTACHED),
        frame(BINARY, "out"),
        frame(TEXT, "{"),
    ] {
        let error = spawned(early).await;
        assert!(matches!(error, ClientError::Protocol { .. }), "{error:?}");
    }
}
