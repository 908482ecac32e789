//! The real API's `podbay-attach/1`: who may ask for it, what comes of a claim, and that a client whose
//! socket was handed over has no need of the coordinator.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use crate::support::{BOUND, Bay, MAX_BODY};
use coordinator::{
    client::{AttachReceiver, AttachSender, ClientError, Incoming},
    model::Isolation,
    wire::{
        ApiError, AttachQuery, ErrorKind, ExecRequest, PoolView, ServerMessage, SpawnRequest,
        WorkerView,
    },
};
use podbay_protocol::{
    AttachDecoder, AttachHead, AttachKind, AttachMode, AttachPiece, SessionIo, message_frame,
};
use std::io::{Read, Write};
use tokio::time::timeout;

/// What is asked with, but for the address and the rest of the headers.
fn upgrade(path: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: podbay\r\nupgrade: podbay-attach/1\r\n{more}\r\n")
}

const CONNECTION: &str = "connection: Upgrade\r\n";

fn request(name: &str) -> SpawnRequest {
    SpawnRequest {
        argv: vec!["hold".into()],
        name: Some(name.into()),
        isolation: Some(Isolation::None),
        ..SpawnRequest::default()
    }
}

fn query(session: Option<String>) -> AttachQuery {
    AttachQuery {
        mode: AttachMode::Write,
        cols: None,
        rows: None,
        session,
        silent: false,
    }
}

async fn next(receiver: &mut AttachReceiver) -> Incoming {
    let next = timeout(BOUND, receiver.next()).await.expect("in time");
    next.expect("not yet the end").unwrap()
}

async fn attached(receiver: &mut AttachReceiver) {
    let said = next(receiver).await;
    let first = Incoming::Message(ServerMessage::Attached {
        writer: true,
        pipes: false,
    });
    assert_eq!(format!("{said:?}"), format!("{first:?}"));
}

/// Types, and hears it again.
async fn echo(sender: &mut AttachSender, receiver: &mut AttachReceiver, text: &str) {
    let hearing = async {
        let mut heard = Vec::new();
        while heard.len() < text.len() {
            match next(receiver).await {
                Incoming::Output(bytes) => heard.extend_from_slice(&bytes),
                other => panic!("{other:?}"),
            }
        }
        heard
    };
    let (typed, heard) = tokio::join!(sender.input(text.as_bytes()), hearing);
    typed.unwrap();
    assert!(heard == text.as_bytes());
}

fn worker(bay: &Bay, name: &str) -> WorkerView {
    let answer = bay.get(&format!("/v1/workers/{name}"));
    serde_json::from_slice(&answer.body).unwrap()
}

