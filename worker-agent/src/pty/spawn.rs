//! Starting programs: the steps between clone and exec.
//!
//! Owns: what the child does until exec. It never waits for a child: see `process::reap`.

use nix::{
    errno::Errno,
    libc,
    sched::CloneFlags,
    unistd::{Pid, getegid, geteuid},
};
use std::{
    ffi::{CStr, CString},
    os::fd::{AsRawFd, BorrowedFd},
    ptr,
    sync::{
        OnceLock,
        atomic::{AtomicI32, Ordering},
    },
};

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
pub enum SpawnStep {
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
    pub step: SpawnStep,
    /// The system's error at that step.
    pub errno: Errno,
}

const STACK: usize = 64 * 1024;

/// Signals that this process ignores or handles; all others are as a program expects them. Found out
/// once: what is set later is handled, and exec resets that by itself.
pub fn signals_to_reset() -> &'static [i32] {
    static FOUND: OnceLock<Vec<i32>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let changed = |signal: &i32| {
            // SAFETY: it only asks; the structure is plain data and outlives the call.
            unsafe {
                let mut now: libc::sigaction = std::mem::zeroed();
                let asked = libc::sigaction(*signal, ptr::null(), &raw mut now);
                asked == 0 && now.sa_sigaction != libc::SIG_DFL
            }
        };
        (1..=64).filter(changed).collect()
    })
}

/// Starts a program as `posix_spawn` does it: `CLONE_VM | CLONE_VFORK` on a stack of its own, so its
/// cost does not grow with the agent's memory. The child touches nothing but prepared memory and
/// system calls. Returns once exec succeeded or failed. The child is reaped by `process::reap`, also
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
    let setup = ChildSetup {
        exec,
        candidates,
        argv,
        env,
        identity,
        signals: signals_to_reset(),
    };

    let (step, errno) = (AtomicI32::new(0), AtomicI32::new(0));
    let mut stack = vec![0_u8; STACK];
    let child = Box::new(|| {
        let (at, error) = setup.run(&mut script);
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
            step: SpawnStep::Clone,
            errno,
        },
    )?;
    let step = match step.load(Ordering::SeqCst) {
        0 => return Ok(pid),
        n if n == SpawnStep::Terminal as i32 + 1 => SpawnStep::Terminal,
        n if n == SpawnStep::Identity as i32 + 1 => SpawnStep::Identity,
        n if n == SpawnStep::Cwd as i32 + 1 => SpawnStep::Cwd,
        _ => SpawnStep::Exec,
    };
    Err(SpawnError {
        step,
        errno: Errno::from_raw(errno.load(Ordering::SeqCst)),
    })
}

/// What the child needs, as the kernel wants it.
struct ChildSetup<'a> {
    exec: &'a Exec<'a>,
    candidates: Vec<*const libc::c_char>,
    argv: Vec<*const libc::c_char>,
    env: Vec<*const libc::c_char>,
    identity: Option<(u32, u32)>,
    /// Signals to reset.
    signals: &'static [i32],
}

impl ChildSetup<'_> {
    /// In the child: returns only when something failed.
    fn run(&self, script: &mut [*const libc::c_char]) -> (SpawnStep, Errno) {
        if let Err(errno) = self.terminal() {
            return (SpawnStep::Terminal, errno);
        }
        self.reset_inherited();
        if let Err(errno) = self.become_user() {
            return (SpawnStep::Identity, errno);
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
                    return (SpawnStep::Cwd, errno);
                }
            }
        }
        (SpawnStep::Exec, self.execute(script))
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
    fn reset_inherited(&self) {
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
            for signal in self.signals {
                libc::signal(*signal, libc::SIG_DFL);
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
