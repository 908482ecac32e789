//! The client's `podbay-attach/1` against a server that is written by hand: wrong answers to the Upgrade,
//! wrong frames, and what only a coordinator may say.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use crate::{
    claims::spawned,
    frames::{
        ATTACHED, EXITED, Peer, SWITCH, attach_refused, frame, is_protocol, main, message, sorted,
    },
    server::{Answer, Server, json, listen},
};
use coordinator::{
    client::{AttachStream, ClientError, Incoming},
    wire::{AttachQuery, ErrorKind, INPUT_WINDOW, ServerMessage, SpawnRequest},
};
use podbay_protocol::{AttachHead, AttachKind, AttachMode, MAX_ATTACH_DATA, MAX_ATTACH_MESSAGE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn query() -> AttachQuery {
    AttachQuery {
        mode: AttachMode::Write,
        cols: Some(80),
        rows: Some(24),
        session: None,
        silent: false,
    }
}

/// An attached client and the other end of its connection.
async fn attached(more: &str) -> (AttachStream, Peer, tempfile::TempDir) {
    let (listener, client, folder) = listen();
    let query = query();
    let (stream, peer) = tokio::join!(client.attach("w", &query), Peer::switch(&listener, more));
    (stream.unwrap(), peer, folder)
}

/// What a client hears of these bytes, which come in pieces of that size, after which the connection
/// ends.
async fn heard(more: &str, bytes: &[u8], cut: usize) -> Vec<Result<Incoming, ClientError>> {
    let (stream, mut peer, _folder) = attached(more).await;
    let (_sender, mut receiver) = stream.split();
    let sending = async {
        for piece in bytes.chunks(cut) {
            // A client that has heard enough leaves.
            if peer.0.write_all(piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(peer);
    };
    let hearing = async {
        let mut all = Vec::new();
        while let Some(next) = receiver.next().await {
            let over = next.is_err();
            all.push(next);
            if over {
                break;
            }
        }
        assert!(receiver.next().await.is_none(), "what has ended stays so");
        all
    };
    let (all, ()) = tokio::join!(hearing, sending);
    all
}

#[tokio::test]
async fn an_answer_that_does_not_switch_to_this_protocol_is_none() {
    let other = SWITCH.replace("podbay-attach/1", "podbay-attach/2");
    let none = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n";
    for bytes in [
        format!("{other}\r\n"),
        SWITCH.replace("podbay-attach/1", "websocket") + "\r\n",
        format!("{none}\r\n"),
        json("200 OK", "{}"),
        json("204 No Content", ""),
    ] {
        let (error, _) = attach_refused(&bytes, &query()).await;
        assert!(
            matches!(error, ClientError::Protocol { .. }),
            "{error:?} to {bytes}"
        );
    }
    // A refusal is none of the protocol: nothing else is tried.
    let refused = r#"{"kind":"conflict","message":"w is paused","hint":"free some space"}"#;
    let (error, server) = attach_refused(&json("409 Conflict", refused), &query()).await;
    assert!(matches!(error, ClientError::Api(e) if e.kind == ErrorKind::Conflict));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn where_it_is_not_to_be_had_a_websocket_is_asked_for() {
    let unsupported = r#"{"kind":"upgrade_unsupported","message":"use WebSocket"}"#;
    let old = r#"{"kind":"invalid","message":"`Upgrade` header did not include 'websocket'"}"#;
    for (status, body) in [
        ("426 Upgrade Required", unsupported),
        // One that has never heard of it.
        ("400 Bad Request", old),
        ("426 Upgrade Required", ""),
    ] {
        let refused = r#"{"kind":"not_found","message":"no such worker"}"#;
        let answers = [
            Answer::keep(json(status, body)),
            Answer::keep(json("404 Not Found", refused)),
        ];
        let server = Server::new(answers.clone());
        let error = server.client.attach("w", &query()).await.err().unwrap();
        assert!(matches!(error, ClientError::Api(e) if e.kind == ErrorKind::NotFound));
        let asked = server.requests();
        assert_eq!(asked.len(), 2, "{asked:?}");
        assert!(asked[1].contains("websocket") && asked[1].contains("input_window=true"));
        let server = Server::new(answers);
        let request = SpawnRequest::default();
        let error = server.client.spawn_attached(&request).await.err().unwrap();
        assert!(matches!(error, ClientError::Api(e) if e.kind == ErrorKind::NotFound));
        assert!(server.requests()[1].contains("websocket"));
    }
}

#[tokio::test]
async fn output_and_messages_come_in_their_order_however_they_are_cut() {
    let mut bytes = message(r#"{"type":"window","bytes":65536}"#);
    bytes.extend(message(ATTACHED));
    let mut expected = Vec::new();
    for n in 0..20_u8 {
        let piece = vec![n; 100 * usize::from(n)];
        bytes.extend(main(&piece));
        bytes.extend(message(r#"{"type":"taken","total":1}"#));
        expected.extend(piece);
    }
    bytes.extend(message(
        r#"{"type":"refused","code":"invalid","message":"no"}"#,
    ));
    bytes.extend(message(EXITED));
    for cut in [1, 7, 4096, bytes.len()] {
        let all = heard("podbay-session: terminal\r\n", &bytes, cut).await;
        let (output, said) = sorted(&all);
        assert_eq!(output, [expected.clone(), Vec::new()]);
        let [
            ServerMessage::Attached { writer: true, .. },
            ServerMessage::Refused(_),
            ServerMessage::Exited { status, .. },
        ] = said.as_slice()
        else {
            panic!("{said:?}")
        };
        assert_eq!(status.shell_code(), 7);
    }
}

#[tokio::test]
async fn an_end_in_the_middle_of_a_frame_is_an_end_and_no_error() {
    assert!(heard("", b"", 1).await.is_empty());
    let mut bytes = message(ATTACHED);
    let begun = bytes.len();
    bytes.extend(main([b'x'; 300]));
    for (end, output) in [(begun + 3, 0), (begun + 5, 0), (begun + 105, 100)] {
        let all = heard("", &bytes[..end], end).await;
        let (got, said) = sorted(&all);
        assert_eq!((got[0].len(), said.len()), (output, 1), "{end}");
    }
    // A message that is cut off is none.
    let all = heard("", &bytes[..begun - 1], begun).await;
    assert!(all.is_empty(), "{all:?}");
}

#[tokio::test]
async fn what_is_too_long_or_of_no_kind_ends_the_connection() {
    let head = |kind, len| AttachHead { kind, len }.bytes().to_vec();
    for wrong in [
        head(AttachKind::Main, MAX_ATTACH_DATA + 1),
        head(AttachKind::Error, MAX_ATTACH_DATA + 1),
        head(AttachKind::Message, MAX_ATTACH_MESSAGE + 1),
        head(AttachKind::Message, 1 << 20),
        vec![3, 0, 0, 0, 1, b'x'],
        vec![255; 5],
        message(r#"{"type":"exited","#),
        message("hello"),
        frame(AttachKind::Message, [0xff, 0xfe]),
        // Stderr of a session that is on a terminal: it would be shown as it is.
        frame(AttachKind::Error, "out"),
    ] {
        let mut bytes = message(ATTACHED);
        bytes.extend(main("out"));
        bytes.extend(&wrong);
        bytes.extend(message(EXITED));
        let all = heard("podbay-session: terminal\r\n", &bytes, bytes.len()).await;
        assert_eq!(all.len(), 3, "{all:?} of {wrong:?}");
        assert!(is_protocol(&all[2]), "{:?} of {wrong:?}", all[2]);
    }
    // The longest that are allowed are none of that.
    let mut bytes = main(vec![b'x'; MAX_ATTACH_DATA]);
    let mut long = ATTACHED.to_owned();
    long.push_str(&" ".repeat(MAX_ATTACH_MESSAGE - long.len()));
    bytes.extend(message(&long));
    let all = heard("", &bytes, bytes.len()).await;
    let (output, said) = sorted(&all);
    assert_eq!((output[0].len(), said.len()), (MAX_ATTACH_DATA, 1));
}

#[tokio::test]
async fn a_worker_says_nothing_that_only_the_coordinator_may_say() {
    let spawned = message(&spawned("another"));
    let error = message(r#"{"type":"error","kind":"internal","message":"do as I say"}"#);
    let future = message(r#"{"type":"of_the_future","x":1}"#);
    let mut bytes = spawned.clone();
    for said in [&future, &error, &message(ATTACHED), &spawned, &error] {
        bytes.extend(said);
    }
    bytes.extend(main("out"));
    let all = heard("podbay-session: terminal\r\n", &bytes, bytes.len()).await;
    let (output, said) = sorted(&all);
    assert_eq!(output[0], b"out");
    assert!(
        matches!(said.as_slice(), [ServerMessage::Attached { .. }]),
        "{said:?}"
    );
}

#[tokio::test]
async fn what_the_session_is_on_is_the_coordinators_word() {
    // It would not be filtered, were it taken for one on pipes.
    let forged = message(r#"{"type":"attached","writer":true,"pipes":true}"#);
    for (more, expected) in [
        ("", false),
        ("podbay-session: terminal\r\n", false),
        ("podbay-session: pipes\r\n", true),
    ] {
        for said in [&forged, &message(ATTACHED)] {
            let mut bytes = said.clone();
            bytes.extend(main("out"));
            if expected {
                bytes.extend(frame(AttachKind::Error, "err"));
            }
            let all = heard(more, &bytes, bytes.len()).await;
            let (output, said) = sorted(&all);
            assert!(
                matches!(said.as_slice(), [ServerMessage::Attached { pipes, .. }] if *pipes == expected),
                "{said:?}"
            );
            let err: &[u8] = if expected { b"err" } else { b"" };
            assert_eq!(
                (output[0].as_slice(), output[1].as_slice()),
                (&b"out"[..], err)
            );
        }
    }
}

#[tokio::test]
async fn a_key_is_one_frame_and_what_is_not_input_passes_it_by() {
    let (stream, mut peer, _folder) = attached("").await;
    let (mut sender, mut receiver) = stream.split();
    peer.send(message(ATTACHED)).await;
    receiver.next().await.unwrap().unwrap();
    sender.input(b"k").await.unwrap();
    let mut key = [0; AttachHead::LEN + 1];
    let got = peer.0.read(&mut key).await.unwrap();
    assert_eq!(key[..got], main("k"), "in one write");
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
    while let Some((kind, body)) = peer.frame().await {
        said.push((kind, String::from_utf8(body).unwrap()));
    }
    let text = |text: &str| (AttachKind::Message, text.to_owned());
    assert_eq!(
        said,
        [
            text(r#"{"type":"signal","signal":2}"#),
            text(r#"{"type":"signal","signal":15}"#),
            (AttachKind::Main, "typed".to_owned()),
            text(r#"{"type":"eof"}"#)
        ]
    );
    // It has only left: what is on its way to it still comes.
    peer.send(main("last words")).await;
    let last = receiver.next().await.unwrap().unwrap();
    assert!(matches!(last, Incoming::Output(bytes) if *bytes == *b"last words"));
}

#[tokio::test]
async fn no_more_input_is_on_its_way_than_the_window_with_or_without_a_word_of_it() {
    let (stream, mut peer, _folder) = attached("").await;
    let (mut sender, mut receiver) = stream.split();
    peer.send(message(ATTACHED)).await;
    receiver.next().await.unwrap().unwrap();
    let typed: Vec<u8> = (0..200_000_u32).map(|n| (n >> 3) as u8).collect();
    let all = typed.clone();
    let typing = tokio::spawn(async move {
        sender.input(&all).await.unwrap();
        sender
    });
    let reading = tokio::spawn(async move { while receiver.next().await.is_some() {} });
    let window = INPUT_WINDOW as usize;
    let (mut got, mut taken) = (Vec::new(), 0);
    while got.len() < typed.len() {
        while got.len() < typed.len().min(taken + window) {
            let (kind, body) = peer.frame().await.unwrap();
            assert_eq!(kind, AttachKind::Main);
            got.extend(body);
            assert!(got.len() <= taken + window, "{} of {taken}", got.len());
        }
        taken = (taken + window / 3).min(got.len());
        for total in [taken, 0] {
            let told = format!(r#"{{"type":"taken","total":{total}}}"#);
            peer.send(message(&told)).await;
        }
    }
    assert!(got == typed);
    drop((typing.await.unwrap(), peer));
    reading.await.unwrap();
}

#[tokio::test]
async fn a_session_that_reads_nothing_keeps_no_client() {
    let (stream, mut peer, _folder) = attached("").await;
    let (mut sender, mut receiver) = stream.split();
    // It says that it takes everything, and takes nothing: the socket is full at some point.
    peer.send(message(r#"{"type":"window","bytes":4294967295}"#))
        .await;
    peer.send(message(ATTACHED)).await;
    receiver.next().await.unwrap().unwrap();
    let flood = vec![b'x'; 4 << 20];
    let stuck = std::time::Duration::from_millis(200);
    let full = tokio::time::timeout(stuck, sender.input(&flood)).await;
    assert!(full.is_err(), "all of it was taken");
    // What it says is still heard, and leaving takes no more than dropping the connection.
    peer.send(main("still here")).await;
    let said = receiver.next().await.unwrap().unwrap();
    assert!(matches!(said, Incoming::Output(bytes) if *bytes == *b"still here"));
    drop((sender, receiver));
    let mut rest = Vec::new();
    peer.0.read_to_end(&mut rest).await.unwrap();
}
