//! The control connection against a coordinator that is a listener of the test's own.

use super::*;
use podbay_protocol::{AgentEvent, Hello, MAX_FRAME, encode};
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
};

struct Bench {
    control: Control,
    reactor: Reactor,
    dialer: Dialer,
    listener: UnixListener,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("token"), "a token\n").unwrap();
        Self {
            control: Control::default(),
            reactor: Reactor::new().unwrap(),
            dialer: Dialer {
                socket: path("agent.sock"),
                token: path("token"),
                worker: "0123456789ab".to_owned(),
            },
            listener: UnixListener::bind(path("agent.sock")).unwrap(),
            _folder: folder,
        }
    }

    /// Dials; the coordinator's end, and what it was greeted with.
    fn dial(&mut self) -> (UnixStream, Hello) {
        self.control.dial(&self.dialer, &mut self.reactor);
        let (mut stream, _) = self.listener.accept().unwrap();
        let mut length = [0; 4];
        stream.read_exact(&mut length).unwrap();
        let mut hello = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut hello).unwrap();
        (stream, serde_json::from_slice(&hello).unwrap())
    }

    fn welcomed(&mut self) -> UnixStream {
        let (mut stream, _) = self.dial();
        stream.write_all(&welcome()).unwrap();
        assert!(!self.ready().lost);
        stream
    }

    fn ready(&mut self) -> Incoming {
        let mut buffer = [0; 4096];
        let (control, reactor) = (&mut self.control, &mut self.reactor);
        control.ready(EpollFlags::EPOLLIN, &mut buffer, reactor)
    }

    /// The deadlines up to some seconds from now.
    fn due(&mut self) -> Vec<Timer> {
        self.reactor.now += Duration::from_secs(60);
        std::iter::from_fn(|| self.reactor.due()).collect()
    }
}

fn welcome() -> Vec<u8> {
    let welcome = Welcome {
        protocol: 1,
        build: "1.2.3".to_owned(),
    };
    encode(&welcome).unwrap()
}

fn jsons(incoming: Incoming) -> Vec<Value> {
    incoming.requests.into_iter().map(|r| r.json).collect()
}

fn request(id: u64) -> Value {
    json!({"id": id, "op": "ping"})
}

fn event(length: usize) -> FromAgent {
    FromAgent::Event(AgentEvent::Notification {
        session: "s".to_owned(),
        text: "x".repeat(length),
    })
}

#[test]
fn the_greeting_has_the_token_as_it_is_then_and_nothing_comes_before_the_welcome() {
    let mut bench = Bench::new();
    let (mut stream, hello) = bench.dial();
    assert_eq!(
        (hello.worker.as_str(), hello.token.as_str()),
        ("0123456789ab", "a token")
    );
    assert_eq!(hello.purpose, Purpose::Control);
    // Not welcomed yet: what is said is dropped, since the coordinator will ask.
    assert!(!bench.control.send(&event(1), &mut bench.reactor));
    assert_eq!(bench.control.queued(), 0);
    stream.write_all(&welcome()).unwrap();
    assert!(!bench.ready().lost);
    assert!(!bench.control.send(&event(1), &mut bench.reactor));
    bench.control.lose(&mut bench.reactor);
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    assert_eq!(all, encode(&event(1)).unwrap(), "once");
    std::fs::write(&bench.dialer.token, "another").unwrap();
    assert_eq!(bench.dial().1.token, "another");
}

#[test]
fn requests_come_in_order_at_any_chunking_also_behind_the_welcome() {
    let mut wire = welcome();
    for id in 0..5 {
        wire.extend(encode(&request(id)).unwrap());
    }
    for size in [1, 7, wire.len()] {
        let mut bench = Bench::new();
        let (mut stream, _) = bench.dial();
        let mut requests = Vec::new();
        for chunk in wire.chunks(size) {
            stream.write_all(chunk).unwrap();
            let incoming = bench.ready();
            assert!(!incoming.lost);
            requests.extend(jsons(incoming));
        }
        assert_eq!(requests, (0..5).map(request).collect::<Vec<_>>());
    }
}

