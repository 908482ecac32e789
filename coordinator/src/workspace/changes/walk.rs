//! Finds what an overlay's upper folder changes in the project.
//!
//! The cost goes by the changes, not by the project's size. Everything in the upper folder may be
//! a hostile worker's: nothing is followed, nothing recurses on the stack, and the number and
//! depth of entries are bounded.
//!
//! A change is a **conflict** when the project's own file has a ctime later than the claim: unlike
//! the mtime, nobody can set it back. A file of the project that was removed since the claim leaves
//! nothing to compare with and is listed as new.

use super::{Review, text};
use crate::{
    model::HostPath,
    wire::{Change, ChangeKind, EntryType},
    workspace::{
        MounterError,
        error::system,
        tree::{Meta, Tree},
    },
};
use rustix::{fs::FileType, io};
use std::{
    io::Read,
    path::{Path, PathBuf},
};

/// The most changes of one worker that are listed.
pub(super) const MAX_ENTRIES: usize = 200_000;
/// Deeper folders are listed and never entered.
const MAX_DEPTH: usize = 200;
/// Longer paths likewise, in bytes; the kernel takes 4,095.
const MAX_PATH: usize = 3_800;

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
    pub conflict: bool,
}

impl Entry {
    /// For the wire, without line counts.
    pub(super) fn change(&self) -> Change {
        let mode = match (&self.lower, &self.upper) {
            (Some(l), Some(u)) if !l.is_link() && !u.is_link() => {
                Some((l.mode & 0o777, u.mode & 0o777)).filter(|(l, u)| l != u)
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
}

/// A folder of the upper that is still to be looked at.
struct Todo {
    path: PathBuf,
    depth: usize,
    /// The project has this folder, and nothing above hides it.
    lower: bool,
    in_opaque: bool,
}

/// All changes that are not settled, sorted by path.
pub(super) fn walk(review: &Review) -> Result<Vec<Entry>, MounterError> {
    walk_within(review, MAX_ENTRIES)?.ok_or_else(|| {
        system(
            "listing the changes",
            format!("there are more than {MAX_ENTRIES}; discard generated folders first"),
        )
    })
}

/// The same, or `None` as soon as there are more than `most`.
pub(super) fn walk_within(
    review: &Review,
    most: usize,
) -> Result<Option<Vec<Entry>>, MounterError> {
    let mut found = Found {
        review,
        most,
        entries: Vec::new(),
    };
    let mut todo = vec![Todo {
        path: PathBuf::new(),
        depth: 0,
        lower: true,
        in_opaque: false,
    }];
    while let Some(folder) = todo.pop() {
        match found.folder(&folder, &mut todo) {
            Ok(()) => {}
            Err(Stop::Many) => return Ok(None),
            Err(Stop::Io(e)) => {
                let path = HostPath::new(folder.path.as_path());
                return Err(system(&format!("listing the changes in {path}"), e));
            }
        }
    }
    let mut entries = found.entries;
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Some(entries))
}

enum Stop {
    Many,
    Io(io::Errno),
}

impl From<io::Errno> for Stop {
    fn from(e: io::Errno) -> Self {
        Self::Io(e)
    }
}

struct Found<'a> {
    review: &'a Review,
    most: usize,
    entries: Vec<Entry>,
}

impl Found<'_> {
    fn folder(&mut self, folder: &Todo, todo: &mut Vec<Todo>) -> Result<(), Stop> {
        let (upper, lower) = (&self.review.upper, &self.review.lower);
        let names = upper.names(&folder.path)?;
        let opaque = is_opaque(upper, &folder.path);
        let in_opaque = folder.in_opaque || opaque;
        for name in &names {
            let path = folder.path.join(name);
            let Some(u) = upper.meta(&path)? else {
                continue;
            };
            let l = if folder.lower {
                lower.meta(&path)?
            } else {
                None
            };
            if is_whiteout(upper, &path, &u) {
                if let Some(l) = l {
                    self.deleted(path, l, true, in_opaque)?;
                }
                continue;
            }
            let deep = folder.depth >= MAX_DEPTH || path.as_os_str().len() > MAX_PATH;
            if u.is_dir() && !deep {
                todo.push(Todo {
                    path: path.clone(),
                    depth: folder.depth + 1,
                    lower: l.is_some_and(|l| l.is_dir()),
                    in_opaque,
                });
            }
            self.present(path, u, l, in_opaque, deep)?;
        }
        if opaque && folder.lower {
            for name in lower.names(&folder.path)? {
                if names.binary_search(&name).is_ok() {
                    continue;
                }
                let path = folder.path.join(name);
                let Some(l) = lower.meta(&path)? else {
                    continue;
                };
                // Born after the claim: the worker cannot have meant it.
                if l.btime.is_none_or(|born| born <= self.review.claimed_at_ns) {
                    self.deleted(path, l, false, in_opaque)?;
                }
            }
        }
        Ok(())
    }

