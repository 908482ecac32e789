//! Bounds of what a session, a client or a request may make the real binary keep.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods
)]

mod support;

use podbay_protocol::*;
use support::{Worker, session};

#[test]
fn input_that_is_not_read_is_refused_once_it_is_much() {
    let mut worker = Worker::start();
    let (_, mut client) = worker.shell("s", "stty raw -echo; echo up; exec sleep 100");
    client.until("up");
    let mut typed = || {
        worker.ask(ToAgentBody::Input {
            session: "s".into(),
            data: vec![b'x'; 300_000],
        })
    };
    typed().unwrap();
    let error = typed().unwrap_err();
    assert_eq!(error.code, ErrorCode::Exhausted, "{}", error.message);
    assert!(error.message.contains("has not read"), "{}", error.message);
}

#[test]
fn times_beyond_the_clocks_end_end_nothing() {
    let mut worker = Worker::start();
    let mut start = session(
        "s",
        &["/bin/sh", "-c", "trap '' TERM; sleep 100 & wait; wait"],
    );
    start.timeout_s = Some(u64::MAX);
    worker.start_session(start);
    worker
        .ask(ToAgentBody::Stop {
            session: "s".into(),
            grace_ms: u64::MAX,
        })
        .unwrap();
    worker.ask(ToAgentBody::Ping).unwrap();
    assert_eq!(worker.describe().sessions.len(), 1);
}

#[test]
fn an_operation_is_told_from_what_is_in_it() {
    let mut worker = Worker::start();
    for (id, body, code) in [
        (
            70,
            &br#"{"id":70,"op":"levitate"}"#[..],
            ErrorCode::Unsupported,
        ),
        (
            71,
            br#"{"id":71,"op":"signal","session":"s"}"#,
            ErrorCode::Invalid,
        ),
        // An unknown choice inside of a known operation names no operation.
        (
            72,
            br#"{"id":72,"op":"attach","session":"s","stream":"x","mode":"unknown variant"}"#,
            ErrorCode::Invalid,
        ),
    ] {
        worker.send_raw(&u32::try_from(body.len()).unwrap().to_be_bytes());
        worker.send_raw(body);
        assert_eq!(worker.answer(id).unwrap_err().code, code);
    }
}
