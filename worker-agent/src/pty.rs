//! Opening terminals and starting children. The only unsafe code of this package.
//!
//! Owns: `/dev/ptmx`, window sizes, and the steps between clone and exec. It never looks at a
//! session, never waits for a child (see `reap`) and never logs.
//!
//! A child is started as `posix_spawn` does it: `CLONE_VM | CLONE_VFORK` on a stack of its own,
//! so its cost does not grow with the agent's memory, and the caller knows the exec's outcome
//! when the call returns. The child touches nothing but prepared memory and system calls.
#![allow(unsafe_code)]

use nix::{
    errno::Errno,
    fcntl::{OFlag, open as open_file},
    libc,
    sched::CloneFlags,
    sys::stat::Mode,
    unistd::{Gid, Pid, Uid, getegid, geteuid, setfsgid, setfsuid},
};
use podbay_protocol::Size;
use std::{
    ffi::{CStr, CString},
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    ptr,
    sync::atomic::{AtomicI32, Ordering},
};

pub mod landlock;

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

/// A program to start; everything prepared, so that the child allocates nothing.
#[derive(Debug)]
pub struct Exec<'a> {
    /// Paths to try, in order.
    pub candidates: &'a [CString],
    /// Arguments, the program's name first.
    pub argv: &'a [CString],
    /// `KEY=value` pairs.
    pub env: &'a [CString],
    /// Working directory; `None` stays.
    pub cwd: Option<&'a CStr>,
    /// stdin, stdout, stderr; `None` inherits all three.
    pub stdio: Option<[BorrowedFd<'a>; 3]>,
    /// Makes stdin the controlling terminal.
    pub terminal: bool,
    /// A session of its own (`setsid`).
    pub session: bool,
    /// User and group to become; skipped when the agent already is that.
    pub identity: Option<(u32, u32)>,
    /// `oom_score_adj` to write before exec.
    pub oom_score_adj: Option<&'a [u8]>,
}

/// The step between clone and exec that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Making the process.
    Clone,
    /// `setsid`, the controlling terminal or the standard descriptors.
    Terminal,
    /// `setgroups`, `setgid` or `setuid`.
    Identity,
    /// The working directory.
    Cwd,
    /// `execve`.
    Exec,
}

/// Why no program was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpawnError {
    /// The step.
    pub step: Step,
    /// The system's error at that step.
    pub errno: Errno,
}

const STACK: usize = 64 * 1024;

/// Starts a program; returns once exec succeeded or failed. The child is reaped by `reap`, also
/// after a failure.
///
/// # Errors
/// [`SpawnError`] with the step that failed.
pub fn spawn(exec: &Exec<'_>) -> Result<Pid, SpawnError> {
    let null = ptr::null::<libc::c_char>();
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings.iter().map(|s| s.as_ptr()).chain([null]).collect()
    };
    let candidates: Vec<_> = exec.candidates.iter().map(|c| c.as_ptr()).collect();
    let (argv, env) = (pointers(exec.argv), pointers(exec.env));
    // `/bin/sh SCRIPT ARGS…`, for a script without an interpreter line.
    let mut script = vec![c"/bin/sh".as_ptr(), null];
    script.extend(argv.iter().skip(1));
    let identity = exec
        .identity
        .filter(|(uid, gid)| (*uid, *gid) != (geteuid().as_raw(), getegid().as_raw()));
    let plan = Plan {
        exec,
        candidates,
        argv,
        env,
        identity,
    };

    let (step, errno) = (AtomicI32::new(0), AtomicI32::new(0));
    let mut stack = vec![0_u8; STACK];
    let child = Box::new(|| {
        let (at, error) = plan.run(&mut script);
        step.store(at as i32 + 1, Ordering::SeqCst);
        errno.store(error as i32, Ordering::SeqCst);
        127
    });
    let flags = CloneFlags::CLONE_VM | CloneFlags::CLONE_VFORK;
    // SAFETY: CLONE_VFORK suspends this thread until the child has execed or ended, so all that
    // the child borrows stays alive and is not touched at the same time; the child runs on its
    // own stack, allocates nothing, takes no lock, and changes its ids by raw system calls, as
    // the C library's wrappers would change those of the agent's threads.
    let pid = unsafe { nix::sched::clone(child, &mut stack, flags, Some(libc::SIGCHLD)) }.map_err(
        |errno| SpawnError {
            step: Step::Clone,
            errno,
        },
    )?;
    let step = match step.load(Ordering::SeqCst) {
        0 => return Ok(pid),
        n if n == Step::Terminal as i32 + 1 => Step::Terminal,
        n if n == Step::Identity as i32 + 1 => Step::Identity,
        n if n == Step::Cwd as i32 + 1 => Step::Cwd,
        _ => Step::Exec,
    };
    Err(SpawnError {
        step,
        errno: Errno::from_raw(errno.load(Ordering::SeqCst)),
    })
}

