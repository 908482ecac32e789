//! The system calls that no library wraps. Owns the only `unsafe` of this crate. Never decides.

use nix::{errno::Errno, libc};
use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
};

/// `struct mount_attr`, mount_setattr(2), version 0.
#[repr(C)]
#[derive(Default)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// What [`set_mount`] does besides nosuid, nodev and private propagation.
pub(crate) struct MountChange<'a> {
    /// Map ids through this user namespace.
    pub idmap: Option<BorrowedFd<'a>>,
    /// On all mounts of the tree; all or none change.
    pub recursive: bool,
}

/// mount_setattr(2) on a detached mount: nosuid, nodev, private, and an id-map if given.
pub(crate) fn set_mount(mount: impl AsFd, change: &MountChange<'_>) -> io::Result<()> {
    let mut attr = MountAttr {
        attr_set: libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV,
        propagation: libc::MS_PRIVATE,
        ..MountAttr::default()
    };
    if let Some(userns) = change.idmap {
        attr.attr_set |= libc::MOUNT_ATTR_IDMAP;
        attr.userns_fd = u64::try_from(userns.as_raw_fd()).map_err(io::Error::other)?;
    }
    let mut flags = libc::AT_EMPTY_PATH;
    if change.recursive {
        flags |= libc::AT_RECURSIVE;
    }
    // SAFETY: both descriptors are open for the whole call, the path is a NUL-terminated literal,
    // and `attr` is a valid `struct mount_attr` whose size is passed along; the kernel only reads.
    let rc = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    if rc < 0 {
        return Err(Errno::last().into());
    }
    Ok(())
}

/// Starts a child that owns a new user namespace and does nothing until it is killed. The caller
/// kills and reaps it.
pub(crate) fn userns_child() -> io::Result<i32> {
    let flags = libc::CLONE_NEWUSER | libc::SIGCHLD;
    // SAFETY: without CLONE_VM this is a fork: the child has its own copy of everything. The child
    // makes nothing but async-signal-safe raw system calls, never returns from this function and
    // never touches memory that another thread may have left locked.
    unsafe {
        let pid = libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0);
        if pid < 0 {
            return Err(Errno::last().into());
        }
        if pid == 0 {
            libc::syscall(libc::SYS_prctl, libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            loop {
                libc::syscall(libc::SYS_ppoll, 0, 0, 0, 0, 0);
            }
        }
        i32::try_from(pid).map_err(io::Error::other)
    }
}

/// setfsuid(2) and setfsgid(2) of this thread; the kernel then checks file permissions as that
/// user, and drops the file capabilities while the uid is not 0.
pub(crate) fn set_fs_ids(uid: u32, gid: u32) -> io::Result<()> {
    // SAFETY: both calls take plain integers and change only this thread's credentials.
    let now = unsafe {
        libc::syscall(libc::SYS_setfsgid, gid);
        libc::syscall(libc::SYS_setfsuid, uid);
        // An invalid id changes nothing and returns the current one.
        (
            libc::syscall(libc::SYS_setfsuid, u32::MAX),
            libc::syscall(libc::SYS_setfsgid, u32::MAX),
        )
    };
    if now == (i64::from(uid), i64::from(gid)) {
        Ok(())
    } else {
        Err(io::Error::from(io::ErrorKind::PermissionDenied))
    }
}

#[cfg(test)]
#[path = "sys_tests.rs"]
mod tests;
