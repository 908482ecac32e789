//! The only `waitpid` of this package.
//!
//! Owns: collecting ended children, own ones and adopted orphans. It never decides what an end
//! means. Not through `nix`: its status type has no real-time signals and loses such children.

use podbay_protocol::ExitStatus;
use rustix::{
    io::Errno,
    process::{WaitOptions, wait},
};

/// What one round of reaping found.
#[derive(Debug, Default)]
pub struct Reaped {
    /// Process ids of the children that ended and how, in the order the kernel gave them.
    pub ended: Vec<(i32, ExitStatus)>,
    /// No child is left at all (ECHILD).
    pub childless: bool,
}

/// Collects every child that has ended; never blocks.
#[must_use]
pub fn reap() -> Reaped {
    let mut reaped = Reaped::default();
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => {
                let end = match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => ExitStatus::Code(code),
                    (None, Some(signal)) => ExitStatus::Signal(signal),
                    (None, None) => continue,
                };
                reaped.ended.push((pid.as_raw_nonzero().get(), end));
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
