//! Makes overlays. Owns their options. Never attaches one anywhere.

use crate::{error::unsupported, wire::MounterError};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount,
    fsopen,
};
use std::{
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

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
            fsmount(
                &fs,
                FsMountFlags::FSMOUNT_CLOEXEC,
                MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV,
            )
        });
    made.map_err(|e| {
        let mut said = [0u8; 256];
        let said = match rustix::io::read(&fs, &mut said) {
            Ok(n) => String::from_utf8_lossy(said.get(..n).unwrap_or_default()).into_owned(),
            Err(_) => String::new(),
        };
        unsupported(format!(
            "no overlay over this project ({e}) {}",
            said.trim_end()
        ))
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
