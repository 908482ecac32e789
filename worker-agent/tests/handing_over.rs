//! How sockets come to the agent, and what else may come with a request, on the real binary.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods
)]

mod support;

use podbay_protocol::*;
use std::{
    fs::File,
    io::{ErrorKind, Read},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::{UnixDatagram, UnixStream},
    },
};
use support::{
    Worker, attach,
    handed::{Handed, send_with},
    session, wait_until,
};

fn hand(stream: &str) -> ToAgentBody {
    ToAgentBody::Hand {
        stream: stream.to_owned(),
        first: Vec::new(),
    }
}

/// Attaches clients whose sockets have not come.
fn waiting(worker: &mut Worker, streams: &[&str]) {
    for stream in streams {
        let mut waits = attach("s", stream, AttachMode::Write);
        waits.handed = true;
        worker.ask(ToAgentBody::Attach(waits)).unwrap();
    }
}

/// What the agent's process has open.
fn descriptors(worker: &Worker) -> usize {
    let folder = format!("/proc/{}/fd", worker.agent.id());
    std::fs::read_dir(folder).unwrap().count()
}

/// Whether the other end of a socket is closed and nothing was said on it.
fn closed(socket: &mut UnixStream) {
    socket.set_read_timeout(Some(support::BOUND)).unwrap();
    match socket.read(&mut [0; 64]) {
        Ok(count) => assert_eq!(count, 0, "something was said"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

fn refused(worker: &mut Worker, stream: &str, fds: &[BorrowedFd<'_>], code: ErrorCode) {
    let error = worker.ask_with(hand(stream), fds).unwrap_err();
    assert_eq!(error.code, code, "{}", error.message);
}

#[test]
fn a_hand_needs_one_stream_socket_and_a_client_that_waits_for_it() {
    let mut worker = Worker::start();
    let (_, mut relayed) = worker.shell("s", "stty -echo; echo up; exec cat");
    relayed.until("up");
    waiting(&mut worker, &["a"]);
    let before = descriptors(&worker);
    let (mut own, theirs) = UnixStream::pair().unwrap();
    let (gram, _gram) = UnixDatagram::pair().unwrap();
    let file = File::open("/dev/null").unwrap();
    refused(&mut worker, "a", &[], ErrorCode::Invalid);
    refused(&mut worker, "a", &[gram.as_fd()], ErrorCode::Invalid);
    refused(&mut worker, "a", &[file.as_fd()], ErrorCode::Invalid);
    for more in 2..10 {
        let fds = vec![theirs.as_fd(); more];
        refused(&mut worker, "a", &fds, ErrorCode::Invalid);
    }
    refused(
        &mut worker,
        "nobody",
        &[theirs.as_fd()],
        ErrorCode::NoSuchSession,
    );
    refused(&mut worker, "s-0", &[theirs.as_fd()], ErrorCode::Invalid);
    assert_eq!(descriptors(&worker), before, "all of them are closed");
    drop(theirs);
    closed(&mut own);
    // Nothing of that harmed the client that waits, nor the one that is there.
    let mut client = worker.hand("a", b"");
    assert_eq!(client.greeted(), (false, false));
    let (mut own, theirs) = UnixStream::pair().unwrap();
    refused(&mut worker, "a", &[theirs.as_fd()], ErrorCode::Invalid);
    drop(theirs);
    closed(&mut own);
    relayed.type_in("typed\n");
    relayed.until("typed");
    client.until("typed");
    // Of an id that is too long none is attached.
    let mut long = attach("s", &"x".repeat(MAX_ID + 1), AttachMode::Write);
    long.handed = true;
    let error = worker.ask(ToAgentBody::Attach(long)).unwrap_err();
    assert_eq!(error.code, ErrorCode::Invalid);
}

#[test]
fn a_socket_is_never_taken_for_another_requests() {
    let mut worker = Worker::start();
    let (_, mut first) = worker.handed_shell("s", "stty -echo; echo up; exec cat");
    first.until("up");
    waiting(&mut worker, &["a", "b", "c"]);
    let before = descriptors(&worker);
    let (own, theirs) = UnixStream::pair().unwrap();
    let (mut lost, stray) = UnixStream::pair().unwrap();
    let wire = |id, body| encode(&ToAgent { id, body }).unwrap();
    // All of it is there before the agent reads any of it, so that one read could have it all.
    let pid = nix::unistd::Pid::from_raw(i32::try_from(worker.agent.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).unwrap();
    let control = worker.control.as_ref().unwrap();
    send_with(control, &wire(901, hand("a")), &[]);
    send_with(control, &wire(902, hand("b")), &[theirs.as_fd()]);
    send_with(control, &wire(903, hand("c")), &[]);
    // Not with the first byte, and with a request that has no use for it.
    let (head, rest) = (wire(904, hand("c")), 9);
    send_with(control, &head[..rest], &[]);
    send_with(control, &head[rest..], &[stray.as_fd()]);
    send_with(control, &wire(905, ToAgentBody::Ping), &[stray.as_fd()]);
    send_with(control, &wire(906, hand("c")), &[]);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGCONT).unwrap();
    for (id, taken) in [(901, false), (902, true), (903, false), (904, false)] {
        assert_eq!(worker.answer(id).is_ok(), taken, "{id}");
    }
    assert_eq!(worker.answer(905), Ok(Reply::Done));
    assert_eq!(worker.answer(906).unwrap_err().code, ErrorCode::Invalid);
    drop((theirs, stray));
    closed(&mut lost);
    assert_eq!(descriptors(&worker), before + 1);
    let mut client = Handed::new(own);
    client.greeted();
    client.say(ClientMessage::Takeover);
    client.type_in("b's\n");
    client.until("b's");
    let mut streams = worker.info("s").streams;
    streams.sort();
    assert_eq!(streams, ["a", "b", "c", "s-0"]);
}

#[test]
fn a_thousand_descriptors_that_nobody_wants_leave_nothing() {
    let mut worker = Worker::start();
    let (_, mut client) = worker.handed_shell("s", "stty -echo; echo up; exec cat");
    client.until("up");
    let before = descriptors(&worker);
    let (mut own, theirs) = UnixStream::pair().unwrap();
    let most = (0..1000)
        .map(|round| {
            let body = match round % 4 {
                0 => ToAgentBody::Ping,
                1 => hand("nobody"),
                2 => hand("s-0"),
                _ => ToAgentBody::Screen {
                    session: "s".to_owned(),
                },
            };
            let fds = vec![theirs.as_fd(); 1 + round % 7];
            let done = worker.ask_with(body, &fds).is_ok();
            assert_eq!(done, round % 4 == 0 || round % 4 == 3, "{round}");
            descriptors(&worker)
        })
        .max();
    assert_eq!(most, Some(before), "none stays");
    // Each byte of a frame with some, and then a connection that ends in the middle of one.
    let wire = encode(&ToAgent {
        id: 77,
        body: hand("nobody"),
    })
    .unwrap();
    for byte in wire.chunks(1) {
        send_with(worker.control.as_ref().unwrap(), byte, &[theirs.as_fd(); 3]);
    }
    assert_eq!(worker.answer(77).unwrap_err().code, ErrorCode::Invalid);
    send_with(
        worker.control.as_ref().unwrap(),
        &wire[..3],
        &[theirs.as_fd()],
    );
    worker.coordinator_dies();
    worker.coordinator_returns();
    wait_until("nothing is left", || descriptors(&worker) == before);
    drop(theirs);
    closed(&mut own);
    client.type_in("typed\n");
    client.until("typed");
}

#[test]
fn a_worker_has_so_many_handed_clients_and_no_more() {
    let mut worker = Worker::start();
    let mut attached = 0;
    let error = 'full: loop {
        let id = format!("s{attached}");
        worker.start_session(session(&id, &["sleep", "1000"]));
        for _ in 0..MAX_CLIENTS {
            let mut next = attach(&id, &format!("{attached:0>100}"), AttachMode::Write);
            next.handed = true;
            if let Err(error) = worker.ask(ToAgentBody::Attach(next)) {
                break 'full error;
            }
            attached += 1;
        }
        assert!(attached < 10_000, "nothing bounds it");
    };
    assert_eq!(error.code, ErrorCode::Exhausted, "{}", error.message);
    // All of them are told.
    let told = worker
        .describe()
        .sessions
        .iter()
        .map(|s| s.streams.len())
        .sum::<usize>();
    assert_eq!(told, attached);
    worker.coordinator_dies();
    worker.coordinator_returns();
    assert!(worker.describe().sessions.iter().all(|s| s.clients == 0));
}
