//! The end of a session: told to stop, reaped, drained, delivered, reported.
//!
//! Owns: when a session counts as ended, and what is killed until then. The exit is reported after
//! the output is drained ([`Session::done`]). It never waits for a process.

use super::{Session, session_io::ProgramIo};
use crate::{
    event_loop::reactor::{Reactor, Timer, unix_ms},
    process::procs,
    pty,
    sandbox::secrets,
};
use nix::libc::{SIGCONT, SIGHUP, SIGKILL, SIGTERM};
use podbay_protocol::{AgentEvent, ExitStatus, paths};
use std::{path::Path, time::Duration};

/// Ended sessions that are not primary keep their scrollback up to this many bytes, else only
/// their last screen's text: they are many.
const KEEP_BLOB: usize = 64 << 10;
/// After the program's end a terminal is drained once it was quiet for this long.
const TERMINAL_QUIET: Duration = Duration::from_millis(100);
/// No drain waits longer than this for what others than the program may still write.
const DRAIN: Duration = Duration::from_secs(1);
/// How often a session's end is looked for while nothing happens.
const DRAIN_CHECK_EVERY: Duration = Duration::from_millis(100);
/// A shell that is still there gets its hang-up again after this long.
const HANG_UP_AGAIN: Duration = Duration::from_millis(200);
/// Clients of pipes that only watch hold an end no longer than this after the program's.
const WATCHERS_DRAIN: Duration = Duration::from_secs(10);

/// A session besides the main one whose last client is gone is ended after this long. A client whose
/// connection was lost comes back sooner.
const ABANDONED: Duration = Duration::from_secs(10);
/// While there is no coordinator, nobody can come back: looked for this often.
const COORDINATOR_CHECK_EVERY: Duration = Duration::from_secs(1);
/// Time between TERM and KILL of such a session.
const ABANDONED_GRACE: Duration = Duration::from_secs(5);

impl Session {
    /// A client is gone, perhaps the last one. Whether it was killed, or its connection was lost and it
    /// comes back, cannot be told from here.
    pub(super) fn left_by_client(&mut self, reactor: &mut Reactor) {
        if !self.clients.is_empty() {
            // What it said of its leaving says nothing of how the last one will leave.
            self.abandonment.kept = false;
            return;
        }
        if self.primary || self.abandonment.kept || self.exit.is_some() {
            return;
        }
        self.abandonment.since = Some(reactor.now);
        // Clients that come and go share one timer.
        if !std::mem::replace(&mut self.abandonment.timer, true) {
            reactor.after(ABANDONED, Timer::Abandoned(self.key));
        }
    }

    /// There is a client again.
    pub(super) fn found(&mut self) {
        (self.abandonment.since, self.abandonment.kept) = (None, false);
    }

    /// A client leaves, or has left, on purpose: the program goes on.
    pub(crate) fn detached_on_purpose(&mut self) {
        (self.abandonment.since, self.abandonment.kept) = (None, true);
    }

    /// Ends the session when nobody has come back in time.
    pub(crate) fn check_abandoned(&mut self, coordinator: bool, reactor: &mut Reactor) {
        self.abandonment.timer = false;
        let Some(since) = self.abandonment.since.filter(|_| self.exit.is_none()) else {
            return;
        };
        let alone = reactor.now.saturating_duration_since(since);
        let wait = if !coordinator {
            self.abandonment.since = Some(reactor.now);
            COORDINATOR_CHECK_EVERY
        } else if alone < ABANDONED {
            ABANDONED.saturating_sub(alone)
        } else {
            self.abandonment.since = None;
            return self.stop(ABANDONED_GRACE, reactor);
        };
        self.abandonment.timer = true;
        reactor.after(wait, Timer::Abandoned(self.key));
    }

    /// TERM to the process group, HUP where its leader ignores that; KILL to all of the kernel
    /// session after the grace.
    pub fn stop(&mut self, grace: Duration, reactor: &mut Reactor) {
        if self.ended {
            return;
        }
        let first = self.set_drain_deadline(DRAIN);
        if self.exit.is_some() {
            return;
        }
        // Asked before: a program may well ignore a second TERM while it cleans up after this one.
        let shell = procs::ignores(self.pid, &[SIGTERM]);
        // What is gone already needs no signal. A stopped program must run to see its TERM.
        pty::kill(-self.pid, SIGTERM).ok();
        if shell {
            // An interactive shell: it ignores TERM and ends by the hang-up of its terminal.
            pty::kill(-self.pid, SIGHUP).ok();
        }
        pty::kill(-self.pid, SIGCONT).ok();
        reactor.after(grace, Timer::Kill(self.key));
        if first {
            reactor.after(HANG_UP_AGAIN, Timer::HangUp(self.key));
        }
    }

    /// Clients hold the end no longer than this after the program's. A later call can only shorten
    /// it; whether this is the first one.
    pub(crate) fn set_drain_deadline(&mut self, deadline: Duration) -> bool {
        let before = self.drain_deadline;
        self.drain_deadline = Some(before.map_or(deadline, |before| before.min(deadline)));
        before.is_none()
    }

