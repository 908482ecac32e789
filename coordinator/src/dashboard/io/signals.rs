//! Signals and the clock: what the loop has from the system.

use std::time::{SystemTime, UNIX_EPOCH};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::Instant,
};

/// A signal that the loop has to do with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signalled {
    /// SIGTERM, SIGHUP, SIGINT.
    End,
    /// SIGTSTP.
    Suspend,
    /// SIGCONT.
    Continued,
    /// SIGWINCH.
    Resized,
}

/// The signals.
pub struct Signals {
    term: Signal,
    hup: Signal,
    int: Signal,
    tstp: Signal,
    cont: Signal,
    winch: Signal,
}

impl Signals {
    /// Starts to listen.
    ///
    /// # Errors
    /// The system's.
    pub fn new() -> std::io::Result<Self> {
        use nix::sys::signal::Signal as Number;
        let other = |number: Number| signal(SignalKind::from_raw(number as i32));
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            hup: signal(SignalKind::hangup())?,
            int: signal(SignalKind::interrupt())?,
            tstp: other(Number::SIGTSTP)?,
            cont: other(Number::SIGCONT)?,
            winch: signal(SignalKind::window_change())?,
        })
    }

    /// The next one. Safe to drop.
    pub async fn next(&mut self) -> Signalled {
        tokio::select! {
            biased;
            _ = self.term.recv() => Signalled::End,
            _ = self.hup.recv() => Signalled::End,
            _ = self.int.recv() => Signalled::End,
            _ = self.tstp.recv() => Signalled::Suspend,
            _ = self.cont.recv() => Signalled::Continued,
            _ = self.winch.recv() => Signalled::Resized,
        }
    }
}

/// The coordinator's clock: set by its events, run by the monotonic clock in between.
pub struct Clock {
    at_ms: u64,
    set: Instant,
}

impl Clock {
    /// It is this time now: Unix milliseconds.
    pub fn new(at_ms: u64) -> Self {
        Self {
            at_ms,
            set: Instant::now(),
        }
    }

    /// The time by this machine's own clock.
    pub fn of_the_system() -> Self {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self::new(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// Unix milliseconds.
    pub fn now_ms(&self) -> u64 {
        let passed = u64::try_from(self.set.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.at_ms.saturating_add(passed)
    }
}
