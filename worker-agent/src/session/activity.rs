//! What a session is doing, from the evidence its program gives.
//!
//! Owns: the state machine. Pure: it reads no clock and does no I/O. Unknown is never shown as idle.

use podbay_protocol::{Activity, ActivityState, ExitStatus};
use std::time::{Duration, Instant};

/// Without output for this long, a program that gave no better sign has finished something.
pub const QUIET: Duration = Duration::from_millis(1500);
/// Longest reason, in characters.
const MAX_WHY: usize = 200;
/// A busy title this long after a hook's "waiting" means that someone has answered.
const ANSWERED: Duration = Duration::from_secs(1);

/// Who spoke last, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Authority {
    Output,
    Osc,
    Hook,
    Exit,
}

/// What a terminal title says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TitleSign {
    Busy,
    Rest,
}

/// What a hook reports, in the terms of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookSign {
    /// A turn or a tool began or goes on.
    Working,
    /// It asks for something.
    Waiting,
    /// A turn ended.
    Finished,
    /// A turn failed.
    Error,
    /// "Still idle": true only when nothing better is known.
    Reminder,
}

/// One session's state machine.
///
/// Authority falls in this order: the process's end, agent hooks, OSC signals (progress, title, bell,
/// notification), output and quiet. A lower one never overrules a higher one that has spoken.
#[derive(Debug)]
pub struct ActivityTracker {
    current: Activity,
    /// What is shown instead while the program is stopped; `current` is followed meanwhile.
    stopped: Option<Activity>,
    authority: Authority,
    changed: Instant,
    hook_stamp: u64,
    last_output: Option<Instant>,
    title: Option<TitleSign>,
    progress: bool,
}

impl ActivityTracker {
    /// A session about which nothing is known yet.
    #[must_use]
    pub fn new(now: Instant, unix_ms: u64) -> Self {
        Self {
            current: Activity {
                state: ActivityState::Unknown,
                why: "started".to_owned(),
                seq: 0,
                since_ms: unix_ms,
            },
            stopped: None,
            authority: Authority::Output,
            changed: now,
            hook_stamp: 0,
            last_output: None,
            title: None,
            progress: false,
        }
    }

    /// The state now.
    #[must_use]
    pub fn current(&self) -> &Activity {
        self.stopped.as_ref().unwrap_or(&self.current)
    }

