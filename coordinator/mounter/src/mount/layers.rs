//! Detached clones of a project's mounts, hardened and id-mapped where the filesystem can. Owns who the
//! session is on them. Never attaches one anywhere.

use super::project::Project;
use crate::{
    error::{system, unsupported},
    host::{Host, IdPair, SessionIds, named},
    sys::{MountChange, set_mount},
    tree::{Meta, open_beneath},
    wire::{LeftOut, MountMode, MounterError},
};
use podbay_model::model::HostPath;
use rustix::{
    fs::{Mode, OFlags, ResolveFlags, openat2},
    io::Errno,
    mount::{OpenTreeFlags, open_tree},
};
use std::{
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

/// The most mounts that are tried to find the one that cannot be id-mapped.
const MAX_TRIED: usize = 64;

type Result<T> = std::result::Result<T, MounterError>;

/// A clone of the project's mount for a worker of these ids.
///
/// # Errors
/// `Unsupported` where its mount cannot be cloned or hardened, `System`.
pub(crate) fn layer(
    host: &Host,
    project: &Project,
    mode: MountMode,
    worker: (u32, u32),
) -> Result<(OwnedFd, SessionIds)> {
    let clone = clone_of(project, mode)?;
    let owner = (project.meta.uid, project.meta.gid);
    let (idmapped, reason) = map_ids(host, project, &clone, IdPair { owner, worker }, mode)?;
    let ids = SessionIds {
        session: if idmapped { worker } else { owner },
        idmapped,
        reason,
    };
    Ok((clone, ids))
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
    project: &Project,
    clone: &OwnedFd,
    pair: IdPair,
    mode: MountMode,
) -> Result<(bool, Option<String>)> {
    let recursive = mode == MountMode::Bind;
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
    let mapped = |mount: &OwnedFd, recursive| {
        let change = MountChange {
            idmap: Some(userns.as_fd()),
            recursive,
        };
        set_mount(mount, &change)
    };
    match mapped(clone, recursive) {
        Ok(()) => Ok((true, None)),
        Err(e) => {
            let which = if recursive {
                refuser(host, project, |mount| mapped(mount, false).is_ok())
            } else {
                OWN.to_owned()
            };
            plain(Some(format!("{which} cannot be id-mapped: {e}{as_root}")))
        }
    }
}

const OWN: &str = "the project's file system";

/// Which of a project's mounts cannot be id-mapped, when not all of them can: found by trying each.
fn refuser(host: &Host, project: &Project, maps: impl Fn(&OwnedFd) -> bool) -> String {
    if clone_of(project, MountMode::Overlay).is_ok_and(|alone| !maps(&alone)) {
        return OWN.to_owned();
    }
    let below = host.table.below(&project.path, project.mount_id());
    for mount in below.unwrap_or_default().into_iter().take(MAX_TRIED) {
        let Ok(path) = mount.path.strip_prefix(&project.path) else {
            continue;
        };
        // A server that is gone would be waited for, and none of these can be mapped.
        let remote = ["nfs", "cifs", "smb", "9p", "afs"]
            .iter()
            .any(|kind| mount.kind.starts_with(kind));
        if remote || clone_inside(project, path).is_ok_and(|alone| !maps(&alone)) {
            let (path, kind) = (HostPath::new(path), mount.kind);
            return format!("what is mounted inside the project at {path} ({kind})");
        }
    }
    format!("{OWN}, or one mounted inside it,")
}

/// A detached clone of one mount inside the project.
fn clone_inside(project: &Project, path: &Path) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mount = openat2(&project.fd, path, flags, Mode::empty(), resolve)?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    open_tree(&mount, "", flags)
}

/// What is mounted below the project, which an overlay on it does not show, and whether that is more than
/// is named. Costs a claim a look whether the list of mounts changed.
pub(crate) fn left_out(host: &Host, project: &Project) -> (Vec<LeftOut>, bool) {
    let below = match host.table.below(&project.path, project.mount_id()) {
        Ok(below) => below,
        Err(error) => {
            tracing::warn!(%error, "what is mounted below the project is not known");
            return (Vec::new(), false);
        }
    };
    if below.is_empty() {
        return (Vec::new(), false);
    }
    // A mount is a file where what lies under it is one; what is mounted is not looked at, since its
    // server may be gone.
    let under = clone_of(project, MountMode::Overlay).ok();
    let is_file = |path: &Path| {
        let flags = OFlags::PATH | OFlags::NOFOLLOW;
        let found = under
            .as_ref()
            .and_then(|under| Meta::of(open_beneath(under, path, flags).ok()?).ok());
        found.is_some_and(|meta| !meta.is_dir())
    };
    named(&below, &project.path, is_file)
}
