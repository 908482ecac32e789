//! Changes counted by folder: possible for any number of them. Owns the bound on folders. Never keeps an
//! entry.

use super::{
    entry::Entry,
    gather::Named,
    review::Review,
    walk::{Next, walk},
};
use crate::wire::MounterError;
use podbay_model::{
    model::HostPath,
    wire::{ChangeSummary, EntryType, FolderChanges},
};
use std::{
    cmp::Reverse,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// The most folders that are named.
const MAX_FOLDERS: usize = 1_000;
/// Counting ends after this long, and says so.
const MAX_TIME: Duration = Duration::from_secs(60);

/// Counts what is at and below `path` by the folders that are directly in it.
///
/// # Errors
/// `System` when a folder cannot be read.
pub(super) fn summary(
    review: &Review,
    path: Option<&HostPath>,
) -> Result<ChangeSummary, MounterError> {
    let named = Named::new(review, path.map_or(&[], std::slice::from_ref));
    let mut sums = Sums::default();
    let until = Instant::now() + MAX_TIME;
    let mut whole = true;
    for (start, _) in named.paths() {
        whole &= walk(review, start, false, &mut |entry| {
            sums.add(start, &entry);
            if Instant::now() < until {
                Next::Go
            } else {
                Next::Stop
            }
        })?;
    }
    Ok(sums.done(review.project.clone(), !whole))
}

#[derive(Default)]
struct Sums {
    /// Files directly in the folder that was asked for.
    here: FolderChanges,
    /// The folder that is being counted: a walk leaves it only once.
    current: Option<(PathBuf, FolderChanges)>,
    folders: Vec<FolderChanges>,
    more: FolderChanges,
    more_folders: u64,
    conflicts: u64,
}

impl Sums {
    fn add(&mut self, start: &Path, entry: &Entry) {
        self.conflicts += u64::from(entry.conflict);
        let below = entry.path.strip_prefix(start).unwrap_or(Path::new(""));
        let mut parts = below.components();
        let first = parts.next();
        let folder = parts.next().is_some()
            || entry.before == Some(EntryType::Directory)
            || entry.after == Some(EntryType::Directory);
        let row = match first {
            Some(first) if folder => {
                let top = start.join(first);
                if self.current.as_ref().is_none_or(|(path, _)| *path != top) {
                    self.leave();
                    self.current = Some((top, FolderChanges::default()));
                }
                self.current.as_mut().map(|(_, row)| row)
            }
            _ => None,
        };
        let row = row.unwrap_or(&mut self.here);
        row.changes += 1;
        if entry.after == Some(EntryType::File) {
            row.bytes += entry.upper.as_ref().map_or(0, |upper| upper.size);
        }
    }

    fn leave(&mut self) {
        let Some((path, mut row)) = self.current.take() else {
            return;
        };
        row.path = HostPath::new(path);
        self.folders.push(row);
        if self.folders.len() >= 2 * MAX_FOLDERS {
            self.cut();
        }
    }

    /// Keeps those with the most changes.
    fn cut(&mut self) {
        let folders = &mut self.folders;
        folders.sort_by_key(|row| Reverse(row.changes));
        for row in folders.drain(MAX_FOLDERS.min(folders.len())..) {
            self.more_folders += 1;
            self.more.changes += row.changes;
            self.more.bytes += row.bytes;
        }
    }

    fn done(mut self, project: HostPath, truncated: bool) -> ChangeSummary {
        self.leave();
        self.cut();
        if self.here.changes > 0 {
            self.here.path = HostPath::new(".");
            self.folders.insert(0, self.here);
        }
        let sum = |of: fn(&FolderChanges) -> u64| {
            self.folders.iter().map(of).sum::<u64>() + of(&self.more)
        };
        ChangeSummary {
            project,
            changes: sum(|row| row.changes),
            bytes: sum(|row| row.bytes),
            conflicts: self.conflicts,
            more_folders: self.more_folders,
            more_changes: self.more.changes,
            folders: self.folders,
            truncated,
        }
    }
}
