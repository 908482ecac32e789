//! A client, the coordinator and the worker's agent, all real: what goes between client and session, with
//! and without a coordinator.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use crate::{
    needs,
    support::{BOUND, Bay},
};
use coordinator::{
    client::{AttachReceiver, AttachSender, Client, Incoming},
    model::Isolation,
    wire::{AttachQuery, ExecRequest, ServerMessage, SpawnRequest, WorkerView},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use podbay_protocol::{AttachMode, ExitStatus, SessionIo, paths};
use std::{
    io::Read,
    os::unix::net::UnixListener,
    path::Path,
    process::{Child, Command, Stdio},
};
use tokio::time::timeout;
use worker_agent::agent::{Agent, Config};

/// Says what is typed, a line each, and ends with a line's number.
const SAYS: &str = "stty -echo; echo ready; while read -r line; do \
    case $line in exit*) exit ${line#exit };; esac; echo \"got $line\"; done";

/// The test that is the agent, where it is started as one.
const AGENT: &str = "real::an_agent_ends_when_it_is_told_to";

/// This program as a worker's agent, where there is the home that sessions have.
pub fn start(state: &Path, worker: &str) -> Child {
    let folder = state.join("workers").join(worker);
    // The test's other threads would take the signals of children that have ended.
    let home = "mount -t tmpfs none /home && mkdir -m 777 /home/podbay && \
        exec env --block-signal=CHLD,TERM \"$0\" \"$@\"";
    Command::new("unshare")
        .args(["--mount", "--", "sh", "-c", home])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", AGENT, "--nocapture"])
        .env("PODBAY_WORKER", worker)
        .env(
            "PODBAY_AGENT_SOCKET",
            folder.join("run").join(paths::SOCKET_NAME),
        )
        .env(
            "PODBAY_AGENT_TOKEN",
            folder.join("run").join(paths::TOKEN_NAME),
        )
        .env("PODBAY_AGENT_LOG", folder.join("log"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Also what [`start`] starts.
#[test]
fn an_agent_ends_when_it_is_told_to() {
    if std::env::var_os("PODBAY_AGENT_SOCKET").is_some() {
        Agent::new(Config::from_env()).unwrap().run();
    } else if needs::root() {
        let state = tempfile::tempdir().unwrap();
        let run = state.path().join("workers/w/run");
        std::fs::create_dir_all(&run).unwrap();
        std::fs::create_dir(state.path().join("workers/w/log")).unwrap();
        std::fs::write(run.join(paths::TOKEN_NAME), "secret").unwrap();
        let listener = UnixListener::bind(run.join(paths::SOCKET_NAME)).unwrap();
        let mut agent = start(state.path(), "w");
        let (mut dialled, _) = listener.accept().unwrap();
        dialled.read_exact(&mut [0; 20]).unwrap();
        let pid = Pid::from_raw(i32::try_from(agent.id()).unwrap());
        kill(pid, Signal::SIGTERM).unwrap();
        assert!(agent.wait().unwrap().success());
    }
}

fn query(mode: AttachMode, session: Option<&str>) -> AttachQuery {
    AttachQuery {
        mode,
        cols: Some(80),
        rows: Some(24),
        session: session.map(str::to_owned),
        silent: false,
    }
}

/// How many clients the worker has; a coordinator that just started may not know it yet.
fn clients(bay: &Bay) -> Option<u32> {
    let answer = bay.get("/v1/workers/one");
    let worker: Option<WorkerView> = serde_json::from_slice(&answer.body).ok();
    worker.map(|worker| worker.clients)
}

/// A client and what it has heard.
struct Attached {
    sender: AttachSender,
    receiver: AttachReceiver,
    out: Vec<u8>,
    err: Vec<u8>,
    writer: bool,
}

impl Attached {
    async fn of(stream: coordinator::client::AttachStream) -> Self {
        let (sender, mut receiver) = stream.split();
        let first = timeout(BOUND, receiver.next()).await.expect("in time");
        let Some(Ok(Incoming::Message(ServerMessage::Attached { writer, .. }))) = first else {
            panic!("{first:?}")
        };
        Self {
            sender,
            receiver,
            out: Vec::new(),
            err: Vec::new(),
            writer,
        }
    }

    async fn spawn(client: &Client, command: &[&str], io: SessionIo) -> Self {
        let request = SpawnRequest {
            argv: command.iter().map(ToString::to_string).collect(),
            name: Some("one".into()),
            isolation: Some(Isolation::None),
            io,
            ..SpawnRequest::default()
        };
        Self::of(client.spawn_attached(&request).await.unwrap().1).await
    }

    async fn attach(client: &Client, mode: AttachMode, session: Option<&str>) -> Self {
        let stream = client.attach("one", &query(mode, session)).await.unwrap();
        Self::of(stream).await
    }

    /// What comes next, but for output; `None` at the connection's end.
    async fn next(&mut self) -> Option<Option<ServerMessage>> {
        let next = timeout(BOUND, self.receiver.next()).await;
        let so_far = (self.out.len(), self.err.len());
        let next = next.unwrap_or_else(|_| panic!("nothing comes after {so_far:?} bytes"));
        Some(match next?.unwrap() {
            Incoming::Output(bytes) => {
                self.out.extend_from_slice(&bytes);
                None
            }
            Incoming::Stderr(bytes) => {
                self.err.extend_from_slice(&bytes);
                None
            }
            Incoming::Message(said) => Some(said),
        })
    }

    async fn hears(&mut self, text: &str) {
        while !String::from_utf8_lossy(&self.out).contains(text) {
            assert!(self.next().await.is_some(), "the end before {text:?}");
        }
    }

    async fn says(&mut self, line: &str) {
        self.sender
            .input(format!("{line}\r").as_bytes())
            .await
            .unwrap();
        self.hears(&format!("got {line}")).await;
    }

    /// Hears all until the session ends.
    async fn exited(&mut self) -> ExitStatus {
        let status = loop {
            let next = self.next().await.expect("how it ended");
            if let Some(ServerMessage::Exited { status, .. }) = next {
                break status;
            }
        };
        assert!(
            timeout(BOUND, self.receiver.next())
                .await
                .unwrap()
                .is_none()
        );
        status
    }
}

fn pty() -> SessionIo {
    SessionIo::Pty {
        size: Default::default(),
    }
}

#[tokio::test]
async fn clients_outlive_the_coordinator_and_the_next_one_knows_them() {
    if !needs::root() {
        return;
    }
    let mut bay = Bay::with_real_agents();
    let client = bay.client();
    let mut writer = Attached::spawn(&client, &["/bin/bash", "-c", SAYS], pty()).await;
    assert!(writer.writer);
    writer.hears("ready").await;
    writer.says("before").await;
    let mut watcher = Attached::attach(&client, AttachMode::ReadOnly, None).await;
    assert!(!watcher.writer);
    watcher.hears("got before").await;
    bay.wait_until("two clients", || clients(&bay) == Some(2));
    for round in 0..3 {
        bay.kill();
        writer.says(&format!("without {round}")).await;
        watcher.hears(&format!("got without {round}")).await;
        bay.restart();
        bay.wait_until("two clients again", || clients(&bay) == Some(2));
        writer.says(&format!("with {round}")).await;
        watcher.hears(&format!("got with {round}")).await;
    }
    // What it watches it does not type into.
    watcher.sender.input(b"exit 9\r").await.unwrap();
    writer.says("still here").await;
    watcher.hears("got still here").await;
    watcher.sender.close().await.unwrap();
    bay.wait_until("one client", || clients(&bay) == Some(1));
    // One that comes later sees the screen, and takes over.
    let mut other = Attached::attach(&client, AttachMode::Takeover, None).await;
    assert!(other.writer);
    other.hears("got still here").await;
    other.says("taken over").await;
    writer.hears("got taken over").await;
    other.sender.input(b"exit 7\r").await.unwrap();
    for client in [&mut other, &mut writer] {
        assert_eq!(client.exited().await, ExitStatus::Code(7));
    }
}

#[tokio::test]
async fn on_pipes_all_of_it_arrives_each_on_its_own_and_the_end_behind_it() {
    if !needs::root() {
        return;
    }
    let mut bay = Bay::with_real_agents();
    let client = bay.client();
    let script = "head -c 20000000 /dev/zero; cat; echo err >&2; exit 5";
    let mut session = Attached::spawn(&client, &["/bin/sh", "-c", script], SessionIo::Pipes).await;
    bay.kill();
    session.sender.input(b"typed").await.unwrap();
    session.sender.eof().await.unwrap();
    assert_eq!(session.exited().await, ExitStatus::Code(5));
    assert_eq!(session.out.len(), 20_000_005);
    assert!(session.out.ends_with(b"\0typed"));
    assert_eq!(session.err, b"err\n");
}

#[tokio::test]
async fn an_exec_goes_on_through_a_restart_and_is_attached_to_again() {
    if !needs::root() {
        return;
    }
    let mut bay = Bay::with_real_agents();
    let client = bay.client();
    let mut main = Attached::spawn(&client, &["/bin/bash", "-c", SAYS], pty()).await;
    main.hears("ready").await;
    let request = ExecRequest {
        argv: ["/bin/bash", "-c", SAYS].map(str::to_owned).into(),
        env: Default::default(),
        caller_env: Default::default(),
        io: pty(),
        root: false,
    };
    let session = client.exec("one", &request).await.unwrap().session;
    let session = Some(session.as_str());
    let mut first = Attached::attach(&client, AttachMode::Write, session).await;
    first.hears("ready").await;
    first.says("first").await;
    bay.kill();
    first.says("alone").await;
    bay.restart();
    // Whose record was not written yet is known once its agent has called.
    bay.wait_until("its worker", || bay.get("/v1/workers/one").status == 200);
    let mut second = Attached::attach(&client, AttachMode::Takeover, session).await;
    second.hears("got alone").await;
    second.says("second").await;
    first.hears("got second").await;
    drop(first);
    second.sender.input(b"exit 3\r").await.unwrap();
    assert_eq!(second.exited().await, ExitStatus::Code(3));
    main.says("main").await;
}
