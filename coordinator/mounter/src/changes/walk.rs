//! Finds what an overlay's upper folder changes in the project, one entry after the other. Owns the bounds
//! on depth and path; the visitor bounds what is kept. Never follows anything, nor recurses on the stack:
//! the upper folder may be a hostile worker's, and memory depends on the depth alone.

use super::{
    entry::{Entry, entry_type},
    git,
    review::Review,
    text,
};
use crate::{
    error::system,
    tree::{Meta, Tree, next_name},
    wire::MounterError,
};
use podbay_model::{
    model::HostPath,
    wire::{ChangeKind, EntryType},
};
use rustix::{
    fs::{Dir, FileType},
    io::{self, Errno},
};
use std::{
    ffi::OsStr,
    io::Read,
    path::{Component, Path, PathBuf},
};

/// Deeper folders are listed and never entered. Each level holds three descriptors.
const MAX_DEPTH: usize = 200;
/// Longer paths likewise, in bytes; the kernel takes 4,095.
const MAX_PATH: usize = 3_800;

/// What a visitor wants after an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// The next entry.
    Go,
    /// Nothing more below the top-level folder that the entry is in.
    Leave,
    /// Nothing more at all.
    Stop,
}

/// Visits all changes at and below `start` that are not settled; the empty path is everything. An
/// entry comes before those below it, otherwise in no order. `parents` visits the new folders above
/// `start`, too. Whether it came to the end. The cost goes by the changes, not by the project's size.
///
/// # Errors
/// `System` with the folder that could not be read.
pub(super) fn walk(
    review: &Review,
    start: &Path,
    parents: bool,
    visit: &mut dyn FnMut(Entry) -> Next,
) -> Result<bool, MounterError> {
    let failed = |path: &Path, e| {
        let path = HostPath::new(path);
        system(&format!("listing the changes in {path}"), e)
    };
    let mut walk = Walk { review, visit };
    let mut levels = Vec::new();
    match walk.begin(start, parents) {
        Ok(level) => levels.extend(level),
        Err(Halt::Enough) => return Ok(false),
        Err(Halt::Leave) => return Ok(true),
        Err(Halt::Io(e)) => return Err(failed(start, e)),
    }
    while let Some(mut level) = levels.pop() {
        let step = walk.step(&mut level);
        match step {
            Ok(Step::Done) => {}
            Ok(Step::On(child)) => {
                levels.push(level);
                levels.extend(child);
            }
            Err(Halt::Leave) => {
                levels.push(level);
                levels.truncate(1);
            }
            Err(Halt::Enough) => return Ok(false),
            Err(Halt::Io(e)) => return Err(failed(&level.path, e)),
        }
    }
    Ok(true)
}

enum Halt {
    Enough,
    Leave,
    Io(io::Errno),
}

impl From<io::Errno> for Halt {
    fn from(e: io::Errno) -> Self {
        Self::Io(e)
    }
}

enum Step {
    Done,
    On(Option<Level>),
}

/// A folder whose names are being read.
struct Level {
    path: PathBuf,
    depth: usize,
    /// In a folder that hides the project's, or such a folder itself.
    in_opaque: bool,
    /// The project's folder, when nothing hides it but an opaque folder.
    lower: Option<Tree>,
    /// The upper's folder; `None` in a folder of the project that is gone as a whole.
    upper: Option<Tree>,
    names: Dir,
    /// The names are the project's, of which those count that the upper does not have.
    missing: bool,
}

/// What there is at one name.
enum Found {
    Nothing,
    /// The project's, hidden: whether by a whiteout of its own.
    Gone(Meta, bool),
    Present(Meta, Option<Meta>),
}

struct Walk<'a> {
    review: &'a Review,
    visit: &'a mut dyn FnMut(Entry) -> Next,
}

