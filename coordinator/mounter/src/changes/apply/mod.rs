//! Applies a worker's changes to the project. Owns all that is written there: as the project's owner, one
//! path at a time, each by a rename, so that a file is old or new. Never writes the content of anything in
//! the project that was there before, nor loses a commit, an object or a reflog of the project's.

mod fresh;
mod judge;
mod kept;

use self::{
    fresh::{Fresh, at_free_name, copy, replace, times},
    judge::{Judgement, SPECIAL, conflict, is_git_state, judge, refusal},
    kept::Kept,
};
use super::{
    discard,
    entry::Entry,
    gather::{MAX_ENTRIES, Named, gather_all},
    git::{self, Part},
    journal::Stamp,
    review::Review,
    text,
    walk::{Next, walk},
};
use crate::{error::system, sys::set_fs_ids, tree::Meta, wire::MounterError};
use podbay_model::{
    model::HostPath,
    wire::{ApplyRequest, ApplyResult, ChangeKind, Conflict, EntryType},
};
use rustix::{
    fs::{AtFlags, Mode, fchmod, futimens, mkdirat, symlinkat, unlinkat},
    io::Errno,
};
use std::{
    collections::HashSet,
    ffi::OsStr,
    io::{self, Read},
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
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

/// Of a folder: what is made in it has its group.
const SET_GROUP_ID: u32 = 0o2000;
/// Of a file: who runs it becomes its owner, or one of its group.
const SET_IDS: u32 = 0o6000;
const NO_SET_IDS: &str = "set-user-ID and set-group-ID bits of a worker's are not applied; `chmod` in the project sets them";
const TOO_DEEP: &str = "folders that are too deep are not applied";
const INCOMPLETE: &str = "not applied: objects that it may name were not written";

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
        .filter(|entry| entry.conflict && git::part(&entry.path).0 != Part::Object)
        .map(|entry| conflict(review, entry))
        .collect();
    if !conflicts.is_empty() && !request.force {
        return with_left(review, Vec::new(), conflicts, Vec::new());
    }
    let Judgement {
        chosen,
        settled,
        notes,
        mut failed,
    } = judge(review, &found.entries);
    failed.extend(found.unknown.into_iter().map(|path| Conflict {
        path,
        reason: "there is no change at this path".into(),
    }));
    let mut writer = Writer {
        review,
        force: request.force,
        done: Vec::new(),
        notes,
        incomplete: HashSet::new(),
        failed,
    };
    writer.run(&chosen);
    let Writer {
        done,
        notes,
        failed,
        ..
    } = writer;
    finish(review, &done, &settled, failed, notes)
}

/// Notes what was applied, takes it out of the upper folder if nobody uses that, and counts what
/// is left.
fn finish(
    review: &mut Review,
    done: &[&Entry],
    settled: &[&Entry],
    conflicts: Vec<Conflict>,
    notes: Vec<Conflict>,
) -> Result<ApplyResult, MounterError> {
    podbay_failpoints::failpoint!("reviewer.apply.done");
    let mut room = true;
    for entry in done {
        if let Ok(Some(lower)) = review.lower.meta(&entry.path) {
            review.journal.write(&entry.path, &lower);
        }
        room &= review.journal.hide(&entry.path, entry.upper.as_ref());
    }
    for entry in settled {
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
    with_left(review, applied, conflicts, notes)
}

fn with_left(
    review: &Review,
    applied: Vec<HostPath>,
    conflicts: Vec<Conflict>,
    notes: Vec<Conflict>,
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
        notes,
        left,
        left_more: !whole,
    })
}

struct Writer<'r, 'e> {
    review: &'r Review,
    force: bool,
    done: Vec<&'e Entry>,
    /// For the client: what was left out, and what was applied only in part.
    notes: Vec<Conflict>,
    /// Repositories of which an object was not written.
    incomplete: HashSet<PathBuf>,
    failed: Vec<Conflict>,
}

