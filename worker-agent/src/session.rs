//! One session: a program on a terminal or pipes, its screen, recording and clients.
//!
//! Owns: the start, and what is known about it. Output and input are in `flow`, clients in
//! `attach`, the end in `ending`. It never waits: neither for a client nor for a process.

use crate::{
    activity::Tracker,
    client::{Client, Dialer},
    command::{Prepared, refuse},
    ends::{Ends, ends, system},
    pty::{self, Exec},
    pump::{Pump, Watched},
    reactor::{ClientKey, Reactor, SessionKey, Source, Timer, unix_ms},
    recording::{self, Recorder},
    redact::Values,
    restart::Again,
    sink::Sink,
};
use nix::sys::eventfd::EventFd;
use podbay_protocol::{
    Activity, AgentError, AgentEvent, ErrorCode, ExitStatus, SessionInfo, SessionIo, Size,
    StartSession,
};
use std::{
    os::fd::AsFd,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// Lines of scrollback that a screen model keeps.
const SCROLLBACK: usize = 5000;
/// `oom_score_adj` of a session's processes: the kernel kills them before the agent.
const OOM_SCORE_ADJ: &[u8] = b"500";
/// Arguments, and bytes of each, in a description: it must fit into a frame.
const TOLD_ARGUMENTS: usize = 16;
const TOLD_BYTES: usize = 1024;

/// A session. Fields are shared with `flow`, `attach` and `ending` only.
#[derive(Debug)]
pub struct Session {
    pub(crate) key: SessionKey,
    pub(crate) id: String,
    argv: Vec<String>,
    pub(crate) primary: bool,
    pub(crate) claim: Option<serde_json::Value>,
    /// What a primary session was started with, its environment included: to start it again.
    pub(crate) origin: Option<Box<StartSession>>,
    /// What follows its end, when it is being restarted.
    pub(crate) again: Option<Again>,
    /// User the session runs as; its hooks must be this one's.
    pub(crate) uid: u32,
    pub(crate) pid: i32,
    started_ms: u64,
    pub(crate) pump: Pump,
    pub(crate) sink: Sink,
    pub(crate) clients: Vec<Client>,
    pub(crate) writer: Option<ClientKey>,
    /// The terminal's size; `None` for pipes.
    pub(crate) size: Option<Size>,
    /// The terminal shows another size for a moment, so that the program repaints.
    pub(crate) jiggling: bool,
    pub(crate) tracker: Tracker,
    /// Taken out of what is told and kept.
    pub(crate) secrets: Values,
    pub(crate) title: String,
    pub(crate) title_told: (String, Option<Instant>),
    pub(crate) noticed: Option<(String, Instant)>,
    pub(crate) output_bytes: u64,
    pub(crate) last_output: Instant,
    pub(crate) quiet_timer: bool,
    /// Something waits to be written to the recording.
    pub(crate) unwritten: bool,
    pub(crate) recording: Option<String>,
    /// How and when the program ended; its output may not be drained yet.
    pub(crate) exit: Option<(ExitStatus, Instant)>,
    /// Once told to stop: for so long after the program's end clients may still take output.
    pub(crate) patience: Option<Duration>,
    /// What was left of the program was killed: its id may be another's by now.
    pub(crate) swept: bool,
    /// Drained and reported.
    pub(crate) ended: bool,
    /// Restore blob and text of the ended session.
    pub(crate) last_screen: (Vec<u8>, Vec<String>),
}

/// What a session needs of the agent at its start.
#[derive(Debug)]
pub struct Surroundings<'a> {
    /// Folder of the recordings.
    pub log: &'a Path,
    /// Wakes the loop.
    pub wake: &'a Arc<EventFd>,
    /// How streams are dialled.
    pub dialer: &'a Dialer,
}

fn shorten(text: &str) -> String {
    if text.len() <= TOLD_BYTES {
        text.to_owned()
    } else {
        text.chars().take(TOLD_BYTES / 4).collect()
    }
}

/// Keeps a size within what terminals and the model can do.
#[must_use]
pub fn sane(size: Size) -> Size {
    Size {
        cols: size.cols.clamp(2, 2000),
        rows: size.rows.clamp(1, 1000),
    }
}

