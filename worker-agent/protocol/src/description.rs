//! What an agent says of its worker and of each session.

use crate::size::Size;
use serde::{Deserialize, Serialize};

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
    /// What of it is unsupported, and why.
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
    /// Streams of those of them that are attached by a socket of their own
    /// ([`crate::Attach::handed`]): they outlive a coordinator, and the next one lists them. At most
    /// [`crate::MAX_CLIENTS`].
    #[serde(default)]
    pub streams: Vec<String>,
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
    /// The reason, to be shown: "hook Stop", "title ✳", "bell", "quiet for 1.5 s".
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
    /// A signal has stopped its process; it goes on when somebody types.
    Stopped,
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
