//! One client: what it may be owed, and how long it is dialled.

use super::link::{DIAL_EVERY, DIAL_FOR};
use super::*;
use crate::event_loop::reactor::Timer;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket,
};
use podbay_protocol::{ExitStatus, FrameDecoder, Hello, Purpose};
use std::{
    io::Read,
    os::{
        fd::AsRawFd,
        unix::net::{UnixListener, UnixStream},
    },
    path::Path,
};

const EXITED: SessionMessage = SessionMessage::Exited {
    status: ExitStatus::Code(0),
    oom: false,
};

fn attach(mode: AttachMode, error: bool) -> Attach {
    Attach {
        session: "s".to_owned(),
        stream: "main".to_owned(),
        error_stream: error.then(|| "error".to_owned()),
        mode,
        size: None,
        restore: true,
        handed: false,
        silent: false,
    }
}

fn client(mode: AttachMode, error: bool, reactor: &Reactor) -> Client {
    Client::new(1, 2, &attach(mode, error), reactor.now)
}

fn dialer(folder: &Path) -> Dialer {
    Dialer {
        socket: folder.join("s"),
        token: folder.join("token"),
        worker: "0123456789ab".to_owned(),
    }
}

/// The next connection: the stream that it is for, and what was sent behind the greeting.
fn accepted(listener: &UnixListener) -> (Hello, Vec<u8>, UnixStream) {
    let (mut stream, _) = listener.accept().unwrap();
    let mut decoder = FrameDecoder::new();
    let mut chunk = vec![0; 64 << 10];
    loop {
        let count = stream.read(&mut chunk).unwrap();
        assert!(count > 0);
        decoder.push(&chunk[..count]);
        if let Some(hello) = decoder.next_frame().unwrap() {
            return (hello, decoder.into_rest(), stream);
        }
    }
}

#[test]
fn a_client_is_owed_up_to_a_bound_and_then_a_new_screen_instead() {
    let reactor = Reactor::new().unwrap();
    for (mode, bound) in [
        (AttachMode::Write, QUEUE),
        (AttachMode::Takeover, QUEUE),
        (AttachMode::ReadOnly, READ_ONLY_QUEUE),
    ] {
        // Not dialled yet, so that all of it waits.
        let mut client = client(mode, false, &reactor);
        client.output(&vec![b'x'; bound - 1], &reactor).unwrap();
        client.output(b"x", &reactor).unwrap();
        assert_eq!((client.stale, client.queued()), (false, bound));
        client.output(b"x", &reactor).unwrap();
        assert_eq!((client.stale, client.queued()), (true, 0));
        // What comes meanwhile is in the new screen.
        client.output(b"more", &reactor).unwrap();
        assert_eq!(client.queued(), 0);
        let blob = vec![b'b'; 3 * bound];
        client.restore(&blob, true, &reactor).unwrap();
        assert_eq!(client.queued(), RESET.len() + blob.len());
        // A screen of any size is no debt of the client's.
        client
            .output(&vec![b'x'; bound - RESET.len()], &reactor)
            .unwrap();
        assert!(!client.stale);
        client.output(b"x", &reactor).unwrap();
        assert!(client.stale);
    }
}

#[test]
fn each_lane_has_its_greeting_first_and_its_end_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let dialer = dialer(folder.path());
    let listener = UnixListener::bind(&dialer.socket).unwrap();
    let mut reactor = Reactor::new().unwrap();
    let mut client = client(AttachMode::Write, true, &reactor);
    client.output(b"early", &reactor).unwrap();
    let error = client.link.lane(Lane::Error).unwrap();
    error.send(&vec![b'e'; 2 << 20], &reactor).unwrap();
    assert!(!client.delivered() && client.owes_on_other_lane(Lane::Main));
    for lane in [Lane::Main, Lane::Error] {
        client.dial(lane, 1, &dialer, &mut reactor).unwrap();
    }
    let (hello, rest, mut main) = accepted(&listener);
    let stream = |name: &str| Purpose::Stream {
        stream: name.to_owned(),
    };
    assert_eq!(hello.purpose, stream("main"));
    assert_eq!(rest, b"early");
    let (hello, rest, mut errors) = accepted(&listener);
    assert_eq!(hello.purpose, stream("error"));
    // All of stdout is there, and much of stderr is not: only the first is told that it was all.
    assert!(!client.delivered());
    assert!(client.owes_on_other_lane(Lane::Main) && !client.owes_on_other_lane(Lane::Error));
    client.finish(&EXITED, &reactor).unwrap();
    let mut all = Vec::new();
    main.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"");
    let mut got = rest.len();
    let mut chunk = vec![0; 64 << 10];
    while client.queued() > 0 {
        got += errors.read(&mut chunk).unwrap();
        client
            .link
            .lane(Lane::Error)
            .unwrap()
            .flush(&reactor)
            .unwrap();
    }
    assert!(client.delivered());
    client.finish(&EXITED, &reactor).unwrap();
    loop {
        match errors.read(&mut chunk).unwrap() {
            0 => break,
            count => got += count,
        }
    }
    assert_eq!(got, 2 << 20);
}

#[test]
fn a_coordinator_that_is_busy_is_dialled_again_for_a_while() {
    let folder = tempfile::tempdir().unwrap();
    let dialer = dialer(folder.path());
    let flags = SockFlag::SOCK_CLOEXEC;
    let busy = socket(AddressFamily::Unix, SockType::Stream, flags, None).unwrap();
    bind(busy.as_raw_fd(), &UnixAddr::new(&dialer.socket).unwrap()).unwrap();
    listen(&busy, Backlog::new(0).unwrap()).unwrap();
    let mut reactor = Reactor::new().unwrap();
    // As many as it takes until the backlog is full.
    let mut clients = Vec::new();
    let mut waiting = loop {
        let mut client = client(AttachMode::Write, false, &reactor);
        client.dial(Lane::Main, 1, &dialer, &mut reactor).unwrap();
        if !client.link.connected() {
            break client;
        }
        clients.push(client);
        assert!(clients.len() < 16);
    };
    let again = Timer::Dial(1, waiting.key, Lane::Main);
    assert_eq!(reactor.due(), None, "not at once");
    reactor.now += DIAL_EVERY;
    assert_eq!(reactor.due(), Some(again));
    waiting.dial(Lane::Main, 1, &dialer, &mut reactor).unwrap();
    reactor.now += DIAL_FOR;
    assert_eq!(reactor.due(), Some(again));
    let given_up = waiting.dial(Lane::Main, 1, &dialer, &mut reactor);
    assert_eq!(given_up, Err(Errno::EAGAIN));
    assert_eq!(reactor.due(), None);
    // Nobody listens at all: that is known immediately.
    drop(busy);
    let mut client = client(AttachMode::Write, false, &reactor);
    let refused = client.dial(Lane::Main, 1, &dialer, &mut reactor);
    assert_eq!(refused, Err(Errno::ECONNREFUSED));
    // A session on a terminal has no other lane.
    client.dial(Lane::Error, 1, &dialer, &mut reactor).unwrap();
}
