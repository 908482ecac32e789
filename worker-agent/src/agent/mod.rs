//! The agent: one loop over signals, the coordinator, sessions and hooks.
//!
//! Owns: the loop, the list of sessions, and the order in which things happen in a round. Once running
//! it never ends for an error.

mod cgroup;
mod config;
pub mod hook;
mod requests;
mod restart;
mod shutdown;
mod workspace;

pub use self::config::Config;
use self::{cgroup::Cgroup, hook::HookServer, workspace::Workspace};
use crate::{
    connection::control::Control,
    event_loop::{
        reactor::{Reactor, SessionKey, Source, Timer, unix_ms},
        signals::Signals,
    },
    process::reap::reap,
    pty,
    sandbox::{confine, passwd::Accounts},
    session::Session,
};
use nix::{
    libc::{SIGCHLD, SIGINT, SIGKILL, SIGTERM},
    sys::{
        epoll::EpollFlags,
        eventfd::{EfdFlags, EventFd},
    },
};
use podbay_protocol::{ExitStatus, FromAgent, Landlock, Readings, paths};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// Read in one go from a program or a client, in bytes.
const BUFFER: usize = 64 << 10;
/// Time between TERM and KILL when the agent itself is told to stop.
const GRACE: Duration = Duration::from_millis(800);
/// Ended sessions that are kept besides the primary ones.
const KEEP_ENDED: usize = 32;
/// Name of a worker's own user.
const USER: &str = "podbay";
/// Grace of a session that ran out of time.
const TIMEOUT_GRACE: Duration = Duration::from_secs(5);

/// Runs a shell that does nothing, as the worker's user. The first program in a container pays for
/// finding the shell, the loader and the C library in the image's layers; a claim's should not. It
/// is reaped like any orphan; an image without a shell is no error.
fn warm_exec_cache(user: (u32, u32)) {
    let argv = [c"/bin/sh".to_owned(), c"-c".to_owned(), c":".to_owned()];
    let shell = pty::Exec {
        candidates: argv.get(..1).unwrap_or_default(),
        argv: &argv,
        env: &[],
        cwd: None,
        stdio: None,
        terminal: false,
        session: true,
        identity: Some(user),
        oom_score_adj: None,
    };
    pty::spawn(&shell).ok();
}

/// Whether the kernel's OOM killer may have struck a session that ended so, or its shell's child.
fn may_be_oom_kill(status: ExitStatus) -> bool {
    matches!(status, ExitStatus::Signal(SIGKILL) | ExitStatus::Code(137))
}

/// A stop of the agent that is under way.
#[derive(Debug)]
struct Shutdown {
    kill_at: Instant,
    gone_at: Option<Instant>,
    /// The last reaping found no child left.
    childless: bool,
}

/// The agent's state. Shared with the files of this folder only.
#[derive(Debug)]
pub struct Agent {
    config: Config,
    reactor: Reactor,
    control: Control,
    sessions: BTreeMap<SessionKey, Session>,
    accounts: Accounts,
    hooks: Option<HookServer>,
    cgroup: Cgroup,
    /// What it holds itself and its sessions to.
    landlock: Option<Landlock>,
    /// OOM kills that were blamed already.
    oom_kills: u64,
    /// OOM kills at the last reading.
    oom_kills_read: u64,
    started: Instant,
    workspace: Workspace,
    wake: Arc<EventFd>,
    shutdown: Option<Shutdown>,
    signals: Signals,
    buffer: Vec<u8>,
}

impl Agent {
    /// Sets everything up; nothing is dialled yet. Blocks all signals.
    ///
    /// # Errors
    /// The system has no descriptors left at the very start.
    pub fn new(config: Config) -> nix::Result<Self> {
        // Before the first thread: each would have to do it for itself.
        let landlock = config.container.then(|| {
            confine::limit_resources();
            confine::restrict()
        });
        let signals = Signals::open()?;
        // Before the first claim waits for it.
        crate::pty::signals_to_reset();
        let mut reactor = Reactor::new()?;
        reactor.add(&signals, Source::Signals, EpollFlags::EPOLLIN)?;
        let wake = Arc::new(EventFd::from_flags(
            EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC,
        )?);
        reactor.add(&wake.as_ref(), Source::Wake, EpollFlags::EPOLLIN)?;
        // Orphans come to the agent also where it is not PID 1.
        nix::sys::prctl::set_child_subreaper(true).ok();
        let cgroup = Cgroup::own();
        Ok(Self {
            hooks: HookServer::open(&config.hooks, &mut reactor),
            accounts: Accounts::new(config.accounts.clone()),
            oom_kills: cgroup.oom_kills().unwrap_or(0),
            oom_kills_read: 0,
            cgroup,
            landlock,
            config,
            reactor,
            control: Control::default(),
            sessions: BTreeMap::new(),
            started: Instant::now(),
            workspace: Workspace::at_start(),
            wake,
            shutdown: None,
            signals,
            buffer: vec![0; BUFFER],
        })
    }