    /// Something the upper holds.
    fn present(
        &mut self,
        path: PathBuf,
        u: Meta,
        l: Option<Meta>,
        in_opaque: bool,
        deep: bool,
    ) -> Result<(), Stop> {
        if self.review.journal.hides(&path, Some(&u)) {
            return Ok(());
        }
        let after = if deep && u.is_dir() {
            EntryType::Other
        } else {
            entry_type(&u)
        };
        let before = l.as_ref().map(entry_type);
        let kind = match (before, &l) {
            (Some(before), Some(l)) if before == after => {
                if self.same(&path, &u, l)? {
                    return Ok(());
                }
                ChangeKind::Modified
            }
            (Some(_), _) => ChangeKind::TypeChanged,
            (None, _) => ChangeKind::Added,
        };
        let folders = before == Some(EntryType::Directory) && after == EntryType::Directory;
        let conflict = l
            .as_ref()
            .is_some_and(|l| !folders && self.touched(&path, l));
        if kind == ChangeKind::TypeChanged
            && let Some(l) = l.filter(Meta::is_dir)
        {
            self.below(&path, &l, in_opaque)?;
        }
        self.push(Entry {
            path,
            upper: Some(u),
            lower: l,
            whiteout: false,
            in_opaque,
            kind,
            before,
            after: Some(after),
            conflict,
        })
    }

    /// Something of the project that the upper hides, with all below.
    fn deleted(
        &mut self,
        path: PathBuf,
        l: Meta,
        whiteout: bool,
        in_opaque: bool,
    ) -> Result<(), Stop> {
        if l.is_dir() {
            self.below(&path, &l, in_opaque)?;
        }
        self.gone(path, l, whiteout, in_opaque)
    }

    fn below(&mut self, path: &Path, l: &Meta, in_opaque: bool) -> Result<(), Stop> {
        debug_assert!(l.is_dir());
        let mut todo = vec![path.to_owned()];
        while let Some(folder) = todo.pop() {
            for name in self.review.lower.names(&folder)? {
                let path = folder.join(name);
                let Some(l) = self.review.lower.meta(&path)? else {
                    continue;
                };
                if l.is_dir() {
                    todo.push(path.clone());
                }
                self.gone(path, l, false, in_opaque)?;
            }
        }
        Ok(())
    }

    fn gone(
        &mut self,
        path: PathBuf,
        l: Meta,
        whiteout: bool,
        in_opaque: bool,
    ) -> Result<(), Stop> {
        if self.review.journal.hides(&path, None) {
            return Ok(());
        }
        let conflict = !l.is_dir() && self.touched(&path, &l);
        self.push(Entry {
            path,
            upper: None,
            lower: Some(l),
            whiteout,
            in_opaque,
            kind: ChangeKind::Deleted,
            before: Some(entry_type(&l)),
            after: None,
            conflict,
        })
    }

    fn push(&mut self, entry: Entry) -> Result<(), Stop> {
        if self.entries.len() >= self.most {
            return Err(Stop::Many);
        }
        self.entries.push(entry);
        Ok(())
    }

    /// Whether the project's file changed since the claim, and not by our own hand.
    fn touched(&self, path: &Path, l: &Meta) -> bool {
        l.ctime > self.review.claimed_at_ns && !self.review.journal.wrote(path, l)
    }

    /// Copied up and put back as it was.
    fn same(&self, path: &Path, u: &Meta, l: &Meta) -> Result<bool, Stop> {
        let (upper, lower) = (&self.review.upper, &self.review.lower);
        Ok(match u.kind {
            FileType::Directory => u.mode & 0o777 == l.mode & 0o777,
            FileType::Symlink => upper.link(path)? == lower.link(path)?,
            FileType::RegularFile => {
                u.mode & 0o777 == l.mode & 0o777
                    && u.size == l.size
                    && text::same_content(upper.file(path)?.take(u.size), lower.file(path)?)
            }
            _ => u.kind == l.kind && u.rdev == l.rdev,
        })
    }
}

fn entry_type(m: &Meta) -> EntryType {
    match m.kind {
        FileType::RegularFile => EntryType::File,
        FileType::Directory => EntryType::Directory,
        FileType::Symlink => EntryType::Symlink,
        _ => EntryType::Other,
    }
}

/// overlayfs.rst: a character device 0/0, or an empty file with the whiteout mark.
fn is_whiteout(upper: &Tree, path: &Path, m: &Meta) -> bool {
    match m.kind {
        FileType::CharacterDevice => m.rdev == 0,
        FileType::RegularFile if m.size == 0 => upper.file(path).is_ok_and(|file| {
            let mut value = [0u8; 16];
            rustix::fs::fgetxattr(&file, "trusted.overlay.whiteout", &mut value[..]).is_ok()
        }),
        _ => false,
    }
}

/// overlayfs.rst: `y` hides the lower folder; other values do not.
fn is_opaque(upper: &Tree, path: &Path) -> bool {
    upper.dir(path).is_ok_and(|dir| {
        let mut value = [0u8; 16];
        rustix::fs::fgetxattr(&dir, "trusted.overlay.opaque", &mut value[..])
            .is_ok_and(|n| value.get(..n) == Some(b"y"))
    })
}
