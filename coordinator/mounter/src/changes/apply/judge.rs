//! What of the changes an apply takes, and what it never does: what would lose a commit, an object or a
//! reflog of the project's, and what is no file. Owns the reasons. Never writes.

use super::super::{
    entry::Entry,
    git::{self, Part},
    review::Review,
};
use podbay_model::{
    model::HostPath,
    wire::{CHANGED_SINCE_CLAIM, ChangeKind, Conflict, EntryType, GIT_CHANGED_SINCE_CLAIM},
};
use std::{
    collections::HashSet,
    io::Read,
    path::{Path, PathBuf},
};

/// The most of a reference that is read, in bytes.
const MAX_REFERENCE: u64 = 128;
pub(super) const SPECIAL: &str = "sockets, FIFOs and devices are not applied";
const KEPT_REPOSITORY: &str =
    "a repository of the project's is never deleted or replaced by an apply";
const KEPT_REFERENCE: &str =
    "branches, tags and reflogs are not deleted by an apply; `git branch -d` does that";
const KEPT_REFLOG: &str = "a reflog is only added to, and the worker rewrote this one";

/// Changes, by what becomes of them.
#[derive(Default)]
pub(super) struct Judgement<'e> {
    /// To be applied.
    pub chosen: Vec<&'e Entry>,
    /// Not applied, and nothing that has to be.
    pub settled: Vec<&'e Entry>,
    /// What is said of those.
    pub notes: Vec<Conflict>,
    /// Refused, with the reasons.
    pub failed: Vec<Conflict>,
}

impl<'e> Judgement<'e> {
    fn leave_out(&mut self, entry: &'e Entry, why: &str) {
        self.settled.push(entry);
        self.notes.push(refusal(entry, why));
    }
}

/// Takes out what is never applied, and says why.
pub(super) fn judge<'e>(review: &Review, found: &'e [Entry]) -> Judgement<'e> {
    let repository = |entry: &Entry| git::part(&entry.path).1.map(Path::to_path_buf);
    let changed: HashSet<PathBuf> = found
        .iter()
        .filter(|entry| entry.conflict && is_git_state(entry))
        .filter_map(repository)
        .collect();
    let deleted: HashSet<&Path> = found
        .iter()
        .filter(|entry| entry.after != Some(EntryType::Directory))
        .filter(|entry| git::is_repository(&entry.path))
        .filter(|entry| entry.before == Some(EntryType::Directory))
        .map(|entry| entry.path.as_path())
        .collect();
    let mut it = Judgement::default();
    for entry in found {
        let (part, repository) = git::part(&entry.path);
        let within = |set: &HashSet<&Path>| {
            let mut above = entry.path.ancestors();
            above.any(|path| set.contains(path))
        };
        let gone = entry.kind == ChangeKind::Deleted;
        if within(&deleted) {
            it.failed.push(refusal(entry, KEPT_REPOSITORY));
        } else if part == Part::Object && (gone || entry.before == Some(EntryType::File)) {
            // Objects are named by their content. What git packed or pruned in the worker stays.
            it.settled.push(entry);
        } else if gone && matches!(part, Part::Reference | Part::Reflog) {
            it.leave_out(entry, KEPT_REFERENCE);
        } else if is_git_state(entry)
            && repository.is_some_and(|repository| changed.contains(repository))
            && !(entry.before.is_none() && part != Part::State)
        {
            it.failed.push(conflict(review, entry));
        } else if part == Part::Reflog && !keeps_reflog(review, entry) {
            it.leave_out(entry, KEPT_REFLOG);
        } else if entry.after == Some(EntryType::Other)
            && entry.upper.is_some_and(|upper| !upper.is_dir())
            && entry.before.is_none()
        {
            it.leave_out(entry, SPECIAL);
        } else {
            it.chosen.push(entry);
        }
    }
    it
}

/// Whether a reflog has all that the project's has.
fn keeps_reflog(review: &Review, entry: &Entry) -> bool {
    if entry.before != Some(EntryType::File) || entry.after != Some(EntryType::File) {
        return entry.before.is_none() || entry.before == entry.after;
    }
    let files = (
        review.lower.file(&entry.path),
        review.upper.file(&entry.path),
    );
    match files {
        (Ok(old), Ok(new)) => git::only_added(old, new).unwrap_or(false),
        _ => false,
    }
}

/// Why an entry is a conflict. Of a reference it names the commit of the worker's, which `git branch` keeps.
pub(super) fn conflict(review: &Review, entry: &Entry) -> Conflict {
    if !is_git_state(entry) {
        return refusal(entry, CHANGED_SINCE_CLAIM);
    }
    let mut name = String::new();
    let read = match review.upper.file(&entry.path) {
        Ok(file) => file.take(MAX_REFERENCE).read_to_string(&mut name).ok(),
        Err(_) => None,
    };
    let commit = name.trim_end();
    let is_commit = read.is_some()
        && git::part(&entry.path).0 == Part::Reference
        && commit.len() >= 40
        && commit.bytes().all(|b| b.is_ascii_hexdigit());
    match is_commit {
        true => refusal(
            entry,
            &format!("{GIT_CHANGED_SINCE_CLAIM}; the worker's commit is {commit}"),
        ),
        false => refusal(entry, GIT_CHANGED_SINCE_CLAIM),
    }
}

/// What says where a repository's work is at; it is taken as a whole or not at all.
pub(super) fn is_git_state(entry: &Entry) -> bool {
    matches!(
        git::part(&entry.path).0,
        Part::Reference | Part::Reflog | Part::State
    )
}

pub(super) fn refusal(entry: &Entry, reason: &str) -> Conflict {
    Conflict {
        path: HostPath::new(entry.path.as_path()),
        reason: reason.to_owned(),
    }
}