impl Walk<'_> {
    /// The folder to begin with, after the entries above it and at `start` itself.
    fn begin(&mut self, start: &Path, parents: bool) -> Result<Option<Level>, Halt> {
        let upper = self.review.upper.sub(Path::new(""))?;
        let lower = self.review.lower.sub(Path::new(""))?;
        let root = level(PathBuf::new(), 0, false, Some(upper), Some(lower))?;
        let Some(mut here) = root else {
            return Ok(None);
        };
        let mut parts = start.components().peekable();
        while let Some(part) = parts.next() {
            let Component::Normal(name) = part else {
                return Ok(None);
            };
            let last = parts.peek().is_none();
            let found = self.find(&here, name, true)?;
            if matches!(found, Found::Nothing) {
                return Ok(None);
            }
            let entry = match self.entry(&here, name, &found) {
                _ if !last && !parents => None,
                Some(entry) if !last && !entry.is_new_folder() => None,
                entry => entry,
            };
            let below = self.below(&here, name, &found)?;
            if let Some(entry) = entry {
                self.tell(entry)?;
            }
            match below {
                Some(level) => here = level,
                None => return Ok(None),
            }
        }
        Ok(Some(here))
    }

    /// The next name of a folder.
    fn step(&mut self, level: &mut Level) -> Result<Step, Halt> {
        let Some(name) = next_name(&mut level.names)? else {
            if level.upper.is_some()
                && !level.missing
                && level.in_opaque
                && let Some(lower) = &level.lower
            {
                let Some(dir) = there(lower.dir(Path::new("")))? else {
                    return Ok(Step::Done);
                };
                level.names = Dir::new(dir)?;
                level.missing = true;
                return Ok(Step::On(None));
            }
            return Ok(Step::Done);
        };
        if level.missing
            && let Some(upper) = &level.upper
            && upper.meta(Path::new(&name))?.is_some()
        {
            return Ok(Step::On(None));
        }
        let found = self.find(level, &name, level.missing)?;
        let below = self.below(level, &name, &found)?;
        if let Some(entry) = self.entry(level, &name, &found) {
            self.tell(entry)?;
        }
        Ok(Step::On(below))
    }

    fn tell(&mut self, entry: Entry) -> Result<(), Halt> {
        match (self.visit)(entry) {
            Next::Go => Ok(()),
            Next::Leave => Err(Halt::Leave),
            Next::Stop => Err(Halt::Enough),
        }
    }

    /// What is at a name; `missing`: it may be one that only the project has.
    fn find(&self, at: &Level, name: &OsStr, missing: bool) -> Result<Found, Halt> {
        let name = Path::new(name);
        let l = match &at.lower {
            Some(lower) => lower.meta(name)?,
            None => None,
        };
        let Some(upper) = &at.upper else {
            return Ok(l.map_or(Found::Nothing, |l| Found::Gone(l, false)));
        };
        Ok(match (upper.meta(name)?, l) {
            (Some(u), l) if is_whiteout(upper, name, &u) => {
                l.map_or(Found::Nothing, |l| Found::Gone(l, true))
            }
            (Some(u), l) => Found::Present(u, l),
            // Born after the claim: the worker cannot have meant it.
            (None, Some(l))
                if missing
                    && at.in_opaque
                    && l.btime
                        .is_none_or(|born| !self.review.clock.after_claim(born)) =>
            {
                Found::Gone(l, false)
            }
            _ => Found::Nothing,
        })
    }

    /// Whether a folder at this name is not entered.
    fn too_deep(at: &Level, name: &OsStr) -> bool {
        at.depth >= MAX_DEPTH || at.path.as_os_str().len() + 1 + name.len() > MAX_PATH
    }

    /// The folder at a name, to be read; `None` when it is none, or gone meanwhile.
    fn below(&self, at: &Level, name: &OsStr, found: &Found) -> Result<Option<Level>, Halt> {
        if Self::too_deep(at, name) {
            return Ok(None);
        }
        let lower = |l: Option<Meta>| match &at.lower {
            Some(lower) if l.is_some_and(|l| l.is_dir()) => there(lower.sub(Path::new(name))),
            _ => Ok(None),
        };
        let (upper, lower) = match *found {
            Found::Present(u, l) if u.is_dir() => {
                let upper = match &at.upper {
                    Some(upper) => there(upper.sub(Path::new(name)))?,
                    None => None,
                };
                if upper.is_none() {
                    return Ok(None);
                }
                (upper, lower(l)?)
            }
            Found::Present(_, l) => (None, lower(l)?),
            Found::Gone(l, _) => (None, lower(Some(l))?),
            Found::Nothing => return Ok(None),
        };
        let (path, depth) = (at.path.join(name), at.depth + 1);
        there(level(path, depth, at.in_opaque, upper, lower)).map(Option::flatten)
    }

    /// The change at a name; `None` when it is none, or settled.
    fn entry(&self, at: &Level, name: &OsStr, found: &Found) -> Option<Entry> {
        let path = at.path.join(name);
        match *found {
            Found::Nothing => None,
            Found::Gone(l, whiteout) => self.deleted(path, l, whiteout, at.in_opaque),
            Found::Present(u, l) => {
                let deep = Self::too_deep(at, name);
                self.present(path, u, l, at.in_opaque, deep)
            }
        }
    }

    /// Something the upper holds.
    fn present(
        &self,
        path: PathBuf,
        u: Meta,
        l: Option<Meta>,
        in_opaque: bool,
        deep: bool,
    ) -> Option<Entry> {
        if self.review.journal.hides(&path, Some(&u)) {
            return None;
        }
        let deep = deep && u.is_dir();
        let after = if deep {
            EntryType::Other
        } else {
            entry_type(&u)
        };
        let before = l.as_ref().map(entry_type);
        let kind = match (before, &l) {
            // What is in it is not known, so it never makes room for itself.
            (Some(EntryType::Directory), _) if deep => ChangeKind::Modified,
            (Some(before), Some(l)) if before == after => {
                if self.same(&path, &u, l) {
                    return None;
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
        Some(Entry {
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

    /// Something of the project that the upper hides.
    fn deleted(&self, path: PathBuf, l: Meta, whiteout: bool, in_opaque: bool) -> Option<Entry> {
        if self.review.journal.hides(&path, None) {
            return None;
        }
        let conflict = !l.is_dir() && self.touched(&path, &l);
        Some(Entry {
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

    /// Whether the project's file changed since the claim, and not by our own hand.
    fn touched(&self, path: &Path, l: &Meta) -> bool {
        self.review.clock.after_claim(l.ctime)
            && !self.review.journal.wrote(path, l)
            && !self.stages_as_at_the_claim(path)
    }

    /// The project's index, when it was written again since the claim and stages the same.
    fn stages_as_at_the_claim(&self, path: &Path) -> bool {
        let review = self.review;
        match &review.index {
            Some(index) if path == Path::new(git::MAIN_INDEX) => {
                let now = review.lower.file(path).map(git::staged);
                matches!(now, Ok(Ok(Some(now))) if now == *index)
            }
            _ => false,
        }
    }

    /// Copied up and put back as it was. What cannot be read, or went meanwhile, is not.
    fn same(&self, path: &Path, u: &Meta, l: &Meta) -> bool {
        let (upper, lower) = (&self.review.upper, &self.review.lower);
        match u.kind {
            FileType::Directory => u.mode == l.mode,
            FileType::Symlink => {
                matches!((upper.link(path), lower.link(path)), (Ok(u), Ok(l)) if u == l)
            }
            FileType::RegularFile if u.mode != l.mode => false,
            FileType::RegularFile if git::is_index(path) => {
                let files = (upper.file(path), lower.file(path));
                match files {
                    (Ok(u), Ok(l)) => git::same_index(u, l),
                    _ => false,
                }
            }
            FileType::RegularFile if u.size != l.size => false,
            FileType::RegularFile => match (upper.file(path), lower.file(path)) {
                (Ok(a), Ok(b)) => text::same_content(a.take(u.size), b),
                _ => false,
            },
            _ => u.kind == l.kind && u.rdev == l.rdev,
        }
    }
}

/// A folder to be read: of the upper and perhaps the project, or of the project alone.
fn level(
    path: PathBuf,
    depth: usize,
    in_opaque: bool,
    upper: Option<Tree>,
    lower: Option<Tree>,
) -> io::Result<Option<Level>> {
    let dir = match (&upper, &lower) {
        (Some(tree), _) | (None, Some(tree)) => tree.dir(Path::new(""))?,
        (None, None) => return Ok(None),
    };
    Ok(Some(Level {
        path,
        depth,
        in_opaque: in_opaque || upper.is_some() && is_opaque(&dir),
        lower,
        upper,
        names: Dir::new(dir)?,
        missing: false,
    }))
}

/// Gone, or something else by now, is `None`.
fn there<T>(opened: io::Result<T>) -> Result<Option<T>, Halt> {
    match opened {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => Ok(None),
        Err(e) => Err(e.into()),
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
fn is_opaque(dir: impl std::os::fd::AsFd) -> bool {
    let mut value = [0u8; 16];
    rustix::fs::fgetxattr(dir, "trusted.overlay.opaque", &mut value[..])
        .is_ok_and(|n| value.get(..n) == Some(b"y"))
}

/// Whether the project's would appear at a path if the upper's entry were gone: nothing above hides
/// it. Also whether the project has something there.
pub(super) fn shows_through(review: &Review, path: &Path) -> Result<bool, MounterError> {
    let failed = |e| system(&format!("looking at {}", HostPath::new(path)), e);
    if review.lower.meta(path).map_err(failed)?.is_none() {
        return Ok(true);
    }
    for above in path.ancestors().skip(1) {
        match review.upper.dir(above) {
            Ok(dir) if is_opaque(&dir) => return Ok(false),
            Ok(_) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => {}
            Err(e) => return Err(failed(e)),
        }
    }
    Ok(true)
}
