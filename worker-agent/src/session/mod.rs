//! One session: a program on a terminal or pipes, its screen, recording and clients.
//!
//! Owns: what is known about it. The start is in `start`, output and input in the files of that name,
//! clients in `clients`, the end in `termination`. It never waits: neither for a client nor for a process.

pub mod activity;
pub mod client;
mod clients;
pub(crate) mod handed;
mod input;
mod output;
mod screen_thread;
mod session_io;
pub mod start;
mod stdio;
mod suspension;
mod termination;

use self::{
    activity::ActivityTracker,
    client::{Client, link::Link},
    screen_thread::ScreenRecorder,
    session_io::ProgramIo,
};
use crate::{
    error::{refuse, system_error},
    event_loop::reactor::{ClientKey, Reactor, SessionKey, unix_ms},
    pty,
    recording::redact::SecretMatcher,
};
use podbay_protocol::{
    Activity, AgentError, AgentEvent, ErrorCode, ExitStatus, SessionInfo, SessionIo, Size,
    StartSession,
};
use std::time::{Duration, Instant};

/// Arguments, and bytes of each, in a description: it must fit into a frame.
const MAX_DESCRIBED_ARGUMENTS: usize = 16;
const MAX_DESCRIBED_BYTES: usize = 1024;

/// What follows a session's end.
#[derive(Debug)]
pub struct PendingRestart {
    /// The next session's id.
    pub next: String,
    /// Its claim record.
    pub claim: serde_json::Value,
}

/// A session besides the main one belongs to its clients: without one it has no use.
#[derive(Debug, Default)]
struct Abandonment {
    /// Since then it has had no client, or no coordinator through which one could come back.
    since: Option<Instant>,
    /// It will be looked at.
    timer: bool,
    /// The last client left on purpose: it goes on.
    kept: bool,
}

/// A session. Fields are shared with the files of this folder and with `agent` only.
#[derive(Debug)]
pub struct Session {
    pub(crate) key: SessionKey,
    pub(crate) id: String,
    argv: Vec<String>,
    pub(crate) primary: bool,
    pub(crate) claim: Option<serde_json::Value>,
    /// What a primary session was started with, its environment included: to start it again.
    pub(crate) start_spec: Option<Box<StartSession>>,
    pub(crate) pending_restart: Option<PendingRestart>,
    /// User the session runs as; its hooks must be this one's.
    pub(crate) uid: u32,
    pub(crate) pid: i32,
    started_ms: u64,
    io: ProgramIo,
    pub(crate) screen: ScreenRecorder,
    pub(crate) clients: Vec<Client>,
    writer: Option<ClientKey>,
    /// Whether its clients are gone, and since when.
    abandonment: Abandonment,
    /// The terminal's size; `None` for pipes.
    size: Option<Size>,
    /// The terminal shows another size for a moment, so that the program repaints.
    redrawing: bool,
    /// The writer that the coordinator knows.
    reported_writer: Option<ClientKey>,
    /// When the writer and its size were followed last, and whether they will be looked at again.
    writer_followed: Option<Instant>,
    follow_timer: bool,
    pub(crate) tracker: ActivityTracker,
    /// Taken out of what is reported and recorded.
    pub(crate) secrets: SecretMatcher,
    pub(crate) title: String,
    title_reported: (String, Option<Instant>),
    last_notice: Option<(String, Instant)>,
    output_bytes: u64,
    last_output: Instant,
    quiet_timer: bool,
    /// Something waits to be written to the recording.
    pub(crate) unwritten: bool,
    recording: Option<String>,
    /// How and when the program ended; its output may not be drained yet.
    pub(crate) exit: Option<(ExitStatus, Instant)>,
    /// The OOM killer struck one of its processes.
    oom: bool,
    /// Once told to stop: this long after the program's end clients may still take output.
    drain_deadline: Option<Duration>,
    /// What was left of the program was killed: its id may be another's by now.
    swept: bool,
    /// Drained and reported.
    pub(crate) ended: bool,
    /// Restore blob and text of the ended session.
    pub(crate) last_screen: (Vec<u8>, Vec<String>),
}

fn shorten(text: &str) -> String {
    if text.len() <= MAX_DESCRIBED_BYTES {
        text.to_owned()
    } else {
        text.chars().take(MAX_DESCRIBED_BYTES / 4).collect()
    }
}

/// Keeps a size within what terminals and the model can do.
fn clamp_size(size: Size) -> Size {
    Size {
        cols: size.cols.clamp(2, 2000),
        rows: size.rows.clamp(1, 1000),
    }
}

impl Session {
    /// What is known about it.
    #[must_use]
    pub fn info(&self) -> SessionInfo {
        SessionInfo {
            session: self.id.clone(),
            argv: self
                .argv
                .iter()
                .take(MAX_DESCRIBED_ARGUMENTS)
                .map(|a| shorten(a))
                .collect(),
            pid: self.pid,
            started_ms: self.started_ms,
            primary: self.primary,
            size: self.size,
            title: self.title.clone(),
            clients: u32::try_from(self.clients.len()).unwrap_or(u32::MAX),
            streams: self.handed_clients().map(|c| c.stream.clone()).collect(),
            activity: self.tracker.current().clone(),
            output_bytes: self.output_bytes,
            exit: self.exit.filter(|_| self.ended).map(|(status, _)| status),
            recording: self.recording.clone(),
            claim: self.claim.clone(),
        }
    }

    /// What it was started with, in a terminal of the size that it has now.
    pub(crate) fn current_start_spec(&self) -> Option<StartSession> {
        let mut start = StartSession::clone(self.start_spec.as_deref()?);
        if let (SessionIo::Pty { size }, Some(now)) = (&mut start.io, self.size) {
            *size = now;
        }
        Some(start)
    }

    /// Whether it is the worker's main session.
    #[must_use]
    pub fn primary(&self) -> bool {
        self.primary
    }

    /// The visible screen; of an ended session the last one.
    #[must_use]
    pub fn text(&self) -> Vec<String> {
        if self.ended {
            self.last_screen.1.clone()
        } else {
            self.screen.text()
        }
    }

    /// Sends a signal to the program's process group.
    ///
    /// # Errors
    /// [`ErrorCode::System`] with what the kernel says, [`ErrorCode::Invalid`] when it ended.
    pub fn signal(&self, signal: i32) -> Result<(), AgentError> {
        if self.exit.is_some() {
            return Err(refuse(
                ErrorCode::Invalid,
                format!("session {} has ended", self.id),
            ));
        }
        pty::kill(-self.pid, signal).map_err(|e| system_error(&format!("signal {signal}"), e))
    }

    /// Reports the activity when it changed.
    pub(crate) fn report_activity(&self, changed: bool, reactor: &mut Reactor) {
        if changed {
            let activity: Activity = self.tracker.current().clone();
            reactor.report(AgentEvent::Activity {
                session: self.id.clone(),
                activity,
            });
        }
    }

    /// Someone who may write is attached: people watch, previews do not count.
    pub(crate) fn watched(&self) -> bool {
        self.clients.iter().any(Client::may_write)
    }

    /// Clients that have, or wait for, sockets of their own.
    pub(crate) fn handed_clients(&self) -> impl Iterator<Item = &Client> {
        let handed = |c: &&Client| matches!(c.link, Link::Handed(_));
        self.clients.iter().filter(handed)
    }

    /// Someone looked at it.
    pub fn mark_seen(&mut self, reactor: &mut Reactor) {
        let changed = self.tracker.mark_seen(reactor.now, unix_ms());
        self.report_activity(changed, reactor);
    }
}