#[tokio::test]
async fn a_client_does_not_notice_that_the_coordinator_dies() {
    let mut bay = Bay::start();
    let client = bay.client();
    let (spawned, stream) = client.spawn_attached(&request("one")).await.unwrap();
    assert!(spawned.warm, "{spawned:?}");
    let (mut sender, mut receiver) = stream.split();
    attached(&mut receiver).await;
    echo(&mut sender, &mut receiver, "before").await;
    let again = client.attach("one", &query(None)).await.unwrap();
    let (mut other, mut hears) = again.split();
    attached(&mut hears).await;
    bay.wait_until("two clients", || worker(&bay, "one").clients == 2);
    bay.kill();
    for text in ["after", &"x".repeat(300_000), "and on"] {
        echo(&mut sender, &mut receiver, text).await;
        echo(&mut other, &mut hears, text).await;
    }
    sender.input(b"q").await.unwrap();
    assert!(matches!(next(&mut receiver).await, Incoming::Output(_)));
    let last = next(&mut receiver).await;
    assert!(
        matches!(last, Incoming::Message(ServerMessage::Exited { status, .. }) if status.shell_code() == 7),
        "{last:?}"
    );
    assert!(timeout(BOUND, receiver.next()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_client_that_leaves_is_counted_no_more_before_and_after_its_socket_is_handed_over() {
    let bay = Bay::start();
    let client = bay.client();
    let (_, stream) = client.spawn_attached(&request("one")).await.unwrap();
    bay.wait_until("a client", || worker(&bay, "one").clients == 1);
    for _ in 0..20 {
        let mut stream = bay.connect();
        let asked = upgrade("/v1/workers/one/attach", CONNECTION);
        stream.write_all(asked.as_bytes()).unwrap();
    }
    drop(stream);
    bay.wait_until("no client", || worker(&bay, "one").clients == 0);
    // One is counted as soon as it is there.
    let stream = client.attach("one", &query(None)).await.unwrap();
    bay.wait_until("a client", || worker(&bay, "one").clients == 1);
    let (mut sender, _receiver) = stream.split();
    sender.close().await.unwrap();
    bay.wait_until("no client", || worker(&bay, "one").clients == 0);
}

#[tokio::test]
async fn a_socket_that_is_refused_is_shut_whoever_keeps_it() {
    let bay = Bay::start();
    let client = bay.client();
    let request = SpawnRequest {
        argv: vec!["keeps".into()],
        ..request("one")
    };
    let (_, stream) = client.spawn_attached(&request).await.unwrap();
    let (_sender, mut receiver) = stream.split();
    assert!(timeout(BOUND, receiver.next()).await.unwrap().is_none());
    let stream = client.attach("one", &query(None)).await.unwrap();
    let (_sender, mut receiver) = stream.split();
    assert!(timeout(BOUND, receiver.next()).await.unwrap().is_none());
    bay.wait_until("no client", || worker(&bay, "one").clients == 0);
}

#[tokio::test]
async fn an_exec_whose_client_is_gone_is_attached_to_again_and_no_other() {
    let bay = Bay::start();
    let client = bay.client();
    for (name, more) in [("one", ""), ("two", "")] {
        let request = SpawnRequest {
            argv: vec![format!("hold{more}")],
            ..request(name)
        };
        client.spawn(&request).await.unwrap();
    }
    let asked = ExecRequest {
        argv: vec!["hold".into()],
        env: Default::default(),
        caller_env: Default::default(),
        io: SessionIo::Pty {
            size: Default::default(),
        },
        root: false,
    };
    let session = client.exec("one", &asked).await.unwrap().session;
    let first = client.attach("one", &query(Some(session.clone()))).await;
    let (mut sender, mut receiver) = first.unwrap().split();
    attached(&mut receiver).await;
    echo(&mut sender, &mut receiver, "first").await;
    drop((sender, receiver));
    let again = client.attach("one", &query(Some(session.clone()))).await;
    let (mut sender, mut receiver) = again.unwrap().split();
    attached(&mut receiver).await;
    echo(&mut sender, &mut receiver, "again").await;
    // Another worker has no such session, and no session has such a name.
    for (name, session) in [("two", session.as_str()), ("one", "x-0"), ("one", "")] {
        let error = client.attach(name, &query(Some(session.into()))).await;
        let error = error.err().unwrap();
        assert!(
            matches!(&error, ClientError::Api(e) if e.kind == ErrorKind::NotFound),
            "{error}"
        );
    }
    // It has ended.
    sender.input(b"q").await.unwrap();
    while timeout(BOUND, receiver.next()).await.unwrap().is_some() {}
    let ended = || async {
        client
            .attach("one", &query(Some(session.clone())))
            .await
            .is_err()
    };
    while !ended().await {
        tokio::task::yield_now().await;
    }
}

#[test]
fn what_is_typed_ahead_of_the_answer_goes_to_the_session() {
    let bay = Bay::start();
    let made = bay.post(
        "/v1/workers",
        r#"{"argv":["hold"],"name":"one","isolation":"none"}"#,
    );
    assert_eq!(made.status, 200);
    let mut wire = upgrade("/v1/workers/one/attach?mode=write", CONNECTION).into_bytes();
    let (kind, len) = (AttachKind::Main, 7);
    wire.extend(AttachHead { kind, len }.bytes());
    wire.extend(b"typed q");
    let mut stream = bay.connect();
    stream.write_all(&wire).unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    let head = all.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let text = String::from_utf8_lossy(&all[..head]).to_ascii_lowercase();
    assert!(text.starts_with("http/1.1 101 "), "{text}");
    assert!(text.contains("upgrade: podbay-attach/1"), "{text}");
    assert!(text.contains("podbay-session: terminal"), "{text}");
    let mut decoder = AttachDecoder::new(1 << 20);
    decoder.push(&all[head + 4..]);
    let mut output = Vec::new();
    while let Some(piece) = decoder.next_piece().unwrap() {
        if let AttachPiece::Main(bytes) = piece {
            output.extend_from_slice(bytes);
        }
    }
    assert_eq!(output, b"typed q");
}

#[test]
fn an_upgrade_that_is_not_right_is_refused_before_anything_is_done() {
    let bay = Bay::start();
    let attach = "/v1/workers/none/attach";
    let other =
        |protocol: &str| upgrade("/v1/spawn", CONNECTION).replace("podbay-attach/1", protocol);
    for (asked, kind) in [
        (upgrade(attach, ""), ErrorKind::Invalid),
        (upgrade(attach, "connection: close\r\n"), ErrorKind::Invalid),
        (upgrade("/v1/spawn", ""), ErrorKind::Invalid),
        (other("podbay-attach/2"), ErrorKind::UpgradeUnsupported),
        (other("PODBAY-ATTACH/"), ErrorKind::UpgradeUnsupported),
        (other("podbay"), ErrorKind::Invalid),
        (
            upgrade(attach, CONNECTION).replace("HTTP/1.1", "HTTP/1.0"),
            ErrorKind::Invalid,
        ),
        (upgrade(attach, CONNECTION), ErrorKind::NotFound),
        (
            upgrade("/v1/workers/none/attach?cols=70000", CONNECTION),
            ErrorKind::Invalid,
        ),
        (
            upgrade(
                attach,
                "connection: upgrade\r\norigin: https://page.example\r\n",
            ),
            ErrorKind::Refused,
        ),
    ] {
        let mut stream = bay.connect();
        stream.write_all(asked.as_bytes()).unwrap();
        // Some of the answers leave the connection open.
        let mut all = Vec::new();
        let error = loop {
            let mut chunk = [0; 4096];
            let count = stream.read(&mut chunk).unwrap();
            assert!(count > 0, "{asked}: {}", String::from_utf8_lossy(&all));
            all.extend_from_slice(&chunk[..count]);
            let text = String::from_utf8_lossy(&all);
            let body = text.split("\r\n\r\n").nth(1).unwrap_or_default();
            if let Ok(error) = serde_json::from_str::<ApiError>(body) {
                break error;
            }
        };
        assert_eq!(error.kind, kind, "{asked}: {error}");
        let head = String::from_utf8_lossy(&all).to_ascii_lowercase();
        if kind == ErrorKind::UpgradeUnsupported {
            assert!(head.starts_with("http/1.1 426 "), "{head}");
            assert!(head.contains("upgrade: websocket"), "{head}");
            assert!(error.message.contains("WebSocket"), "{error}");
        }
    }
}

/// The coordinator's answer to these bytes on `/v1/spawn`, after which it closes.
fn claimed(bay: &Bay, bytes: &[u8]) -> ApiError {
    let mut stream = bay.connect();
    let asked = upgrade("/v1/spawn", CONNECTION);
    stream.write_all(asked.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    // It may have heard enough before that is all of it.
    drop(stream.write_all(bytes));
    drop(stream.shutdown(std::net::Shutdown::Write));
    let mut all = Vec::new();
    drop(stream.read_to_end(&mut all));
    let mut decoder = AttachDecoder::new(1 << 20);
    decoder.push(&all);
    let Some(AttachPiece::Message(text)) = decoder.next_piece().unwrap() else {
        panic!("no message: {all:?}")
    };
    let said: ServerMessage = serde_json::from_slice(text).unwrap();
    assert_eq!(decoder.into_rest(), b"", "and nothing else");
    match said {
        ServerMessage::Error(error) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_first_frame_that_is_no_request_is_refused_and_claims_nothing() {
    let bay = Bay::start();
    let filled = |length: usize| {
        let mut text = r#"{"argv":["absent"],"isolation":"none"}"#.to_owned();
        text.push_str(&" ".repeat(length - text.len()));
        text
    };
    let frame = |kind, body: &[u8]| {
        let len = body.len();
        [&AttachHead { kind, len }.bytes()[..], body].concat()
    };
    let said = |text: &str| frame(AttachKind::Message, text.as_bytes());
    for (bytes, kind, part) in [
        (
            frame(AttachKind::Main, b"{}"),
            ErrorKind::Invalid,
            "message",
        ),
        (vec![7, 0, 0, 0, 0], ErrorKind::Invalid, "kind 7"),
        (vec![0, 255, 255, 255, 255], ErrorKind::Invalid, "too long"),
        (said(""), ErrorKind::Invalid, "no spawn request"),
        (said("[1]"), ErrorKind::Invalid, "no spawn request"),
        (
            said(r#"{"argv":7}"#),
            ErrorKind::Invalid,
            "no spawn request",
        ),
        (
            said(r#"{"argv":["x"],"name":"a b"}"#),
            ErrorKind::Invalid,
            "a b",
        ),
        (
            said(r#"{"argv":["x"],"profile":"none"}"#),
            ErrorKind::NotFound,
            "none",
        ),
        // The largest request is read: its program is what is wrong with it.
        (
            said(&filled(MAX_BODY)),
            ErrorKind::CommandNotFound,
            "absent",
        ),
        (
            said(&filled(MAX_BODY + 1)),
            ErrorKind::TooLarge,
            "too large",
        ),
        (
            said(&filled(64 * MAX_BODY)),
            ErrorKind::TooLarge,
            "too large",
        ),
    ] {
        let error = claimed(&bay, &bytes);
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains(part), "{error}");
    }
    let listed = bay.get("/v1/workers").body;
    let listed: Vec<WorkerView> = serde_json::from_slice(&listed).unwrap();
    assert!(listed.iter().all(|w| w.claimed_ms.is_none()), "{listed:?}");
    let whole = message_frame(&request("one")).unwrap();
    let cut = claimed(&bay, &whole[..whole.len() - 1]);
    assert_eq!(cut.kind, ErrorKind::Invalid, "{cut}");
}

#[tokio::test]
async fn a_worker_whose_agent_takes_no_clients_is_attached_to_by_websocket_and_serves_no_such_claim()
 {
    // The warm ones are of before; what is made for a claim is of now.
    let bay = Bay::with_older(2);
    bay.wait_until("both", || {
        let pools: Vec<PoolView> = serde_json::from_slice(&bay.get("/v1/pools").body).unwrap();
        pools[0].warm == 2
    });
    let client = bay.client();
    client.spawn(&request("old")).await.unwrap();
    let stream = client.attach("old", &query(None)).await.unwrap();
    let (mut sender, mut receiver) = stream.split();
    attached(&mut receiver).await;
    echo(&mut sender, &mut receiver, "relayed").await;
    let asked =
        upgrade("/v1/workers/old/attach", CONNECTION).replace("Upgrade\r\n", "Upgrade, close\r\n");
    let refused = bay.raw(asked.as_bytes());
    assert_eq!(refused.error().kind, ErrorKind::UpgradeUnsupported);
    assert!(refused.head.contains("upgrade_unsupported") || refused.status == 426);
    let (spawned, stream) = client.spawn_attached(&request("new")).await.unwrap();
    let why = spawned.cold_reason.clone().unwrap_or_default();
    assert!(
        why.contains("takes no clients"),
        "{why:?} {:?}",
        spawned.worker
    );
    let (mut sender, mut receiver) = stream.split();
    attached(&mut receiver).await;
    echo(&mut sender, &mut receiver, "handed").await;
}

#[tokio::test]
async fn with_older_agents_alone_a_claim_is_served_by_websocket() {
    let bay = Bay::with_older(usize::MAX);
    let client = bay.client();
    let (_, stream) = client.spawn_attached(&request("one")).await.unwrap();
    let (mut sender, mut receiver) = stream.split();
    attached(&mut receiver).await;
    echo(&mut sender, &mut receiver, "relayed").await;
}
