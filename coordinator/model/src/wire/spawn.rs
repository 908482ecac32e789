//! Spawning and exec.

use super::worker::WorkerView;
use crate::model::{HostPath, Isolation};
use podbay_protocol::{Secret, SessionIo, Size};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Body of `POST /v1/workers`: claim a worker and start a command in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpawnRequest {
    /// The project's folder on the engine's host; absolute.
    #[serde(default)]
    pub project: Option<HostPath>,
    /// The worker's name; made up when absent.
    #[serde(default)]
    pub name: Option<String>,
    /// The profile; the configured default when absent.
    #[serde(default)]
    pub profile: Option<String>,
    /// How the project gets in; the profile's default when absent.
    #[serde(default)]
    pub isolation: Option<Isolation>,
    /// Limits that differ from the profile's.
    #[serde(default)]
    pub limits: LimitsRequest,
    /// Environment of the session, on top of the profile's.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// What the caller's terminal and user have set of `COLORTERM`, `FORCE_COLOR`, `NO_COLOR` and `TZ`;
    /// the profile's variables and those of `env` win over it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub caller_env: BTreeMap<String, String>,
    /// Secrets of the session by name. Each is a file in the worker's memory that the session's user
    /// alone can read (`NAME_FILE` is its path), and kept nowhere else.
    #[serde(default)]
    pub secrets: BTreeMap<String, Secret>,
    /// Program and arguments; the profile's command when empty.
    #[serde(default)]
    pub argv: Vec<String>,
    /// A PTY or pipes.
    #[serde(default = "default_io")]
    pub io: SessionIo,
    /// Remove the worker when its session ends. Unapplied changes and the session's record and
    /// recording are kept all the same.
    #[serde(default = "yes")]
    pub remove: bool,
    /// Seconds after which the session is stopped.
    #[serde(default)]
    pub timeout_s: Option<u64>,
    /// What to do when no warm worker is there.
    #[serde(default)]
    pub when_empty: WhenEmpty,
    /// Run the session as root in the worker.
    #[serde(default)]
    pub root: bool,
}

fn yes() -> bool {
    true
}

fn default_io() -> SessionIo {
    SessionIo::Pty {
        size: Size::default(),
    }
}

impl Default for SpawnRequest {
    fn default() -> Self {
        Self {
            project: None,
            name: None,
            profile: None,
            isolation: None,
            limits: LimitsRequest::default(),
            env: BTreeMap::new(),
            caller_env: BTreeMap::new(),
            secrets: BTreeMap::new(),
            argv: Vec::new(),
            io: default_io(),
            remove: true,
            timeout_s: None,
            when_empty: WhenEmpty::default(),
            root: false,
        }
    }
}

/// Limits as asked for: absent means the profile's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitsRequest {
    /// As `--memory`: `4g`.
    #[serde(default)]
    pub memory: Option<String>,
    /// As `--cpus`: `2`, `0.5`.
    #[serde(default)]
    pub cpus: Option<String>,
    /// As `--pids-limit`.
    #[serde(default)]
    pub pids: Option<String>,
    /// No limits at all; in conflict with the others.
    #[serde(default)]
    pub none: bool,
}

/// What a claim does when no warm worker is there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenEmpty {
    /// Create a worker for this claim.
    #[default]
    Cold,
    /// Wait for the next warm one.
    Queue,
    /// Fail with `exhausted`.
    Fail,
}

/// Answer of `POST /v1/workers`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpawnResponse {
    /// The worker, running.
    pub worker: WorkerView,
    /// Whether a warm worker was claimed.
    pub warm: bool,
    /// Why it was cold, when it was.
    #[serde(default)]
    pub cold_reason: Option<String>,
    /// Where the time went.
    pub timings: Timings,
    /// What the user should know: limits not applied yet, a missing id-map.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// Microseconds spent on each part of a claim.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timings {
    /// Waiting for a worker: the queue, or a cold creation.
    pub wait_us: u64,
    /// Mounting the project.
    pub mount_us: u64,
    /// Of that in the mounter, by its own clock.
    #[serde(default)]
    pub mounter_us: u64,
    /// Starting the command, from the frame to the agent's answer.
    pub start_us: u64,
    /// Of that in the worker's agent until a successful exec, by its own clock.
    #[serde(default)]
    pub exec_us: u64,
    /// The whole, from the request's arrival.
    pub total_us: u64,
}

/// Body of `POST /v1/workers/{w}/exec`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecRequest {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Environment on top of the worker's.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// What the caller's terminal and user have set of `COLORTERM`, `FORCE_COLOR`, `NO_COLOR` and `TZ`;
    /// the profile's variables and those of `env` win over it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub caller_env: BTreeMap<String, String>,
    /// A PTY or pipes.
    pub io: SessionIo,
    /// Run as root in the worker.
    #[serde(default)]
    pub root: bool,
}

/// Answer of `POST /v1/workers/{w}/exec`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecResponse {
    /// The session to attach to. It is not started before its client attaches, so that no byte
    /// is missed; without one within 10 s it is forgotten.
    pub session: String,
}
