//! The messages themselves.

use crate::Secret;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// First frame of every connection, from the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`crate::PROTOCOL_VERSION`] of the agent.
    pub protocol: u32,
    /// The agent's package version, for messages to people.
    pub build: String,
    /// The worker's id, as the coordinator gave it in `PODBAY_WORKER`.
    pub worker: String,
    /// The worker's token, read from [`crate::paths::TOKEN`].
    pub token: String,
    /// What the connection is for.
    pub purpose: Purpose,
}

/// What a connection is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Purpose {
    /// The one control connection.
    Control,
    /// Raw bytes of one attach or exec, by the one-time id the coordinator named.
    Stream {
        /// The id from [`ToAgentBody::Attach`].
        stream: String,
    },
}

/// The coordinator's answer to a control [`Hello`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// [`crate::PROTOCOL_VERSION`] of the coordinator.
    pub protocol: u32,
    /// The coordinator's package version.
    pub build: String,
}

/// A request to the agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToAgent {
    /// Echoed in the [`Response`]; unique per connection.
    pub id: u64,
    /// What is asked.
    #[serde(flatten)]
    pub body: ToAgentBody,
}

/// What the coordinator can ask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum ToAgentBody {
    /// Answered with [`Reply::Done`]: the health check.
    Ping,
    /// Answered with [`Reply::Described`]: all the agent knows.
    Describe,
    /// Starts a session; answered with [`Reply::Started`] once exec succeeded or failed.
    Start(Box<StartSession>),
    /// The same with secrets: an older agent refuses it, where it would start without them.
    StartWithSecrets(Box<StartSession>),
    /// Opens a client's stream on a session: the agent dials a [`Purpose::Stream`] connection.
    Attach(Attach),
    /// The size of one client's terminal; followed when that client is the writer.
    Resize {
        /// The client's stream id.
        stream: String,
        /// The new size.
        size: Size,
    },
    /// Makes this client the writer; the former writer becomes a reader.
    Takeover {
        /// The client's stream id.
        stream: String,
    },
    /// Sends a signal to the session's process group.
    Signal {
        /// The session.
        session: String,
        /// The signal's number.
        signal: i32,
    },
    /// TERM to the session's processes, then KILL after the grace; answered at once.
    Stop {
        /// The session.
        session: String,
        /// Milliseconds between TERM and KILL.
        grace_ms: u64,
    },
    /// Ends a running primary session as [`Self::Stop`] does, then starts the same program with
    /// the same environment again as another session, which is the primary one from then on.
    /// Answered at once, told by [`AgentEvent::Restarted`]. A [`Self::Stop`] in between calls the
    /// second part off.
    Restart {
        /// The session.
        session: String,
        /// Id of the session that follows.
        next: String,
        /// Milliseconds between TERM and KILL.
        grace_ms: u64,
        /// Claim record that the agent carries from then on.
        claim: serde_json::Value,
    },
    /// What a session was started with, its environment included, so that it can be started again
    /// in another container; answered with [`Reply::Origin`].
    Origin {
        /// The session.
        session: String,
    },
    /// Replaces the claim record that is carried for a session.
    Carry {
        /// The session.
        session: String,
        /// The new record.
        claim: serde_json::Value,
    },
    /// Writes bytes to the session as if typed, whoever the writer is.
    Input {
        /// The session.
        session: String,
        /// The bytes.
        #[serde(with = "base64_bytes")]
        data: Vec<u8>,
    },
    /// The visible screen as text; answered with [`Reply::Screen`].
    Screen {
        /// The session.
        session: String,
    },
    /// Someone looked at the session: `done` becomes `idle`.
    Seen {
        /// The session.
        session: String,
    },
    /// Cgroup readings; answered with [`Reply::Readings`].
    Readings,
    /// Stops every session and exits with 0, as SIGTERM does.
    Shutdown {
        /// Milliseconds between TERM and KILL.
        grace_ms: u64,
    },
}

/// What a session is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartSession {
    /// The session's id; a second start of the same id is refused with [`ErrorCode::Exists`].
    pub session: String,
    /// Program and arguments; the program is looked up in the session's `PATH`.
    pub argv: Vec<String>,
    /// The whole environment, except for what the agent always sets (`HOME`, `USER`, `TERM`
    /// when absent).
    pub env: BTreeMap<String, String>,
    /// Working directory.
    pub cwd: String,
    /// User id the session runs as; 0 only when the user asked for it.
    pub uid: u32,
    /// Group id the session runs as.
    pub gid: u32,
    /// Name for that uid when the image's passwd has none.
    pub user: String,
    /// The session's home directory.
    pub home: String,
    /// A terminal of this size, or pipes.
    pub io: SessionIo,
    /// Whether to write an asciicast recording under [`crate::paths::LOG`].
    pub record: bool,
    /// The worker's main session: its end ends the claim. `exec` sessions are not primary.
    pub primary: bool,
    /// Claim record carried by the agent (opaque to it), so that a new coordinator can adopt it.
    #[serde(default)]
    pub claim: Option<serde_json::Value>,
    /// A first client to open together with the session, so that a claim is one round trip and
    /// no byte is missed.
    #[serde(default)]
    pub attach: Option<Attach>,
    /// Seconds after which the session is stopped, if any.
    #[serde(default)]
    pub timeout_s: Option<u64>,
    /// Secrets by name, each a file of that name in memory that the session's user alone can read.
    #[serde(default)]
    pub secrets: BTreeMap<String, Secret>,
}

