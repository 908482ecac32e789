//! The only `waitpid` of this package.
//!
//! Owns: collecting ended children, own ones and adopted orphans, and which of them a signal stopped
//! or continued. It never decides what that means. Not through `nix`: its status type has no real-time
//! signals and loses such children.

use podbay_protocol::ExitStatus;
use rustix::{
    io::Errno,
    process::{WaitOptions, wait},
};

/// A change of a child that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// Stopped by this signal.
    Stopped(i32),
    /// It runs again.
    Continued,
}

/// What one round of reaping found.
#[derive(Debug, Default)]
pub struct Reaped {
    /// Process ids of the children that ended and how, in the order the kernel gave them.
    pub ended: Vec<(i32, ExitStatus)>,
    /// Process ids of the children that were stopped, with the signal's number, or continued.
    pub paused: Vec<(i32, Pause)>,
    /// No child is left at all (ECHILD).
    pub childless: bool,
}

/// Collects every child that has ended, was stopped or was continued; never blocks. Of a child that was
/// stopped and continued since the last call the kernel tells the later change alone.
#[must_use]
pub fn reap() -> Reaped {
    let mut reaped = Reaped::default();
    let what = WaitOptions::NOHANG | WaitOptions::UNTRACED | WaitOptions::CONTINUED;
    loop {
        match wait(what) {
            Ok(Some((pid, status))) => {
                let pid = pid.as_raw_nonzero().get();
                if let Some(signal) = status.stopping_signal() {
                    reaped.paused.push((pid, Pause::Stopped(signal)));
                } else if status.continued() {
                    reaped.paused.push((pid, Pause::Continued));
                }
                let end = match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => ExitStatus::Code(code),
                    (None, Some(signal)) => ExitStatus::Signal(signal),
                    (None, None) => continue,
                };
                reaped.ended.push((pid, end));
            }
            Ok(None) => return reaped,
            Err(Errno::INTR) => {}
            Err(_) => {
                reaped.childless = true;
                return reaped;
            }
        }
    }
}
