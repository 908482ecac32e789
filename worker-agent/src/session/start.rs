//! The start of a session.
//!
//! Owns: the order of it: descriptors, the first client, the program, then screen and recording. A
//! start that fails leaves nothing behind.

use super::{
    Abandonment, Session, activity::ActivityTracker, clamp_size, screen_thread::ScreenRecorder,
    session_io::ProgramIo, stdio::open_stdio,
};
use crate::{
    connection::dialer::Dialer,
    event_loop::reactor::{Reactor, SessionKey, Timer, unix_ms},
    process::command::Prepared,
    pty::{self, Exec},
    recording::{self, Recorder, redact::SecretMatcher},
};
use nix::sys::eventfd::EventFd;
use podbay_protocol::{AgentError, AttachMode, SessionIo, StartSession};
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// Lines of scrollback that a screen model keeps.
const SCROLLBACK: usize = 5000;
/// `oom_score_adj` of a session's processes: the kernel kills them before the agent.
const OOM_SCORE_ADJ: &[u8] = b"500";

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

impl Session {
    /// Starts a session, its first client first: that is dialled, and its size set, before exec.
    ///
    /// # Errors
    /// What [`Prepared::explain`] says, or [`podbay_protocol::ErrorCode::System`].
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
            .filter(|a| a.mode != AttachMode::ReadOnly)
            .and_then(|a| a.size);
        let size = match start.io {
            SessionIo::Pty { size } => Some(clamp_size(first_size.unwrap_or(size))),
            SessionIo::Pipes => None,
        };
        let start_spec = start.primary.then(|| {
            Box::new(StartSession {
                attach: None,
                ..start.clone()
            })
        });
        let stdio = open_stdio(&start, size)?;
        let client = match &start.attach {
            Some(attach) => Some(Self::dial_first(key, attach, around.dialer, reactor)?),
            None => None,
        };
        let spawned = pty::spawn(&Exec {
            candidates: &prepared.candidates,
            argv: &prepared.argv,
            env: &prepared.env,
            cwd: Some(&prepared.cwd),
            stdio: Some(stdio.child()),
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
        let secrets = SecretMatcher::for_session(&start);
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
            start_spec,
            pending_restart: None,
            uid: start.uid,
            pid,
            started_ms,
            io: ProgramIo::new(stdio, key, reactor),
            screen: ScreenRecorder::new(
                size.map(|size| (size, SCROLLBACK)),
                recorder,
                Arc::clone(around.wake),
            ),
            clients: client.into_iter().collect(),
            writer,
            abandonment: Abandonment::default(),
            size,
            redrawing: false,
            reported_writer: writer,
            writer_followed: None,
            follow_timer: false,
            tracker: ActivityTracker::new(now, started_ms),
            secrets,
            title: String::new(),
            title_reported: (String::new(), None),
            last_notice: None,
            output_bytes: 0,
            last_output: now,
            quiet_timer: false,
            unwritten: start.record,
            recording: start.record.then(|| recording::file_name(&start.session)),
            id: start.session,
            exit: None,
            oom: false,
            drain_deadline: None,
            swept: false,
            ended: false,
            last_screen: (Vec::new(), Vec::new()),
        })
    }
}
