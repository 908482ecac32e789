//! One change of a copy-on-write worker, and what it was found from. Never reads anything.

use crate::tree::Meta;
use podbay_model::{
    model::HostPath,
    wire::{Change, ChangeKind, EntryType},
};
use rustix::fs::FileType;
use std::path::PathBuf;

/// A change and what it was found from.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub path: PathBuf,
    /// What the upper folder holds; `None` for a deletion.
    pub upper: Option<Meta>,
    /// What the project holds.
    pub lower: Option<Meta>,
    /// A whiteout in the upper folder, not only something missing in an opaque folder.
    pub whiteout: bool,
    /// A folder above hides the project's: without the upper's entry the path stays hidden.
    pub in_opaque: bool,
    pub kind: ChangeKind,
    pub before: Option<EntryType>,
    pub after: Option<EntryType>,
    /// The project's own file has a ctime after the claim (see `clock`): unlike the mtime, nobody can
    /// set it back. A file that was removed since then leaves nothing to compare with and is new.
    pub conflict: bool,
}

impl Entry {
    /// For the wire, without line counts.
    pub(super) fn change(&self) -> Change {
        let mode = match (&self.lower, &self.upper) {
            (Some(l), Some(u)) if !l.is_link() && !u.is_link() => {
                Some((l.mode, u.mode)).filter(|(l, u)| l != u)
            }
            _ => None,
        };
        Change {
            path: HostPath::new(self.path.as_path()),
            kind: self.kind,
            before: self.before,
            after: self.after,
            mode,
            added: None,
            removed: None,
            binary: false,
            conflict: self.conflict,
        }
    }

    /// A folder that the project does not have as one.
    pub(super) fn is_new_folder(&self) -> bool {
        self.after == Some(EntryType::Directory) && self.before != Some(EntryType::Directory)
    }
}

/// What a path is.
pub(super) fn entry_type(m: &Meta) -> EntryType {
    match m.kind {
        FileType::RegularFile => EntryType::File,
        FileType::Directory => EntryType::Directory,
        FileType::Symlink => EntryType::Symlink,
        _ => EntryType::Other,
    }
}