impl Session {
    /// Starts a session, its first client first: that is dialled, and its size set, before exec.
    ///
    /// # Errors
    /// What [`Prepared::explain`] says, or [`ErrorCode::System`].
    pub fn start(
        key: SessionKey,
        start: StartSession,
        prepared: &Prepared,
        around: &Surroundings<'_>,
        reactor: &mut Reactor,
    ) -> Result<Self, AgentError> {
        let first_size = start
            .attach
            .as_ref()
            .filter(|a| a.mode != podbay_protocol::AttachMode::ReadOnly);
        let size = match start.io {
            SessionIo::Pty { size } => Some(sane(first_size.and_then(|a| a.size).unwrap_or(size))),
            SessionIo::Pipes => None,
        };
        let origin = start.primary.then(|| {
            Box::new(StartSession {
                attach: None,
                ..start.clone()
            })
        });
        let ends = ends(&start, size)?;
        let client = match &start.attach {
            Some(attach) => Some(Self::dial_first(key, attach, around.dialer, reactor)?),
            None => None,
        };
        let stdio = match &ends {
            Ends::Terminal(pty) => [pty.slave.as_fd(), pty.slave.as_fd(), pty.slave.as_fd()],
            Ends::Pipes {
                child: [stdin, stdout, stderr],
                ..
            } => [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()],
        };
        let spawned = pty::spawn(&Exec {
            candidates: &prepared.candidates,
            argv: &prepared.argv,
            env: &prepared.env,
            cwd: Some(&prepared.cwd),
            stdio: Some(stdio),
            terminal: size.is_some(),
            session: true,
            identity: Some((start.uid, start.gid)),
            oom_score_adj: Some(OOM_SCORE_ADJ),
        });
        let pid = match spawned {
            Ok(pid) => pid.as_raw(),
            Err(error) => {
                if let Some(mut client) = client {
                    client.close(reactor);
                }
                return Err(prepared.explain(&start, error));
            }
        };
        let (now, started_ms) = (Instant::now(), unix_ms());
        let secrets = Values::of(&start);
        let pump = match ends {
            Ends::Terminal(pty) => Pump::Terminal {
                master: Watched::new(pty.master, Source::Terminal(key), true, reactor),
                slave: Some(pty.slave),
            },
            Ends::Pipes {
                own: [stdin, stdout, stderr],
                ..
            } => Pump::Pipes {
                stdin: Some(Watched::new(stdin, Source::Stdin(key), false, reactor)),
                input_ended: false,
                stdout: Some(Watched::new(stdout, Source::Stdout(key), true, reactor)),
                stderr: Some(Watched::new(stderr, Source::Stderr(key), true, reactor)),
            },
        };
        let recorder = start.record.then(|| {
            Recorder::new(
                around.log,
                &start.session,
                size.unwrap_or_default(),
                now,
                started_ms / 1000,
            )
            .without(&secrets)
        });
        if let Some(seconds) = start.timeout_s {
            reactor.after(Duration::from_secs(seconds), Timer::Timeout(key));
        }
        let writer = client.as_ref().filter(|c| c.may_write()).map(|c| c.key);
        Ok(Self {
            key,
            argv: start.argv,
            primary: start.primary,
            claim: start.claim,
            origin,
            again: None,
            uid: start.uid,
            pid,
            started_ms,
            pump,
            sink: Sink::new(
                size.map(|size| (size, SCROLLBACK)),
                recorder,
                Arc::clone(around.wake),
            ),
            clients: client.into_iter().collect(),
            writer,
            size,
            jiggling: false,
            tracker: Tracker::new(now, started_ms),
            secrets,
            title: String::new(),
            title_told: (String::new(), None),
            noticed: None,
            output_bytes: 0,
            last_output: now,
            quiet_timer: false,
            unwritten: start.record,
            recording: start.record.then(|| recording::file_name(&start.session)),
            id: start.session,
            exit: None,
            patience: None,
            swept: false,
            ended: false,
            last_screen: (Vec::new(), Vec::new()),
        })
    }

    /// What is known about it.
    #[must_use]
    pub fn info(&self) -> SessionInfo {
        SessionInfo {
            session: self.id.clone(),
            argv: self
                .argv
                .iter()
                .take(TOLD_ARGUMENTS)
                .map(|a| shorten(a))
                .collect(),
            pid: self.pid,
            started_ms: self.started_ms,
            primary: self.primary,
            size: self.size,
            title: self.title.clone(),
            clients: u32::try_from(self.clients.len()).unwrap_or(u32::MAX),
            activity: self.tracker.current().clone(),
            output_bytes: self.output_bytes,
            exit: self.exit.filter(|_| self.ended).map(|(status, _)| status),
            recording: self.recording.clone(),
            claim: self.claim.clone(),
        }
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
            self.sink.text()
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
        pty::kill(-self.pid, signal).map_err(|e| system(&format!("signal {signal}"), e))
    }

    /// Tells the activity when it changed.
    pub(crate) fn tell_activity(&self, changed: bool, reactor: &mut Reactor) {
        if changed {
            let activity: Activity = self.tracker.current().clone();
            reactor.tell(AgentEvent::Activity {
                session: self.id.clone(),
                activity,
            });
        }
    }

    /// Someone who may write is attached: people watch, previews do not count.
    pub(crate) fn watched(&self) -> bool {
        self.clients.iter().any(Client::may_write)
    }

    /// Someone looked at it.
    pub fn seen(&mut self, reactor: &mut Reactor) {
        let changed = self.tracker.seen(reactor.now, unix_ms());
        self.tell_activity(changed, reactor);
    }
}
