//! Adoption: what is made of what a coordinator finds and of what an agent says of its worker.
//!
//! Three pure functions: of a listed container, of a folder without a container, and of an agent's
//! description. Never believes an agent about a claim that no coordinator sealed.

use crate::{
    agent::AgentVersion,
    daemon::workers::{operations::recreate::CUT_SHORT, record::Record},
    store::ClaimRecord,
};
use podbay_protocol::SessionInfo;

/// Said of a worker whose agent names a main session that nobody started.
const UNKNOWN_MAIN: &str = "its agent names a main session that the coordinator did not start; \
                            `podbay rm --force` removes the worker";
/// Said of one that no claim may have any more.
const CLAIM_CUT_SHORT: &str = "a project was mounted for a claim that was cut short";

/// What a listed container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::daemon) enum Container {
    /// A worker's that has a record.
    Known,
    /// One that was removed after the list was asked for: ids are never used again.
    Removed,
    /// Its session's end is on record: a coordinator died while it removed the container, or one was
    /// created while the worker was being removed.
    Left,
    /// A worker's that has no record yet.
    New,
}

/// What a listed container is: whether the worker has a record, was removed since the list was asked
/// for, and has its end on record.
pub(in crate::daemon) fn of_container(
    known: bool,
    removed_since: bool,
    finished: bool,
) -> Container {
    match (known, removed_since, finished) {
        (true, ..) => Container::Known,
        (false, true, _) => Container::Removed,
        (false, false, true) => Container::Left,
        (false, false, false) => Container::New,
    }
}

/// What a folder without a container is, by the claim's record in it.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::daemon) enum Folder {
    /// Its container was being recreated: the worker is lost, and can be recreated again.
    Lost(Box<ClaimRecord>),
    /// Its container was removed: the worker has ended.
    Ended,
}

/// What a folder without a container is.
pub(in crate::daemon) fn of_folder(claim: Option<ClaimRecord>) -> Folder {
    match claim {
        Some(claim) if claim.moving => Folder::Lost(Box::new(claim)),
        Some(_) | None => Folder::Ended,
    }
}

/// What an agent says of its worker, as far as it decides what the worker is.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Described<'a> {
    /// The main session.
    pub main: Option<&'a SessionInfo>,
    pub workspace_mounted: bool,
    /// The claim that the agent carries, where a coordinator sealed it for this worker.
    pub carried: Option<ClaimRecord>,
    /// What stands for a record that is nowhere.
    pub missing: Option<ClaimRecord>,
    /// The agent's version, where it is one that may mean other things by the same words.
    pub other_version: Option<&'a AgentVersion>,
    /// Its network is not the parent's.
    pub cut_off: bool,
}

/// What the worker is from now on.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::daemon) enum Adoption {
    /// As before: its session is about to be started.
    Pending,
    /// Lost, for this reason; with its claim, where that was not known before.
    Lost(String, Option<Box<ClaimRecord>>),
    /// Lost, since its network is not the parent's.
    CutOff,
    /// To be replaced, for this reason.
    Unhealthy(String),
    /// Without a session: warm, or what its record says.
    Empty,
    /// With a claim's session.
    Claimed(Box<Claimed>),
}

/// A worker with a claim's session.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::daemon) struct Claimed {
    /// The claim, before the session was started again.
    pub claim: ClaimRecord,
    /// The main session is another one than the claim says, started again.
    pub started_again: bool,
    /// The agent's copy of the claim proves nothing: it gets one that does.
    pub carry: bool,
    /// The session, as its agent says.
    pub info: SessionInfo,
    /// Its network is not the parent's: it runs, and is lost.
    pub cut_off: bool,
}

/// What a worker is, by its record and its agent's description.
pub(in crate::daemon) fn of_description(record: &Record, said: Described<'_>) -> Adoption {
    match said.main {
        Some(info) => with_session(record, info, said.carried, said.missing, said.cut_off),
        None => without_session(record, &said),
    }
}

fn without_session(record: &Record, said: &Described<'_>) -> Adoption {
    if record.claim.as_ref().is_some_and(|claim| claim.moving) {
        return match record.underway.recreates() {
            true => Adoption::Pending,
            false => Adoption::Lost(CUT_SHORT.to_owned(), None),
        };
    }
    if let Some(version) = said.other_version {
        // Not for new claims; and of a claimed one it may say the same in other words.
        return Adoption::Lost(format!("its agent is of {version}"), None);
    }
    // Where the engine mounted it, that is for the claim that waits for this worker.
    if record.claim.is_none() && said.workspace_mounted && !record.engine_mounted {
        return Adoption::Unhealthy(CLAIM_CUT_SHORT.to_owned());
    }
    match said.cut_off {
        true => Adoption::CutOff,
        false => Adoption::Empty,
    }
}

fn with_session(
    record: &Record,
    info: &SessionInfo,
    carried: Option<ClaimRecord>,
    missing: Option<ClaimRecord>,
    cut_off: bool,
) -> Adoption {
    let carry = carried.is_none() && info.exit.is_none();
    let sealed = carried.as_ref().is_some_and(|c| c.session == info.session);
    let mut known = record.claim.clone();
    if let (Some(known), Some(carried)) = (&mut known, &carried)
        && known.moving
        && sealed
    {
        // Its coordinator died before it wrote what the new container was given.
        (known.project_dev, known.project_ino) = (carried.project_dev, carried.project_ino);
        known.project_fsid = carried.project_fsid;
        (known.uid, known.gid, known.hot) = (carried.uid, carried.gid, carried.hot);
    }
    let new = known.is_none();
    let claim = known.or_else(|| {
        let mut claim = carried.or(missing)?;
        if claim.session.is_empty() && is_session_id(&info.session) {
            claim.session.clone_from(&info.session);
        }
        Some(claim)
    });
    let Some(mut claim) = claim else {
        return Adoption::Lost(UNKNOWN_MAIN.to_owned(), None);
    };
    let main = claim.session == info.session;
    let asked_for = record.underway.restart() == Some(info.session.as_str());
    if !(main || sealed || asked_for || claim.former_successor(&info.session)) {
        let claim = new.then(|| Box::new(claim));
        return Adoption::Lost(UNKNOWN_MAIN.to_owned(), claim);
    }
    // What is being recreated says so itself once it is done; anything else has its container, and
    // ends with it.
    claim.moving &= record.underway.recreates();
    Adoption::Claimed(Box::new(Claimed {
        claim,
        started_again: !main,
        carry,
        info: info.clone(),
        cut_off: cut_off && info.exit.is_none(),
    }))
}

/// Ids are made by coordinators: letters, digits and hyphens, and not long.
fn is_session_id(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    (1..=64).contains(&text.len()) && text.bytes().all(plain)
}

#[cfg(test)]
#[path = "adopt_tests.rs"]
mod tests;
