//! The event loop's parts: readiness, deadlines and what is to be reported to the coordinator.
//!
//! Owns: the epoll descriptor, which source a readiness is for, and the timers. It knows nothing
//! about sessions beyond their keys.

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use podbay_protocol::AgentEvent;
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    os::fd::AsFd,
    time::{Duration, Instant, UNIX_EPOCH},
};

/// A session's key inside this agent; never used again after the session is forgotten.
pub type SessionKey = u64;
/// A client's key inside this agent; likewise.
pub type ClientKey = u64;

/// Which of a client's two connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Input and output.
    Main,
    /// stderr of a session on pipes.
    Error,
}

/// What a readiness is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The signalfd.
    Signals,
    /// A parser thread has news.
    Wake,
    /// The control connection.
    Control,
    /// The socket for hooks.
    HookListener,
    /// One hook's connection.
    Hook(u64),
    /// A session's terminal.
    Terminal(SessionKey),
    /// A session's stdin pipe.
    Stdin(SessionKey),
    /// A session's stdout pipe.
    Stdout(SessionKey),
    /// A session's stderr pipe.
    Stderr(SessionKey),
    /// A client's connection.
    Client(SessionKey, ClientKey, Lane),
}

/// What a deadline is about. Deadlines are never cancelled: who is called looks whether it still
/// matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// Dial the coordinator.
    Redial,
    /// The coordinator did not answer the greeting of this dial.
    Welcome(u64),
    /// Dial a client's connection again.
    Dial(SessionKey, ClientKey, Lane),
    /// A client's own socket should have come.
    Socket(SessionKey, ClientKey),
    /// Give the terminal its writer's size, and report the writer.
    FollowWriter(SessionKey),
    /// Look whether the session is quiet.
    Quiet(SessionKey),
    /// Give the terminal its true size again.
    RestoreSize(SessionKey),
    /// Look whether the ended session's output is drained.
    Drain(SessionKey),
    /// Send a stopped session's shell its hang-up again.
    HangUp(SessionKey),
    /// The grace of a stop is over.
    Kill(SessionKey),
    /// The session's time is up.
    Timeout(SessionKey),
    /// Look whether the session's last client has come back.
    Abandoned(SessionKey),
    /// A client of an ended session had its time to read.
    Linger(SessionKey, ClientKey),
    /// Accept hooks again.
    HookListener,
    /// A hook's connection had its time.
    Hook(u64),
    /// The next step of the agent's own stop.
    Stop,
}

/// A registered descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registration {
    token: u64,
    flags: EpollFlags,
}

/// The loop's parts.
#[derive(Debug)]
pub struct Reactor {
    epoll: Epoll,
    sources: HashMap<u64, Source>,
    next: u64,
    timers: BinaryHeap<Reverse<(Instant, Timer)>>,
    /// News for the coordinator, in order; sent or dropped at the end of each round.
    pub events: Vec<AgentEvent>,
    /// The time of this round.
    pub now: Instant,
}

impl Reactor {
    /// An empty loop.
    ///
    /// # Errors
    /// The system's error.
    pub fn new() -> nix::Result<Self> {
        Ok(Self {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            sources: HashMap::new(),
            next: 1,
            timers: BinaryHeap::new(),
            events: Vec::new(),
            now: Instant::now(),
        })
    }

    /// A number that was not given out before.
    pub fn fresh_key(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Watches a descriptor.
    ///
    /// # Errors
    /// The system's error.
    pub fn add(
        &mut self,
        fd: &impl AsFd,
        source: Source,
        flags: EpollFlags,
    ) -> nix::Result<Registration> {
        let token = self.fresh_key();
        self.epoll.add(fd.as_fd(), EpollEvent::new(flags, token))?;
        self.sources.insert(token, source);
        Ok(Registration { token, flags })
    }

    /// Changes what is watched for; no system call when it is the same.
    pub fn interest(&self, fd: &impl AsFd, registration: &mut Registration, flags: EpollFlags) {
        if registration.flags == flags {
            return;
        }
        let mut event = EpollEvent::new(flags, registration.token);
        if self.epoll.modify(fd.as_fd(), &mut event).is_ok() {
            registration.flags = flags;
        }
    }

    /// Stops watching; readiness already collected for it is dropped.
    pub fn remove(&mut self, fd: &impl AsFd, registration: Registration) {
        self.sources.remove(&registration.token);
        self.epoll.delete(fd.as_fd()).ok();
    }

    /// Waits for readiness, the next deadline, or `max`. Gives tokens for [`Self::source`].
    pub fn wait(&mut self, max: Option<Duration>, ready: &mut Vec<(u64, EpollFlags)>) {
        ready.clear();
        let due = self
            .timers
            .peek()
            .map(|Reverse((at, _))| at.saturating_duration_since(Instant::now()));
        let wait = match (due, max) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let timeout = wait.map_or(EpollTimeout::NONE, |wait| {
            // Rounded up, or the last part of a millisecond would be spent spinning.
            let ms = wait.as_nanos().div_ceil(1_000_000).min(60_000);
            EpollTimeout::from(u16::try_from(ms).unwrap_or(u16::MAX))
        });
        let mut events = [EpollEvent::empty(); 64];
        let count = self.epoll.wait(&mut events, timeout).unwrap_or(0);
        self.now = Instant::now();
        ready.extend(events.iter().take(count).map(|e| (e.data(), e.events())));
    }

    /// What a token stands for; `None` when it is not watched any more.
    #[must_use]
    pub fn source(&self, token: u64) -> Option<Source> {
        self.sources.get(&token).copied()
    }

    /// Sets a deadline. One beyond the clock's end is never due, so it is not kept.
    pub fn after(&mut self, wait: Duration, timer: Timer) {
        if let Some(at) = self.now.checked_add(wait) {
            self.timers.push(Reverse((at, timer)));
        }
    }

    /// The next deadline that has passed.
    pub fn due(&mut self) -> Option<Timer> {
        let Reverse((at, timer)) = self.timers.peek()?;
        let (at, timer) = (*at, *timer);
        if at > self.now {
            return None;
        }
        self.timers.pop();
        Some(timer)
    }

    /// Reports something to the coordinator, if it is there.
    pub fn report(&mut self, mut event: AgentEvent) {
        event.bound();
        self.events.push(event);
    }
}

/// Milliseconds since 1970, to be shown; never for intervals.
#[must_use]
pub fn unix_ms() -> u64 {
    let since = podbay_failpoints::wall_clock()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_beyond_the_end_of_time_is_no_panic_and_never_due() {
        let mut reactor = Reactor::new().unwrap();
        for wait in [Duration::MAX, Duration::from_secs(u64::MAX)] {
            reactor.after(wait, Timer::Redial);
        }
        assert_eq!(reactor.due(), None);
        reactor.after(Duration::ZERO, Timer::Stop);
        assert_eq!(reactor.due(), Some(Timer::Stop));
    }
}
