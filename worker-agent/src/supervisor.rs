//! PID 1 of the parent: runs the coordinator and keeps the network namespace alive without it.
//!
//! Owns: one command, its restarts, and the orphans. It ends only when told to, or when the
//! command ends after it was told to.

use crate::{
    event_loop::{
        reactor::{Reactor, Source, Timer},
        signals::Signals,
    },
    log::log_line,
    process::{command::DEFAULT_PATH, procs::signal_everything, reap::reap},
    pty::{self, Exec},
};
use nix::{
    errno::Errno,
    libc::{SIGCHLD, SIGHUP, SIGINT, SIGKILL, SIGTERM, SIGUSR1, SIGUSR2},
    sys::epoll::EpollFlags,
};
use podbay_protocol::ExitStatus;
use std::{
    ffi::{CString, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
    time::{Duration, Instant},
};

/// The command has this long to end after TERM.
const STOP_WITHIN: Duration = Duration::from_secs(15);
/// What is left after the command's end has this long.
const CLEAR_AWAY_WITHIN: Duration = Duration::from_millis(500);
/// A command that lived this long did not die quickly.
const LONG_ENOUGH: Duration = Duration::from_secs(1);
const MIN_PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// What the command is meant to do; the last two while it is being ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goal {
    Run,
    Restart,
    Stop,
}

struct Supervisor {
    candidates: Vec<CString>,
    argv: Vec<CString>,
    env: Vec<CString>,
    name: String,
    child: Option<(i32, Instant)>,
    goal: Goal,
    kill_at: Option<Instant>,
    pause: Duration,
    first: bool,
}

/// Runs the command until a clean stop. Gives the exit code: 0, or the command's own when it
/// failed to stop cleanly.
///
/// # Errors
/// The system has no descriptors left, or an argument has a NUL byte.
pub fn run(command: &[&str]) -> std::io::Result<u8> {
    let signals = Signals::open()?;
    let mut reactor = Reactor::new()?;
    reactor.add(&signals, Source::Signals, EpollFlags::EPOLLIN)?;
    nix::sys::prctl::set_child_subreaper(true).ok();
    let mut it = Supervisor::new(command)?;
    it.start(&mut reactor);
    let mut ready = Vec::new();
    loop {
        reactor.wait(None, &mut ready);
        while let Some(signal) = signals.next_signal() {
            it.signalled(signal, &mut reactor);
        }
        for (pid, status) in reap().ended {
            if let Some(code) = it.ended(pid, status, &mut reactor) {
                clear_away(&mut reactor, &mut ready);
                return Ok(code);
            }
        }
        while let Some(timer) = reactor.due() {
            match timer {
                Timer::Redial => it.start(&mut reactor),
                _ => it.overdue(reactor.now),
            }
        }
        if it.goal == Goal::Stop && it.child.is_none() {
            clear_away(&mut reactor, &mut ready);
            return Ok(0);
        }
    }
}

/// TERM to what is left, a moment, KILL.
fn clear_away(reactor: &mut Reactor, ready: &mut Vec<(u64, EpollFlags)>) {
    signal_everything(SIGTERM);
    let until = Instant::now() + CLEAR_AWAY_WITHIN;
    while !reap().childless && Instant::now() < until {
        reactor.wait(Some(Duration::from_millis(10)), ready);
    }
    signal_everything(SIGKILL);
}

impl Supervisor {
    fn new(command: &[&str]) -> std::io::Result<Self> {
        let name = command.first().copied().unwrap_or_default();
        let path = std::env::var("PATH").unwrap_or_else(|_| DEFAULT_PATH.to_owned());
        let candidates = if name.contains('/') {
            vec![CString::new(name)?]
        } else {
            path.split(':')
                .map(|p| CString::new(format!("{p}/{name}")))
                .collect::<Result<_, _>>()?
        };
        let pair = |(key, value): (OsString, OsString)| {
            let mut bytes = key.into_vec();
            bytes.push(b'=');
            bytes.extend_from_slice(value.as_bytes());
            CString::new(bytes)
        };
        Ok(Self {
            candidates,
            argv: command
                .iter()
                .map(|a| CString::new(*a))
                .collect::<Result<_, _>>()?,
            env: std::env::vars_os().map(pair).collect::<Result<_, _>>()?,
            name: name.to_owned(),
            child: None,
            goal: Goal::Run,
            kill_at: None,
            pause: Duration::ZERO,
            first: true,
        })
    }