    /// Runs until told to stop and everything is gone.
    pub fn run(&mut self) {
        self.control.dial(&self.config.dialer, &mut self.reactor);
        // While the coordinator takes note of this worker.
        if let Some(user) = self
            .accounts
            .precreate_account(Path::new(paths::HOME), USER)
        {
            warm_exec_cache(user);
        }
        let mut ready = Vec::new();
        loop {
            // With something to be written to a recording: a look first, the disk when idle.
            let unwritten = self.sessions.values().any(|s| s.unwritten);
            self.reactor
                .wait(unwritten.then_some(Duration::ZERO), &mut ready);
            let idle = ready.is_empty();
            for (token, flags) in &ready {
                if let Some(source) = self.reactor.source(*token) {
                    self.dispatch(source, *flags);
                }
            }
            while let Some(timer) = self.reactor.due() {
                self.expired(timer);
            }
            self.finish_sessions();
            self.send_events();
            if unwritten && idle {
                for session in self.sessions.values_mut().filter(|s| s.unwritten) {
                    session.unwritten = false;
                    session.screen.flush();
                }
            }
            if self.stopped() {
                return;
            }
        }
    }

    fn dispatch(&mut self, source: Source, flags: EpollFlags) {
        let reactor = &mut self.reactor;
        match source {
            Source::Signals => self.signalled(),
            Source::Wake => {
                self.wake.read().ok();
                for session in self.sessions.values_mut() {
                    session.handle_screen_updates(reactor);
                    session.apply_backpressure(reactor);
                }
            }
            Source::Control => {
                let incoming = self.control.ready(flags, &mut self.buffer, reactor);
                for request in incoming.requests {
                    self.request(request.json, request.descriptor);
                }
                if incoming.lost {
                    self.coordinator_lost();
                }
            }
            Source::HookListener => {
                if let Some(hooks) = &mut self.hooks {
                    hooks.accept(reactor);
                }
            }
            Source::Hook(key) => self.hooked(key),
            Source::Terminal(key)
            | Source::Stdin(key)
            | Source::Stdout(key)
            | Source::Stderr(key) => {
                if let Some(session) = self.sessions.get_mut(&key) {
                    session.program_ready(source, flags, &mut self.buffer, reactor);
                }
            }
            Source::Client(key, client, lane) => {
                if let Some(session) = self.sessions.get_mut(&key) {
                    session.client_ready(client, lane, flags, &mut self.buffer, reactor);
                }
            }
        }
    }

    fn expired(&mut self, timer: Timer) {
        let reactor = &mut self.reactor;
        match timer {
            Timer::Redial => self.control.dial(&self.config.dialer, reactor),
            Timer::Welcome(dial) => self.control.overdue(dial, reactor),
            Timer::Hook(key) => {
                if let Some(hooks) = &mut self.hooks {
                    hooks.close(key, reactor);
                }
            }
            Timer::HookListener => {
                if let Some(hooks) = &mut self.hooks {
                    hooks.resume(reactor);
                }
            }
            Timer::Stop => self.stop_step(),
            Timer::Dial(key, ..)
            | Timer::Socket(key, _)
            | Timer::FollowWriter(key)
            | Timer::Quiet(key)
            | Timer::RestoreSize(key)
            | Timer::Drain(key)
            | Timer::HangUp(key)
            | Timer::Kill(key)
            | Timer::Timeout(key)
            | Timer::Abandoned(key)
            | Timer::Linger(key, _) => {
                if let Some(session) = self.sessions.get_mut(&key) {
                    match timer {
                        Timer::Dial(_, client, lane) => {
                            session.redial(client, lane, &self.config.dialer, reactor);
                        }
                        Timer::Socket(_, client) => session.socket_overdue(client, reactor),
                        Timer::FollowWriter(_) => session.follow_writer(true, reactor),
                        Timer::Quiet(_) => session.check_quiet(reactor),
                        Timer::RestoreSize(_) => session.restore_size(),
                        Timer::Kill(_) => session.kill(),
                        Timer::Timeout(_) => session.stop(TIMEOUT_GRACE, reactor),
                        Timer::Linger(_, client) => session.linger(client, reactor),
                        Timer::Abandoned(_) => {
                            session.check_abandoned(self.control.connected(), reactor);
                        }
                        Timer::HangUp(_) => session.hang_up(reactor),
                        _ => session.schedule_drain_check(reactor),
                    }
                }
            }
        }
    }

