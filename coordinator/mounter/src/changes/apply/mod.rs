//! Carries a worker's changes over to the project. Owns all that is written there: as the project's
//! owner, one path at a time, each by a rename, so that a file is old or new. Never opens anything in
//! the project for writing that was there before.

use super::{
    discard,
    gather::{MAX_ENTRIES, Named, gather_all},
    journal::Stamp,
    review::Review,
    walk::{Entry, Next, walk},
};
use crate::{error::system, sys::set_fs_ids, tree::Meta, wire::MounterError};
use podbay_model::{
    model::HostPath,
    wire::{ApplyRequest, ApplyResult, CHANGED_SINCE_CLAIM, ChangeKind, Conflict, EntryType},
};
use rustix::{
    fs::{
        self, AtFlags, Mode, OFlags, SeekFrom, Timespec, Timestamps, fchmod, futimens, mkdirat,
        openat, renameat, symlinkat, unlinkat,
    },
    io::Errno,
};
use std::{
    collections::HashSet,
    ffi::OsStr,
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsRawFd, OwnedFd},
    path::Path,
};

/// File permission checks of this thread are the owner's until dropped.
struct AsOwner;

impl AsOwner {
    fn new(owner: (u32, u32)) -> io::Result<Self> {
        let guard = Self;
        set_fs_ids(owner.0, owner.1)?;
        Ok(guard)
    }
}

impl Drop for AsOwner {
    fn drop(&mut self) {
        if let Err(e) = set_fs_ids(0, 0) {
            tracing::error!(error = %e, "this thread keeps a project owner's rights");
        }
    }
}

/// The most changes that are counted as left; more are told as at least so many.
const MAX_LEFT: u64 = MAX_ENTRIES as u64 / 5;

/// Applies the named paths, or all. Nothing is written when one of them is a conflict and `force` is
/// not set; a failure on the way is reported for its path, and the others go on.
///
/// # Errors
/// `TooMany` when more is named than fits into one request, `System`.
pub(super) fn apply(
    review: &mut Review,
    request: &ApplyRequest,
) -> Result<ApplyResult, MounterError> {
    let named = Named::new(review, &request.paths);
    let found = gather_all(review, &named, true)?;
    let conflicts: Vec<Conflict> = found
        .entries
        .iter()
        .filter(|entry| entry.conflict)
        .map(|entry| refusal(entry, CHANGED_SINCE_CLAIM))
        .collect();
    if !conflicts.is_empty() && !request.force {
        return with_left(review, Vec::new(), conflicts);
    }
    let chosen: Vec<&Entry> = found.entries.iter().collect();
    let mut writer = Writer {
        review,
        force: request.force,
        done: Vec::new(),
        failed: found
            .unknown
            .into_iter()
            .map(|path| Conflict {
                path,
                reason: "there is no change at this path".into(),
            })
            .collect(),
    };
    writer.run(&chosen);
    let Writer { done, failed, .. } = writer;
    finish(review, &done, failed)
}

fn refusal(entry: &Entry, reason: &str) -> Conflict {
    Conflict {
        path: HostPath::new(entry.path.as_path()),
        reason: reason.to_owned(),
    }
}

/// Notes what was applied, takes it out of the upper folder if nobody uses that, and counts what
/// is left.
fn finish(
    review: &mut Review,
    done: &[&Entry],
    conflicts: Vec<Conflict>,
) -> Result<ApplyResult, MounterError> {
    podbay_failpoints::failpoint!("reviewer.apply.done");
    let mut room = true;
    for entry in done {
        if let Ok(Some(lower)) = review.lower.meta(&entry.path) {
            review.journal.write(&entry.path, &lower);
        }
        room &= review.journal.hide(&entry.path, entry.upper.as_ref());
    }
    review.journal.seal();
    if !room {
        // What equals the project is no change; only what the project gets later differs again.
        tracing::warn!("a review's journal is full: what was applied may be listed again");
    }
    if !review.live {
        discard::take_out(review, done);
        podbay_failpoints::failpoint!("reviewer.apply.taken");
    }
    review
        .journal
        .save(&review.changes)
        .map_err(|e| system("the changes were applied, but noting that failed", e))?;
    let mut applied: Vec<HostPath> = done
        .iter()
        .map(|entry| HostPath::new(entry.path.as_path()))
        .collect();
    applied.sort_unstable();
    with_left(review, applied, conflicts)
}

fn with_left(
    review: &Review,
    applied: Vec<HostPath>,
    conflicts: Vec<Conflict>,
) -> Result<ApplyResult, MounterError> {
    let mut left = 0;
    let whole = walk(review, Path::new(""), false, &mut |_| {
        left += 1;
        if left < MAX_LEFT {
            Next::Go
        } else {
            Next::Stop
        }
    })?;
    Ok(ApplyResult {
        applied,
        conflicts,
        left,
        left_more: !whole,
    })
}

struct Writer<'r, 'e> {
    review: &'r Review,
    force: bool,
    done: Vec<&'e Entry>,
    failed: Vec<Conflict>,
}

