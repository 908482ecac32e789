//! A registry, and sockets that dial it.

use super::*;
use podbay_protocol::AgentEvent;
use std::path::Path;

fn registry() -> (
    tempfile::TempDir,
    AgentRegistry,
    mpsc::Receiver<ConnectionEvent>,
    WorkerId,
) {
    let dir = tempfile::tempdir().unwrap();
    let worker = WorkerId::from_bits(7);
    std::fs::create_dir_all(dir.path().join(worker.as_str()).join("run")).unwrap();
    let (notices, receiver) = mpsc::channel(8);
    let registry = AgentRegistry::new(dir.path().to_owned(), notices);
    registry.listen(&worker, "secret".to_owned()).unwrap();
    (dir, registry, receiver, worker)
}

async fn dial(dir: &Path, worker: &WorkerId, token: &str, purpose: Purpose) -> UnixStream {
    let path = dir
        .join(worker.as_str())
        .join("run")
        .join(paths::SOCKET_NAME);
    let mut socket = UnixStream::connect(path).await.unwrap();
    let hello = Hello {
        protocol: PROTOCOL_VERSION,
        build: "test".to_owned(),
        worker: worker.to_string(),
        token: token.to_owned(),
        purpose,
        takes_clients: false,
    };
    socket.write_all(&encode(&hello).unwrap()).await.unwrap();
    socket
}

