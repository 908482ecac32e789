//! What the mounter noted of a worker's mount: `workers/<id>/mount.json`.
//!
//! The mounter writes it (see `workspace`), the coordinator reads it where a claim's record is
//! missing. No worker sees it: only `run`, `log`, `home` and `etc` of the folder are mounted.

use super::{files::read_json, worker_folder::WorkerFolder};
use crate::mounter_client::MountFacts;
use std::ffi::OsStr;

impl WorkerFolder {
    /// What was mounted into this worker, when the mounter noted it.
    #[must_use]
    pub fn mount_facts(&self) -> Option<MountFacts> {
        let facts: Option<MountFacts> = read_json(&self.path().join(MountFacts::FILE));
        facts.filter(|f| self.path().file_name() == Some(OsStr::new(f.worker.as_str())))
    }
}
