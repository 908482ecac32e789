//! Review of copy-on-write workers: list, show, apply, discard. Runs in the mounter.
//!
//! The upper folder is a worker's and may be hostile; the project is somebody's work. So both are
//! reached only through [`Tree`](super::tree::Tree), the project is written only as its owner, and
//! what is listed depends on the two trees alone: what equals the project is no change.
//!
//! While the overlay is mounted in a living worker its upper folder is only read (see `live`).
//! Then what was applied or discarded is noted in a journal and hidden until the worker changes it
//! again; the worker itself still sees its own version. When the overlay is no longer mounted,
//! what was settled is taken out of the upper folder.

mod apply;
mod discard;
mod journal;
pub(super) mod live;
mod text;
mod walk;

#[cfg(test)]
mod overlay_tests;
#[cfg(test)]
mod tests;

use super::{
    MounterError, ReviewTarget,
    error::system,
    mounter::{Place, reopen},
    tree::{Meta, Tree},
};
use crate::{
    model::HostPath,
    wire::{ApplyRequest, ApplyResult, ChangeCount, Changes, DiscardRequest, EntryType, FileDiff},
};
use journal::Journal;
use rustix::fs::{FlockOperation, flock};
use std::{
    collections::{HashMap, HashSet},
    os::fd::OwnedFd,
    path::{Component, Path, PathBuf},
    time::{Duration, Instant},
};
use walk::Entry;

type Result<T> = std::result::Result<T, MounterError>;

/// What one request may spend on finding small differences; later files get larger ones.
const DIFF_TIME: Duration = Duration::from_secs(10);
/// The same for one file.
const FILE_TIME: Duration = Duration::from_millis(500);
/// The most text of one answer, in bytes; what is over is marked as cut.
const DIFF_TEXT: usize = 48 << 20;

/// Everything a review needs, open.
pub(super) struct Review {
    /// The project's canonical path.
    project: HostPath,
    /// Its owner.
    owner: (u32, u32),
    upper: Tree,
    lower: Tree,
    /// `changes/`; holds the lock of whoever changes something.
    changes: OwnedFd,
    journal: Journal,
    /// Name of what is about to take a file's place in the project.
    temporary: String,
    claimed_at_ns: i64,
    /// The upper folder must only be read.
    live: bool,
}

impl Review {
    fn open(place: &mut Place, target: &ReviewTarget, change: bool) -> Result<Self> {
        let worker = place.host.worker(&target.worker)?;
        let project = reopen(place, target)?;
        let changes = worker
            .sub(Path::new("changes"))
            .map_err(|e| system("opening the worker's changes/", e))?;
        let owner = (project.meta.uid, project.meta.gid);
        let mut review = Self::new(target, &changes, Tree::new(project.fd), owner, true, change)?;
        // With the lock that a mount takes as well: nothing is mounted behind a change's back.
        review.live = live::is_live(&place.host, &worker);
        Ok(review)
    }

    fn new(
        target: &ReviewTarget,
        changes: &Tree,
        lower: Tree,
        owner: (u32, u32),
        live: bool,
        change: bool,
    ) -> Result<Self> {
        let failed = |e| system("opening the worker's changes/", e);
        let lock = changes.dir(Path::new("")).map_err(failed)?;
        if change {
            flock(&lock, FlockOperation::LockExclusive).map_err(failed)?;
        }
        Ok(Self {
            project: target.project.clone(),
            owner,
            upper: changes.sub(Path::new("upper")).map_err(failed)?,
            lower,
            changes: lock,
            journal: Journal::load(changes),
            temporary: format!(".podbay-{}.tmp", target.worker),
            claimed_at_ns: target.claimed_at_ns,
            live,
        })
    }

    fn list(&self) -> Result<Changes> {
        let until = Instant::now() + DIFF_TIME;
        let entries = walk::walk(self)?
            .iter()
            .map(|entry| self.show(entry, until, false).change)
            .collect();
        Ok(Changes {
            project: self.project.clone(),
            entries,
        })
    }

    /// `None` when there are more than `most` entries.
    fn count(&self, most: usize) -> Result<Option<ChangeCount>> {
        let Some(entries) = walk::walk_within(self, most.min(walk::MAX_ENTRIES))? else {
            return Ok(None);
        };
        let until = Instant::now() + DIFF_TIME;
        let changes = entries
            .iter()
            .map(|entry| self.show(entry, until, false).change);
        Ok(Some(ChangeCount::of(changes)))
    }