#[tokio::test]
async fn a_wrong_token_is_cut_off() {
    let (dir, _registry, _notices, worker) = registry();
    let mut socket = dial(dir.path(), &worker, "guess", Purpose::Control).await;
    assert_eq!(socket.read(&mut [0; 8]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn a_stream_reaches_the_one_who_expects_it_with_its_first_bytes() {
    let (dir, registry, _notices, worker) = registry();
    let expected = registry.expect_stream(&worker, "s1");
    let purpose = Purpose::Stream {
        stream: "s1".to_owned(),
    };
    let mut socket = dial(dir.path(), &worker, "secret", purpose).await;
    socket.write_all(b"early").await.unwrap();
    let mut raw = expected.arrive(Duration::from_secs(5)).await.unwrap();
    drop(socket);
    let mut all = raw.first;
    raw.socket.read_to_end(&mut all).await.unwrap();
    assert_eq!(all, b"early");
}

#[tokio::test]
async fn a_stream_nobody_expects_is_refused() {
    let (dir, _registry, _notices, worker) = registry();
    let purpose = Purpose::Stream {
        stream: "nope".to_owned(),
    };
    let mut socket = dial(dir.path(), &worker, "secret", purpose).await;
    assert_eq!(socket.read(&mut [0; 8]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn a_request_is_answered_and_an_end_is_told() {
    let (dir, _registry, mut notices, worker) = registry();
    let mut socket = dial(dir.path(), &worker, "secret", Purpose::Control).await;
    let Some(ConnectionEvent::Connected { handle, .. }) = notices.recv().await else {
        panic!("no connection")
    };
    let asking = tokio::spawn(async move {
        handle
            .request(podbay_protocol::ToAgentBody::Ping, Duration::from_secs(5))
            .await
    });
    let mut decoder = FrameDecoder::new();
    let mut buffer = [0; 1024];
    let welcome: Welcome = loop {
        if let Some(w) = decoder.next_frame().unwrap() {
            break w;
        }
        let n = socket.read(&mut buffer).await.unwrap();
        decoder.push(&buffer[..n]);
    };
    assert_eq!(welcome.protocol, PROTOCOL_VERSION);
    let request: podbay_protocol::ToAgent = loop {
        if let Some(r) = decoder.next_frame().unwrap() {
            break r;
        }
        let n = socket.read(&mut buffer).await.unwrap();
        decoder.push(&buffer[..n]);
    };
    let answer = podbay_protocol::FromAgent::Response(podbay_protocol::Response {
        id: request.id,
        result: Ok(podbay_protocol::Reply::Done),
    });
    socket.write_all(&encode(&answer).unwrap()).await.unwrap();
    let answer = asking.await.unwrap().and_then(|said| said.of(&worker));
    assert_eq!(answer, Ok(podbay_protocol::Reply::Done));
    drop(socket);
    assert!(matches!(
        notices.recv().await,
        Some(ConnectionEvent::Gone { .. })
    ));
}

async fn next<T: serde::de::DeserializeOwned>(
    socket: &mut UnixStream,
    decoder: &mut FrameDecoder,
) -> T {
    let mut buffer = [0; 1024];
    loop {
        if let Some(frame) = decoder.next_frame().unwrap() {
            return frame;
        }
        let n = socket.read(&mut buffer).await.unwrap();
        decoder.push(&buffer[..n]);
    }
}

#[tokio::test]
async fn an_agent_of_the_next_version_is_served_as_far_as_it_is_understood() {
    use podbay_protocol::{Reply, ToAgent, ToAgentBody};
    use serde_json::{Value, json};
    let (dir, _registry, mut notices, worker) = registry();
    let path = dir
        .path()
        .join(worker.as_str())
        .join("run")
        .join(paths::SOCKET_NAME);
    let mut socket = UnixStream::connect(path).await.unwrap();
    let hello = json!({
        "protocol": PROTOCOL_VERSION + 1, "build": "9.0", "worker": worker.as_str(),
        "token": "secret", "purpose": Purpose::Control, "novelty": { "a": [1] },
    });
    socket.write_all(&encode(&hello).unwrap()).await.unwrap();
    let mut decoder = FrameDecoder::new();
    let welcome: Welcome = next(&mut socket, &mut decoder).await;
    assert_eq!(welcome.protocol, PROTOCOL_VERSION);
    let Some(ConnectionEvent::Connected { handle, .. }) = notices.recv().await else {
        panic!("no connection")
    };
    // News of a kind that nobody knows, frames of another kind, more fields than are known.
    for unknown in [
        json!({ "kind": "event", "event": "dreamt", "session": "s", "of": "sheep" }),
        json!({ "kind": "weather", "sunny": true }),
        json!({ "kind": "event", "event": "title", "session": "s", "title": "t", "icon": "i" }),
    ] {
        socket.write_all(&encode(&unknown).unwrap()).await.unwrap();
    }
    let Some(ConnectionEvent::Event { said, .. }) = notices.recv().await else {
        panic!("no event")
    };
    let event = said.of(&worker).unwrap();
    assert!(matches!(event, AgentEvent::Title { title, .. } if title == "t"));
    // An answer that is not understood is an answer; the connection goes on.
    for (result, expected) in [
        (
            json!({ "Ok": { "reply": "poem", "lines": 3 } }),
            Err(
                "\"ping\" does not work with the worker's agent, which is of a newer version (9.0,",
            ),
        ),
        (
            json!({ "Err": { "code": "unsupported", "message": "unknown variant" } }),
            Err("\"ping\" does not work"),
        ),
        (
            json!({ "Err": { "code": "tired", "message": "it sleeps" } }),
            Err("it sleeps"),
        ),
        (
            json!({ "Ok": { "reply": "done", "took_us": 5 } }),
            Ok(Reply::Done),
        ),
    ] {
        let handle = handle.clone();
        let asking = tokio::spawn(async move {
            handle
                .request(ToAgentBody::Ping, Duration::from_secs(5))
                .await
        });
        let request: ToAgent = next(&mut socket, &mut decoder).await;
        let answer: Value =
            json!({ "kind": "response", "id": request.id, "result": result, "extra": 1 });
        socket.write_all(&encode(&answer).unwrap()).await.unwrap();
        let answered = asking.await.unwrap().and_then(|said| said.of(&worker));
        match (answered, expected) {
            (Ok(reply), Ok(expected)) => assert_eq!(reply, expected),
            (Err(error), Err(words)) => {
                assert!(error.to_string().starts_with(words), "{error}");
            }
            (other, _) => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_worker_has_one_control_connection_the_newest() {
    let (dir, registry, mut notices, worker) = registry();
    let mut former = dial(dir.path(), &worker, "secret", Purpose::Control).await;
    let Some(ConnectionEvent::Connected { handle: first, .. }) = notices.recv().await else {
        panic!("no connection")
    };
    let asking = {
        let first = first.clone();
        tokio::spawn(async move {
            let deadline = Duration::from_secs(60);
            first
                .request(podbay_protocol::ToAgentBody::Ping, deadline)
                .await
        })
    };
    let mut newer = dial(dir.path(), &worker, "secret", Purpose::Control).await;
    let mut rest = Vec::new();
    former.read_to_end(&mut rest).await.unwrap();
    // What was asked of it is answered, and its end is told as of an older connection.
    let answer = asking.await.unwrap();
    assert_eq!(answer.err(), Some(crate::agent::AgentRequestError::Gone));
    let mut current = None;
    for _ in 0..2 {
        match notices.recv().await {
            Some(ConnectionEvent::Connected { handle, .. }) => current = Some(handle),
            Some(ConnectionEvent::Gone { generation, .. }) => {
                assert!(!registry.ended(&worker, generation));
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(current.is_some_and(|c| c.generation > first.generation));
    assert!(
        registry
            .handle(&worker)
            .is_some_and(|h| h.generation > first.generation)
    );
    // A worker that is forgotten has none.
    registry.forget(&worker);
    newer.read_to_end(&mut rest).await.unwrap();
}

#[tokio::test]
async fn a_storm_of_control_connections_is_cut_short_and_passes() {
    let (dir, registry, mut notices, worker) = registry();
    let counted = tokio::spawn(async move {
        let mut connected = 0;
        while let Some(notice) = notices.recv().await {
            connected += usize::from(matches!(notice, ConnectionEvent::Connected { .. }));
        }
        connected
    });
    let mut open = Vec::new();
    for _ in 0..400 {
        open.push(dial(dir.path(), &worker, "secret", Purpose::Control).await);
    }
    // All but one of them are closed by the registry.
    let mut held = 0;
    for mut socket in open {
        let mut all = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(1), socket.read_to_end(&mut all));
        held += usize::from(ended.await.is_err());
    }
    assert!(held <= 1, "{held} are open");
    registry.forget(&worker);
    drop(registry);
    let connected = counted.await.unwrap();
    assert!((1..=12).contains(&connected), "{connected} were welcomed");
}

#[tokio::test]
async fn a_stream_that_another_worker_asks_for_stays_expected() {
    let (dir, registry, _notices, worker) = registry();
    let other = WorkerId::from_bits(8);
    std::fs::create_dir_all(dir.path().join(other.as_str()).join("run")).unwrap();
    registry.listen(&other, "other".to_owned()).unwrap();
    let expected = registry.expect_stream(&worker, "s1");
    let purpose = || Purpose::Stream {
        stream: "s1".to_owned(),
    };
    let mut thief = dial(dir.path(), &other, "other", purpose()).await;
    assert_eq!(thief.read(&mut [0; 8]).await.unwrap_or(0), 0);
    let _socket = dial(dir.path(), &worker, "secret", purpose()).await;
    assert!(expected.arrive(Duration::from_secs(5)).await.is_some());
}

#[tokio::test]
async fn who_says_too_much_before_it_is_known_is_cut_off() {
    let (dir, _registry, _notices, worker) = registry();
    let path = dir
        .path()
        .join(worker.as_str())
        .join("run")
        .join(paths::SOCKET_NAME);
    let mut socket = UnixStream::connect(path).await.unwrap();
    let mut frame = (1u32 << 19).to_be_bytes().to_vec();
    frame.resize(1 << 19, b' ');
    // It may be cut off before it has said all.
    drop(socket.write_all(&frame).await);
    assert_eq!(socket.read(&mut [0; 8]).await.unwrap_or(0), 0);
}