impl<'e> Writer<'_, 'e> {
    fn run(&mut self, chosen: &[&'e Entry]) {
        let mut blocked = HashSet::new();
        let mut folders = Vec::new();
        // A repository's objects before what names them.
        for part in [
            Part::Object,
            Part::Plain,
            Part::Reference,
            Part::Reflog,
            Part::State,
        ] {
            let of_part = |entry: &&&'e Entry| git::part(&entry.path).0 == part;
            let these: Vec<&'e Entry> = chosen.iter().filter(of_part).copied().collect();
            let these = self.whole_repositories(these);
            self.remove_all(&these, &mut blocked);
            if part == Part::Object {
                // All of them: objects may be in new folders.
                for entry in chosen.iter().copied().filter(|entry| {
                    entry.after == Some(EntryType::Directory) && entry.before.is_none()
                }) {
                    self.make_folder(entry, &mut folders);
                }
            }
            podbay_failpoints::failpoint!("reviewer.apply.removed");
            for entry in these {
                match (entry.after, &entry.upper) {
                    _ if blocked.contains(entry.path.as_path()) => {}
                    (None, _) | (_, None) => {}
                    (Some(EntryType::Directory), Some(_)) => {
                        if entry.before.is_some() {
                            self.make_folder(entry, &mut folders);
                        }
                    }
                    (Some(EntryType::File), Some(upper)) => {
                        let result = self.file(entry, upper);
                        self.note(entry, result);
                    }
                    (Some(EntryType::Symlink), Some(_)) => {
                        let result = self.link(entry);
                        self.note(entry, result);
                    }
                    (Some(EntryType::Other), Some(upper)) => {
                        let why = if upper.is_dir() { TOO_DEEP } else { SPECIAL };
                        self.failed.push(refusal(entry, why));
                    }
                }
            }
        }
        // A folder's own mode last: it may forbid writing in it.
        for entry in folders.into_iter().rev() {
            let result = self.folder_mode(entry);
            self.note(entry, result);
        }
    }

    /// Without what may name an object that was not written.
    fn whole_repositories(&mut self, entries: Vec<&'e Entry>) -> Vec<&'e Entry> {
        let mut whole = Vec::new();
        for entry in entries {
            let repository = git::part(&entry.path).1;
            let incomplete = repository.is_some_and(|r| self.incomplete.contains(r));
            if incomplete && is_git_state(entry) {
                self.failed.push(refusal(entry, INCOMPLETE));
            } else {
                whole.push(entry);
            }
        }
        whole
    }

    /// What goes, the deepest first.
    fn remove_all(&mut self, entries: &[&'e Entry], blocked: &mut HashSet<&'e Path>) {
        for entry in entries.iter().rev() {
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
    }

    fn make_folder(&mut self, entry: &'e Entry, folders: &mut Vec<&'e Entry>) {
        match self.folder(entry) {
            Ok(()) => folders.push(entry),
            Err(e) => self.note(entry, Err(e)),
        }
    }

    fn note(&mut self, entry: &'e Entry, result: io::Result<()>) {
        match result {
            Ok(()) => self.done.push(entry),
            Err(e) => {
                if let (Part::Object, Some(repository)) = git::part(&entry.path) {
                    self.incomplete.insert(repository.to_path_buf());
                }
                self.failed
                    .push(refusal(entry, &format!("not applied: {e}")));
            }
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
        let dir = {
            let _owner = AsOwner::new(self.review.owner)?;
            self.review.lower.dir(&entry.path)?
        };
        // A new folder has this bit from the one that it is in, and chmod(2) takes it away where it is
        // not given.
        let inherited = Meta::of(&dir)?.mode & SET_GROUP_ID;
        self.set_mode(&dir, (upper.mode & 0o3777) | inherited)
    }

    /// Sets a mode that the owner may set. As root where the file is the owner's: chmod(2) clears the
    /// set-group-ID bit when the caller is not in the file's group, also where the project's own had it.
    fn set_mode(&self, fd: impl AsFd, mode: u32) -> io::Result<()> {
        let mode = Mode::from_raw_mode(mode & 0o7777);
        if Meta::of(&fd)?.uid == self.review.owner.0 {
            return Ok(fchmod(&fd, mode)?);
        }
        let _owner = AsOwner::new(self.review.owner)?;
        Ok(fchmod(&fd, mode)?)
    }

    /// Where the content is the project's own, the file stays and gets another mode.
    fn mode_alone(&self, entry: &Entry, upper: &Meta) -> io::Result<bool> {
        let Some(lower) = entry.lower.filter(|lower| lower.is_file()) else {
            return Ok(false);
        };
        if lower.size != upper.size || lower.mode == upper.mode {
            return Ok(false);
        }
        let mode = (upper.mode & 0o1777) | (upper.mode & lower.mode & SET_IDS);
        let (theirs, own) = (
            self.review.upper.file(&entry.path)?,
            self.review.lower.file(&entry.path)?,
        );
        if !text::same_content(theirs.take(upper.size), own.try_clone()?) {
            return Ok(false);
        }
        self.unchanged(entry)?;
        if mode != lower.mode {
            self.set_mode(&own, mode)?;
        }
        Ok(true)
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

    fn file(&mut self, entry: &'e Entry, upper: &Meta) -> io::Result<()> {
        self.unchanged(entry)?;
        let had = entry.lower.map_or(0, |lower| lower.mode);
        let news = upper.mode & SET_IDS & !had != 0;
        if news {
            self.notes.push(refusal(entry, NO_SET_IDS));
        }
        if self.mode_alone(entry, upper)? {
            return Ok(());
        }
        let mut source = self.review.upper.file(&entry.path)?;
        let kept = Kept::of(self.review, entry, &source)?;
        let (dir, fresh) = {
            let _owner = AsOwner::new(self.review.owner)?;
            let (dir, _) = self.parent(&entry.path)?;
            let mut fresh = Fresh::make(&dir, &self.review.temporary)?;
            let target = &mut fresh.file;
            let written = copy(&mut source, target, upper.size).and_then(|()| {
                kept.put_attributes(target)?;
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
            Ok(true) => self
                .unchanged(entry)
                .and_then(|()| kept.put_group(&fresh.file))
                .and_then(|()| self.set_mode(&fresh.file, upper.mode & 0o1777)),
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
        fresh.put(&dir, name)?;
        self.notes
            .extend(kept.lost().map(|what| refusal(entry, what)));
        Ok(())
    }
}
