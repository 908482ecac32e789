//! Puts a project at `/workspace` of a running worker: a clone of its mounts, or an overlay on such a
//! clone, id-mapped where the filesystem can. Owns what is mounted there and the notes of it. Never
//! mounts what `project` did not open and judge.

pub(crate) mod engine_socket;
mod facts;
mod layers;
pub(crate) mod live;
mod overlay;
pub(crate) mod prepared;
pub(crate) mod probe;
pub(crate) mod project;
pub(crate) mod refresh;

use crate::{
    error::{bad_target, system},
    host::{Place, PreparedOverlay, SessionIds, hold, open_plain},
    tree::{Meta, Tree},
    wire::{MountFacts, MountMode, MountRequest, Mounted, MounterError},
};
use facts::Note;
use layers::{layer, left_out};
use overlay::{Staged, over, own_upper};
use podbay_model::model::HostPath;
use podbay_protocol::paths::WORKSPACE;
use project::Project;
use rustix::{
    fs::OFlags,
    io::Errno,
    mount::{MoveMountFlags, UnmountFlags, move_mount, unmount},
};
use std::{
    os::fd::OwnedFd,
    path::Path,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

type Result<T> = std::result::Result<T, MounterError>;

/// What follows a mount once its answer is sent.
#[derive(Default)]
pub(crate) struct Then {
    pub staged: Option<Staged>,
    pub note: Option<Note>,
    /// One that was prepared for something else.
    pub unfit: Option<PreparedOverlay>,
}

/// Carries a [`MountRequest`] out; `then` is to be done whatever the result.
pub(crate) fn mount(place: &mut Place, request: &MountRequest, then: &mut Then) -> Result<Mounted> {
    let start = Instant::now();
    let turn = place.host.mounts.take(&request.worker);
    let worker = place.host.worker(&request.worker)?;
    let process = hold(request.pid)?;
    let project = project::open(place, &request.project, &request.policy)?;
    // Until the overlay is recorded as mounted, nobody changes its upper folder.
    let _lock = match request.mode {
        MountMode::Bind => None,
        MountMode::Overlay => Some(live::lock(&worker).map_err(|e| {
            system(
                "waiting for a change to the worker's upper folder; try again",
                e,
            )
        })?),
    };
    let (left_out, left_out_more) = match request.mode {
        MountMode::Bind => (Vec::new(), false),
        MountMode::Overlay => left_out(&place.host, &project),
    };
    let ids = (request.uid, request.gid);
    let (mount, ids, prepared) = match request.mode {
        MountMode::Bind => {
            then.unfit = place.host.prepared.take(&request.worker);
            let (mount, ids) = layer(&place.host, &project, request.mode, ids)?;
            (mount, ids, None)
        }
        MountMode::Overlay => {
            // Two overlays on one upper folder are undefined behaviour.
            if live::is_live(&place.host, &worker) {
                return Err(bad_target(
                    "the worker has its overlay already; unmount it before mounting again".into(),
                ));
            }
            match prepared::claim(&place.host, &worker, &project, request, &mut then.unfit) {
                Some((mount, ids)) => (mount, ids, Some(true)),
                None => {
                    let made = overlay(place, &worker, &project, request, &mut then.staged)?;
                    (made.0, made.1, Some(false))
                }
            }
        }
    };
    podbay_failpoints::failpoint!("mounter.mount.made");
    let facts = MountFacts {
        worker: request.worker.clone(),
        project: HostPath::new(project.path.as_path()),
        dev: project.meta.dev,
        ino: project.meta.ino,
        fsid: project.fsid,
        mode: request.mode,
        uid: ids.session.0,
        gid: ids.session.1,
        claimed_ns: unix_ns(),
    };
    let attached = note_live(place, &worker, request)
        .and_then(|()| place.enter_worker(&process, &worker))
        .and_then(|()| attach(&mount));
    if let Err(e) = attached {
        unnote(&worker, request.mode);
        return Err(e);
    }
    then.note = Some(Note {
        worker,
        facts,
        index_of: (request.mode == MountMode::Overlay).then_some(project.fd),
        turn,
    });
    podbay_failpoints::failpoint!("mounter.mount.moved");
    Ok(Mounted {
        project: HostPath::new(project.path),
        dev: project.meta.dev,
        ino: project.meta.ino,
        fsid: project.fsid,
        owner_uid: project.meta.uid,
        owner_gid: project.meta.gid,
        session_uid: ids.session.0,
        session_gid: ids.session.1,
        idmapped: ids.idmapped,
        idmap_reason: ids.reason,
        prepared,
        left_out,
        left_out_more,
        took_us: u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX),
    })
}

/// An overlay on the project, made now.
fn overlay(
    place: &mut Place,
    worker: &Tree,
    project: &Project,
    request: &MountRequest,
    staged: &mut Option<Staged>,
) -> Result<(OwnedFd, SessionIds)> {
    let owner = (request.uid, request.gid);
    let (lower, ids) = layer(&place.host, project, MountMode::Overlay, owner)?;
    own_upper(
        worker,
        Path::new("changes/upper"),
        ids.session,
        project.meta.mode,
    )?;
    let changes = place.host.changes_path(&request.worker);
    Ok((over(place, &changes, &lower, project.noexec, staged)?, ids))
}

/// Where an overlay is about to be mounted: without it somebody might write to its upper folder.
fn note_live(place: &Place, worker: &Tree, request: &MountRequest) -> Result<()> {
    if request.mode == MountMode::Overlay {
        live::record(&place.host, worker, request.pid)
            .map_err(|e| system("noting where the overlay is mounted", e))?;
    }
    Ok(())
}

/// There is no mount after all.
fn unnote(worker: &Tree, mode: MountMode) {
    if mode == MountMode::Overlay
        && let Err(e) = live::forget(worker)
    {
        tracing::warn!(error = %e, "a mount that failed stays noted");
    }
}

fn unix_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_nanos()).unwrap_or(i64::MAX)
}

/// Onto `/workspace` where this thread is: a folder, never a link.
fn attach(mount: &OwnedFd) -> Result<()> {
    let target = open_plain(WORKSPACE, OFlags::PATH).map_err(|e| {
        bad_target(format!(
            "{WORKSPACE} in the worker is not a plain folder ({e}); its image or a session \
             replaced it"
        ))
    })?;
    move_mount(
        mount,
        "",
        &target,
        "",
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH,
    )
    .map_err(|e| system("mounting at /workspace", e))
}

/// Lazily takes the topmost mount at a worker's `/workspace` away; none there is no error.
pub(crate) fn unmount_workspace(place: &mut Place, id: &str, pid: i32) -> Result<()> {
    let _turn = place.host.mounts.take(id);
    let worker = place.host.worker(id)?;
    let process = hold(pid)?;
    place.enter_worker(&process, &worker)?;
    match unmount(WORKSPACE, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
        Ok(()) | Err(Errno::INVAL | Errno::NOENT | Errno::NOTDIR) => {}
        Err(e) => return Err(system("unmounting /workspace", e)),
    }
    let device = |path| {
        open_plain(path, OFlags::PATH)
            .and_then(Meta::of)
            .map(|m| m.dev)
    };
    match (device(WORKSPACE), device("/")) {
        // Something is mounted there still: it may be the overlay.
        (Ok(here), Ok(root)) if here != root => Ok(()),
        _ => live::forget(&worker)
            .and_then(|()| facts::forget(&worker))
            .map_err(|e| system("forgetting the mount", e)),
    }
}

#[cfg(test)]
#[path = "worker_tests.rs"]
mod tests;
