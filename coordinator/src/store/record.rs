//! Records on disk. Secrets and the environment are never in them.

use crate::{
    model::{HostPath, Isolation, Limits, WorkerId, WorkerName},
    wire::ChangeCount,
};
use podbay_protocol::{ExitStatus, SessionIo};
use serde::{Deserialize, Serialize};

/// A claim: `workers/<id>/worker.json`, and carried by the agent for adoption.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimRecord {
    /// The worker.
    pub id: WorkerId,
    /// Its name.
    pub name: WorkerName,
    /// Its profile.
    pub profile: String,
    /// Its image.
    pub image: String,
    /// The main session.
    pub session: String,
    /// The project, canonical where the mounter saw it.
    pub project: Option<HostPath>,
    /// Device and inode of the project's folder at the claim; 0 when nobody looked.
    pub project_dev: u64,
    /// See `project_dev`.
    pub project_ino: u64,
    /// How the project got in.
    pub isolation: Isolation,
    /// Whether the project was mounted into a running worker.
    pub hot: bool,
    /// Whether the worker was warm.
    pub warm_start: bool,
    /// Unix milliseconds of the worker's creation.
    pub created_ms: u64,
    /// Unix nanoseconds of the claim.
    pub claimed_ns: i64,
    /// The command.
    pub argv: Vec<String>,
    /// Limits asked for.
    pub limits: Limits,
    /// Uid of the session.
    pub uid: u32,
    /// Gid of the session.
    pub gid: u32,
    /// Remove the worker when its session ends.
    pub remove: bool,
    /// Terminal or pipes; absent in records of older versions.
    #[serde(default)]
    pub io: Option<SessionIo>,
    /// Seconds after which the session is stopped.
    #[serde(default)]
    pub timeout_s: Option<u64>,
    /// The request brought environment variables, which are kept nowhere.
    #[serde(default)]
    pub env_given: bool,
    /// How often the session was started again.
    #[serde(default)]
    pub restarts: u32,
    /// What the user should know of this claim.
    #[serde(default)]
    pub note: Option<String>,
    /// Its container is being made anew: there may be none.
    #[serde(default)]
    pub moving: bool,
}

impl ClaimRecord {
    /// Id of the session after so many restarts.
    #[must_use]
    pub fn session_after(id: &WorkerId, restarts: u32) -> String {
        match restarts {
            0 => id.to_string(),
            n => format!("{id}-{n}"),
        }
    }

    /// Ids that the session before may have in this worker, the latest first.
    pub fn earlier_sessions(&self) -> impl Iterator<Item = String> {
        let own = self
            .session
            .rsplit_once('-')
            .and_then(|(_, n)| n.parse().ok());
        let own: u32 = own.unwrap_or(0);
        (0..own).rev().map(|n| Self::session_after(&self.id, n))
    }

    /// Unix milliseconds of the claim.
    #[must_use]
    pub fn claimed_ms(&self) -> u64 {
        u64::try_from(self.claimed_ns / 1_000_000).unwrap_or_default()
    }
}

/// A session that ended: `sessions/<id>.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinishedRecord {
    /// The claim.
    pub claim: ClaimRecord,
    /// How the session ended; `None` when nobody saw it end.
    pub exit: Option<ExitStatus>,
    /// Whether the OOM killer struck it.
    pub oom: bool,
    /// Unix milliseconds of its end, or of the moment it was found gone.
    pub ended_ms: u64,
    /// Why, when nobody saw it end.
    pub why: Option<String>,
    /// Whether copy-on-write changes are left to review.
    pub unapplied: bool,
    /// How many there are, when they were counted.
    #[serde(default)]
    pub changes: Option<ChangeCount>,
}
