//! Lists, counts and shows what a review is of. Owns the bounds on the time and text of an answer. Never
//! writes: `apply` and `discard` do.

use super::{
    answer::Answer,
    entry::Entry,
    gather::{Gathered, Named, gather},
    review::Review,
    text,
    walk::{Next, walk},
};
use crate::{error::system, rpc::Head, tree::Meta, wire::MounterError};
use podbay_model::{
    model::HostPath,
    wire::{ChangeCount, Changes, EntryType, FileDiff},
};
use std::{
    path::Path,
    time::{Duration, Instant},
};

type Result<T> = std::result::Result<T, MounterError>;

/// What one request may spend on finding small differences; later files get larger ones.
const DIFF_TIME: Duration = Duration::from_secs(10);
/// The same for one file.
const FILE_TIME: Duration = Duration::from_millis(500);
/// What a list may spend on counting lines; later files have none.
const COUNT_TIME: Duration = Duration::from_secs(20);
/// The most text of one answer, in bytes; what is over is marked as cut.
const DIFF_TEXT: usize = 48 << 20;

impl Review {
    /// What is at and below the path, or everything, with line counts.
    pub(super) fn list(&self, path: Option<&HostPath>) -> Result<Changes> {
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
            project_missing: self.project_missing,
            project: self.project.clone(),
            entries: entries.into_iter().map(count).collect(),
            truncated,
        })
    }

    /// Whether anything changed.
    pub(super) fn any(&self) -> Result<bool> {
        walk(self, Path::new(""), false, &mut |_| Next::Stop).map(|whole| !whole)
    }

    /// `None` when there are more than `most` entries, or counting them takes too long.
    pub(super) fn count(&self, most: u64) -> Result<Option<ChangeCount>> {
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
    pub(super) fn diff(&self, path: Option<&HostPath>, answer: &mut Answer<'_>) -> Result<()> {
        let named = Named::new(self, path.map_or(&[], std::slice::from_ref));
        let found = gather(self, &named, false)?;
        let failed = |e| system("answering", e);
        answer
            .head(Head {
                truncated: found.truncated,
                left: found.entries.len() as u64,
                project_missing: self.project_missing,
                ..Head::default()
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
