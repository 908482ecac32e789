//! The end of a session: told to stop, reaped, drained, delivered, reported.
//!
//! Owns: when a session counts as ended, and what is killed until then. An end is reported once
//! all that the program has written was read, and for pipes once every client has taken it. What
//! others who hold the output write later than [`DRAIN`] after the program's end is not read. A
//! client of a terminal holds no end; one of pipes holds it as long as it likes, unless it only
//! watches or the session was told to stop.

use crate::{
    procs, pty,
    pump::Pump,
    reactor::{Reactor, Timer, unix_ms},
    session::Session,
};
use nix::libc::{SIGCONT, SIGHUP, SIGKILL, SIGTERM};
use podbay_protocol::{AgentEvent, ExitStatus};
use std::time::Duration;

/// Ended sessions that are not primary keep their scrollback up to this many bytes, else only
/// their last screen's text: they are many.
const KEEP_BLOB: usize = 64 << 10;
/// After the program's end a terminal is drained once it was quiet for so long.
const TERMINAL_QUIET: Duration = Duration::from_millis(100);
/// No drain waits longer than this for what others than the program may still write.
const DRAIN: Duration = Duration::from_secs(1);
/// How often a session's end is looked for while nothing happens.
const LOOK: Duration = Duration::from_millis(100);
/// A shell that is still there is told of the hang-up again after so long.
const HANG_UP_AGAIN: Duration = Duration::from_millis(200);
/// Clients of pipes that only watch hold an end no longer than this after the program's.
const WATCHERS: Duration = Duration::from_secs(10);

impl Session {
    /// TERM to the process group, HUP where its leader ignores that; KILL to all of the kernel
    /// session after the grace.
    pub fn stop(&mut self, grace: Duration, reactor: &mut Reactor) {
        if self.ended {
            return;
        }
        let first = self.hurry(DRAIN);
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

    /// Clients hold the end no longer than this after the program's; whether none was in a hurry
    /// before.
    pub(crate) fn hurry(&mut self, patience: Duration) -> bool {
        let before = self.patience;
        self.patience = Some(before.map_or(patience, |before| before.min(patience)));
        before.is_none()
    }

    /// Tells a shell of its hang-up again. bash only notes a first one that comes just before it
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
        if let Pump::Terminal { slave, .. } = &mut self.pump {
            // Now the master ends as soon as nobody else holds the terminal.
            *slave = None;
        }
        self.pump.end_input(reactor);
        reactor.after(LOOK, Timer::Drain(self.key));
    }

    /// Looks again a moment later; the look itself follows at the end of each round.
    pub fn look_again(&self, reactor: &mut Reactor) {
        if !self.ended {
            reactor.after(LOOK, Timer::Drain(self.key));
        }
    }

    /// Whether the ended program's output is read and, of pipes, delivered.
    pub fn done(&mut self, buffer: &mut [u8], reactor: &mut Reactor) -> bool {
        let Some((_, at)) = self.exit.filter(|_| !self.ended) else {
            return false;
        };
        self.flow(reactor);
        let since = reactor.now.saturating_duration_since(at);
        let impatient = self.patience.is_some_and(|patience| since >= patience);
        match &self.pump {
            Pump::Terminal { .. } => {
                let silent = reactor.now.saturating_duration_since(self.last_output);
                let quiet = since.min(silent) >= TERMINAL_QUIET;
                if self.paused() || !(quiet || since >= DRAIN) {
                    return false;
                }
                self.read_last(buffer, reactor);
            }
            Pump::Pipes { stdout, stderr, .. } => {
                let open = stdout.is_some() || stderr.is_some();
                if open && since < DRAIN {
                    return false;
                }
                // Others hold them, or the clients are slow. The program itself can write no
                // more, so all of its output is there by now.
                self.read_rest(buffer, reactor);
                self.sweep(reactor);
            }
            Pump::Closed => {}
        }
        let watch = since < WATCHERS;
        self.size.is_some()
            || impatient
            || self
                .clients
                .iter()
                .all(|client| client.delivered() || !(client.may_write() || watch))
    }

    /// Nothing more is read, and what is left of the program is killed. Once only.
    fn sweep(&mut self, reactor: &mut Reactor) {
        self.pump.close(reactor);
        if !std::mem::replace(&mut self.swept, true) {
            pty::kill(-self.pid, SIGKILL).ok();
            if self.primary || self.patience.is_some() {
                procs::kill_session(self.pid);
            }
        }
    }

    /// The end: kills what is left, lets the clients have the rest, and gives what is to be told.
    pub(crate) fn finish(&mut self, oom: bool, reactor: &mut Reactor) -> Option<AgentEvent> {
        let (status, _) = self.exit.filter(|_| !self.ended)?;
        self.ended = true;
        self.sweep(reactor);
        self.last_screen = self.sink.finish(reactor.now);
        if !self.primary && self.last_screen.0.len() > KEEP_BLOB {
            self.last_screen.0 = self.last_screen.1.join("\r\n").into_bytes();
        }
        self.unwritten = false;
        crate::secrets::remove(
            std::path::Path::new(podbay_protocol::paths::SECRETS),
            &self.id,
        );
        if let (Some(origin), None) = (&mut self.origin, &self.again) {
            // Nothing will be started with them again.
            origin.secrets.clear();
        }
        self.tell_title(true, reactor);
        let changed = self
            .tracker
            .exited(status, self.watched(), reactor.now, unix_ms());
        self.tell_activity(changed, reactor);
        self.finish_clients(reactor);
        Some(AgentEvent::Exited {
            session: self.id.clone(),
            status,
            oom,
        })
    }
}

#[cfg(test)]
#[path = "ending_tests.rs"]
mod tests;
