//! Detached clones of a project's mounts, hardened and id-mapped where the filesystem can. Owns who the
//! session is on them. Never attaches one anywhere.

use super::project::Project;
use crate::{
    error::{system, unsupported},
    host::{Host, IdPair, SessionIds},
    sys::{MountChange, set_mount},
    wire::{MountMode, MounterError},
};
use rustix::{
    io::Errno,
    mount::{OpenTreeFlags, open_tree},
};
use std::os::fd::{AsFd, OwnedFd};

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
    let (idmapped, reason) = map_ids(host, &clone, IdPair { owner, worker }, mode)?;
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
