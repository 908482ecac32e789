//! Keeps the entries of a walk: of everything, or of the paths that were named. Owns the bound on them.
//! Never drops one silently.

use super::{
    entry::Entry,
    review::Review,
    walk::{Next, walk},
};
use crate::{error::too_many, wire::MounterError};
use podbay_model::model::HostPath;
use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
};

/// The most changes of one request that are kept at a time; unit tests make do with fewer.
pub(super) const MAX_ENTRIES: usize = if cfg!(test) { 2_000 } else { 100_000 };
/// The most bytes they may take, with what is known of each.
pub(super) const MAX_BYTES: usize = 32 << 20;
/// Where there are more: the most that are shown, and of each top-level folder.
const MAX_SHOWN: usize = 10_000;
const MAX_SHOWN_OF_FOLDER: usize = MAX_ENTRIES / 100;

/// Entries, sorted by path.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub entries: Vec<Entry>,
    /// Named paths at which there is no change.
    pub unknown: Vec<HostPath>,
    /// There are more than fit; the entries are some of each top-level folder.
    pub truncated: bool,
}

/// Paths as a walk has them, relative to the project: each with how it was named, none below
/// another one. Empty when none is named: everything.
#[derive(Debug, Default)]
pub(super) struct Named(BTreeMap<PathBuf, HostPath>);

impl Named {
    pub(super) fn new(review: &Review, paths: &[HostPath]) -> Self {
        let mut named: BTreeMap<PathBuf, HostPath> = paths
            .iter()
            .map(|path| (relative(&review.project, path), path.clone()))
            .collect();
        let mut last: Option<PathBuf> = None;
        named.retain(|path, _| {
            let below = last.as_ref().is_some_and(|last| path.starts_with(last));
            if !below {
                last = Some(path.clone());
            }
            !below
        });
        Self(named)
    }

    /// Whether it is everything.
    pub(super) fn all(&self) -> bool {
        self.0.is_empty() || self.0.contains_key(Path::new(""))
    }

    /// The paths, and how each was named; the empty one for everything.
    pub(super) fn paths(&self) -> Vec<(&Path, Option<&HostPath>)> {
        if self.all() {
            return vec![(Path::new(""), None)];
        }
        let named = self.0.iter();
        named
            .map(|(path, given)| (path.as_path(), Some(given)))
            .collect()
    }
}

/// Without `.`, and without the project's own path.
fn relative(project: &HostPath, path: &HostPath) -> PathBuf {
    let path = path.as_path();
    path.strip_prefix(project.as_path())
        .unwrap_or(path)
        .components()
        .filter(|c| !matches!(c, Component::CurDir))
        .collect()
}

/// The entries at and below the named paths, and the new folders above that they need if `parents`.
///
/// # Errors
/// `System` when a folder cannot be read.
pub(super) fn gather(
    review: &Review,
    named: &Named,
    parents: bool,
) -> Result<Gathered, MounterError> {
    let mut found = Gathered::default();
    let mut room = Room::new(MAX_ENTRIES, MAX_BYTES);
    for (start, given) in named.paths() {
        let mut any = false;
        let entries = &mut found.entries;
        let whole = walk(review, start, parents, &mut |entry| {
            any |= entry.path.starts_with(start);
            if !room.takes(&entry) {
                return Next::Stop;
            }
            entries.push(entry);
            Next::Go
        })?;
        if !whole {
            return some_of(review, named);
        }
        if let Some(given) = given.filter(|_| !any) {
            found.unknown.push(given.clone());
        }
    }
    tidy(&mut found.entries);
    Ok(found)
}

/// The same where all of them are needed.
///
/// # Errors
/// `TooMany` when there are more than fit, `System` when a folder cannot be read.
pub(super) fn gather_all(
    review: &Review,
    named: &Named,
    parents: bool,
) -> Result<Gathered, MounterError> {
    let found = gather(review, named, parents)?;
    if found.truncated {
        return Err(too_many(format!(
            "there are more changes than fit into one request ({MAX_ENTRIES}, or {} MiB of paths); \
             name folders or files instead, `podbay diff --stat` lists the folders",
            MAX_BYTES >> 20
        )));
    }
    Ok(found)
}

/// Some of each top-level folder, so that a generated one does not hide the rest.
fn some_of(review: &Review, named: &Named) -> Result<Gathered, MounterError> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut room = Room::new(MAX_SHOWN, MAX_BYTES);
    for (start, _) in named.paths() {
        let depth = start.components().count();
        let mut top = PathBuf::new();
        let mut here = 0;
        let whole = walk(review, start, false, &mut |entry| {
            let of: PathBuf = entry.path.components().take(depth + 1).collect();
            if of != top {
                (top, here) = (of, 0);
            }
            here += 1;
            if here > MAX_SHOWN_OF_FOLDER {
                return Next::Leave;
            }
            if !room.takes(&entry) {
                return Next::Stop;
            }
            entries.push(entry);
            Next::Go
        })?;
        if !whole {
            break;
        }
    }
    tidy(&mut entries);
    Ok(Gathered {
        entries,
        unknown: Vec::new(),
        truncated: true,
    })
}

fn tidy(entries: &mut Vec<Entry>) {
    entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    // A new folder above two named paths.
    entries.dedup_by(|a, b| a.path == b.path);
}

/// What is left of a bound.
struct Room {
    entries: usize,
    bytes: usize,
}

impl Room {
    fn new(entries: usize, bytes: usize) -> Self {
        Self { entries, bytes }
    }

    fn takes(&mut self, entry: &Entry) -> bool {
        let size = size_of::<Entry>() + entry.path.as_os_str().len();
        match (self.entries.checked_sub(1), self.bytes.checked_sub(size)) {
            (Some(entries), Some(bytes)) => {
                (self.entries, self.bytes) = (entries, bytes);
                true
            }
            _ => false,
        }
    }
}
