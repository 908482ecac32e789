//! What the world is made of: containers, mounts, sessions, projects, and what people asked for.

use crate::{model::WorkerId, mounter_client::MountMode};
use podbay_protocol::{ExitStatus, Size, StartSession};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

/// A worker's container.
#[derive(Debug, Clone)]
pub struct Container {
    pub id: String,
    pub name: String,
    pub image: String,
    pub worker: String,
    pub uid: u32,
    pub labels: std::collections::HashMap<String, String>,
    pub running: bool,
    pub paused: bool,
    pub pid: i32,
    pub created_s: i64,
    pub netns: u64,
    /// What the engine mounted.
    pub engine_project: Option<PathBuf>,
    pub mount: Option<Mount>,
    pub sessions: Vec<Session>,
    /// The claim that it serves.
    pub tag: Option<String>,
    /// A root session speaks in its agent's name.
    pub liar: bool,
}

/// A project in a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    pub project: PathBuf,
    pub dev: u64,
    pub ino: u64,
    pub mode: MountMode,
    pub uid: u32,
}

/// A folder on the host.
#[derive(Debug, Clone)]
pub struct Project {
    pub there: bool,
    pub ino: u64,
    pub idmapped: bool,
    /// How often it went, came or was replaced.
    pub epoch: u64,
}

/// A session in a worker.
#[derive(Debug, Clone)]
pub struct Session {
    pub start: StartSession,
    pub pid: i32,
    pub primary: bool,
    pub size: Option<Size>,
    pub exit: Option<ExitStatus>,
    /// Unix milliseconds at which it ends.
    pub ends_ms: Option<u64>,
    /// It is to be started again under this id, with this claim.
    pub again: Option<(String, serde_json::Value)>,
    pub claim: Option<serde_json::Value>,
    pub clients: Vec<String>,
    /// Those of them that have their own sockets, and outlive the coordinator.
    pub handed: BTreeSet<String>,
    /// The coordinator told it to end.
    pub told: bool,
}

/// A request of a person to run something.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    pub profile: String,
    pub project: Option<PathBuf>,
    /// Where and as whom it was started.
    pub starts: Vec<Started>,
    /// So often it may have been started again.
    pub restarts: usize,
    /// The answer says that it was not started.
    pub refused: bool,
    /// A worker of it got another name: under the first one a record of its end may be restarted
    /// beside it.
    pub renamed: bool,
    /// Agents that found no such program.
    pub absent: usize,
}

/// A command that was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    pub worker: String,
    pub container: String,
    pub uid: u32,
    pub mount: Option<Mount>,
    pub engine_project: Option<PathBuf>,
}

/// A person's word that a worker's session may end.
#[derive(Debug, Clone, Default)]
pub struct Permit {
    /// What it changed may be lost.
    pub drops: usize,
    pub stops: usize,
    /// Restarts under way, by number; of one that can be known to fail the project and its epoch.
    pub restarts: BTreeMap<u64, Option<(PathBuf, u64)>>,
}

impl Container {
    /// Its main session.
    pub fn main(&self) -> Option<&Session> {
        self.sessions.iter().find(|s| s.primary)
    }

    /// Whether its main session runs.
    pub fn live(&self) -> bool {
        self.running && self.main().is_some_and(|s| s.exit.is_none())
    }

    /// Its worker's id.
    pub fn id_of_worker(&self) -> WorkerId {
        WorkerId::new(self.worker.clone()).unwrap()
    }
}

/// The tag of a command.
pub fn tag_of(argv: &[String]) -> Option<String> {
    argv.get(1).cloned()
}
