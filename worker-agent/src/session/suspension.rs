//! A program that a signal has stopped.
//!
//! Owns: how it is shown, and when it is continued. A worker has no shell above its main program that
//! would say so or continue it. It never stops a program.

use super::{Session, activity::QUIET};
use crate::{
    event_loop::reactor::{Reactor, Timer, unix_ms},
    process::reap::Pause,
    pty,
};
use nix::{libc::SIGCONT, sys::signal::Signal};

impl Session {
    /// A signal has stopped or continued the program's first process.
    pub(crate) fn paused_by_signal(&mut self, pause: Pause, reactor: &mut Reactor) {
        let changed = match pause {
            Pause::Stopped(signal) => {
                let why = match Signal::try_from(signal) {
                    Ok(signal) => format!("stopped by {signal}"),
                    Err(_) => format!("stopped by signal {signal}"),
                };
                self.tracker.stop(&why, unix_ms())
            }
            Pause::Continued => self.tracker.resume(reactor.now, unix_ms()),
        };
        if changed && pause == Pause::Continued {
            self.last_output = reactor.now;
            // The look that was due while it was stopped has found nothing.
            if !self.quiet_timer {
                self.quiet_timer = true;
                reactor.after(QUIET, Timer::Quiet(self.key));
            }
        }
        self.report_activity(changed, reactor);
    }

    /// Somebody types, or has come to: a stopped program is continued, or it would never read that.
    pub(super) fn continue_stopped(&self) {
        if self.tracker.is_stopped() && self.exit.is_none() {
            // It is there as long as it is not reaped. That it runs is reported by the kernel.
            pty::kill(-self.pid, SIGCONT).ok();
        }
    }
}