    fn diff(&self, path: Option<&HostPath>) -> Result<Vec<FileDiff>> {
        let until = Instant::now() + DIFF_TIME;
        let path = path.map(|path| self.relative(path));
        let mut left = DIFF_TEXT;
        let mut out = Vec::new();
        for entry in walk::walk(self)? {
            if path
                .as_ref()
                .is_some_and(|path| !entry.path.starts_with(path))
            {
                continue;
            }
            let mut diff = self.show(&entry, until, left > 0);
            if left == 0 {
                diff.truncated = true;
            }
            left = left.saturating_sub(diff.unified.len());
            out.push(diff);
        }
        Ok(out)
    }

    /// One entry with its counts, and its text if wanted. A file that cannot be read, or changed
    /// while it was, has neither.
    fn show(&self, entry: &Entry, until: Instant, text: bool) -> FileDiff {
        let mut change = entry.change();
        let deadline = until.min(Instant::now() + FILE_TIME);
        let side = |tree, kind, meta: &Option<Meta>| {
            text::Side::read(tree, &entry.path, kind, meta.as_ref())
        };
        let before = side(&self.lower, entry.before, &entry.lower);
        let after = side(&self.upper, entry.after, &entry.upper);
        let (Ok(before), Ok(after)) = (before, after) else {
            return FileDiff {
                change,
                unified: String::new(),
                truncated: true,
            };
        };
        let found = text::compare(&entry.path, before.as_ref(), after.as_ref(), deadline, text);
        if entry.before != Some(EntryType::Symlink) && entry.after != Some(EntryType::Symlink) {
            (change.added, change.removed) = (found.added, found.removed);
        }
        change.binary = found.binary;
        FileDiff {
            change,
            unified: found.unified,
            truncated: found.truncated,
        }
    }

    /// A path as the walk has it: relative to the project, without `.`.
    fn relative(&self, path: &HostPath) -> PathBuf {
        let path = path.as_path();
        path.strip_prefix(self.project.as_path())
            .unwrap_or(path)
            .components()
            .filter(|c| !matches!(c, Component::CurDir))
            .collect()
    }

    /// The named entries with all below, and new folders above that they need; all when none are
    /// named. Also the names that have no change.
    fn choose<'a>(
        &self,
        entries: &'a [Entry],
        paths: &[HostPath],
        parents: bool,
    ) -> (Vec<&'a Entry>, Vec<HostPath>) {
        if paths.is_empty() {
            return (entries.iter().collect(), Vec::new());
        }
        let wanted: HashMap<PathBuf, &HostPath> =
            paths.iter().map(|p| (self.relative(p), p)).collect();
        let above: HashSet<&Path> = wanted.keys().flat_map(|p| p.ancestors()).collect();
        let mut known = HashSet::new();
        let mut chosen = Vec::new();
        for entry in entries {
            let mut take = false;
            for path in entry.path.ancestors() {
                if wanted.contains_key(path) {
                    known.insert(path);
                    take = true;
                }
            }
            let new_folder = entry.after == Some(EntryType::Directory)
                && entry.before != Some(EntryType::Directory);
            if take || parents && new_folder && above.contains(entry.path.as_path()) {
                chosen.push(entry);
            }
        }
        let unknown = wanted
            .iter()
            .filter(|(path, _)| !known.contains(path.as_path()))
            .map(|(_, given)| (*given).clone())
            .collect();
        (chosen, unknown)
    }
}

/// What a worker changed.
pub(super) fn list(place: &mut Place, target: &ReviewTarget) -> Result<Changes> {
    Review::open(place, target, false)?.list()
}

/// How much a worker changed; `None` when that is over `most` entries.
pub(super) fn count(
    place: &mut Place,
    target: &ReviewTarget,
    most: u64,
) -> Result<Option<ChangeCount>> {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    Review::open(place, target, false)?.count(most)
}

/// The changes as text.
pub(super) fn diff(
    place: &mut Place,
    target: &ReviewTarget,
    path: Option<&HostPath>,
) -> Result<Vec<FileDiff>> {
    Review::open(place, target, false)?.diff(path)
}

/// Carries changes over to the project.
pub(super) fn apply(
    place: &mut Place,
    target: &ReviewTarget,
    request: &ApplyRequest,
) -> Result<ApplyResult> {
    apply::apply(&mut Review::open(place, target, true)?, request)
}

/// Throws changes away; what is left.
pub(super) fn discard(
    place: &mut Place,
    target: &ReviewTarget,
    request: &DiscardRequest,
) -> Result<Changes> {
    discard::discard(&mut Review::open(place, target, true)?, request)
}
