//! Claims by `podbay-attach/1`, of a server that answers them wrongly.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use crate::{
    frames::{ATTACHED, EXITED, Peer, frame, is_protocol, main, message, sorted},
    server::{json, listen, request},
};
use coordinator::{
    client::{ClientError, Incoming},
    model::Limits,
    wire::{ErrorKind, ServerMessage, SpawnRequest, Timings},
};
use podbay_protocol::{AttachHead, AttachKind, MAX_ATTACH_MESSAGE, Readings, SessionIo};
use tokio::io::AsyncWriteExt;

/// A coordinator's answer to a spawn, as text.
pub fn spawned(name: &str) -> String {
    let said = serde_json::json!({
        "type": "spawned", "warm": true, "timings": Timings::default(),
        "worker": {
            "id": "i", "name": name, "profile": "p", "state": "running", "created_ms": 1,
            "image": "i", "isolation": "none", "warm_start": true, "limits": Limits::default(),
            "argv": [], "title": "", "clients": 1, "readings": Readings::default(),
            "oom": false, "unapplied": false, "remove": true,
        },
    });
    said.to_string()
}

/// What a spawn comes to when the server sends these bytes after it has read the request: the worker, and
/// what is heard on the connection.
async fn claimed(
    bytes: Vec<u8>,
) -> Result<(String, Vec<Result<Incoming, ClientError>>), ClientError> {
    let (listener, client, _folder) = listen();
    let serve = async {
        let mut peer = Peer::switch(&listener, "").await;
        let (kind, text) = peer.frame().await.unwrap();
        assert_eq!(kind, AttachKind::Message);
        let request: SpawnRequest = serde_json::from_slice(&text).unwrap();
        assert_eq!(request.argv, ["true"]);
        peer.send(bytes).await;
    };
    let request = SpawnRequest {
        argv: vec!["true".into()],
        io: SessionIo::Pipes,
        ..SpawnRequest::default()
    };
    let (answer, ()) = tokio::join!(client.spawn_attached(&request), serve);
    let (response, stream) = answer?;
    let (_sender, mut receiver) = stream.split();
    let mut all = Vec::new();
    while let Some(next) = receiver.next().await {
        all.push(next);
    }
    Ok((response.worker.name, all))
}

#[tokio::test]
async fn a_claim_is_answered_once_and_by_the_coordinator_alone() {
    let mut bytes = message(&spawned("first"));
    bytes.extend(message(&spawned("second")));
    bytes.extend(message(ATTACHED));
    bytes.extend(main("out"));
    bytes.extend(frame(AttachKind::Error, "err"));
    bytes.extend(message(&spawned("third")));
    bytes.extend(message(EXITED));
    let (name, all) = claimed(bytes).await.unwrap();
    assert_eq!(name, "first");
    let (output, said) = sorted(&all);
    // The request was for pipes, whatever its worker says.
    assert_eq!(output, [b"out".to_vec(), b"err".to_vec()]);
    assert!(
        matches!(
            said.as_slice(),
            [
                ServerMessage::Attached { pipes: true, .. },
                ServerMessage::Exited { .. }
            ]
        ),
        "{said:?}"
    );
    // The coordinator's answer may be longer than a worker's messages.
    let mut long = spawned("long");
    long.push_str(&" ".repeat(2 * MAX_ATTACH_MESSAGE));
    let mut bytes = message(&long);
    bytes.extend(message(&long));
    let (name, all) = claimed(bytes).await.unwrap();
    assert_eq!(name, "long");
    assert!(
        matches!(all.as_slice(), [item] if is_protocol(item)),
        "{all:?}"
    );
}

#[tokio::test]
async fn a_claim_that_is_not_answered_with_a_worker_says_why() {
    let error = r#"{"type":"error","kind":"exhausted","message":"none is warm","hint":"wait"}"#;
    let refused = claimed(message(error)).await.unwrap_err();
    assert_eq!(refused.hint().as_deref(), Some("wait"));
    assert!(matches!(refused, ClientError::Api(e) if e.kind == ErrorKind::Exhausted));
    let half = message(&spawned("half"));
    for gone in [Vec::new(), half[..half.len() - 1].to_vec()] {
        let gone = claimed(gone).await.unwrap_err();
        assert!(
            matches!(&gone, ClientError::Unreachable { reason, .. } if reason.contains("claimed")),
            "{gone:?}"
        );
    }
    let head = |kind, len| AttachHead { kind, len }.bytes().to_vec();
    for early in [
        message(ATTACHED),
        message(r#"{"type":"of_the_future"}"#),
        main("out"),
        message("{"),
        head(AttachKind::Message, (1 << 20) + 1),
        vec![9; 5],
    ] {
        let error = claimed(early).await.unwrap_err();
        assert!(is_protocol(&Err(error.clone())), "{error:?}");
    }
}

#[tokio::test]
async fn a_claim_whose_worker_takes_no_clients_is_made_again_by_websocket() {
    let (listener, client, _folder) = listen();
    let serve = async {
        let mut peer = Peer::switch(&listener, "").await;
        peer.frame().await.unwrap();
        let error = r#"{"type":"error","kind":"upgrade_unsupported","message":"use WebSocket"}"#;
        peer.send(message(error)).await;
        let (mut stream, _) = listener.accept().await.unwrap();
        let asked = request(&mut stream).await.unwrap();
        assert!(asked.contains("websocket"), "{asked}");
        let refused = json(
            "503 Service Unavailable",
            r#"{"kind":"exhausted","message":"none"}"#,
        );
        stream.write_all(refused.as_bytes()).await.unwrap();
    };
    let request = SpawnRequest::default();
    let (answer, ()) = tokio::join!(client.spawn_attached(&request), serve);
    let error = answer.err().unwrap();
    assert!(matches!(error, ClientError::Api(e) if e.kind == ErrorKind::Exhausted));
}
