//! The client against a peer that speaks the protocol.

#![allow(clippy::unwrap_used, clippy::panic)]

mod cli_support;

use cli_support::Peer;
use coordinator::{
    client::{Client, ClientError, Deadlines, Incoming, Target},
    model::HostPath,
    wire::{
        AttachQuery, ErrorKind, EventBody, LogsQuery, ServerMessage, SpawnRequest, StopRequest,
    },
};
use futures_util::StreamExt;
use podbay_protocol::{AttachMode, SessionIo, Size};
use std::time::{Duration, Instant};

fn client(peer: &Peer) -> Client {
    Client::new(Target::Socket(peer.socket.clone()))
}

fn query() -> AttachQuery {
    AttachQuery {
        mode: AttachMode::Write,
        cols: Some(80),
        rows: Some(24),
        session: None,
        silent: false,
    }
}

#[tokio::test]
async fn calls_reuse_one_connection_and_survive_a_restart_between_them() {
    let mut peer = Peer::start();
    let client = client(&peer);
    assert_eq!(client.version().await.unwrap().api, 1);
    assert_eq!(client.workers(true).await.unwrap().len(), 3);
    assert_eq!(client.worker("a b/../x").await.unwrap().name, "a b/../x");
    peer.restart();
    client.input("one", "typed\r").await.unwrap();
    assert!(peer.seen.has("input b\"typed\\r\""));
    tokio::task::spawn_blocking(move || drop(peer))
        .await
        .unwrap();
}

#[tokio::test]
async fn errors_have_their_kind_a_hint_and_an_exit_code() {
    let peer = Peer::start();
    let client = client(&peer);
    let gone = client.worker("gone").await.unwrap_err();
    assert!(matches!(&gone, ClientError::Api(error) if error.kind == ErrorKind::NotFound));
    assert_eq!(
        (gone.exit_code(), gone.hint().as_deref()),
        (5, Some("do it right"))
    );
    assert!(matches!(
        client.worker("garbage").await.unwrap_err(),
        ClientError::Protocol { .. }
    ));
    let attached = client.attach("gone", &query()).await.err().unwrap();
    assert_eq!(attached.exit_code(), 5, "{attached}");
    let deadlines = Deadlines {
        ordinary: Duration::from_millis(200),
        ..Deadlines::default()
    };
    let slow = client
        .clone()
        .with_deadlines(deadlines)
        .worker("slow")
        .await
        .unwrap_err();
    assert_eq!(slow.exit_code(), 124, "{slow}");
    assert_eq!(client.version().await.unwrap().api, 1);
    let nowhere = Client::new(Target::Socket("/nowhere/at/all.sock".into()));
    let error = nowhere.version().await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }) && error.hint().is_some());
}

#[tokio::test]
async fn what_the_dashboard_asks_for_is_understood_on_both_sides() {
    let peer = Peer::start();
    let client = client(&peer);
    let folders = client
        .folders(&HostPath::new("/home/m e/pr&x="))
        .await
        .unwrap();
    assert_eq!(
        folders.folders[0].path,
        HostPath::new("/home/m e/pr&x=oject")
    );
    assert!(folders.folders[0].is_git && !folders.truncated);
    let recent = client.recent_projects().await.unwrap().recent;
    assert_eq!(recent, [HostPath::new("/home/me/p")]);
    client.seen("one").await.unwrap();
    assert!(peer.seen.has("POST /v1/workers/one/seen"));
    assert_eq!(client.rename("one", "uno").await.unwrap().name, "uno");
    let error = client.rename("one", "taken").await.unwrap_err();
    assert!(matches!(&error, ClientError::Api(e) if e.kind == ErrorKind::Conflict));
    let request = StopRequest { grace_ms: Some(7) };
    assert_eq!(client.restart("one", &request).await.unwrap().name, "one");
    assert!(
        peer.seen
            .has("restart one StopRequest { grace_ms: Some(7) }")
    );
}