impl<'e> Writer<'_, 'e> {
    fn run(&mut self, chosen: &[&'e Entry]) {
        // What goes, the deepest first.
        let mut blocked = HashSet::new();
        for entry in chosen.iter().rev() {
            let goes = entry.kind == ChangeKind::Deleted;
            let makes_room =
                entry.kind == ChangeKind::TypeChanged && entry.before == Some(EntryType::Directory);
            if goes {
                let result = self.remove(entry);
                self.note(entry, result);
            } else if makes_room && let Err(e) = self.remove(entry) {
                self.note(entry, Err(e));
                blocked.insert(entry.path.as_path());
            }
        }
        podbay_failpoints::failpoint!("reviewer.apply.removed");
        // What comes, folders before what is in them.
        let mut folders = Vec::new();
        for entry in chosen {
            match (entry.after, &entry.upper) {
                _ if blocked.contains(entry.path.as_path()) => {}
                (None, _) | (_, None) => {}
                (Some(EntryType::Directory), Some(_)) => match self.folder(entry) {
                    Ok(()) => folders.push(*entry),
                    Err(e) => self.note(entry, Err(e)),
                },
                (Some(EntryType::File), Some(upper)) => {
                    let result = self.file(entry, upper);
                    self.note(entry, result);
                }
                (Some(EntryType::Symlink), Some(_)) => {
                    let result = self.link(entry);
                    self.note(entry, result);
                }
                (Some(EntryType::Other), Some(_)) => self.failed.push(refusal(
                    entry,
                    "FIFOs, sockets, devices and too deep folders are never applied",
                )),
            }
        }
        // A folder's own mode last: it may forbid writing in it.
        for entry in folders.into_iter().rev() {
            let result = self.folder_mode(entry);
            self.note(entry, result);
        }
    }

    fn note(&mut self, entry: &'e Entry, result: io::Result<()>) {
        match result {
            Ok(()) => self.done.push(entry),
            Err(e) => self
                .failed
                .push(refusal(entry, &format!("not applied: {e}"))),
        }
    }

    /// Somebody may have changed the project between the listing and now.
    fn unchanged(&self, entry: &Entry) -> io::Result<()> {
        if self.force || entry.before == Some(EntryType::Directory) {
            return Ok(());
        }
        let now = self.review.lower.meta(&entry.path)?;
        let stamp = |meta: &Option<Meta>| meta.as_ref().map(Stamp::from);
        if stamp(&now) == stamp(&entry.lower) {
            Ok(())
        } else {
            Err(io::Error::other("the project's own changed just now"))
        }
    }

    fn parent<'p>(&self, path: &'p Path) -> io::Result<(OwnedFd, &'p OsStr)> {
        Ok(self.review.lower.parent(path)?)
    }

    fn remove(&self, entry: &Entry) -> io::Result<()> {
        self.unchanged(entry)?;
        let _owner = AsOwner::new(self.review.owner)?;
        let (dir, name) = self.parent(&entry.path)?;
        let flags = if entry.before == Some(EntryType::Directory) {
            AtFlags::REMOVEDIR
        } else {
            AtFlags::empty()
        };
        match unlinkat(&dir, name, flags) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    fn folder(&self, entry: &Entry) -> io::Result<()> {
        if entry.before == Some(EntryType::Directory) {
            return Ok(());
        }
        self.unchanged(entry)?;
        let _owner = AsOwner::new(self.review.owner)?;
        let (dir, name) = self.parent(&entry.path)?;
        if entry.before.is_some() {
            unlinkat(&dir, name, AtFlags::empty())?;
        }
        Ok(mkdirat(&dir, name, Mode::RWXU)?)
    }

    fn folder_mode(&self, entry: &Entry) -> io::Result<()> {
        let Some(upper) = &entry.upper else {
            return Ok(());
        };
        let _owner = AsOwner::new(self.review.owner)?;
        let dir = self.review.lower.dir(&entry.path)?;
        fchmod(&dir, Mode::from_raw_mode(upper.mode & 0o777))?;
        Ok(())
    }

    fn link(&self, entry: &Entry) -> io::Result<()> {
        self.unchanged(entry)?;
        let target = self.review.upper.link(&entry.path)?;
        let _owner = AsOwner::new(self.review.owner)?;
        let (dir, name) = self.parent(&entry.path)?;
        let temporary = &self.review.temporary;
        at_free_name(&dir, temporary, || symlinkat(&target, &dir, temporary))?;
        replace(&dir, temporary, name)
    }

    fn file(&self, entry: &Entry, upper: &Meta) -> io::Result<()> {
        self.unchanged(entry)?;
        let mut source = self.review.upper.file(&entry.path)?;
        let (dir, fresh) = {
            let _owner = AsOwner::new(self.review.owner)?;
            let (dir, _) = self.parent(&entry.path)?;
            let mut fresh = Fresh::make(&dir, &self.review.temporary)?;
            let target = &mut fresh.file;
            let written = copy(&mut source, target, upper.size).and_then(|()| {
                fchmod(&*target, Mode::from_raw_mode(upper.mode & 0o777))?;
                futimens(&*target, &times(upper.mtime))?;
                target.sync_all()
            });
            if let Err(e) = written {
                fresh.drop_in(&dir);
                return Err(e);
            }
            (dir, fresh)
        };
        // A live worker may have written meanwhile, and somebody else to the project.
        let still = Meta::of(&source).map(|now| Stamp::from(&now) == Stamp::from(upper));
        let checked = match still {
            Ok(true) => self.unchanged(entry),
            Ok(false) => Err(io::Error::other(
                "the worker changed it while it was copied",
            )),
            Err(e) => Err(e.into()),
        };
        let _owner = AsOwner::new(self.review.owner)?;
        if let Err(e) = checked {
            fresh.drop_in(&dir);
            return Err(e);
        }
        let name = entry.path.file_name().ok_or(Errno::INVAL)?;
        podbay_failpoints::failpoint!("reviewer.apply.copied");
        fresh.put(&dir, name)
    }
}

