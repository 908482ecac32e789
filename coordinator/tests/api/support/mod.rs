//! The real coordinator, as a process of a test's own, on an engine that is made of answers alone.

#![allow(
    dead_code,
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

pub mod agent;
mod engine;
mod handed;

use engine::Agents;

use coordinator::{
    client::{Client, Target},
    wire::{ApiError, PoolView},
};
use std::{
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// Nothing here takes so long unless it hangs.
pub const BOUND: Duration = Duration::from_secs(60);
/// The smallest body that can be configured as the largest one.
pub const MAX_BODY: usize = 16 << 10;

const CONFIG: &str = r#"
[workspace]
hot_mounts = false
[api]
max_body = "16k"
[profiles.default]
image = "i"
command = ["hold"]
min_warm = 2
max_warm = 3
"#;

/// A coordinator and what it runs on.
pub struct Bay {
    pub socket: PathBuf,
    coordinator: Child,
    serve: Command,
    agents: Arc<Mutex<Vec<Child>>>,
    engine: Option<tokio::runtime::Runtime>,
    _folder: tempfile::TempDir,
}

impl Drop for Bay {
    fn drop(&mut self) {
        drop(self.coordinator.kill());
        drop(self.coordinator.wait());
        if let Some(engine) = self.engine.take() {
            engine.shutdown_background();
        }
        for mut agent in self.agents.lock().unwrap().drain(..) {
            drop(agent.kill());
            drop(agent.wait());
        }
    }
}

impl Bay {
    /// One whose pool has a warm worker.
    pub fn start() -> Self {
        Self::with_older(0)
    }

    /// One whose first workers, so many, have agents that take no clients' sockets.
    pub fn with_older(older: usize) -> Self {
        Self::with(Agents::Scripted { older })
    }

    /// One whose workers have the real agent.
    pub fn with_real_agents() -> Self {
        Self::with(Agents::Real(Arc::default()))
    }

    fn with(agents: Agents) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let (bin, state) = (folder.path().join("b"), folder.path().join("s"));
        for path in [&bin, &state.join("config"), &state.join("seccomp")] {
            fs::create_dir_all(path).unwrap();
        }
        // The agent is looked for beside the program; nothing ever runs it.
        fs::hard_link(env!("CARGO_BIN_EXE_podbay"), bin.join("podbay")).unwrap();
        fs::write(bin.join("worker-agent"), "an agent").unwrap();
        fs::write(state.join("config/podbay.toml"), CONFIG).unwrap();
        let list = r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[]}"#;
        fs::write(state.join("seccomp/strict.json"), list).unwrap();
        let engine = folder.path().join("engine.sock");
        let (at, on, running) = (engine.clone(), state.clone(), agents.clone());
        // On a thread of its own: a runtime cannot wait for another.
        let start = std::thread::spawn(move || {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            let runtime = builder.worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(engine::listen(&at, on, running));
            runtime
        });
        let runtime = start.join().unwrap();
        let mut serve = Command::new(bin.join("podbay"));
        serve
            .args(["serve", "--state"])
            .arg(&state)
            .env_clear()
            .env("DOCKER_HOST", format!("unix://{}", engine.display()))
            .stdout(Stdio::null())
            .stderr(Stdio::inherit());
        let coordinator = serve.spawn().unwrap();
        let bay = Self {
            socket: state.join("run/podbay.sock"),
            coordinator,
            serve,
            agents: match agents {
                Agents::Scripted { .. } => Arc::default(),
                Agents::Real(running) => running,
            },
            engine: Some(runtime),
            _folder: folder,
        };
        bay.wait_up();
        bay.wait_until("a warm worker", || {
            let pools: Vec<PoolView> = serde_json::from_slice(&bay.get("/v1/pools").body).unwrap();
            pools[0].warm > 0
        });
        bay
    }

    /// A client of the API.
    pub fn client(&self) -> Client {
        Client::new(Target::Socket(self.socket.clone()))
    }

    /// The coordinator dies; what the workers run goes on.
    pub fn kill(&mut self) {
        self.coordinator.kill().unwrap();
        self.coordinator.wait().unwrap();
    }

    /// Another coordinator takes its place.
    pub fn restart(&mut self) {
        self.coordinator = self.serve.spawn().unwrap();
        self.wait_up();
    }

    fn wait_up(&self) {
        self.wait_until("its socket", || UnixStream::connect(&self.socket).is_ok());
    }

    pub fn wait_until(&self, what: &str, mut done: impl FnMut() -> bool) {
        let until = Instant::now() + BOUND;
        let (_keep, wait) = std::sync::mpsc::channel::<()>();
        while !done() {
            assert!(Instant::now() < until, "waited in vain for {what}");
            wait.recv_timeout(Duration::from_millis(10)).unwrap_err();
        }
    }

    /// A connection on which a test says what it likes.
    pub fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(BOUND)).unwrap();
        stream
    }

    /// The answer to these bytes.
    pub fn raw(&self, bytes: &[u8]) -> Answer {
        let mut stream = self.connect();
        stream.write_all(bytes).unwrap();
        Answer::read(&mut stream)
    }

    pub fn ask(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
        let mut bytes = format!(
            "{method} {path} HTTP/1.1\r\nhost: podbay\r\nconnection: close\r\n\
             content-length: {}\r\n{headers}\r\n",
            body.len()
        )
        .into_bytes();
        bytes.extend(body);
        let mut stream = self.connect();
        stream.write_all(&bytes).unwrap();
        Answer::read(&mut stream)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "", b"")
    }

    pub fn post(&self, path: &str, body: &str) -> Answer {
        let json = "content-type: application/json\r\n";
        self.ask("POST", path, json, body.as_bytes())
    }
}

/// An answer as it came.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    fn read(stream: &mut UnixStream) -> Self {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        let head = all.windows(4).position(|four| four == b"\r\n\r\n");
        let head = head.unwrap_or_else(|| panic!("no answer: {}", String::from_utf8_lossy(&all)));
        let body = all.split_off(head + 4);
        let head = String::from_utf8(all).unwrap().to_ascii_lowercase();
        Self {
            status: head[9..12].parse().unwrap(),
            head,
            body,
        }
    }

    /// The error that every refusal is.
    pub fn error(&self) -> ApiError {
        let text = String::from_utf8_lossy(&self.body);
        assert!(
            self.head.contains("content-type: application/json"),
            "{} {text}",
            self.head
        );
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {} {text}", self.head))
    }
}
