//! The agent's own stop: TERM to everything, a grace, KILL to everything, and out.
//!
//! Owns: the steps and their deadlines. It never waits: the loop does.

use super::{Agent, Shutdown};
use crate::{event_loop::reactor::Timer, process::procs::signal_everything};
use nix::libc::{SIGKILL, SIGTERM};
use std::time::Duration;

/// KILL is repeated this often until everything is gone: a fork may have raced with it.
const KILL_EVERY: Duration = Duration::from_millis(50);
/// Whatever still lives this long after the first KILL is beyond signals; the kernel ends it
/// together with this PID namespace.
const GIVE_UP: Duration = Duration::from_millis(500);
/// Clients and the coordinator have this long to take the rest once everything is gone.
const FLUSH: Duration = Duration::from_millis(200);

/// The longest grace.
const MAX_GRACE: Duration = Duration::from_secs(24 * 3600);

impl Agent {
    /// Starts the stop. A second request can only shorten the grace.
    pub(crate) fn shut_down(&mut self, grace: Duration) {
        // A grace beyond the clock's end is one of as long as anybody waits.
        let now = self.reactor.now;
        let kill_at = now.checked_add(grace).unwrap_or(now + MAX_GRACE);
        let kill_at = self
            .shutdown
            .as_ref()
            .map_or(kill_at, |s| s.kill_at.min(kill_at));
        // Once to each process, session or not: some take a second TERM for "without clean-up".
        signal_everything(SIGTERM);
        for session in self.sessions.values_mut() {
            session.set_drain_deadline(FLUSH);
        }
        self.shutdown = Some(Shutdown {
            kill_at,
            gone_at: None,
            childless: false,
        });
        // No child may be left whose SIGCHLD would wake the loop.
        self.collect();
        self.reactor.after(
            kill_at.saturating_duration_since(self.reactor.now),
            Timer::Stop,
        );
    }

    /// The grace is over, or was over a moment ago.
    pub(crate) fn stop_step(&mut self) {
        let now = self.reactor.now;
        if self
            .shutdown
            .as_ref()
            .is_some_and(|s| s.kill_at <= now && s.gone_at.is_none())
        {
            signal_everything(SIGKILL);
            self.reactor.after(KILL_EVERY, Timer::Stop);
        }
    }

    /// Whether the agent can leave: everything is gone and reported, or no more can be done.
    pub(crate) fn stopped(&mut self) -> bool {
        let now = self.reactor.now;
        let Some(shutdown) = &mut self.shutdown else {
            return false;
        };
        if now >= shutdown.kill_at + GIVE_UP {
            return true;
        }
        if !shutdown.childless || self.sessions.values().any(|s| !s.ended) {
            return false;
        }
        let gone_at = *shutdown.gone_at.get_or_insert_with(|| {
            self.reactor.after(FLUSH, Timer::Stop);
            now
        });
        let waiting = self.control.queued()
            + self
                .sessions
                .values()
                .flat_map(|s| &s.clients)
                .map(|c| c.queued())
                .sum::<usize>();
        waiting == 0 || now >= gone_at + FLUSH
    }
}
