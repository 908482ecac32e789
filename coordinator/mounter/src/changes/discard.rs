//! Throws changes away, and takes settled ones out of the upper folder. Owns all that is removed there;
//! what cannot be taken out without bringing something else back is hidden by the journal instead. Never
//! touches the project, nor an upper folder that a living worker has mounted.

use super::{
    entry::Entry,
    gather::Named,
    journal::MAX_SETTLED,
    review::Review,
    walk::{Next, shows_through, walk},
};
use crate::{
    error::{no_change, system, too_many},
    remove::remove_tree,
    tree::Tree,
    wire::MounterError,
};
use podbay_model::{
    model::HostPath,
    wire::{ChangeKind, DiscardRequest, EntryType},
};
use rustix::{
    fs::{
        AtFlags, Gid, Mode, OFlags, RenameFlags, Uid, fchmod, fchown, mkdirat, openat, renameat,
        renameat_with, unlinkat,
    },
    io::{self, Errno},
};
use std::{collections::HashSet, path::Path};

/// Where what is thrown away is until it is removed, in `changes/`.
const ASIDE: &str = ".discarded";

pub(super) fn discard(review: &mut Review, request: &DiscardRequest) -> Result<(), MounterError> {
    let named = Named::new(review, &request.paths);
    refuse_unknown(review, &named)?;
    // One that was cut short left it.
    let failed = |e| system("removing what was discarded", e);
    remove_tree(&review.changes, ASIDE.as_ref()).map_err(failed)?;
    if named.all() && !review.live {
        replace_upper(review).map_err(|e| system("emptying the worker's changes", e))?;
        review.journal.show_all();
        podbay_failpoints::failpoint!("reviewer.discard.taken");
    } else {
        if named.all() {
            // What is there now is all that is to be hidden.
            review.journal.show_all();
        }
        for (path, _) in named.paths() {
            if review.live || !take(review, path)? {
                hide(review, path)?;
            }
        }
        podbay_failpoints::failpoint!("reviewer.discard.hidden");
    }
    review
        .journal
        .save(&review.changes)
        .map_err(|e| system("noting what was discarded", e))?;
    remove_tree(&review.changes, ASIDE.as_ref()).map_err(failed)
}

/// A path without a change is a mistake in the request: nothing of it is carried out then.
fn refuse_unknown(review: &Review, named: &Named) -> Result<(), MounterError> {
    for (path, given) in named.paths() {
        let Some(given) = given else { continue };
        let mut any = false;
        walk(review, path, false, &mut |_| {
            any = true;
            Next::Stop
        })?;
        if !any {
            return Err(no_change(format!(
                "there is no change at {given}; nothing was discarded"
            )));
        }
    }
    Ok(())
}

/// An empty folder takes the upper's place in one step: half an upper would be other changes.
fn replace_upper(review: &mut Review) -> io::Result<()> {
    let changes = &review.changes;
    let Some(upper) = review.upper.meta(Path::new(""))? else {
        return Err(Errno::NOENT);
    };
    mkdirat(changes, ASIDE, Mode::RWXU)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fresh = openat(changes, ASIDE, flags, Mode::empty())?;
    fchown(
        &fresh,
        Some(Uid::from_raw(upper.uid)),
        Some(Gid::from_raw(upper.gid)),
    )?;
    fchmod(&fresh, Mode::from_raw_mode(upper.mode))?;
    renameat_with(changes, ASIDE, changes, "upper", RenameFlags::EXCHANGE)?;
    review.upper = Tree::new(fresh);
    Ok(())
}

/// Takes a path with all below out of an upper folder that is not mounted; `false` when it is not
/// there, or something would be hidden or shown that is not so now.
fn take(review: &Review, path: &Path) -> Result<bool, MounterError> {
    let failed = |e| system(&format!("discarding {}", HostPath::new(path)), e);
    if review.upper.meta(path).map_err(failed)?.is_none() || !shows_through(review, path)? {
        return Ok(false);
    }
    let (dir, name) = review.upper.parent(path).map_err(failed)?;
    renameat(&dir, name, &review.changes, ASIDE).map_err(failed)?;
    remove_tree(&review.changes, ASIDE.as_ref()).map_err(failed)?;
    Ok(true)
}