/// A file that is to take another's place. Where the filesystem can it has no name until it is
/// whole, so that a mounter that dies while it copies leaves nothing in the project.
struct Fresh<'t> {
    file: File,
    temporary: &'t str,
    named: bool,
}

impl<'t> Fresh<'t> {
    fn make(dir: &OwnedFd, temporary: &'t str) -> io::Result<Self> {
        let mode = Mode::RUSR | Mode::WUSR;
        let nameless = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
        if let Ok(fd) = openat(dir, ".", nameless, mode)
            // It gets its name through /proc, which not every mount namespace has.
            && fs::stat(through_proc(&fd)).is_ok()
        {
            return Ok(Self {
                file: File::from(fd),
                temporary,
                named: false,
            });
        }
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = at_free_name(dir, temporary, || openat(dir, temporary, flags, mode))?;
        Ok(Self {
            file: File::from(fd),
            temporary,
            named: true,
        })
    }

    /// Takes the place of `name`, whole.
    fn put(self, dir: &OwnedFd, name: &OsStr) -> io::Result<()> {
        if !self.named {
            let source = through_proc(&self.file);
            at_free_name(dir, self.temporary, || {
                let follow = AtFlags::SYMLINK_FOLLOW;
                fs::linkat(fs::CWD, source.as_str(), dir, self.temporary, follow)
            })?;
            podbay_failpoints::failpoint!("reviewer.apply.linked");
        }
        replace(dir, self.temporary, name)
    }

    fn drop_in(self, dir: &OwnedFd) {
        if self.named {
            clean(dir, self.temporary);
        }
    }
}

fn through_proc(fd: &impl AsRawFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// The temporary name is this worker's own, and its changes are locked: what has it was left by a
/// mounter that died, and goes.
fn at_free_name<T>(
    dir: &OwnedFd,
    temporary: &str,
    make: impl Fn() -> rustix::io::Result<T>,
) -> rustix::io::Result<T> {
    match make() {
        Err(Errno::EXIST) => {
            unlinkat(dir, temporary, AtFlags::empty())?;
            make()
        }
        made => made,
    }
}

fn replace(dir: &OwnedFd, temporary: &str, name: &OsStr) -> io::Result<()> {
    renameat(dir, temporary, dir, name).map_err(|e| {
        clean(dir, temporary);
        e.into()
    })
}

fn clean(dir: &OwnedFd, temporary: &str) {
    if let Err(e) = unlinkat(dir, temporary, AtFlags::empty()) {
        tracing::warn!(error = %e, file = temporary, "a temporary file stays in a project");
    }
}

fn times(mtime: i64) -> Timestamps {
    let at = Timespec {
        tv_sec: mtime.div_euclid(1_000_000_000),
        tv_nsec: mtime.rem_euclid(1_000_000_000),
    };
    Timestamps {
        last_access: at,
        last_modification: at,
    }
}

/// Copies `size` bytes, holes as holes: a sparse file must not fill the project's disk.
fn copy(from: &mut File, to: &mut File, size: u64) -> io::Result<()> {
    fs::ftruncate(&*to, size)?;
    let mut at = 0;
    while at < size {
        let (start, end) = match fs::seek(&*from, SeekFrom::Data(at)) {
            Ok(start) => (start, fs::seek(&*from, SeekFrom::Hole(start))?.min(size)),
            Err(Errno::NXIO) => break,
            Err(Errno::INVAL | Errno::OPNOTSUPP) => (at, size),
            Err(e) => return Err(e.into()),
        };
        if start >= end {
            break;
        }
        fs::seek(&*from, SeekFrom::Start(start))?;
        fs::seek(&*to, SeekFrom::Start(start))?;
        let mut buffer = vec![0; 128 << 10];
        let mut part = (&*from).take(end - start);
        loop {
            let n = part.read(&mut buffer)?;
            if n == 0 {
                break;
            }
            to.write_all(buffer.get(..n).unwrap_or_default())?;
        }
        at = end;
    }
    Ok(())
}