/// How a session talks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SessionIo {
    /// A PTY of this size.
    Pty {
        /// The first size.
        size: Size,
    },
    /// Three pipes: the stream carries stdin and stdout, the error stream stderr.
    /// Output is lossless: a slow client slows the program.
    Pipes,
}

/// A terminal's size in character cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Columns.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
}

impl Default for Size {
    fn default() -> Self {
        Self { cols: 80, rows: 24 }
    }
}

/// A client's stream on a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attach {
    /// The session.
    pub session: String,
    /// One-time id that the agent sends back in its stream's [`Hello`].
    pub stream: String,
    /// One-time id of a second connection for stderr (pipes only).
    #[serde(default)]
    pub error_stream: Option<String>,
    /// What the client may do.
    pub mode: AttachMode,
    /// The client's terminal, when it has one.
    pub size: Option<Size>,
    /// Whether the restore blob is sent first (PTY only).
    pub restore: bool,
}

/// What a client may do with a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttachMode {
    /// Becomes the writer when there is none, else a reader.
    Write,
    /// Never writes.
    ReadOnly,
    /// Becomes the writer; the former writer becomes a reader.
    Takeover,
}

/// What the agent sends on the control connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FromAgent {
    /// The answer to a [`ToAgent`].
    Response(Response),
    /// Something happened.
    Event(AgentEvent),
}

/// The answer to one request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// The request's id.
    pub id: u64,
    /// What came of it.
    pub result: Result<Reply, AgentError>,
}

/// Successful answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// Done; nothing to say.
    Done,
    /// The session's program was executed.
    Started {
        /// Process id inside the worker.
        pid: i32,
        /// Microseconds from the request's arrival to a successful exec.
        exec_us: u64,
    },
    /// The client's stream is being dialled.
    Attached {
        /// Whether this client is the writer now.
        writer: bool,
    },
    /// Everything the agent knows.
    Described(Box<Description>),
    /// The visible screen.
    Screen {
        /// One string per row, trailing blanks removed.
        lines: Vec<String>,
        /// The terminal's title.
        title: String,
    },
    /// Cgroup readings.
    Readings(Readings),
    /// What a session was started with; its terminal has the size it has now.
    Origin(Box<StartSession>),
}

/// All an agent knows: what a new coordinator needs to adopt the worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// The worker's id.
    pub worker: String,
    /// The agent's package version.
    pub build: String,
    /// Milliseconds since the agent started.
    pub uptime_ms: u64,
    /// Inode of `/proc/self/ns/net`, to notice a parent that was restarted.
    pub netns: u64,
    /// Device of [`crate::paths::WORKSPACE`] as the agent sees it.
    pub workspace_dev: u64,
    /// Inode of [`crate::paths::WORKSPACE`] as the agent sees it.
    pub workspace_ino: u64,
    /// Owner of [`crate::paths::WORKSPACE`]: the session's user where nobody id-maps.
    #[serde(default)]
    pub workspace_uid: u32,
    /// Its group.
    #[serde(default)]
    pub workspace_gid: u32,
    /// Whether something is mounted at [`crate::paths::WORKSPACE`].
    #[serde(default)]
    pub workspace_mounted: bool,
    /// What Landlock holds sessions to; `None` from an agent that does not know of it.
    #[serde(default)]
    pub landlock: Option<Landlock>,
    /// Every session, running or ended.
    pub sessions: Vec<SessionInfo>,
    /// Cgroup readings.
    pub readings: Readings,
}

/// What Landlock (landlock(7)) holds all that runs in a worker to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Landlock {
    /// Version of the kernel's interface; 0 without Landlock.
    pub abi: u32,
    /// Signals and connections to abstract sockets end at the worker's edge.
    pub scoped: bool,
    /// First and last TCP port that can be listened on, besides those that the kernel chooses.
    pub tcp_ports: Option<(u16, u16)>,
    /// No device file can be made.
    pub no_devices: bool,
    /// What of it is not to be had, and why.
    pub missing: Option<String>,
}

