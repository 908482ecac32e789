//! One stream of signals.
//!
//! Owns: the process's signal mask and the signalfd. Everything is blocked for good, so that no
//! handler ever runs and no signal is lost between two waits.

use nix::sys::{
    signal::{SigSet, SigmaskHow, Signal, sigprocmask},
    signalfd::{SfdFlags, SignalFd},
};
use std::os::fd::{AsFd, BorrowedFd};

/// Signals as readable events.
#[derive(Debug)]
pub struct Signals {
    fd: SignalFd,
}

impl Signals {
    /// Blocks every signal and opens the stream. Call it before any thread is started.
    ///
    /// # Errors
    /// The system's error.
    pub fn open() -> nix::Result<Self> {
        let mut mask = SigSet::all();
        // A fault in our own code must end the process and not be blocked away.
        for fault in [
            Signal::SIGSEGV,
            Signal::SIGBUS,
            Signal::SIGILL,
            Signal::SIGFPE,
        ] {
            mask.remove(fault);
        }
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&mask), None)?;
        let fd = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Self { fd })
    }

    /// The next pending signal's number; `None` when there is none. Several of one kind count once.
    #[must_use]
    pub fn next_signal(&self) -> Option<i32> {
        let info = self.fd.read_signal().ok().flatten()?;
        i32::try_from(info.ssi_signo).ok()
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
