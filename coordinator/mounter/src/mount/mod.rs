//! Puts a project at `/workspace` of a running worker: a clone of its mounts, or an overlay on such a
//! clone, id-mapped where the filesystem can. Owns what is mounted there and the notes of it. Never
//! mounts what `project` did not open and judge.

pub(crate) mod engine_socket;
mod facts;
pub(crate) mod live;
mod overlay;
pub(crate) mod probe;
pub(crate) mod project;

use crate::{
    error::{bad_target, system, unsupported},
    host::{Host, IdPair, Place, hold, open_plain},
    sys::{MountChange, set_mount},
    tree::{Meta, Tree},
    wire::{MountFacts, MountMode, MountRequest, Mounted, MounterError},
};
use facts::Note;
use overlay::new_overlay;
use podbay_model::model::HostPath;
use podbay_protocol::paths::WORKSPACE;
use project::Project;
use rustix::{
    fs::{Gid, Mode, OFlags, Uid, fchmod, fchown},
    io::Errno,
    mount::{MoveMountFlags, OpenTreeFlags, UnmountFlags, move_mount, open_tree, unmount},
};
use std::{
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

type Result<T> = std::result::Result<T, MounterError>;

/// A lower layer left in the staging namespace; taken away after the answer is sent, because
/// taking a mount away waits for the kernel.
pub(crate) struct Staged(PathBuf);

impl Staged {
    /// Takes it away; the overlay keeps its own clone.
    pub(crate) fn clean(self, place: &mut Place) {
        let gone = place.enter_staging().and_then(|()| {
            unmount(&self.0, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
                .map_err(|e| system("taking the staged layer away", e))
        });
        if let Err(e) = gone {
            tracing::warn!(error = %e, "a staged layer stays mounted");
        }
    }
}

/// What follows a mount once its answer is sent.
#[derive(Default)]
pub(crate) struct Then {
    pub staged: Option<Staged>,
    pub note: Option<Note>,
}

/// Carries a [`MountRequest`] out; `then` is to be done whatever the result.
pub(crate) fn mount(place: &mut Place, request: &MountRequest, then: &mut Then) -> Result<Mounted> {
    let start = Instant::now();
    let turn = place.host.mounts.take(&request.worker);
    let worker = place.host.worker(&request.worker)?;
    let process = hold(request.pid)?;
    let project = project::open(place, &request.project, &request.policy)?;
    let clone = clone_of(&project, request.mode)?;
    let (idmapped, idmap_reason) = map_ids(&place.host, &clone, &project, request)?;
    let (owner_uid, owner_gid) = (project.meta.uid, project.meta.gid);
    let (session_uid, session_gid) = if idmapped {
        (request.uid, request.gid)
    } else {
        (owner_uid, owner_gid)
    };
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
    let mount = match request.mode {
        MountMode::Bind => clone,
        MountMode::Overlay => {
            // Two overlays on one upper folder are undefined behaviour.
            if live::is_live(&place.host, &worker) {
                return Err(bad_target(
                    "the worker has its overlay already; unmount it before mounting again".into(),
                ));
            }
            own_upper(&worker, session_uid, session_gid, project.meta.mode)?;
            overlay(place, &request.worker, &clone, &mut then.staged)?
        }
    };
    podbay_failpoints::failpoint!("mounter.mount.made");
    let facts = MountFacts {
        worker: request.worker.clone(),
        project: HostPath::new(project.path.as_path()),
        dev: project.meta.dev,
        ino: project.meta.ino,
        mode: request.mode,
        uid: session_uid,
        gid: session_gid,
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
        turn,
    });
    podbay_failpoints::failpoint!("mounter.mount.moved");
    Ok(Mounted {
        project: HostPath::new(project.path),
        dev: project.meta.dev,
        ino: project.meta.ino,
        owner_uid,
        owner_gid,
        session_uid,
        session_gid,
        idmapped,
        idmap_reason,
        took_us: u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX),
    })
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

/// A detached clone: with the mounts inside it for a bind, as the engine does; an overlay's lower
/// layer is one mount by its nature.
fn clone_of(project: &Project, mode: MountMode) -> Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    if mode == MountMode::Bind {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    open_tree(&project.fd, "", flags).map_err(|e| match e {
        Errno::NOSYS | Errno::PERM | Errno::INVAL => unsupported(format!(
            "the project's mount cannot be cloned (open_tree: {e})"
        )),
        e => system("cloning the project's mount", e),
    })
}

/// Hardens the clone and id-maps it where that can be had: whether it is mapped, or why not.
fn map_ids(
    host: &Host,
    clone: &OwnedFd,
    project: &Project,
    request: &MountRequest,
) -> Result<(bool, Option<String>)> {
    let pair = IdPair {
        owner: (project.meta.uid, project.meta.gid),
        worker: (request.uid, request.gid),
    };
    let recursive = request.mode == MountMode::Bind;
    let plain = |why: Option<String>| {
        let change = MountChange {
            idmap: None,
            recursive,
        };
        match set_mount(clone, &change) {
            Ok(()) => Ok((false, why)),
            Err(e) => Err(unsupported(format!(
                "the project's mount cannot be made nosuid and nodev (mount_setattr: {e})"
            ))),
        }
    };
    if pair.owner == pair.worker {
        return plain(None);
    }
    let as_root = if pair.owner.0 == 0 {
        "; the session runs as root"
    } else {
        ""
    };
    let userns = match host.id_map(pair) {
        Ok(userns) => userns,
        Err(e) => {
            return plain(Some(format!(
                "no user namespace for the id-map: {e}{as_root}"
            )));
        }
    };
    let mapped = |recursive| {
        let change = MountChange {
            idmap: Some(userns.as_fd()),
            recursive,
        };
        set_mount(clone, &change)
    };
    match mapped(recursive) {
        Ok(()) => Ok((true, None)),
        Err(e) => plain(Some(format!(
            "the project's filesystem, or one mounted inside it, cannot be id-mapped: \
             {e}{as_root}"
        ))),
    }
}

/// The upper folder stands for the project's root, so it has the session's owner and the root's
/// mode.
fn own_upper(worker: &Tree, uid: u32, gid: u32, mode: u32) -> Result<()> {
    let upper = worker
        .dir(Path::new("changes/upper"))
        .map_err(|e| system("opening changes/upper; prepare the worker first", e))?;
    fchown(&upper, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
        .and_then(|()| fchmod(&upper, Mode::from_raw_mode(mode & 0o777)))
        .map_err(|e| system("setting the owner of changes/upper", e))
}

fn overlay(
    place: &mut Place,
    worker: &str,
    lower: &OwnedFd,
    staged: &mut Option<Staged>,
) -> Result<OwnedFd> {
    // Only root reaches `changes/`, and it is never mounted into a worker: plain paths are safe.
    let changes = place
        .host
        .state_path
        .join("workers")
        .join(worker)
        .join("changes");
    let at = changes.join("lower");
    place.enter_staging()?;
    attach_at(lower, &at).map_err(|e| system("staging the lower layer", e))?;
    *staged = Some(Staged(at.clone()));
    new_overlay(&at, &changes.join("upper"), &changes.join("work"))
}

fn attach_at(mount: &OwnedFd, path: &Path) -> rustix::io::Result<()> {
    move_mount(
        mount,
        "",
        rustix::fs::CWD,
        path,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )
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
