//! Review of copy-on-write workers: list, show, apply, discard.
//!
//! The upper folder is a worker's and may be hostile; the project is somebody's work. So both are
//! reached only through [`Tree`](super::tree::Tree), the project is written only as its owner, and
//! what is listed depends on the two trees alone: what equals the project is no change.
//!
//! The mounter opens both ([`Opened`]) and hands the descriptors to a child process with memory of
//! its own ([`review`]), which does the rest: however large or hostile a tree is, it costs the one
//! request. Whatever cannot be listed as a whole can still be counted by folder, reviewed by path,
//! and discarded.
//!
//! While the overlay is mounted in a living worker its upper folder is only read (see `live`).
//! Then what was applied or discarded is noted in a journal and hidden until the worker changes it
//! again; the worker itself still sees its own version. When the overlay is no longer mounted,
//! what was settled is taken out of the upper folder.

mod answer;
mod apply;
pub(super) mod clock;
mod discard;
mod gather;
mod journal;
pub(super) mod live;
mod open;
mod reviewer;
mod summary;
mod text;
mod usage;
mod walk;

#[cfg(test)]
mod bounds_tests;
#[cfg(test)]
mod overlay_tests;
#[cfg(test)]
mod tests;

pub(super) use open::Opened;
pub use reviewer::review;
pub(super) use reviewer::{Job, send};

use super::{
    MounterError, ReviewTarget,
    error::system,
    rpc::Head,
    tree::{Meta, Tree},
};
use crate::{
    model::HostPath,
    wire::{ChangeCount, Changes, EntryType, FileDiff},
};
use answer::Answer;
use clock::Clock;
use gather::{Gathered, Named, gather};
use journal::Journal;
use std::{
    os::fd::OwnedFd,
    path::Path,
    time::{Duration, Instant},
};
use walk::{Entry, Next, walk};

type Result<T> = std::result::Result<T, MounterError>;

/// What one request may spend on finding small differences; later files get larger ones.
const DIFF_TIME: Duration = Duration::from_secs(10);
/// The same for one file.
const FILE_TIME: Duration = Duration::from_millis(500);
/// What a list may spend on counting lines; later files have none.
const COUNT_TIME: Duration = Duration::from_secs(20);
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
    clock: Clock,
    /// The upper folder must only be read.
    live: bool,
}

impl Review {
    fn new(
        target: &ReviewTarget,
        changes: OwnedFd,
        lower: OwnedFd,
        owner: (u32, u32),
        live: bool,
        clock: Clock,
    ) -> Result<Self> {
        let failed = |e| system("opening the worker's changes/", e);
        let tree = Tree::new(
            changes
                .try_clone()
                .map_err(|e| system("opening the worker's changes/", e))?,
        );
        Ok(Self {
            project: target.project.clone(),
            owner,
            upper: tree.sub(Path::new("upper")).map_err(failed)?,
            lower: Tree::new(lower),
            journal: Journal::load(&tree),
            changes,
            temporary: format!(".podbay-{}.tmp", target.worker),
            clock,
            live,
        })
    }

    /// What is at and below the path, or everything, with line counts.
    fn list(&self, path: Option<&HostPath>) -> Result<Changes> {
        let named = Named::new(self, path.map_or(&[], std::slice::from_ref));
        let Gathered {
            entries, truncated, ..
        } = gather(self, &named, false)?;
        let until = Instant::now() + COUNT_TIME;
        let count = |entry: Entry| {
            if Instant::now() < until {
                self.show(&entry, until, false).change
            } else {
                entry.change()
            }
        };
        Ok(Changes {
            project: self.project.clone(),
            entries: entries.into_iter().map(count).collect(),
            truncated,
        })
    }

    /// Whether anything changed.
    fn any(&self) -> Result<bool> {
        walk(self, Path::new(""), false, &mut |_| Next::Stop).map(|whole| !whole)
    }

    /// `None` when there are more than `most` entries, or counting them takes too long.
    fn count(&self, most: u64) -> Result<Option<ChangeCount>> {
        let until = Instant::now() + COUNT_TIME;
        let (mut count, mut entries) = (ChangeCount::default(), 0);
        let whole = walk(self, Path::new(""), false, &mut |entry| {
            entries += 1;
            if entries > most || Instant::now() >= until {
                return Next::Stop;
            }
            count.add(&self.show(&entry, until, false).change);
            Next::Go
        })?;
        Ok(whole.then_some(count))
    }

    /// The changes as text, one after the other; whether there are more.
    fn diff(&self, path: Option<&HostPath>, answer: &mut Answer<'_>) -> Result<()> {
        let named = Named::new(self, path.map_or(&[], std::slice::from_ref));
        let found = gather(self, &named, false)?;
        let failed = |e| system("answering", e);
        answer
            .head(Head {
                truncated: found.truncated,
                left: found.entries.len() as u64,
                refused: 0,
            })
            .map_err(failed)?;
        let until = Instant::now() + DIFF_TIME;
        let mut left = DIFF_TEXT;
        let mut list = answer.list();
        for entry in found.entries {
            let mut diff = self.show(&entry, until, left > 0);
            if left == 0 {
                diff.truncated = true;
            }
            left = left.saturating_sub(diff.unified.len());
            list.push(&diff).map_err(failed)?;
        }
        list.done().map_err(failed)
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
}
