//! A spawn request after every check that needs no worker.

use crate::{
    model::{HostPath, Isolation, Limits, WorkerId, WorkerName},
    runtime::ProjectMount,
    store::ClaimRecord,
    wire::WhenEmpty,
};
use podbay_protocol::{Secret, SessionIo};
use std::{collections::BTreeMap, sync::Arc};

/// A spawn request, checked and completed.
#[derive(Debug, Clone)]
pub(in crate::daemon) struct Resolved {
    pub profile: Arc<str>,
    pub name: Option<WorkerName>,
    pub project: Option<HostPath>,
    pub isolation: Isolation,
    pub limits: Limits,
    /// The request's own.
    pub env: BTreeMap<String, String>,
    /// What its caller's environment says that neither the profile nor the request sets.
    pub caller_env: BTreeMap<String, String>,
    pub secrets: BTreeMap<String, Secret>,
    pub argv: Vec<String>,
    pub io: SessionIo,
    pub remove: bool,
    pub timeout_s: Option<u64>,
    pub when_empty: WhenEmpty,
    pub root: bool,
    /// Why it cannot go into a warm worker, when it cannot.
    pub force_cold: Option<String>,
    /// The request itself brought environment variables.
    pub env_given: bool,
    /// How often this was started before, and what the user should know of that.
    pub restarts: u32,
    pub note: Option<String>,
}

impl Resolved {
    /// The claim's record as far as the request says; the rest is the worker's and the mounter's.
    pub fn record(&self, id: WorkerId, name: WorkerName, session: String) -> ClaimRecord {
        ClaimRecord {
            id,
            name,
            profile: self.profile.to_string(),
            image: String::new(),
            session,
            project: self.project.clone(),
            project_dev: 0,
            project_ino: 0,
            project_fsid: None,
            isolation: self.isolation,
            hot: false,
            warm_start: false,
            created_ms: 0,
            claimed_ns: 0,
            argv: self.argv.clone(),
            limits: self.limits,
            uid: 0,
            gid: 0,
            remove: self.remove,
            io: Some(self.io),
            timeout_s: self.timeout_s,
            env_given: self.env_given,
            from_caller: self.caller_env.keys().cloned().collect(),
            restarts: self.restarts,
            note: self.note.clone(),
            moving: false,
            earlier: Vec::new(),
            unproven: None,
        }
    }

    /// The project where the engine itself mounts it: it cannot go into a warm worker.
    pub fn engine_project(&self) -> Option<ProjectMount> {
        self.force_cold.as_ref()?;
        let source = self.project.as_ref()?.as_path().to_str()?.to_owned();
        Some(ProjectMount { source })
    }
}
