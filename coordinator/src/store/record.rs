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
    /// What the project's file system is known by, whatever device it is on; absent where that does not
    /// last, and in records of older versions.
    #[serde(default)]
    pub project_fsid: Option<u64>,
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
    /// Names of its variables that its caller's environment brought along: they are about that
    /// terminal, and no other session of the worker gets them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from_caller: Vec<String>,
    /// How often the session was started again.
    #[serde(default)]
    pub restarts: u32,
    /// What the user should know of this claim.
    #[serde(default)]
    pub note: Option<String>,
    /// Its container is being made anew: there may be none.
    #[serde(default)]
    pub moving: bool,
    /// Ids of the sessions that this one followed, the latest first; at most
    /// `MAX_EARLIER_SESSIONS`.
    #[serde(default)]
    pub earlier: Vec<String>,
    /// Why the coordinator does not know this claim's facts: the project, how it got in, the user.
    /// Nothing of it is acted upon then.
    #[serde(default)]
    pub unproven: Option<String>,
}

/// Former sessions whose ids a claim's record holds; older ones are forgotten.
pub const MAX_EARLIER_SESSIONS: usize = 16;

impl ClaimRecord {
    /// The main session is another one from now on; the one before is remembered.
    pub fn follow_with(&mut self, session: &str) {
        let before = std::mem::replace(&mut self.session, session.to_owned());
        self.earlier.insert(0, before);
        self.earlier.truncate(MAX_EARLIER_SESSIONS);
    }

    /// Ids that the session before may have in this worker, the latest first.
    pub fn earlier_sessions(&self) -> impl Iterator<Item = String> {
        let oldest = self.earlier.last().unwrap_or(&self.session);
        let former = former_number(&self.id, oldest).unwrap_or(0);
        let before = (0..former).rev().map(|n| match n {
            0 => self.id.to_string(),
            n => format!("{}-{n}", self.id),
        });
        self.earlier.iter().cloned().chain(before)
    }

    /// Whether this is a session of this claim: the main one or one that it followed.
    #[must_use]
    pub fn has_session(&self, session: &str) -> bool {
        self.session == session || self.earlier.iter().any(|earlier| earlier == session)
    }

    /// Whether a session is one that a coordinator of the former version starts again after this
    /// claim's: `<id>-<n>`, counted on. Its name says whose it is.
    #[must_use]
    pub fn former_successor(&self, session: &str) -> bool {
        match (
            former_number(&self.id, &self.session),
            former_number(&self.id, session),
        ) {
            (Some(own), Some(next)) => own < next,
            _ => false,
        }
    }

    /// Whether there may be changes of a worker to review: it is copy-on-write, or nobody knows.
    #[must_use]
    pub fn may_have_changes(&self) -> bool {
        self.isolation.is_reviewed() || self.unproven.is_some()
    }

    /// Unix milliseconds of the claim.
    #[must_use]
    pub fn claimed_ms(&self) -> u64 {
        u64::try_from(self.claimed_ns / 1_000_000).unwrap_or_default()
    }
}

/// How often a session had been started again by the name that former versions gave it: the
/// worker's id, then `<id>-<n>`.
fn former_number(id: &WorkerId, session: &str) -> Option<u32> {
    let rest = session.strip_prefix(id.as_str())?;
    if rest.is_empty() {
        return Some(0);
    }
    rest.strip_prefix('-')?.parse().ok()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn record(session: &str, earlier: &[&str]) -> ClaimRecord {
        serde_json::from_value(serde_json::json!({
            "id": "00000000000a", "name": "n", "profile": "p", "image": "i", "session": session,
            "project": null, "project_dev": 0, "project_ino": 0, "isolation": "none",
            "hot": true, "warm_start": true, "created_ms": 1, "claimed_ns": 2, "argv": [],
            "limits": { "memory_bytes": null, "nano_cpus": null, "pids": null },
            "uid": 0, "gid": 0, "remove": false, "earlier": earlier,
        }))
        .unwrap()
    }

    fn earlier(record: &ClaimRecord) -> Vec<String> {
        record.earlier_sessions().collect()
    }

    #[test]
    fn former_sessions_are_found_across_versions() {
        let mut claim = record("00000000000a-2", &[]);
        assert_eq!(earlier(&claim), ["00000000000a-1", "00000000000a"]);
        assert!(claim.former_successor("00000000000a-3"));
        assert!(!claim.former_successor("00000000000a-1"));
        assert!(!claim.former_successor("00000000000b-3"));
        claim.follow_with("r1");
        claim.follow_with("r2");
        assert_eq!(
            earlier(&claim),
            ["r1", "00000000000a-2", "00000000000a-1", "00000000000a"]
        );
        assert!(claim.has_session("00000000000a-2") && claim.has_session("r2"));
        assert!(!claim.former_successor("00000000000a-3"));
    }

    #[test]
    fn so_many_former_sessions_are_remembered_and_no_more() {
        let mut claim = record("first", &[]);
        for n in 0..100 {
            claim.follow_with(&format!("s{n}"));
        }
        let found = earlier(&claim);
        assert_eq!(found.len(), MAX_EARLIER_SESSIONS);
        assert_eq!(found.first().map(String::as_str), Some("s98"));
        assert_eq!(earlier(&record("only", &[])), Vec::<String>::new());
    }
}
