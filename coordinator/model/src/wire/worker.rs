//! Workers as clients see them.

use super::changes::ChangeCount;
use crate::model::{HostPath, Isolation, Limits, WorkerState};
use podbay_protocol::{Activity, ExitStatus, Readings, Size};
use serde::{Deserialize, Serialize};

/// One worker.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkerView {
    /// Its id; never reused.
    pub id: String,
    /// Its name; `warm-<id>` while unclaimed.
    pub name: String,
    /// Its profile.
    pub profile: String,
    /// Where it is in its life.
    pub state: WorkerState,
    /// Why it is there, when there is something to say.
    pub why: Option<String>,
    /// Why it is paused: what it keeps on the state volume. It goes on by itself; what can be done
    /// for that is in `why`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<String>,
    /// Unix milliseconds of its creation.
    pub created_ms: u64,
    /// Unix milliseconds of the claim.
    pub claimed_ms: Option<u64>,
    /// Unix milliseconds of the session's end.
    pub ended_ms: Option<u64>,
    /// The engine's id of the container, when there is one.
    pub container: Option<String>,
    /// The image.
    pub image: String,
    /// The project on the engine's host.
    pub project: Option<HostPath>,
    /// How the project got in.
    pub isolation: Isolation,
    /// Whether it was warm when it was claimed.
    pub warm_start: bool,
    /// The limits in force.
    pub limits: Limits,
    /// The session's command.
    pub argv: Vec<String>,
    /// The session's id.
    pub session: Option<String>,
    /// The session's first process, inside the worker.
    pub pid: Option<i32>,
    /// Uid of the session in the worker.
    pub uid: Option<u32>,
    /// What the session is doing.
    pub activity: Option<Activity>,
    /// The terminal's title.
    pub title: String,
    /// The terminal's size.
    pub size: Option<Size>,
    /// Clients attached.
    pub clients: u32,
    /// Cgroup readings, at most a few seconds old.
    pub readings: Readings,
    /// How the session ended.
    pub exit: Option<ExitStatus>,
    /// Whether the OOM killer struck the session.
    pub oom: bool,
    /// Whether there are copy-on-write changes to review.
    pub unapplied: bool,
    /// Whether the worker goes when its session ends.
    pub remove: bool,
    /// TCP sockets that its processes listen on, sorted; at most a few seconds old.
    #[serde(default)]
    pub ports: Vec<ListeningPort>,
    /// How much there is to review, at most 15 seconds old while it works; `None` when it is not
    /// copy-on-write, not counted yet, or too much to count.
    #[serde(default)]
    pub changes: Option<ChangeCount>,
    /// What of the host is in the worker, a short sentence each.
    #[serde(default)]
    pub mounts: Vec<String>,
    /// What its processes may do, as a short sentence.
    #[serde(default)]
    pub security: String,
    /// Which network it has, as a short sentence.
    #[serde(default)]
    pub network: String,
    /// Where it may connect to: `open`, `none`, or the list with commas.
    #[serde(default)]
    pub egress: String,
    /// What of its connections was refused; `None` for nothing.
    #[serde(default)]
    pub egress_denied: Option<EgressDenied>,
    /// How often its session was started again.
    #[serde(default)]
    pub restarts: u32,
    /// Which version its agent is of, where that is not the coordinator's; a short sentence.
    #[serde(default)]
    pub agent: Option<String>,
}

/// Connections that were refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EgressDenied {
    /// How many, at least: a flood is sampled.
    pub count: u64,
    /// The last one: `tcp 192.0.2.1:443`, `example.com:443 (not on the profile's list)`.
    pub last: String,
}

/// A TCP socket that a worker's processes listen on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ListeningPort {
    /// The port.
    pub port: u16,
    /// The address without the port: `127.0.0.1`, `0.0.0.0`, `::`.
    pub address: String,
}

/// Body of `…/rename`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenameRequest {
    /// The new name.
    pub name: String,
}

/// Answer of `…/refresh`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refreshed {
    /// The worker's name.
    pub worker: String,
    /// Why there was nothing to do; `None` when its overlay was refreshed.
    #[serde(default)]
    pub note: Option<String>,
}

/// Body of `…/stop`, `…/restart` and `/v1/stop-all`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopRequest {
    /// Milliseconds between TERM and KILL; the profile's when absent.
    #[serde(default)]
    pub grace_ms: Option<u64>,
}

/// Query of `…/logs`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogsQuery {
    /// Go on with what comes.
    #[serde(default)]
    pub follow: bool,
    /// Only the last lines.
    #[serde(default)]
    pub tail: Option<u64>,
    /// Only the last seconds.
    #[serde(default)]
    pub since_s: Option<u64>,
    /// What the session before wrote: before a restart, or before its container was made anew.
    #[serde(default)]
    pub previous: bool,
}

/// A session's visible screen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScreenView {
    /// One string per row, trailing blanks removed.
    pub lines: Vec<String>,
    /// The terminal's title.
    pub title: String,
}
