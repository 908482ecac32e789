//! Terminals and children of sessions.
//!
//! Owns: `/dev/ptmx`, window sizes, file-system identities, and (`spawn`) the start of a program. It
//! never looks at a session and never logs.
#![allow(unsafe_code)]

mod spawn;

use nix::{
    errno::Errno,
    fcntl::{OFlag, open as open_file},
    libc,
    sys::stat::Mode,
    unistd::{Gid, Uid, setfsgid, setfsuid},
};
use podbay_protocol::Size;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

pub use spawn::{Exec, SpawnError, SpawnStep, signals_to_reset, spawn};

mod ioctls {
    //! Typed wrappers; each is unsafe because the kernel trusts the pointer.
    use nix::libc;
    nix::ioctl_write_ptr_bad!(set_size, libc::TIOCSWINSZ, libc::winsize);
    nix::ioctl_read_bad!(get_number, libc::TIOCGPTN, libc::c_uint);
    nix::ioctl_write_ptr_bad!(set_lock, libc::TIOCSPTLCK, libc::c_int);
    nix::ioctl_read_bad!(readable, libc::FIONREAD, libc::c_int);
}

/// Both ends of a terminal. Both descriptors are close-on-exec; the master is non-blocking.
#[derive(Debug)]
pub struct Pty {
    /// The end the agent reads and writes.
    pub master: OwnedFd,
    /// The program's end. Held by the agent while the program runs, so that the master has no
    /// hang-up before the program's end.
    pub slave: OwnedFd,
}

/// File-system identity of this thread while files are opened on behalf of a session.
struct Identity {
    uid: Uid,
    gid: Gid,
}

impl Identity {
    fn assume(uid: u32, gid: u32) -> Self {
        let gid = setfsgid(Gid::from_raw(gid));
        let uid = setfsuid(Uid::from_raw(uid));
        Self { uid, gid }
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        setfsuid(self.uid);
        setfsgid(self.gid);
    }
}

/// Does something with the file-system identity of a session's user: what it makes belongs to that
/// user, with no need of CAP_CHOWN.
pub fn as_user<T>(uid: u32, gid: u32, make: impl FnOnce() -> T) -> T {
    let _identity = Identity::assume(uid, gid);
    make()
}

/// Opens a terminal whose slave belongs to `uid`:`gid`, with no need of CAP_CHOWN: devpts gives
/// a new terminal the opener's file-system identity.
///
/// # Errors
/// The system's error; ENOSPC when there are no terminals left.
pub fn open_pty(size: Size, uid: u32, gid: u32) -> nix::Result<Pty> {
    let _identity = Identity::assume(uid, gid);
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let master = open_file("/dev/ptmx", flags | OFlag::O_NONBLOCK, Mode::empty())
        .or_else(|_| open_file("/dev/pts/ptmx", flags | OFlag::O_NONBLOCK, Mode::empty()))?;
    // SAFETY: the pointer is to a live c_int, as TIOCSPTLCK wants.
    unsafe { ioctls::set_lock(master.as_raw_fd(), &0) }?;
    // SAFETY: TIOCGPTPEER takes flags by value and returns a new descriptor or -1.
    let raw = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags.bits()) };
    let slave = if raw >= 0 {
        // SAFETY: the kernel just made this descriptor and nobody else knows it.
        unsafe { OwnedFd::from_raw_fd(raw) }
    } else {
        let mut number: libc::c_uint = 0;
        // SAFETY: the pointer is to a live c_uint, as TIOCGPTN wants.
        unsafe { ioctls::get_number(master.as_raw_fd(), &raw mut number) }?;
        open_file(format!("/dev/pts/{number}").as_str(), flags, Mode::empty())?
    };
    set_size(&master, size)?;
    Ok(Pty { master, slave })
}

/// Sets the terminal's size; the foreground process group gets SIGWINCH when it differs.
///
/// # Errors
/// The system's error.
pub fn set_size(terminal: &impl AsFd, size: Size) -> nix::Result<()> {
    let window = libc::winsize {
        ws_row: size.rows,
        ws_col: size.cols,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the pointer is to a live winsize, as TIOCSWINSZ wants.
    unsafe { ioctls::set_size(terminal.as_fd().as_raw_fd(), &raw const window) }.map(drop)
}

/// Bytes that can be read without blocking.
#[must_use]
pub fn readable(fd: &impl AsFd) -> usize {
    let mut count: libc::c_int = 0;
    // SAFETY: the pointer is to a live c_int, as FIONREAD wants.
    match unsafe { ioctls::readable(fd.as_fd().as_raw_fd(), &raw mut count) } {
        Ok(_) => usize::try_from(count).unwrap_or(0),
        Err(_) => 0,
    }
}

/// `kill(2)` with any signal number, real-time ones included: a process, `-group`, or `-1` for all.
///
/// # Errors
/// The system's error; ESRCH when nothing is there.
pub fn kill(target: i32, signal: i32) -> nix::Result<()> {
    // SAFETY: no pointers.
    Errno::result(unsafe { libc::kill(target, signal) }).map(drop)
}
