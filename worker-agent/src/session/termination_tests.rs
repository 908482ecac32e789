//! When a session counts as ended: with a clock in hand, and the loop's rounds one by one.

use crate::{
    connection::dialer::Dialer,
    event_loop::reactor::{Reactor, Source, Timer},
    process::command::prepare,
    session::{Session, start::Surroundings},
};
use nix::sys::{
    eventfd::EventFd,
    signal::Signal,
    wait::{WaitStatus, waitpid},
};
use podbay_protocol::{Attach, AttachMode, ExitStatus, SessionIo, StartSession};
use std::{
    collections::BTreeMap,
    io::Read,
    os::unix::net::{UnixListener, UnixStream},
    sync::Arc,
    time::Duration,
};

const HOLDS_THE_PIPES: &str = "sleep 300 & exit 3";

fn attach(mode: AttachMode) -> Attach {
    Attach {
        session: "s".to_owned(),
        stream: "out".to_owned(),
        error_stream: Some("err".to_owned()),
        mode,
        size: None,
        restore: false,
        handed: false,
        silent: false,
    }
}

/// The client's ends of both connections that the agent has dialled.
fn dialled(listener: &UnixListener) -> [UnixStream; 2] {
    [(); 2].map(|()| {
        let mut socket = listener.accept().unwrap().0;
        let mut head = [0; 4];
        socket.read_exact(&mut head).unwrap();
        let mut hello = vec![0; u32::from_be_bytes(head) as usize];
        socket.read_exact(&mut hello).unwrap();
        socket
    })
}

/// A session on pipes with one client, in a loop that only the test turns.
struct Bench {
    _dir: tempfile::TempDir,
    dialer: Dialer,
    listener: UnixListener,
    reactor: Reactor,
    session: Session,
    /// The client's ends: stdout's and stderr's.
    client: [UnixStream; 2],
    buffer: Vec<u8>,
}

impl Bench {
    fn new(script: &str) -> Self {
        Self::with(AttachMode::Write, script)
    }

    fn with(mode: AttachMode, script: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let dialer = Dialer {
            socket: dir.path().join("sock"),
            token: dir.path().join("token"),
            worker: "w".to_owned(),
        };
        let listener = UnixListener::bind(&dialer.socket).unwrap();
        let start = StartSession {
            session: "s".to_owned(),
            argv: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
            env: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
            cwd: "/".to_owned(),
            uid: nix::unistd::geteuid().as_raw(),
            gid: nix::unistd::getegid().as_raw(),
            user: "dev".to_owned(),
            home: "/tmp".to_owned(),
            io: SessionIo::Pipes,
            record: false,
            primary: false,
            claim: None,
            attach: Some(attach(mode)),
            timeout_s: None,
            secrets: std::collections::BTreeMap::new(),
        };
        let prepared = prepare(&start, &[]).unwrap();
        let mut reactor = Reactor::new().unwrap();
        let around = Surroundings {
            log: dir.path(),
            wake: &Arc::new(EventFd::new().unwrap()),
            dialer: &dialer,
        };
        let key = reactor.fresh_key();
        let session = Session::start(key, start, &prepared, &around, &mut reactor).unwrap();
        let client = dialled(&listener);
        Self {
            _dir: dir,
            dialer,
            listener,
            reactor,
            session,
            client,
            buffer: vec![0; 64 << 10],
        }
    }

    /// Waits for the program's end; nothing of its output is read meanwhile.
    fn reap(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.session.pid);
        let WaitStatus::Exited(_, code) = waitpid(pid, None).unwrap() else {
            panic!("no exit");
        };
        let status = ExitStatus::Code(code);
        self.reactor.now = std::time::Instant::now();
        self.session.reaped(status, &mut self.reactor);
    }

    fn done(&mut self) -> bool {
        self.session.done(&mut self.buffer, &mut self.reactor)
    }

    fn later(&mut self, wait: Duration) -> bool {
        self.reactor.now += wait;
        self.done()
    }

    /// The client is killed: its connections are gone, whatever waits for it.
    fn client_dies(&mut self) {
        for socket in &self.client {
            socket.shutdown(std::net::Shutdown::Both).unwrap();
        }
        while !self.session.clients.is_empty() {
            self.turn();
        }
    }

    /// The client comes back.
    fn client_returns(&mut self) {
        let again = attach(AttachMode::Write);
        let reactor = &mut self.reactor;
        assert!(self.session.attach(&again, &self.dialer, reactor).unwrap());
        self.client = dialled(&self.listener);
    }

    /// So much time passes, with a coordinator or without; how the program ended meanwhile, if it did.
    fn pass(&mut self, time: Duration, coordinator: bool) -> Option<WaitStatus> {
        self.reactor.now += time;
        let mut stopped = false;
        while let Some(timer) = self.reactor.due() {
            let before = self.session.drain_deadline;
            if let Timer::Abandoned(_) = timer {
                self.session.check_abandoned(coordinator, &mut self.reactor);
            }
            stopped |= self.session.drain_deadline != before;
        }
        stopped.then(|| waitpid(nix::unistd::Pid::from_raw(self.session.pid), None).unwrap())
    }

    /// One round of the loop; keeps the test's clock.
    fn turn(&mut self) {
        let (now, mut ready) = (self.reactor.now, Vec::new());
        self.reactor
            .wait(Some(Duration::from_millis(5)), &mut ready);
        self.reactor.now = now;
        for (token, flags) in ready {
            let Some(source) = self.reactor.source(token) else {
                continue;
            };
            let (buffer, reactor) = (&mut self.buffer, &mut self.reactor);
            match source {
                Source::Client(_, client, lane) => self
                    .session
                    .client_ready(client, lane, flags, buffer, reactor),
                source => self.session.program_ready(source, flags, buffer, reactor),
            }
        }
        // What the parser's wake-up is for: it may have been behind.
        self.session.apply_backpressure(&mut self.reactor);
    }
}