    fn start(&mut self, reactor: &mut Reactor) {
        if self.child.is_some() || self.goal == Goal::Stop {
            return;
        }
        self.goal = Goal::Run;
        self.kill_at = None;
        let exec = Exec {
            candidates: &self.candidates,
            argv: &self.argv,
            env: &self.env,
            cwd: None,
            stdio: None,
            terminal: false,
            session: false,
            identity: None,
            oom_score_adj: None,
        };
        match pty::spawn(&exec) {
            Ok(pid) => self.child = Some((pid.as_raw(), Instant::now())),
            Err(error) => {
                let why = if error.errno == Errno::ENOENT {
                    "not found"
                } else {
                    error.errno.desc()
                };
                log_line(&format!("{}: {why}; trying again", self.name));
                self.pause = MAX_PAUSE;
                reactor.after(self.pause, Timer::Redial);
            }
        }
    }

    fn signalled(&mut self, signal: i32, reactor: &mut Reactor) {
        match signal {
            SIGTERM | SIGINT => self.end(Goal::Stop, signal, reactor),
            SIGUSR2 if self.goal != Goal::Stop => self.end(Goal::Restart, SIGTERM, reactor),
            SIGHUP | SIGUSR1 => {
                if let Some((pid, _)) = self.child {
                    pty::kill(pid, signal).ok();
                }
            }
            SIGCHLD => {}
            _ => {}
        }
    }

    /// Asks the command to end.
    fn end(&mut self, goal: Goal, signal: i32, reactor: &mut Reactor) {
        self.goal = goal;
        if let Some((pid, _)) = self.child {
            // It is not reaped yet, so the number is still its own.
            pty::kill(pid, signal).ok();
            self.kill_at.get_or_insert(reactor.now + STOP_WITHIN);
            reactor.after(STOP_WITHIN, Timer::Stop);
        }
    }

    fn overdue(&mut self, now: Instant) {
        if let (Some((pid, _)), Some(at)) = (self.child, self.kill_at)
            && at <= now
        {
            log_line(&format!(
                "{} did not end in {} s: killing it",
                self.name,
                STOP_WITHIN.as_secs()
            ));
            pty::kill(pid, SIGKILL).ok();
        }
    }

    /// A child ended. Gives the exit code when that was the end.
    fn ended(&mut self, pid: i32, status: ExitStatus, reactor: &mut Reactor) -> Option<u8> {
        let (_, since) = self.child.filter(|(child, _)| *child == pid)?;
        self.child = None;
        match self.goal {
            Goal::Stop => {
                let asked = matches!(
                    status,
                    ExitStatus::Code(0) | ExitStatus::Signal(SIGTERM | SIGINT)
                );
                return Some(if asked {
                    0
                } else {
                    u8::try_from(status.shell_code()).unwrap_or(1)
                });
            }
            Goal::Restart => self.pause = Duration::ZERO,
            Goal::Run => {
                let lived = since.elapsed();
                let how = match status {
                    ExitStatus::Code(code) => format!("exited with {code}"),
                    ExitStatus::Signal(signal) => format!("was ended by signal {signal}"),
                };
                let hint = match status {
                    ExitStatus::Code(64..=78) if self.first => {
                        " (its configuration or usage is wrong)"
                    }
                    _ => "",
                };
                log_line(&format!(
                    "{} {how} after {:.1} s{hint}; starting it again",
                    self.name,
                    lived.as_secs_f64()
                ));
                self.pause = match (self.first || lived >= LONG_ENOUGH, status) {
                    (_, ExitStatus::Code(64..=78)) | (false, _) => {
                        (self.pause * 2).clamp(MIN_PAUSE, MAX_PAUSE)
                    }
                    (true, _) => Duration::ZERO,
                };
            }
        }
        self.first = false;
        if self.pause.is_zero() {
            self.start(reactor);
        } else {
            reactor.after(self.pause, Timer::Redial);
        }
        None
    }
}