#[test]
fn what_is_no_request_ends_the_connection_behind_those_that_were() {
    let too_long = u32::try_from(MAX_FRAME + 1).unwrap().to_be_bytes().to_vec();
    for nonsense in [
        encode(&json!({"op": "ping"})).unwrap(),
        encode(&json!({"id": "1", "op": "ping"})).unwrap(),
        encode(&json!({"id": -1, "op": "ping"})).unwrap(),
        encode(&json!([1])).unwrap(),
        vec![0, 0, 0, 1, b'{'],
        too_long,
    ] {
        let mut bench = Bench::new();
        let mut stream = bench.welcomed();
        let mut wire = encode(&request(1)).unwrap();
        wire.extend(&nonsense);
        wire.extend(encode(&request(2)).unwrap());
        stream.write_all(&wire).unwrap();
        let incoming = bench.ready();
        assert!(incoming.lost, "{nonsense:?}");
        assert_eq!(jsons(incoming), [request(1)], "{nonsense:?}");
        assert!(bench.due().contains(&Timer::Redial));
        let mut rest = Vec::new();
        // Unread requests may make the end a reset.
        drop(stream.read_to_end(&mut rest));
        assert_eq!(rest, b"");
        // The next connection begins afresh: with a welcome.
        let mut stream = bench.welcomed();
        stream.write_all(&encode(&request(3)).unwrap()).unwrap();
        assert_eq!(jsons(bench.ready()), [request(3)]);
    }
}

#[test]
fn a_coordinator_that_does_not_welcome_is_dialled_again() {
    let mut bench = Bench::new();
    // Another greeting than a welcome.
    let (mut stream, _) = bench.dial();
    stream.write_all(&encode(&request(1)).unwrap()).unwrap();
    let incoming = bench.ready();
    assert!(incoming.lost && incoming.requests.is_empty());
    // None at all: the deadline is that dial's own.
    let (_second, _) = bench.dial();
    let due = bench.due();
    assert!(
        due.contains(&Timer::Welcome(1)) && due.contains(&Timer::Welcome(2)),
        "{due:?}"
    );
    bench.control.overdue(1, &mut bench.reactor);
    assert_eq!(bench.control.stage, Stage::Greeting);
    bench.control.overdue(2, &mut bench.reactor);
    assert_eq!(bench.control.stage, Stage::Away);
    assert!(bench.due().contains(&Timer::Redial));
    // Nor does it end a connection that was welcomed.
    let _third = bench.welcomed();
    bench.control.overdue(3, &mut bench.reactor);
    assert_eq!(bench.control.stage, Stage::Ready);
}

#[test]
fn pauses_between_dials_grow_to_a_bound_and_begin_again_with_a_welcome() {
    let mut bench = Bench::new();
    let there = std::mem::replace(&mut bench.dialer.socket, "/nowhere/agent.sock".into());
    let mut last = Duration::ZERO;
    for _ in 0..20 {
        let pause = bench.control.pause;
        assert!(pause >= last && pause <= MAX_PAUSE);
        last = pause;
        bench.control.dial(&bench.dialer, &mut bench.reactor);
        assert_eq!(bench.control.stage, Stage::Away);
        // Never longer than that, and never much shorter.
        bench.reactor.now += pause / 2 - Duration::from_micros(1);
        assert_eq!(bench.reactor.due(), None);
        bench.reactor.now += pause;
        assert_eq!(bench.reactor.due(), Some(Timer::Redial));
        assert_eq!(bench.reactor.due(), None);
    }
    assert_eq!(last, MAX_PAUSE);
    bench.dialer.socket = there;
    let _stream = bench.welcomed();
    assert_eq!(bench.control.pause, MIN_PAUSE);
}

#[test]
fn a_coordinator_that_does_not_read_costs_a_bounded_queue_and_then_the_connection() {
    const MESSAGE: usize = 512 << 10;
    let mut bench = Bench::new();
    let _stream = bench.welcomed();
    let mut sent = 0;
    loop {
        let lost = bench.control.send(&event(MESSAGE), &mut bench.reactor);
        sent += MESSAGE;
        if lost {
            break;
        }
        assert!(bench.control.queued() <= QUEUE);
        assert!(sent < 4 * QUEUE, "nothing bounds it");
    }
    assert!(sent > QUEUE, "given up at {sent}");
    assert_eq!(bench.control.queued(), 0);
    assert!(bench.due().contains(&Timer::Redial));
    // What was queued for the former connection is not sent on the next one.
    let mut stream = bench.welcomed();
    assert!(!bench.control.send(&event(1), &mut bench.reactor));
    bench.control.lose(&mut bench.reactor);
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    assert_eq!(all, encode(&event(1)).unwrap());
}

#[test]
fn a_message_that_fits_no_frame_is_dropped_and_the_connection_stays() {
    let mut bench = Bench::new();
    let mut stream = bench.welcomed();
    assert!(!bench.control.send(&event(MAX_FRAME), &mut bench.reactor));
    assert!(!bench.control.send(&event(2), &mut bench.reactor));
    bench.control.lose(&mut bench.reactor);
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    assert_eq!(all, encode(&event(2)).unwrap());
}