#[test]
fn a_program_s_output_is_read_however_long_that_was_put_off() {
    let mut it = Bench::new("head -c 60000 /dev/zero; head -c 50000 /dev/zero >&2; exit 3");
    it.reap();
    assert!(!it.done(), "nothing is read yet");
    assert!(it.later(Duration::from_secs(3600)));
    assert_eq!(it.session.output_bytes, 110_000);
}

#[test]
fn pipes_that_others_hold_are_given_a_second() {
    let mut it = Bench::new(HOLDS_THE_PIPES);
    it.reap();
    assert!(!it.later(Duration::from_millis(990)));
    assert!(it.later(Duration::from_millis(20)));
}

#[test]
fn a_slow_client_of_pipes_holds_the_end_until_it_has_everything() {
    let script = "head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2";
    let mut it = Bench::new(script);
    while it.session.output_bytes < 600_000 {
        it.turn();
    }
    it.reap();
    assert!(!it.later(Duration::from_secs(3600)));
    for lane in [1, 0] {
        assert!(!it.done(), "the client has not taken it");
        let mut got = 0;
        it.client[lane].set_nonblocking(true).unwrap();
        while got < 300_000 {
            let read = it.client[lane].read(&mut [0; 10_000]);
            got += read.unwrap_or_default();
            it.turn();
        }
    }
    assert!(it.done());
}

#[test]
fn a_client_that_has_gone_holds_nothing() {
    let mut it = Bench::new("head -c 300000 /dev/zero; sleep 300 & exit 3");
    while it.session.output_bytes < 300_000 {
        it.turn();
    }
    it.reap();
    assert!(!it.later(Duration::from_secs(2)));
    it.client_dies();
    assert!(it.done());
}

#[test]
fn a_client_that_never_reads_holds_a_stop_for_a_second_and_still_has_all_queued() {
    let mut it = Bench::new("head -c 300000 /dev/zero; head -c 60000 /dev/zero; exit 3");
    while it.session.output_bytes < 300_000 {
        it.turn();
    }
    it.reap();
    it.session.stop(Duration::from_secs(10), &mut it.reactor);
    assert!(!it.later(Duration::from_millis(990)));
    assert!(it.later(Duration::from_millis(20)));
    assert_eq!(it.session.output_bytes, 360_000);
}

#[test]
fn a_client_that_only_watches_and_never_reads_holds_the_end_for_ten_seconds() {
    let mut it = Bench::with(AttachMode::ReadOnly, "head -c 300000 /dev/zero; exit 3");
    while it.session.output_bytes < 300_000 {
        it.turn();
    }
    it.reap();
    assert!(!it.later(Duration::from_millis(9_900)));
    assert!(it.later(Duration::from_millis(200)));
}

const SECOND: Duration = Duration::from_secs(1);

/// A program that writes for ever to a client that reads nothing, until the client is killed.
fn abandoned() -> Bench {
    let mut it = Bench::new("exec yes");
    while it.session.output_bytes < 300_000 {
        it.turn();
    }
    it.client_dies();
    it
}

fn by_term(end: Option<WaitStatus>) -> bool {
    matches!(end, Some(WaitStatus::Signaled(_, Signal::SIGTERM, _)))
}

#[test]
fn a_session_whose_client_was_killed_is_ended_after_ten_seconds() {
    let mut it = abandoned();
    assert_eq!(it.pass(9 * SECOND, true), None);
    assert!(by_term(it.pass(2 * SECOND, true)));
}

#[test]
fn a_session_whose_client_comes_back_goes_on_until_it_is_gone_for_good() {
    let mut it = abandoned();
    assert_eq!(it.pass(9 * SECOND, true), None);
    it.client_returns();
    assert_eq!(it.pass(3600 * SECOND, true), None);
    it.client_dies();
    assert_eq!(it.pass(9 * SECOND, true), None);
    assert!(by_term(it.pass(2 * SECOND, true)));
}

#[test]
fn the_time_for_coming_back_begins_when_there_is_a_coordinator_again() {
    let mut it = abandoned();
    for _ in 0..30 {
        assert_eq!(it.pass(2 * SECOND, false), None);
    }
    assert_eq!(it.pass(9 * SECOND, true), None);
    assert!(by_term(it.pass(2 * SECOND, true)));
}

#[test]
fn a_session_that_was_left_on_purpose_and_a_main_one_need_no_client() {
    let mut left = Bench::new("exec yes");
    left.session.detached_on_purpose();
    left.client_dies();
    // By a relayed client it may be said a moment too late.
    let mut late = abandoned();
    late.session.detached_on_purpose();
    let mut main = Bench::new("exec yes");
    main.session.primary = true;
    main.client_dies();
    for it in [&mut left, &mut late, &mut main] {
        assert_eq!(it.pass(3600 * SECOND, true), None);
    }
    // What was said holds for that time alone.
    left.client_returns();
    left.client_dies();
    assert!(by_term(left.pass(11 * SECOND, true)));
    for mut it in [late, main] {
        it.session.kill();
    }
}
