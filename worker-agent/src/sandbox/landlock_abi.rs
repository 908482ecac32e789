//! The version of the kernel's Landlock interface (landlock(7)).
//!
//! Owns: one system call. The crate `landlock` makes the others; it gives the version only once it has
//! restricted, and takes a seccomp filter's EPERM for a kernel without Landlock.
#![allow(unsafe_code)]

use nix::{errno::Errno, libc};

/// `LANDLOCK_CREATE_RULESET_VERSION`.
const ASK_VERSION: u32 = 1;

/// Version of the kernel's interface.
///
/// # Errors
/// ENOSYS: the kernel was built without; EOPNOTSUPP: it was started without; EPERM: a seccomp
/// filter denies it.
pub fn version() -> nix::Result<u32> {
    let no_attr = std::ptr::null::<libc::c_void>();
    // SAFETY: with this flag the kernel wants no attributes.
    let found = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            no_attr,
            0_usize,
            ASK_VERSION,
        )
    };
    Errno::result(found).map(|version| u32::try_from(version).unwrap_or(0))
}
