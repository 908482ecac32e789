//! The three system calls of Landlock (landlock(7)), typed.
//!
//! Owns: the numbers and layouts of `include/uapi/linux/landlock.h`. What is restricted is decided
//! in `confine`.
#![allow(unsafe_code)]

// Not the crate `landlock` (0.4.7): it does not give the kernel's version before it restricts and takes
// a seccomp filter's EPERM for a kernel without Landlock; both are reported. The first call would stay
// here; the crate saves some 50 lines of this file and `confine` and costs three packages in PID 1.

use nix::{errno::Errno, libc};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// `struct landlock_ruleset_attr`; kernels take the front of it that they know.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct RulesetAttr {
    /// File system rights that need a rule.
    pub handled_access_fs: u64,
    /// Network rights that need a rule (version 4).
    pub handled_access_net: u64,
    /// What ends at the domain's edge (version 6).
    pub scoped: u64,
}

/// `struct landlock_path_beneath_attr`, which is packed.
#[derive(Debug, Clone, Copy)]
#[repr(C, packed)]
struct PathBeneathAttr {
    allowed_access: u64,
    parent_fd: RawFd,
}

/// `struct landlock_net_port_attr`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct NetPortAttr {
    allowed_access: u64,
    port: u64,
}

/// `LANDLOCK_CREATE_RULESET_VERSION`.
const ASK_VERSION: u32 = 1;
/// `LANDLOCK_RULE_PATH_BENEATH`, `LANDLOCK_RULE_NET_PORT`.
const RULE_PATH: u32 = 1;
const RULE_PORT: u32 = 2;

/// Version of the kernel's interface.
///
/// # Errors
/// ENOSYS: the kernel was built without; EOPNOTSUPP: it was started without; EPERM: a seccomp
/// filter denies it.
pub fn version() -> nix::Result<u32> {
    let no_attr = std::ptr::null::<RulesetAttr>();
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

/// Makes a set of rules that allows nothing of what it handles yet.
///
/// # Errors
/// The system's error; EINVAL or E2BIG for what the kernel does not know.
pub fn ruleset(attr: &RulesetAttr) -> nix::Result<OwnedFd> {
    // SAFETY: the pointer and the size are of a live structure.
    let made = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::from_ref(attr),
            size_of::<RulesetAttr>(),
            0_u32,
        )
    };
    let raw = RawFd::try_from(Errno::result(made)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel just made this descriptor and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Allows file system rights beneath a folder.
///
/// # Errors
/// The system's error.
pub fn allow_beneath(rules: &OwnedFd, folder: BorrowedFd<'_>, rights: u64) -> nix::Result<()> {
    let rule = PathBeneathAttr {
        allowed_access: rights,
        parent_fd: folder.as_raw_fd(),
    };
    // SAFETY: the pointer is to a live structure of this kind of rule.
    let added = unsafe {
        libc::syscall(
            libc::SYS_landlock_add_rule,
            rules.as_raw_fd(),
            RULE_PATH,
            &raw const rule,
            0_u32,
        )
    };
    Errno::result(added).map(drop)
}

/// Allows network rights on a port.
///
/// # Errors
/// The system's error.
pub fn allow_port(rules: &OwnedFd, port: u16, rights: u64) -> nix::Result<()> {
    let rule = NetPortAttr {
        allowed_access: rights,
        port: port.into(),
    };
    // SAFETY: the pointer is to a live structure of this kind of rule.
    let added = unsafe {
        libc::syscall(
            libc::SYS_landlock_add_rule,
            rules.as_raw_fd(),
            RULE_PORT,
            &raw const rule,
            0_u32,
        )
    };
    Errno::result(added).map(drop)
}

/// Holds this thread, and all that it starts from now on, to the rules.
///
/// # Errors
/// EPERM when it may gain privileges (`no_new_privs` is off).
pub fn restrict_self(rules: &OwnedFd) -> nix::Result<()> {
    // SAFETY: no pointers.
    let done = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, rules.as_raw_fd(), 0_u32) };
    Errno::result(done).map(drop)
}
