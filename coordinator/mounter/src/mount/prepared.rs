//! Makes overlays ahead of their claims, in `changes/next` of workers that wait, and gives them to claims.
//! Owns that folder. Never has two overlays on the same folders: one that is claimed has `changes/upper`
//! and `changes/work` by an exchange.

use super::{
    layers::layer,
    live,
    overlay::{over, own_upper},
    project::{self, Project},
};
use crate::{
    error::system,
    folders::make_layers,
    host::{Host, Place, PreparedOverlay, SessionIds},
    remove::remove_tree,
    tree::{Tree, next_name},
    wire::{MountFacts, MountMode, MountRequest, MounterError, OverlayRequest},
};
use rustix::{
    fs::{Dir, RenameFlags, renameat, renameat_with},
    io::Errno,
};
use std::{os::fd::OwnedFd, path::Path, time::Instant};

const NEXT: &str = "next";

/// Carries an [`OverlayRequest`] out. A worker that has a project already is left as it is.
pub(crate) fn prepare(place: &mut Place, request: &OverlayRequest) -> Result<(), MounterError> {
    let _turn = place.host.mounts.take(&request.worker);
    let worker = place.host.worker(&request.worker)?;
    // The former one has the folder that is removed here.
    drop(place.host.prepared.take(&request.worker));
    let claimed = worker.meta(Path::new(MountFacts::FILE));
    let claimed = claimed.map_err(|e| system("looking for a mount of the worker's", e))?;
    if claimed.is_some() || live::is_live(&place.host, &worker) {
        return Ok(());
    }
    let project = project::open(place, &request.project, &request.policy)?;
    let ids = (request.uid, request.gid);
    let (lower, session) = layer(&place.host, &project, MountMode::Overlay, ids)?;
    let failed = |e| system("making changes/next", e);
    let changes = worker.dir(Path::new("changes")).map_err(failed)?;
    remove_tree(&changes, NEXT.as_ref()).map_err(failed)?;
    make_layers(&changes, NEXT).map_err(failed)?;
    let upper = Path::new("changes/next/upper");
    own_upper(&worker, upper, session.session, project.meta.mode)?;
    let folder = place.host.changes_path(&request.worker).join(NEXT);
    let mut staged = None;
    let made = over(place, &folder, &lower, project.noexec, &mut staged);
    if let Some(staged) = staged {
        staged.clean(place);
    }
    let surplus = place.host.prepared.put(
        &request.worker,
        PreparedOverlay {
            overlay: made?,
            project: project.path,
            meta: project.meta,
            noexec: project.noexec,
            worker: ids,
            ids: session,
            made: Instant::now(),
        },
    );
    drop(surplus);
    Ok(())
}

/// The overlay that was prepared for this claim, with the worker's folders; one that was prepared for
/// something else goes to `unfit`.
pub(crate) fn claim(
    host: &Host,
    worker: &Tree,
    project: &Project,
    request: &MountRequest,
    unfit: &mut Option<PreparedOverlay>,
) -> Option<(OwnedFd, SessionIds)> {
    let found = host.prepared.take(&request.worker)?;
    let worker_ids = (request.uid, request.gid);
    let same_mount = found.noexec == project.noexec;
    if !same_mount || !found.fits(&project.path, &project.meta, worker_ids) {
        *unfit = Some(found);
        return None;
    }
    match adopt(worker) {
        Ok(()) => Some((found.overlay, found.ids)),
        Err(error) => {
            // Its folders may be in their places by half: it goes before another one is made there.
            drop(found);
            tracing::warn!(worker = request.worker, %error, "a prepared overlay is not used");
            None
        }
    }
}

/// Its folders and the empty ones change places: removing those would cost more than all the rest.
fn adopt(worker: &Tree) -> rustix::io::Result<()> {
    let changes = worker.dir(Path::new("changes"))?;
    let next = worker.dir(Path::new("changes/next"))?;
    let upper = worker.dir(Path::new("changes/upper"))?;
    if next_name(&mut Dir::read_from(&upper)?)?.is_some() {
        return Err(Errno::NOTEMPTY);
    }
    for name in ["work", "upper"] {
        match renameat_with(&next, name, &changes, name, RenameFlags::EXCHANGE) {
            // Not every file system can; the place of an empty folder may be taken.
            Err(Errno::INVAL) => renameat(&next, name, &changes, name)?,
            exchanged => exchanged?,
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "prepared_tests.rs"]
mod tests;