/// Hides what is at and below a path for as long as it stays as it is.
fn hide(review: &mut Review, path: &Path) -> Result<(), MounterError> {
    let mut journal = std::mem::take(&mut review.journal);
    // With what was settled before, unless nothing is hidden now: it is not listed.
    let mut shown = |entry: Entry| {
        if journal.hide(&entry.path, entry.upper.as_ref()) {
            Next::Go
        } else {
            Next::Stop
        }
    };
    let whole = walk(review, path, false, &mut shown);
    journal.seal();
    review.journal = journal;
    if !whole? {
        return Err(too_many(format!(
            "a worker that runs can have {MAX_SETTLED} changes hidden at a time; stop it first, \
             then they are taken out instead"
        )));
    }
    Ok(())
}

/// Takes settled entries out of an upper folder that is not mounted, the deepest first. What fails
/// stays hidden by the journal.
pub(super) fn take_out(review: &mut Review, settled: &[&Entry]) {
    let mut whiteouts = HashSet::new();
    let mut order: Vec<&Entry> = settled.to_vec();
    order.sort_unstable_by(|a, b| b.path.cmp(&a.path));
    for entry in order {
        // Without the upper's entry the project's own must be what appears.
        let hidden = entry.in_opaque && entry.lower.is_some();
        let result = match (&entry.upper, entry.whiteout) {
            _ if hidden => continue,
            (None, false) => continue,
            (None, true) => unlink(review, entry, AtFlags::empty()).inspect(|()| {
                whiteouts.insert(entry.path.as_path());
            }),
            (Some(_), _) if entry.kind == ChangeKind::Modified && is_dir(entry) => {
                reset_mode(review, entry)
            }
            (Some(upper), _) if upper.is_dir() => match any_below(review, &entry.path) {
                Ok(false) => unlink(review, entry, AtFlags::REMOVEDIR),
                // An opaque one has nothing in it, and hides what is not settled.
                Ok(true) => continue,
                Err(e) => {
                    tracing::debug!(error = %e, "a settled folder stays in the upper folder");
                    continue;
                }
            },
            (Some(_), _) => unlink(review, entry, AtFlags::empty()),
        };
        match result {
            Ok(()) => review.journal.show(&entry.path, entry.upper.as_ref()),
            Err(e) => tracing::debug!(error = %e, "a settled change stays in the upper folder"),
        }
    }
    // What was below a whiteout is back with it.
    for entry in settled {
        let mut above = entry.path.ancestors();
        if entry.upper.is_none() && above.any(|path| whiteouts.contains(path)) {
            review.journal.show(&entry.path, None);
        }
    }
}

/// Whether there are unsettled changes below a path.
fn any_below(review: &Review, path: &Path) -> Result<bool, MounterError> {
    walk(review, path, false, &mut |entry| {
        if entry.path == path {
            Next::Go
        } else {
            Next::Stop
        }
    })
    .map(|whole| !whole)
}

/// Sets an upper folder's mode to what the project's has now.
fn reset_mode(review: &Review, entry: &Entry) -> rustix::io::Result<()> {
    let Some(lower) = review.lower.meta(&entry.path)? else {
        return Ok(());
    };
    let dir = review.upper.dir(&entry.path)?;
    fchmod(&dir, Mode::from_raw_mode(lower.mode & 0o7777))
}

fn is_dir(entry: &Entry) -> bool {
    entry.after == Some(EntryType::Directory)
}

fn unlink(review: &Review, entry: &Entry, flags: AtFlags) -> io::Result<()> {
    let (dir, name) = review.upper.parent(&entry.path)?;
    match unlinkat(&dir, name, flags) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(e) => Err(e),
    }
}
