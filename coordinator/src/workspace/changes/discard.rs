//! Throws changes away, and takes settled ones out of the upper folder.
//!
//! Never touches the project. The upper folder is written to only when no living worker has it
//! mounted; what cannot be taken out without bringing something else back is hidden by the journal
//! instead.

use super::{
    Review, apply,
    walk::{Entry, walk},
};
use crate::{
    wire::{ChangeKind, Changes, DiscardRequest, EntryType},
    workspace::{MounterError, error::system},
};
use rustix::{
    fs::{AtFlags, unlinkat},
    io::{self, Errno},
};
use std::collections::HashSet;

pub(super) fn discard(
    review: &mut Review,
    request: &DiscardRequest,
) -> Result<Changes, MounterError> {
    let entries = walk(review)?;
    let (chosen, _) = review.choose(&entries, &request.paths, false);
    for entry in &chosen {
        review.journal.hide(&entry.path, entry.upper.as_ref());
    }
    worker_agent::failpoint!("mounter.discard.hidden");
    if !review.live {
        let left = walk(review)?;
        take_out(review, &chosen, &left);
    }
    worker_agent::failpoint!("mounter.discard.taken");
    review
        .journal
        .save(&review.changes)
        .map_err(|e| system("noting what was discarded", e))?;
    review.list()
}

/// Takes settled entries out of an upper folder that is not mounted, the deepest first. What fails
/// stays hidden by the journal.
pub(super) fn take_out(review: &mut Review, settled: &[&Entry], left: &[Entry]) {
    let mut whiteouts = HashSet::new();
    let mut order: Vec<&Entry> = settled.to_vec();
    order.sort_by(|a, b| b.path.cmp(&a.path));
    for entry in order {
        // Without the upper's entry the project's own must be what appears.
        let hidden = entry.in_opaque && entry.lower.is_some();
        let below_left = || {
            // Sorted: what is below a path comes right after it.
            let next = left.partition_point(|e| e.path <= entry.path);
            left.get(next)
                .is_some_and(|e| e.path.starts_with(&entry.path))
        };
        let result = match (&entry.upper, entry.whiteout) {
            _ if hidden => continue,
            (None, false) => continue,
            (None, true) => unlink(review, entry, AtFlags::empty()).inspect(|()| {
                whiteouts.insert(entry.path.as_path());
            }),
            (Some(_), _) if entry.kind == ChangeKind::Modified && is_dir(entry) => {
                apply::reset_mode(review, entry)
            }
            (Some(_), _) if is_dir(entry) && below_left() => continue,
            (Some(upper), _) if upper.is_dir() => unlink(review, entry, AtFlags::REMOVEDIR),
            (Some(_), _) => unlink(review, entry, AtFlags::empty()),
        };
        match result {
            Ok(()) => review.journal.show(&entry.path),
            Err(e) => tracing::debug!(error = %e, "a settled change stays in the upper folder"),
        }
    }
    // What was below a whiteout is back with it.
    for entry in settled {
        let mut above = entry.path.ancestors();
        if entry.upper.is_none() && above.any(|path| whiteouts.contains(path)) {
            review.journal.show(&entry.path);
        }
    }
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
