//! The engine's socket in the parent, mounted again when the engine was started by hand and bound a new
//! one: the parent has the old file mounted, and no way to another one of its own. Owns that mount.
//! Never mounts anything but a socket, nor over one that is still in use.

use crate::{
    error::{bad_target, system},
    host::{Place, hold},
    wire::MounterError,
};
use rustix::{
    fs::{CWD, FileType, Mode, OFlags},
    mount::{MoveMountFlags, OpenTreeFlags, UnmountFlags, move_mount, open_tree, unmount},
};
use std::path::Path;

type Result<T> = std::result::Result<T, MounterError>;

/// Puts the socket at `source` of the engine's host to `target` in the parent. The mount that is
/// there is one whose file is gone: it is taken away first, so that they do not pile up.
pub(crate) fn renew(place: &mut Place, pid: i32, source: &Path, target: &Path) -> Result<()> {
    let process = hold(pid)?;
    place.enter_engine()?;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let socket = rustix::fs::open(source, flags, Mode::empty())
        .map_err(|e| bad_target(format!("no socket at {}: {e}", source.display())))?;
    let found =
        rustix::fs::fstat(&socket).map_err(|e| system("looking at the engine's socket", e))?;
    if FileType::from_raw_mode(found.st_mode) != FileType::Socket {
        return Err(bad_target(format!("{} is no socket", source.display())));
    }
    let clone = open_tree(
        &socket,
        "",
        OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_EMPTY_PATH,
    )
    .map_err(|e| system("cloning the mount of the engine's socket", e))?;
    place.enter_parent(&process)?;
    let there = rustix::fs::stat(target)
        .map_err(|e| bad_target(format!("nothing at {}: {e}", target.display())))?;
    if FileType::from_raw_mode(there.st_mode) != FileType::Socket || there.st_nlink != 0 {
        return Err(bad_target(format!(
            "{} in the parent is not a socket that was removed",
            target.display()
        )));
    }
    unmount(target, UnmountFlags::DETACH)
        .map_err(|e| system("taking the old socket's mount away", e))?;
    move_mount(
        &clone,
        "",
        CWD,
        target,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )
    .map_err(|e| system("mounting the engine's socket", e))
}
