//! A coordinator for tests: listens, greets, asks, and collects what the real binary says.
#![allow(
    dead_code,
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods
)]

pub mod handed;
#[path = "../../../tests/support/needs.rs"]
pub mod needs;

use podbay_protocol::*;
use std::{
    collections::{BTreeMap, VecDeque},
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    time::{Duration, Instant},
};

pub const BOUND: Duration = Duration::from_secs(20);
pub const BIN: &str = env!("CARGO_BIN_EXE_worker-agent");

/// Waits until something is true, or fails with what was waited for.
pub fn wait_until(what: &str, mut predicate: impl FnMut() -> bool) {
    let until = Instant::now() + BOUND;
    while !predicate() {
        assert!(Instant::now() < until, "timed out: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub fn read_frame(stream: &mut UnixStream) -> Option<Vec<u8>> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).ok()?;
    let mut body = vec![0; u32::from_be_bytes(head) as usize];
    stream.read_exact(&mut body).ok()?;
    Some(body)
}

fn accept_all(listener: UnixListener, arrivals: Sender<(Hello, UnixStream)>) {
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let Some(body) = read_frame(&mut stream) else {
                continue;
            };
            let hello = serde_json::from_slice(&body).unwrap();
            if arrivals.send((hello, stream)).is_err() {
                return;
            }
        }
    });
}

/// The agent's process and the coordinator's side of it.
pub struct Worker {
    pub dir: tempfile::TempDir,
    pub agent: Child,
    arrivals: Receiver<(Hello, UnixStream)>,
    waiting: Vec<(Hello, UnixStream)>,
    pub control: Option<UnixStream>,
    inbox: Option<Receiver<FromAgent>>,
    pub events: VecDeque<AgentEvent>,
    pub next: u64,
}

impl Worker {
    /// An agent as a plain child, connected.
    pub fn start() -> Self {
        Self::start_with(|_| Command::new(BIN))
    }

    /// An agent as PID 1 of a PID namespace of its own.
    pub fn start_as_init() -> Self {
        Self::start_with(|_| {
            let mut command = Command::new("unshare");
            command.args(["--pid", "--fork", "--kill-child", "--mount-proc", "--", BIN]);
            command
        })
    }

