//! Makes overlays. Owns their options and their three folders. Never attaches one anywhere.

use crate::{
    error::{system, unsupported},
    host::Place,
    tree::Tree,
    wire::MounterError,
};
use rustix::{
    fs::{CWD, Gid, Mode, Uid, fchmod, fchown},
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, UnmountFlags, fsconfig_create,
        fsconfig_set_string, fsmount, fsopen, move_mount, unmount,
    },
};
use std::{
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

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

/// The upper folder stands for the project's root, so it has the session's owner and the root's mode.
pub(crate) fn own_upper(
    worker: &Tree,
    upper: &Path,
    (uid, gid): (u32, u32),
    mode: u32,
) -> Result<(), MounterError> {
    let dir = worker
        .dir(upper)
        .map_err(|e| system("opening the upper folder; prepare the worker first", e))?;
    fchown(&dir, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
        .and_then(|()| fchmod(&dir, Mode::from_raw_mode(mode & 0o7777)))
        .map_err(|e| system("setting the owner of the upper folder", e))
}

/// A detached overlay on `lower` with the folders `upper` and `work` of `folder`, which is below
/// `changes/` of a worker's folder; its folder `lower` is where the layer is staged meanwhile. `noexec` is
/// whether the project's mount is.
pub(crate) fn over(
    place: &mut Place,
    folder: &Path,
    lower: &OwnedFd,
    noexec: bool,
    staged: &mut Option<Staged>,
) -> Result<OwnedFd, MounterError> {
    // Only root reaches `changes/`, and it is never mounted into a worker: plain paths are safe.
    let at = folder.join("lower");
    place.enter_staging()?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(lower, "", CWD, &at, flags).map_err(|e| system("staging the lower layer", e))?;
    *staged = Some(Staged(at.clone()));
    let (upper, work) = (folder.join("upper"), folder.join("work"));
    new_overlay(&at, &upper, &work, noexec).map_err(|mut error| {
        // Which file systems an overlay cannot be on, the kernel alone knows: vfat, those with folded
        // case, overlays on overlays.
        error.message.push_str("; use --isolation bind");
        error
    })
}

/// Makes a detached overlay; the folders are looked up where this thread is.
///
/// It keeps its marks in `trusted.*` xattrs, not `user.*`: a worker can neither forge nor read them, so
/// the review can believe them. `redirect_dir` and `metacopy` are off, so everything in the upper folder
/// is whole and at its own path: a rename of a project's folder gives EXDEV and programs copy instead.
/// The upper folder alone says what changed.
pub(crate) fn new_overlay(
    lower: &Path,
    upper: &Path,
    work: &Path,
    noexec: bool,
) -> Result<OwnedFd, MounterError> {
    let fs = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)
        .map_err(|e| unsupported(format!("the kernel has no overlay filesystem here ({e})")))?;
    let made = fsconfig_set_string(&fs, "source", "podbay")
        .and_then(|()| fsconfig_set_string(&fs, "lowerdir", escaped(lower).as_path()))
        .and_then(|()| fsconfig_set_string(&fs, "upperdir", upper))
        .and_then(|()| fsconfig_set_string(&fs, "workdir", work))
        .and_then(|()| fsconfig_set_string(&fs, "redirect_dir", "nofollow"))
        .and_then(|()| fsconfig_set_string(&fs, "metacopy", "off"))
        .and_then(|()| fsconfig_set_string(&fs, "index", "off"))
        .and_then(|()| fsconfig_create(&fs))
        .and_then(|()| {
            let mut flags = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
            // The overlay is a mount of its own: it has none of the flags of the project's.
            if noexec {
                flags |= MountAttrFlags::MOUNT_ATTR_NOEXEC;
            }
            fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, flags)
        });
    made.map_err(|e| {
        let mut said = [0u8; 256];
        let said = match rustix::io::read(&fs, &mut said) {
            Ok(n) => String::from_utf8_lossy(said.get(..n).unwrap_or_default()).into_owned(),
            Err(_) => String::new(),
        };
        let said = said.trim_end();
        let colon = if said.is_empty() { "" } else { ": " };
        unsupported(format!("no overlay over this project ({e}){colon}{said}"))
    })
}

/// `lowerdir` is a list: its separators are escaped with a backslash.
fn escaped(path: &Path) -> PathBuf {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let mut out = Vec::new();
    for byte in path.as_os_str().as_bytes() {
        if matches!(byte, b':' | b'\\' | b',') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    PathBuf::from(std::ffi::OsString::from_vec(out))
}

#[cfg(test)]
#[path = "overlay_tests.rs"]
mod tests;