/// What the child needs, as the kernel wants it.
struct Plan<'a> {
    exec: &'a Exec<'a>,
    candidates: Vec<*const libc::c_char>,
    argv: Vec<*const libc::c_char>,
    env: Vec<*const libc::c_char>,
    identity: Option<(u32, u32)>,
}

impl Plan<'_> {
    /// In the child: returns only when something failed.
    fn run(&self, script: &mut [*const libc::c_char]) -> (Step, Errno) {
        if let Err(errno) = self.terminal() {
            return (Step::Terminal, errno);
        }
        self.settle();
        if let Err(errno) = self.become_user() {
            return (Step::Identity, errno);
        }
        if let Some(cwd) = self.exec.cwd {
            // SAFETY: a NUL-terminated path that outlives the call.
            if unsafe { libc::chdir(cwd.as_ptr()) } < 0 {
                let errno = Errno::last();
                // Root without capabilities may not enter a folder that its user keeps to himself;
                // it was asked for all the same.
                // SAFETY: the same, and no pointers.
                let root = unsafe { libc::geteuid() == 0 && libc::chdir(c"/".as_ptr()) == 0 };
                if errno != Errno::EACCES || !root {
                    return (Step::Cwd, errno);
                }
            }
        }
        (Step::Exec, self.execute(script))
    }

    fn terminal(&self) -> nix::Result<()> {
        if self.exec.session {
            // SAFETY: no pointers.
            Errno::result(unsafe { libc::setsid() })?;
        }
        let Some(stdio) = &self.exec.stdio else {
            return Ok(());
        };
        for (target, source) in (0..).zip(stdio) {
            // SAFETY: no pointers; a descriptor that is its own target loses its flag instead.
            Errno::result(unsafe {
                if source.as_raw_fd() == target {
                    libc::fcntl(target, libc::F_SETFD, 0)
                } else {
                    libc::dup2(source.as_raw_fd(), target)
                }
            })?;
        }
        if self.exec.terminal {
            // SAFETY: TIOCSCTTY takes a number.
            Errno::result(unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) })?;
        }
        Ok(())
    }

    /// What may fail without harm: descriptors, the OOM score, the mask, signals.
    fn settle(&self) {
        // SAFETY: plain system calls; the buffers outlive them, the signal set is initialised by
        // sigemptyset, and the child shares neither descriptors nor handlers with the agent.
        unsafe {
            libc::syscall(
                libc::SYS_close_range,
                3_u32,
                u32::MAX,
                libc::CLOSE_RANGE_CLOEXEC,
            );
            libc::umask(0o022);
            if let Some(score) = self.exec.oom_score_adj {
                let fd = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY);
                if fd >= 0 {
                    libc::write(fd, score.as_ptr().cast(), score.len());
                    libc::close(fd);
                }
            }
            for signal in 1..=64 {
                if signal != libc::SIGKILL && signal != libc::SIGSTOP {
                    libc::signal(signal, libc::SIG_DFL);
                }
            }
            let mut none: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut none);
            libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
        }
    }

    fn become_user(&self) -> nix::Result<()> {
        let Some((uid, gid)) = self.identity else {
            return Ok(());
        };
        // SAFETY: raw system calls on this process alone; `gid` outlives setgroups.
        unsafe {
            Errno::result(libc::syscall(libc::SYS_setgroups, 1, &raw const gid))?;
            Errno::result(libc::syscall(libc::SYS_setresgid, gid, gid, gid))?;
            Errno::result(libc::syscall(libc::SYS_setresuid, uid, uid, uid))?;
        }
        Ok(())
    }

    /// As `execvpe(3)`: the first candidate that can be executed; EACCES is remembered.
    fn execute(&self, script: &mut [*const libc::c_char]) -> Errno {
        let mut refused = false;
        for path in &self.candidates {
            // SAFETY: NUL-terminated strings and NULL-terminated arrays that outlive the call.
            unsafe { libc::execve(*path, self.argv.as_ptr(), self.env.as_ptr()) };
            match Errno::last() {
                Errno::EACCES => refused = true,
                Errno::ENOENT | Errno::ENOTDIR | Errno::ESTALE | Errno::ENODEV => {}
                Errno::ENOEXEC => {
                    if let Some(slot) = script.get_mut(1) {
                        *slot = *path;
                    }
                    // SAFETY: as above; `script` has the shell, the path, the arguments, NULL.
                    unsafe {
                        libc::execve(c"/bin/sh".as_ptr(), script.as_ptr(), self.env.as_ptr());
                    }
                    return Errno::ENOEXEC;
                }
                errno => return errno,
            }
        }
        if refused {
            Errno::EACCES
        } else {
            Errno::ENOENT
        }
    }
}