    /// Sends a shell its hang-up again. bash only notes a first one that comes just before it
    /// waits for a key, and it ignores TERM but for moments in which it loses it. Only for
    /// shells: what has come to ignore TERM otherwise may be busy with its own clean-up.
    pub fn hang_up(&mut self, reactor: &mut Reactor) {
        if self.exit.is_some() {
            return;
        }
        if procs::ignores(self.pid, procs::SHELL_IGNORES) {
            pty::kill(-self.pid, SIGHUP).ok();
        }
        reactor.after(HANG_UP_AGAIN, Timer::HangUp(self.key));
    }

    /// The grace is over.
    pub fn kill(&mut self) {
        if self.exit.is_none() {
            pty::kill(-self.pid, SIGKILL).ok();
            procs::kill_session(self.pid);
        }
    }

    /// The program was reaped; what it wrote may still have to be read.
    pub fn reaped(&mut self, status: ExitStatus, reactor: &mut Reactor) {
        self.exit = Some((status, reactor.now));
        if let ProgramIo::Terminal { slave, .. } = &mut self.io {
            // Now the master ends as soon as nobody else holds the terminal.
            *slave = None;
        }
        self.io.end_input(reactor);
        reactor.after(DRAIN_CHECK_EVERY, Timer::Drain(self.key));
    }

    /// Looks again a moment later; the look itself follows at the end of each round.
    pub fn schedule_drain_check(&self, reactor: &mut Reactor) {
        if !self.ended {
            reactor.after(DRAIN_CHECK_EVERY, Timer::Drain(self.key));
        }
    }

    /// Whether the ended program's output is read and, of pipes, delivered.
    ///
    /// What others who hold the output write later than [`DRAIN`] after the program's end is not
    /// read. Pipe clients delay the end until they have read everything, unless they only watch or
    /// the session was told to stop; terminal clients never do.
    pub fn done(&mut self, buffer: &mut [u8], reactor: &mut Reactor) -> bool {
        let Some((_, at)) = self.exit.filter(|_| !self.ended) else {
            return false;
        };
        self.apply_backpressure(reactor);
        let since = reactor.now.saturating_duration_since(at);
        let overdue = self
            .drain_deadline
            .is_some_and(|deadline| since >= deadline);
        match &self.io {
            ProgramIo::Terminal { .. } => {
                let silent = reactor.now.saturating_duration_since(self.last_output);
                let quiet = since.min(silent) >= TERMINAL_QUIET;
                if self.paused() || !(quiet || since >= DRAIN) {
                    return false;
                }
                self.read_last(buffer, reactor);
            }
            ProgramIo::Pipes { stdout, stderr, .. } => {
                let open = stdout.is_some() || stderr.is_some();
                if open && since < DRAIN {
                    return false;
                }
                // Others hold them, or the clients are slow. The program itself can write no
                // more, so all of its output is there by now.
                self.read_rest(buffer, reactor);
                self.sweep(reactor);
            }
            ProgramIo::Closed => {}
        }
        let watch = since < WATCHERS_DRAIN;
        self.size.is_some()
            || overdue
            || self
                .clients
                .iter()
                .all(|client| client.delivered() || !(client.may_write() || watch))
    }

    /// Nothing more is read, and what is left of the program is killed. Once only.
    fn sweep(&mut self, reactor: &mut Reactor) {
        self.io.close(reactor);
        if !std::mem::replace(&mut self.swept, true) {
            pty::kill(-self.pid, SIGKILL).ok();
            if self.primary || self.drain_deadline.is_some() {
                procs::kill_session(self.pid);
            }
        }
    }

    /// The end: kills what is left, lets the clients have the rest, and gives what is to be reported.
    pub(crate) fn finish(&mut self, oom: bool, reactor: &mut Reactor) -> Option<AgentEvent> {
        let (status, _) = self.exit.filter(|_| !self.ended)?;
        self.ended = true;
        self.oom = oom;
        self.sweep(reactor);
        self.last_screen = self.screen.finish(reactor.now);
        if !self.primary && self.last_screen.0.len() > KEEP_BLOB {
            self.last_screen.0 = self.last_screen.1.join("\r\n").into_bytes();
        }
        self.unwritten = false;
        secrets::remove(Path::new(paths::SECRETS), &self.id);
        if let (Some(start_spec), None) = (&mut self.start_spec, &self.pending_restart) {
            // Nothing will be started with them again.
            start_spec.secrets.clear();
        }
        self.report_title(true, reactor);
        let changed = self
            .tracker
            .exited(status, self.watched(), reactor.now, unix_ms());
        self.report_activity(changed, reactor);
        self.finish_clients(reactor);
        Some(AgentEvent::Exited {
            session: self.id.clone(),
            status,
            oom,
        })
    }
}

#[cfg(test)]
#[path = "termination_tests.rs"]
mod tests;