/// One session, as the agent sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionInfo {
    /// The session's id.
    pub session: String,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Process id inside the worker.
    pub pid: i32,
    /// Unix milliseconds at the start.
    pub started_ms: u64,
    /// The worker's main session.
    pub primary: bool,
    /// The terminal's size, `None` for pipes.
    pub size: Option<Size>,
    /// The terminal's title.
    pub title: String,
    /// Clients attached now.
    pub clients: u32,
    /// What it is doing.
    pub activity: Activity,
    /// Bytes the program has written so far.
    pub output_bytes: u64,
    /// How it ended, when it did.
    pub exit: Option<ExitStatus>,
    /// Name of the recording under the log folder.
    pub recording: Option<String>,
    /// The claim record given at the start.
    pub claim: Option<serde_json::Value>,
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", content = "value", rename_all = "snake_case")]
pub enum ExitStatus {
    /// Exit code, 0–255.
    Code(i32),
    /// Signal number.
    Signal(i32),
}

impl ExitStatus {
    /// The code a shell would report: the exit code, or 128 + the signal.
    #[must_use]
    pub fn shell_code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

/// What a session is doing, and why we think so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// The state.
    pub state: ActivityState,
    /// The reason, for people: "hook Stop", "title ✳", "bell", "quiet for 1.5 s".
    pub why: String,
    /// Grows with each change; a later one wins.
    pub seq: u64,
    /// Unix milliseconds of the change.
    pub since_ms: u64,
}

/// The states of [`Activity`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActivityState {
    /// Output or a hook says that it is busy.
    Working,
    /// It needs you.
    Waiting,
    /// It finished something that nobody has looked at yet.
    Done,
    /// Finished and seen.
    Idle,
    /// It said that something failed.
    Error,
    /// Nothing is known, or a newer agent knows more; never shown as idle.
    #[serde(other)]
    Unknown,
}

/// Cgroup readings of the whole worker; `None` where the kernel offers no such file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readings {
    /// Bytes in use.
    pub memory_bytes: Option<u64>,
    /// Bytes allowed; `None` when unlimited.
    pub memory_limit_bytes: Option<u64>,
    /// Microseconds of CPU time used so far.
    pub cpu_us: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// How often the pids limit refused a fork.
    pub pids_refused: Option<u64>,
    /// How often the kernel's OOM killer struck in this cgroup.
    pub oom_kills: Option<u64>,
}

/// Something that happened in the worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum AgentEvent {
    /// A session ended and its output is drained; on pipes its clients have taken all of it, unless
    /// it was told to stop. What only watches holds it for a few seconds at most.
    Exited {
        /// The session.
        session: String,
        /// How.
        status: ExitStatus,
        /// Whether the OOM killer struck one of its processes.
        oom: bool,
    },
    /// What [`ToAgentBody::Restart`] came to; the old session's [`Self::Exited`] follows, so that
    /// nobody takes it for the end of the main session.
    Restarted {
        /// The session that ended.
        session: String,
        /// The one that follows.
        next: String,
        /// Its process id inside the worker, or why it could not be started.
        outcome: Result<i32, AgentError>,
    },
    /// A session's activity changed.
    Activity {
        /// The session.
        session: String,
        /// The new activity.
        activity: Activity,
    },
    /// A session's terminal title changed.
    Title {
        /// The session.
        session: String,
        /// The new title.
        title: String,
    },
    /// The bell rang or a notification (OSC 9, 777, 99) came.
    Notification {
        /// The session.
        session: String,
        /// The text; empty for a bare bell.
        text: String,
    },
    /// A client's stream ended.
    Detached {
        /// The session.
        session: String,
        /// The client's stream.
        stream: String,
        /// Clients attached now.
        clients: u32,
    },
    /// A session's terminal has another size now.
    Resized {
        /// The session.
        session: String,
        /// The new size.
        size: Size,
    },
    /// The screen model failed and was rebuilt; the restore blob starts anew from here.
    ScreenRebuilt {
        /// The session.
        session: String,
        /// What failed.
        reason: String,
    },
}

/// A refused request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentError {
    /// What kind of refusal.
    pub code: ErrorCode,
    /// For people: what was wrong and where.
    pub message: String,
}

/// Kinds of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The program does not exist in the worker (a shell's 127).
    CommandNotFound,
    /// The program exists and cannot be executed (a shell's 126).
    NotExecutable,
    /// No such session or stream.
    NoSuchSession,
    /// The session exists already.
    Exists,
    /// The request makes no sense: empty argv, a NUL byte, a missing working directory.
    Invalid,
    /// This agent does not know the operation.
    Unsupported,
    /// A bound is reached; the message says which. It may be asked again later.
    Exhausted,
    /// The system refused; the message names the call. Also what a newer agent calls otherwise.
    #[serde(other)]
    System,
}

/// Bytes as base64 text inside JSON.
mod base64_bytes {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
        STANDARD
            .decode(String::deserialize(d)?)
            .map_err(D::Error::custom)
    }
}
