//! Claims whose record is nowhere: what is known of them without the worker's word.
//!
//! A record that could not be written, and a copy at the agent that the coordinator did not seal,
//! or none. What the engine's labels and the mounter's note say is taken; the name, the command
//! and the limits are lost. Where the mounter noted nothing, it is unknown which project the worker
//! had, and nothing of it is reviewed.

use crate::daemon::{Daemon, unix_ns};
use crate::{
    model::{Isolation, Limits, WorkerId, WorkerName},
    mounter_client::{MountFacts, MountMode},
    store::ClaimRecord,
    wire::{ApiError, ErrorKind},
};

/// Said of a claim whose project the mounter noted.
const BY_THE_MOUNTER: &str = "its record was missing when the coordinator started: its name, \
                              command and limits are lost, its project is as the mounter noted it";
/// Said of a claim of which nothing is known.
const UNKNOWN: &str = "its record was missing when the coordinator started, and what its agent \
                       carries is not proven to be the coordinator's: its project is not known";

/// What is known of the worker itself.
#[derive(Debug, Clone, Default)]
pub(in crate::daemon) struct ListedFacts {
    pub profile: String,
    pub image: String,
    pub uid: u32,
    pub created_ms: u64,
    pub limits: Limits,
}

/// The claim of a worker that has one, without its record; its session is to be filled in.
pub(in crate::daemon) fn claim_of(
    worker: &WorkerId,
    known: ListedFacts,
    facts: Option<MountFacts>,
) -> Option<ClaimRecord> {
    let unproven = facts.is_none().then(|| UNKNOWN.to_owned());
    let note = if facts.is_some() {
        BY_THE_MOUNTER
    } else {
        UNKNOWN
    };
    let mode = facts.as_ref().map(|f| f.mode);
    let at = |pick: fn(&MountFacts) -> u64| facts.as_ref().map_or(0, pick);
    Some(ClaimRecord {
        id: worker.clone(),
        name: WorkerName::new(worker.as_str()).ok()?,
        profile: known.profile,
        image: known.image,
        session: String::new(),
        project: facts.as_ref().map(|f| f.project.clone()),
        project_dev: at(|f| f.dev),
        project_ino: at(|f| f.ino),
        project_fsid: facts.as_ref().and_then(|f| f.fsid),
        isolation: match mode {
            Some(MountMode::Overlay) => Isolation::Overlay,
            Some(MountMode::Bind) => Isolation::Bind,
            None => Isolation::None,
        },
        hot: facts.is_some(),
        warm_start: false,
        created_ms: known.created_ms,
        claimed_ns: facts.as_ref().map_or_else(unix_ns, |f| f.claimed_ns),
        argv: Vec::new(),
        limits: known.limits,
        uid: facts.as_ref().map_or(known.uid, |f| f.uid),
        gid: facts.as_ref().map_or(known.uid, |f| f.gid),
        remove: false,
        io: None,
        timeout_s: None,
        env_given: false,
        from_caller: Vec::new(),
        restarts: 0,
        note: Some(note.to_owned()),
        moving: false,
        earlier: Vec::new(),
        unproven,
    })
}

/// Why nothing is done with a claim of which nothing is known.
pub(in crate::daemon) fn unproven_error(name: &str, why: Option<String>) -> ApiError {
    let why = why.unwrap_or_else(|| UNKNOWN.to_owned());
    ApiError::new(ErrorKind::Conflict, format!("{name}: {why}")).hint(format!(
        "copy what you need out of it with `podbay exec {name}`; `podbay rm --force {name}` removes it"
    ))
}

impl Daemon {
    /// What stands for the record of a worker that has none, should its agent say that it has a
    /// claim.
    pub(in crate::daemon) fn missing_record(&self, worker: &WorkerId) -> Option<ClaimRecord> {
        let known = {
            let state = self.lock();
            let record = state.records.get(worker)?;
            if record.claim.is_some() {
                return None;
            }
            ListedFacts {
                profile: record.profile.clone(),
                image: record.image.clone(),
                uid: record.uid,
                created_ms: record.created_ms,
                limits: record.limits,
            }
        };
        let facts = self.outside.store.mount_facts(worker);
        claim_of(worker, known, facts)
    }

    /// Why nothing is known of a worker's claim, where that is so.
    pub(in crate::daemon) fn unproven(&self, worker: &WorkerId) -> Option<String> {
        self.claim_of(worker)?.unproven
    }
}