    pub fn start_with(command: impl FnOnce(&std::path::Path) -> Command) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("token"), "secret\n").unwrap();
        std::fs::create_dir(dir.path().join("log")).unwrap();
        let (sender, arrivals) = channel();
        accept_all(UnixListener::bind(dir.path().join("sock")).unwrap(), sender);
        let mut command = command(dir.path());
        let agent = command
            .arg("init")
            .env("PODBAY_WORKER", "w1")
            .env("PODBAY_AGENT_SOCKET", dir.path().join("sock"))
            .env("PODBAY_AGENT_TOKEN", dir.path().join("token"))
            .env("PODBAY_AGENT_LOG", dir.path().join("log"))
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut it = Self {
            dir,
            agent,
            arrivals,
            waiting: Vec::new(),
            control: None,
            inbox: None,
            events: VecDeque::new(),
            next: 0,
        };
        it.greet();
        it
    }

    /// Takes the next control connection and answers its greeting.
    pub fn greet(&mut self) {
        let (hello, mut stream) = self.arrival(|hello| hello.purpose == Purpose::Control);
        assert_eq!(
            (hello.worker.as_str(), hello.token.as_str()),
            ("w1", "secret")
        );
        assert_eq!(hello.protocol, PROTOCOL_VERSION);
        let welcome = Welcome {
            protocol: PROTOCOL_VERSION,
            build: "test".to_owned(),
        };
        stream.write_all(&encode(&welcome).unwrap()).unwrap();
        let (sender, inbox) = channel();
        let mut reader = stream.try_clone().unwrap();
        std::thread::spawn(move || {
            while let Some(body) = read_frame(&mut reader) {
                if sender.send(serde_json::from_slice(&body).unwrap()).is_err() {
                    return;
                }
            }
        });
        self.control = Some(stream);
        self.inbox = Some(inbox);
        self.events.clear();
    }

    /// The coordinator goes away: its socket, its control connection.
    pub fn coordinator_dies(&mut self) {
        std::fs::remove_file(self.dir.path().join("sock")).unwrap();
        self.waiting.clear();
        let control = self.control.take().unwrap();
        control.shutdown(std::net::Shutdown::Both).unwrap();
    }

    /// A new coordinator listens.
    pub fn coordinator_returns(&mut self) {
        let (sender, arrivals) = channel();
        accept_all(
            UnixListener::bind(self.dir.path().join("sock")).unwrap(),
            sender,
        );
        self.arrivals = arrivals;
        self.greet();
    }

    fn arrival(&mut self, wanted: impl Fn(&Hello) -> bool) -> (Hello, UnixStream) {
        loop {
            if let Some(at) = self.waiting.iter().position(|(hello, _)| wanted(hello)) {
                return self.waiting.remove(at);
            }
            self.waiting.push(
                self.arrivals
                    .recv_timeout(BOUND)
                    .expect("no connection came"),
            );
        }
    }

    /// The stream that the agent dialled for this id.
    pub fn stream(&mut self, id: &str) -> Stream {
        let (hello, socket) = self
            .arrival(|hello| matches!(&hello.purpose, Purpose::Stream { stream } if stream == id));
        assert_eq!(hello.token, "secret");
        Stream {
            socket,
            seen: Vec::new(),
        }
    }

    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.control.as_mut().unwrap().write_all(bytes).unwrap();
    }

    pub fn ask(&mut self, body: ToAgentBody) -> Result<Reply, AgentError> {
        self.next += 1;
        let id = self.next;
        self.send_raw(&encode(&ToAgent { id, body }).unwrap());
        self.answer(id)
    }

    pub fn answer(&mut self, id: u64) -> Result<Reply, AgentError> {
        loop {
            match self
                .inbox
                .as_ref()
                .unwrap()
                .recv_timeout(BOUND)
                .expect("no answer")
            {
                FromAgent::Response(response) => {
                    assert_eq!(response.id, id);
                    return response.result;
                }
                FromAgent::Event(event) => self.events.push_back(event),
            }
        }
    }

    /// Waits for an event; those before it are dropped.
    pub fn event<T>(&mut self, what: &str, mut pick: impl FnMut(&AgentEvent) -> Option<T>) -> T {
        let until = Instant::now() + BOUND;
        loop {
            while let Some(event) = self.events.pop_front() {
                if let Some(found) = pick(&event) {
                    return found;
                }
            }
            let left = until.saturating_duration_since(Instant::now());
            match self.inbox.as_ref().unwrap().recv_timeout(left) {
                Ok(FromAgent::Event(event)) => self.events.push_back(event),
                Ok(other) => panic!("unasked answer {other:?}"),
                Err(RecvTimeoutError::Timeout) => panic!("timed out: {what}"),
                Err(RecvTimeoutError::Disconnected) => panic!("connection lost: {what}"),
            }
        }
    }

    pub fn exited(&mut self, id: &str) -> ExitStatus {
        self.event(&format!("exit of {id}"), |event| match event {
            AgentEvent::Exited {
                session, status, ..
            } if session == id => Some(*status),
            _ => None,
        })
    }

    pub fn describe(&mut self) -> Description {
        match self.ask(ToAgentBody::Describe).unwrap() {
            Reply::Described(description) => *description,
            other => panic!("{other:?}"),
        }
    }

    pub fn info(&mut self, id: &str) -> SessionInfo {
        self.describe()
            .sessions
            .into_iter()
            .find(|s| s.session == id)
            .unwrap()
    }

    pub fn screen(&mut self, id: &str) -> String {
        match self
            .ask(ToAgentBody::Screen {
                session: id.to_owned(),
            })
            .unwrap()
        {
            Reply::Screen { lines, .. } => lines.join("\n"),
            other => panic!("{other:?}"),
        }
    }

    pub fn start_session(&mut self, start: StartSession) -> i32 {
        match self.ask(ToAgentBody::Start(Box::new(start))) {
            Ok(Reply::Started { pid, .. }) => pid,
            other => panic!("{other:?}"),
        }
    }

    /// Starts `sh -c SCRIPT` on a terminal with a first client.
    pub fn shell(&mut self, id: &str, script: &str) -> (i32, Stream) {
        let mut start = session(id, &["/bin/sh", "-c", script]);
        start.attach = Some(attach(id, &format!("{id}-0"), AttachMode::Write));
        let pid = self.start_session(start);
        (pid, self.stream(&format!("{id}-0")))
    }

    pub fn attach(&mut self, attach: Attach) -> (bool, Stream) {
        let stream = attach.stream.clone();
        match self.ask(ToAgentBody::Attach(attach)) {
            Ok(Reply::Attached { writer }) => (writer, self.stream(&stream)),
            other => panic!("{other:?}"),
        }
    }

    /// Waits for the word that a client has left; how many are left.
    pub fn detached(&mut self, id: &str) -> u32 {
        self.event(&format!("detach of {id}"), |event| match event {
            AgentEvent::Detached {
                stream, clients, ..
            } if stream == id => Some(*clients),
            _ => None,
        })
    }

    /// Waits for the word that another client types; its stream.
    pub fn new_writer(&mut self, id: &str) -> String {
        self.event(&format!("writer of {id}"), |event| match event {
            AgentEvent::Writer { session, stream } if session == id => Some(stream.clone()),
            _ => None,
        })
    }

    pub fn recording(&self, id: &str) -> PathBuf {
        self.dir.path().join("log").join(format!("{id}.cast"))
    }

    /// Waits for the agent's own end.
    pub fn wait(&mut self) -> std::process::ExitStatus {
        let mut status = None;
        wait_until("the agent's end", || {
            status = self.agent.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Asked first, so that no session outlives a failed test.
        let stop = ToAgent {
            id: 0,
            body: ToAgentBody::Shutdown { grace_ms: 0 },
        };
        if let Some(control) = &mut self.control {
            drop(control.write_all(&encode(&stop).unwrap()));
        }
        let until = Instant::now() + Duration::from_secs(2);
        while Instant::now() < until && matches!(self.agent.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(2));
        }
        drop(self.agent.kill());
        drop(self.agent.wait());
    }
}