    /// Whether a signal has stopped the program.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stopped.is_some()
    }

    /// A signal has stopped the program: that is shown until it runs again, whatever it did before.
    pub fn stop(&mut self, why: &str, unix_ms: u64) -> bool {
        if self.stopped.is_some() || self.authority == Authority::Exit {
            return false;
        }
        self.current.seq += 1;
        self.stopped = Some(Activity {
            state: ActivityState::Stopped,
            why: why.chars().take(MAX_WHY).collect(),
            seq: self.current.seq,
            since_ms: unix_ms,
        });
        true
    }

    /// The program runs again: it is what it was before. The time in which it could say nothing is no
    /// silence of its own.
    pub fn resume(&mut self, now: Instant, unix_ms: u64) -> bool {
        if self.stopped.take().is_none() {
            return false;
        }
        self.last_output = self.last_output.map(|_| now);
        self.changed = now;
        self.current.seq += 1;
        self.current.since_ms = unix_ms;
        true
    }

    /// The program wrote something. Returns whether the state changed, as all of these do.
    pub fn output(&mut self, now: Instant, unix_ms: u64) -> bool {
        self.last_output = Some(now);
        if self.authority > Authority::Output {
            return false;
        }
        self.set_state(
            ActivityState::Working,
            "output",
            Authority::Output,
            now,
            unix_ms,
        )
    }

    /// Some time passed; call it [`QUIET`] after the last output. `attached`: someone watches.
    pub fn quiet(&mut self, attached: bool, now: Instant, unix_ms: u64) -> bool {
        let silent = self
            .last_output
            .is_some_and(|at| now.saturating_duration_since(at) >= QUIET);
        if !silent
            || self.authority > Authority::Output
            || self.current.state != ActivityState::Working
        {
            return false;
        }
        let rest = rest(attached);
        self.set_state(rest, "quiet for 1.5 s", Authority::Output, now, unix_ms)
    }

    /// A new title: `✳` rests, braille or half circles are a spinner. Others say nothing.
    pub fn title(&mut self, title: &str, attached: bool, now: Instant, unix_ms: u64) -> bool {
        let sign = match title.trim_start().chars().next() {
            Some('✳') => TitleSign::Rest,
            Some('\u{2801}'..='\u{28ff}' | '◐' | '◑' | '◒' | '◓') => TitleSign::Busy,
            _ => return false,
        };
        let first = title.trim_start().chars().next().unwrap_or(' ');
        let before = self.title.replace(sign);
        let why = format!("title {first}");
        match sign {
            TitleSign::Busy => {
                let answered = self.authority == Authority::Hook
                    && self.current.state == ActivityState::Waiting
                    && now.saturating_duration_since(self.changed) >= ANSWERED;
                if answered {
                    return self.set_state(
                        ActivityState::Working,
                        &why,
                        Authority::Hook,
                        now,
                        unix_ms,
                    );
                }
                self.osc(ActivityState::Working, &why, now, unix_ms)
            }
            // A resting title repeated after a bell must not hide that it waits.
            TitleSign::Rest if before == Some(TitleSign::Rest) => false,
            TitleSign::Rest if self.progress => false,
            // At rest from the start: there is nothing it has done yet.
            TitleSign::Rest if before.is_none() => {
                self.osc(ActivityState::Idle, &why, now, unix_ms)
            }
            TitleSign::Rest => self.osc(rest(attached), &why, now, unix_ms),
        }
    }

    /// OSC 9;4: 0 none, 1 normal, 2 error, 3 indeterminate, 4 paused.
    pub fn progress(&mut self, state: u8, attached: bool, now: Instant, unix_ms: u64) -> bool {
        self.progress = state == 1 || state == 3;
        match state {
            0 => self.osc(rest(attached), "progress ended", now, unix_ms),
            2 => self.osc(ActivityState::Error, "progress failed", now, unix_ms),
            4 => self.osc(ActivityState::Waiting, "progress paused", now, unix_ms),
            _ => self.osc(ActivityState::Working, "progress", now, unix_ms),
        }
    }

    /// A bell or a notification.
    pub fn attention(&mut self, why: &str, now: Instant, unix_ms: u64) -> bool {
        self.osc(ActivityState::Waiting, why, now, unix_ms)
    }

    /// A hook of the agent program spoke. `stamp` orders hooks by when they ran, in nanoseconds
    /// of the kernel's monotonic clock; a late one is dropped.
    pub fn hook(
        &mut self,
        sign: HookSign,
        why: &str,
        stamp: u64,
        attached: bool,
        now: Instant,
        unix_ms: u64,
    ) -> bool {
        if stamp < self.hook_stamp || self.authority == Authority::Exit {
            return false;
        }
        self.hook_stamp = stamp;
        let state = match sign {
            HookSign::Working => ActivityState::Working,
            HookSign::Waiting => ActivityState::Waiting,
            HookSign::Finished => rest(attached),
            HookSign::Error => ActivityState::Error,
            HookSign::Reminder if self.authority == Authority::Hook => return false,
            HookSign::Reminder => rest(attached),
        };
        self.set_state(state, why, Authority::Hook, now, unix_ms)
    }

    /// Someone looked: `done` becomes `idle`.
    pub fn mark_seen(&mut self, now: Instant, unix_ms: u64) -> bool {
        if self.current.state != ActivityState::Done {
            return false;
        }
        let (why, authority) = (self.current.why.clone(), self.authority);
        self.set_state(ActivityState::Idle, &why, authority, now, unix_ms)
    }

    /// The user typed something: a wait that rests on a bell alone is answered.
    pub fn input(&mut self, now: Instant, unix_ms: u64) -> bool {
        if self.authority == Authority::Osc
            && self.current.state == ActivityState::Waiting
            && self.title.is_none()
        {
            return self.set_state(
                ActivityState::Working,
                "input",
                Authority::Output,
                now,
                unix_ms,
            );
        }
        false
    }

    /// The process ended: that overrules everything.
    pub fn exited(
        &mut self,
        status: ExitStatus,
        attached: bool,
        now: Instant,
        unix_ms: u64,
    ) -> bool {
        let (state, why) = match status {
            ExitStatus::Code(0) => (rest(attached), "exited with 0".to_owned()),
            ExitStatus::Code(code) => (ActivityState::Error, format!("exited with {code}")),
            ExitStatus::Signal(signal) => {
                (ActivityState::Error, format!("ended by signal {signal}"))
            }
        };
        // Killed while it was stopped: nothing will continue it.
        let resumed = self.resume(now, unix_ms);
        self.set_state(state, &why, Authority::Exit, now, unix_ms) || resumed
    }

    fn osc(&mut self, state: ActivityState, why: &str, now: Instant, unix_ms: u64) -> bool {
        if self.authority > Authority::Osc {
            return false;
        }
        self.set_state(state, why, Authority::Osc, now, unix_ms)
    }

    fn set_state(
        &mut self,
        state: ActivityState,
        why: &str,
        authority: Authority,
        now: Instant,
        unix_ms: u64,
    ) -> bool {
        self.authority = authority;
        // Idle is done that someone saw; the same evidence again does not make it unseen.
        let same = state == self.current.state
            || (state == ActivityState::Done
                && self.current.state == ActivityState::Idle
                && why == self.current.why);
        if same {
            return false;
        }
        self.changed = now;
        self.current = Activity {
            state,
            why: why.chars().take(MAX_WHY).collect(),
            seq: self.current.seq + 1,
            since_ms: unix_ms,
        };
        // While it is stopped something else is shown.
        self.stopped.is_none()
    }
}

fn rest(attached: bool) -> ActivityState {
    if attached {
        ActivityState::Idle
    } else {
        ActivityState::Done
    }
}

#[cfg(test)]
#[path = "activity_tests.rs"]
mod tests;