#[tokio::test]
async fn events_come_whole_and_unknown_ones_are_skipped() {
    let peer = Peer::start();
    let mut events = client(&peer).events().await.unwrap();
    let first = events.next().await.unwrap().unwrap();
    assert!(matches!(first.body, EventBody::Hello { workers, .. } if workers.len() == 1));
    let second = events.next().await.unwrap().unwrap();
    assert!(matches!(second.body, EventBody::Worker { worker } if worker.name == "two"));
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn logs_are_the_bytes_as_they_were() {
    let peer = Peer::start();
    let query = LogsQuery {
        tail: Some(5),
        ..LogsQuery::default()
    };
    let mut logs = client(&peer).logs("one", &query).await.unwrap();
    let mut all = Vec::new();
    while let Some(piece) = logs.next().await {
        all.extend_from_slice(&piece.unwrap());
    }
    assert_eq!(all, b"one\n\x1b[31mtwo\x1b[m\n\x1b]52;c;AAAA\x07three\n");
    assert!(peer.seen.has("logs?follow=false&tail=5"));
}

#[tokio::test]
async fn an_attach_carries_bytes_both_ways_and_ends_with_the_status() {
    let peer = Peer::start();
    let (mut sender, mut receiver) = client(&peer).attach("one", &query()).await.unwrap().split();
    sender
        .resize(Size {
            cols: 100,
            rows: 30,
        })
        .await
        .unwrap();
    sender.signal(2).await.unwrap();
    let every: Vec<u8> = (0..=255)
        .filter(|b| !b"qQ".contains(b))
        .cycle()
        .take(300_000)
        .collect();
    let write = async {
        sender.input(&every).await.unwrap();
        sender.input(b"q").await.unwrap();
    };
    let read = async {
        let mut got = Vec::new();
        while let Some(incoming) = receiver.next().await {
            match incoming.unwrap() {
                Incoming::Output(bytes) => got.extend_from_slice(&bytes),
                Incoming::Message(ServerMessage::Exited { status, .. }) => {
                    return (got, status.shell_code());
                }
                Incoming::Message(_) => {}
                Incoming::Stderr(_) => panic!("stderr of a terminal"),
            }
        }
        panic!("no exit")
    };
    let ((), (got, code)) = tokio::join!(write, read);
    assert_eq!(code, 7);
    assert!(got.ends_with(&every), "{} bytes", got.len());
    assert!(
        peer.seen
            .has(r#"{"type":"resize","size":{"cols":100,"rows":30}}"#)
    );
    assert!(peer.seen.has(r#"{"type":"signal","signal":2}"#));
    assert!(receiver.next().await.is_none());
}

#[tokio::test]
async fn a_connection_that_breaks_off_ends_without_a_status() {
    let peer = Peer::start();
    let (mut sender, mut receiver) = client(&peer).attach("one", &query()).await.unwrap().split();
    sender.input(b"Q").await.unwrap();
    while let Some(incoming) = receiver.next().await {
        assert!(!matches!(
            incoming.unwrap(),
            Incoming::Message(ServerMessage::Exited { .. })
        ));
    }
}

#[tokio::test]
async fn a_spawn_on_pipes_keeps_stdout_and_stderr_apart() {
    let peer = Peer::start();
    let request = SpawnRequest {
        io: SessionIo::Pipes,
        argv: vec!["cat".into()],
        ..SpawnRequest::default()
    };
    let (spawned, stream) = client(&peer).spawn_attached(&request).await.unwrap();
    assert_eq!(spawned.worker.name, "made-up");
    let (mut sender, mut receiver) = stream.split();
    sender.input(b"hello").await.unwrap();
    sender.eof().await.unwrap();
    let (mut out, mut err, mut code) = (Vec::new(), Vec::new(), None);
    while let Some(incoming) = receiver.next().await {
        match incoming.unwrap() {
            Incoming::Output(bytes) => out.extend_from_slice(&bytes),
            Incoming::Stderr(bytes) => err.extend_from_slice(&bytes),
            Incoming::Message(ServerMessage::Exited { status, .. }) => {
                code = Some(status.shell_code())
            }
            Incoming::Message(_) => {}
        }
    }
    assert_eq!(
        (out, err, code),
        (b"hello".to_vec(), b"ready\n".to_vec(), Some(5))
    );
    let request = SpawnRequest {
        argv: vec!["no-such".into()],
        ..SpawnRequest::default()
    };
    assert_eq!(
        client(&peer)
            .spawn_attached(&request)
            .await
            .err()
            .unwrap()
            .exit_code(),
        127
    );
}

#[tokio::test]
async fn a_flood_comes_through_whole() {
    let peer = Peer::start();
    let (_sender, mut receiver) = client(&peer)
        .attach("flood", &query())
        .await
        .unwrap()
        .split();
    let (begin, mut total) = (Instant::now(), 0);
    while let Some(incoming) = receiver.next().await {
        if let Incoming::Output(bytes) = incoming.unwrap() {
            total += bytes.len();
        }
    }
    assert_eq!(total, 64 << 20);
    println!(
        "{:.0} MB/s",
        total as f64 / 1e6 / begin.elapsed().as_secs_f64()
    );
}
