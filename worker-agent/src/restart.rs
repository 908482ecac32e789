//! Starting a worker's main session again.
//!
//! Owns: the order of it: the old program's end, its leftovers' end, then the same start under
//! another id. All of it happens here, so that a coordinator that dies in between finds a worker
//! that runs, and the session's environment never leaves the worker.

use crate::{
    agent::Agent,
    command::{prepare, refuse},
    reactor::SessionKey,
    session::Session,
};
use podbay_protocol::{AgentError, AgentEvent, ErrorCode, SessionIo, StartSession};
use std::time::Duration;

/// What follows a session's end.
#[derive(Debug)]
pub struct Again {
    /// The next session's id.
    pub next: String,
    /// The claim record it carries.
    pub claim: serde_json::Value,
}

impl Session {
    /// What it was started with, in a terminal of the size that it has now.
    pub(crate) fn started_as(&self) -> Option<StartSession> {
        let mut start = StartSession::clone(self.origin.as_deref()?);
        if let (SessionIo::Pty { size }, Some(now)) = (&mut start.io, self.size) {
            *size = now;
        }
        Some(start)
    }
}

impl Agent {
    /// Stops a session and takes note that it is to be started again.
    ///
    /// # Errors
    /// [`ErrorCode::NoSuchSession`], [`ErrorCode::Exists`] for the next id, [`ErrorCode::Invalid`]
    /// for a session that is not primary, has ended, or is being restarted already,
    /// [`ErrorCode::CommandNotFound`] where its program has gone.
    pub(crate) fn restart(
        &mut self,
        id: &str,
        again: Again,
        grace: Duration,
    ) -> Result<(), AgentError> {
        let session = self.session(id)?;
        let (key, primary, ended) = (session.key, session.primary, session.ended);
        let under_way = session.again.is_some();
        let invalid = |why: &str| Err(refuse(ErrorCode::Invalid, format!("session {id} {why}")));
        if !primary {
            return invalid("is not the worker's main session");
        }
        if ended {
            return invalid("has ended");
        }
        if under_way {
            return invalid("is being restarted already");
        }
        if self.session(&again.next).is_ok() {
            let message = format!("session {} exists already", again.next);
            return Err(refuse(ErrorCode::Exists, message));
        }
        // What cannot start again is not ended for it.
        if let Some(start) = self.sessions.get(&key).and_then(Session::started_as)
            && !prepare(&start, &[])?.is_there(&start)
        {
            let name = start.argv.first().map_or("", String::as_str);
            let message = format!("{name} is not in the worker any more; nothing was ended");
            return Err(refuse(ErrorCode::CommandNotFound, message));
        }
        if let Some(session) = self.sessions.get_mut(&key) {
            session.again = Some(again);
            session.stop(grace, &mut self.reactor);
            crate::failpoint!("agent.restart.stopped");
        }
        Ok(())
    }

    /// A session has ended; starts it again when that was asked for.
    pub(crate) fn start_again(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        let (Some(again), Some(mut start)) = (session.again.take(), session.started_as()) else {
            return;
        };
        session.origin = None;
        let old = session.id.clone();
        let next = again.next.clone();
        start.session = again.next;
        start.claim = Some(again.claim);
        crate::failpoint!("agent.restart.ended");
        let outcome = self.launch(start);
        crate::failpoint!("agent.restart.started");
        if outcome.is_ok()
            && let Some(session) = self.sessions.get_mut(&key)
        {
            session.primary = false;
            session.claim = None;
            if session.clients.is_empty() {
                session.last_screen.0 = Vec::new();
            }
        }
        self.reactor.tell(AgentEvent::Restarted {
            session: old,
            next,
            outcome,
        });
    }
}