    fn signalled(&mut self) {
        while let Some(signal) = self.signals.next_signal() {
            match signal {
                SIGCHLD => {}
                SIGTERM | SIGINT => self.shut_down(GRACE),
                _ => {}
            }
        }
        self.collect();
    }

    /// Reaps what has ended, and hears of what was stopped or continued.
    pub(crate) fn collect(&mut self) {
        let reaped = reap();
        for (pid, pause) in reaped.paused {
            let mut running = self.sessions.values_mut().filter(|s| s.exit.is_none());
            if let Some(session) = running.find(|s| s.pid == pid) {
                session.paused_by_signal(pause, &mut self.reactor);
            }
        }
        for (pid, status) in reaped.ended {
            let found = self
                .sessions
                .values_mut()
                .find(|s| s.pid == pid && s.exit.is_none());
            if let Some(session) = found {
                session.reaped(status, &mut self.reactor);
            }
        }
        if let Some(shutdown) = &mut self.shutdown {
            shutdown.childless = reaped.childless;
        }
    }

    /// The cgroup's readings. A kill that was there at the last reading and ended no session since
    /// was of a child, and is not blamed on a session that something else ends later.
    pub(crate) fn read_meters(&mut self) -> Readings {
        let readings = self.cgroup.readings();
        // One that ended otherwise is not blamed, however long its end takes.
        let killed = |s: &Session| s.exit.is_some_and(|(status, _)| may_be_oom_kill(status));
        let ending = self.sessions.values().any(|s| !s.ended && killed(s));
        if !ending {
            self.oom_kills = self.oom_kills.max(self.oom_kills_read);
        }
        self.oom_kills_read = readings.oom_kills.unwrap_or(0);
        readings
    }

    /// Ends sessions whose program has ended and whose output is read and delivered.
    fn finish_sessions(&mut self) {
        let mut ended = Vec::new();
        for session in self.sessions.values_mut() {
            if !session.done(&mut self.buffer, &mut self.reactor) {
                continue;
            }
            let killed = session.exit.map(|(status, _)| status);
            let kills = if killed.is_some_and(may_be_oom_kill) {
                self.cgroup.oom_kills().unwrap_or(0)
            } else {
                0
            };
            let oom = kills > self.oom_kills;
            self.oom_kills = self.oom_kills.max(kills);
            ended.push((session.key, session.finish(oom, &mut self.reactor)));
        }
        for (key, exited) in ended {
            // What follows an end is reported before it: then it is not the end of the worker.
            self.restart_ended(key);
            if let Some(exited) = exited {
                self.reactor.report(exited);
            }
            self.forget_old();
        }
    }

    /// Old ended sessions are forgotten; primary ones never.
    fn forget_old(&mut self) {
        let gone = |s: &Session| s.ended && !s.primary() && s.clients.is_empty();
        let mut over = self
            .sessions
            .values()
            .filter(|s| gone(s))
            .count()
            .saturating_sub(KEEP_ENDED);
        self.sessions.retain(|_, session| {
            let forget = over > 0 && gone(session);
            over -= usize::from(forget);
            !forget
        });
    }

    fn hooked(&mut self, key: u64) {
        let Some(hooks) = &mut self.hooks else {
            return;
        };
        let Some((message, uid)) = hooks.ready(key, &mut self.reactor) else {
            return;
        };
        let Some(sign) = message.sign() else {
            return;
        };
        let found = self
            .sessions
            .values_mut()
            .find(|s| s.id == message.session && !s.ended);
        // Another session's user must not speak for this one.
        if let Some(session) = found.filter(|s| s.uid == uid || uid == 0) {
            let (watched, now) = (session.watched(), self.reactor.now);
            let changed = session.tracker.hook(
                sign,
                &session.secrets.redact(&message.reason()),
                message.stamp,
                watched,
                now,
                unix_ms(),
            );
            session.report_activity(changed, &mut self.reactor);
        }
    }

    /// Sends what happened in this round.
    fn send_events(&mut self) {
        for event in std::mem::take(&mut self.reactor.events) {
            if self
                .control
                .send(&FromAgent::Event(event), &mut self.reactor)
            {
                self.coordinator_lost();
                return;
            }
        }
    }

    /// Sessions go on, and so do clients that have a socket of their own. Streams end: the
    /// coordinator's end of them is gone as well.
    pub(crate) fn coordinator_lost(&mut self) {
        for session in self.sessions.values_mut() {
            session.detach_relayed(&mut self.reactor);
        }
        // What nobody hears is in the next description.
        self.reactor.events.clear();
    }
}