/// A client's end of a stream.
pub struct Stream {
    pub socket: UnixStream,
    pub seen: Vec<u8>,
}

impl Stream {
    pub fn type_in(&mut self, text: &str) {
        self.socket.write_all(text.as_bytes()).unwrap();
    }

    /// Reads until a text was seen; gives all that was read.
    pub fn until(&mut self, text: &str) -> String {
        self.socket.set_read_timeout(Some(BOUND)).unwrap();
        let mut buffer = [0; 65536];
        let mut looked = 0;
        loop {
            let from = looked.min(self.seen.len());
            let tail = &self.seen[from..];
            if tail
                .windows(text.len())
                .any(|window| window == text.as_bytes())
            {
                let seen = String::from_utf8_lossy(&self.seen).into_owned();
                self.seen.clear();
                return seen;
            }
            looked = self.seen.len().saturating_sub(text.len());
            let count = self.socket.read(&mut buffer).expect("a read in time");
            assert!(
                count > 0,
                "the stream ended before {text:?}: {:?}",
                String::from_utf8_lossy(&self.seen[self.seen.len().saturating_sub(500)..])
            );
            self.seen.extend_from_slice(&buffer[..count]);
        }
    }

    /// Reads to the end.
    pub fn rest(&mut self) -> Vec<u8> {
        self.socket.set_read_timeout(Some(BOUND)).unwrap();
        let mut bytes = std::mem::take(&mut self.seen);
        self.socket.read_to_end(&mut bytes).expect("an end in time");
        bytes
    }
}

pub fn session(id: &str, argv: &[&str]) -> StartSession {
    StartSession {
        session: id.to_owned(),
        argv: argv.iter().map(|a| (*a).to_owned()).collect(),
        env: BTreeMap::from([("PATH".to_owned(), std::env::var("PATH").unwrap())]),
        cwd: "/".to_owned(),
        uid: nix::unistd::geteuid().as_raw(),
        gid: nix::unistd::getegid().as_raw(),
        user: "dev".to_owned(),
        home: "/tmp".to_owned(),
        io: SessionIo::Pty {
            size: Size { cols: 80, rows: 24 },
        },
        record: true,
        primary: false,
        claim: None,
        attach: None,
        timeout_s: None,
        secrets: std::collections::BTreeMap::new(),
    }
}

pub fn attach(session: &str, stream: &str, mode: AttachMode) -> Attach {
    Attach {
        session: session.to_owned(),
        stream: stream.to_owned(),
        error_stream: None,
        mode,
        size: None,
        restore: true,
        handed: false,
        silent: false,
    }
}
