//! Starting a worker's main session again.
//!
//! Owns: the order of it: the old program's end, its leftovers' end, then the same start under
//! another id. The session's environment never leaves the worker.

use super::Agent;
use crate::{
    error::refuse,
    event_loop::reactor::SessionKey,
    process::command::prepare,
    session::{PendingRestart, Session},
};
use podbay_protocol::{AgentError, AgentEvent, ErrorCode};
use std::time::Duration;

impl Agent {
    /// Stops a session that is to be started again. All of a restart happens in the agent, so that a
    /// coordinator that dies in between finds a worker that runs.
    ///
    /// # Errors
    /// [`ErrorCode::NoSuchSession`], [`ErrorCode::Exists`] for the next id, [`ErrorCode::Invalid`]
    /// for a session that is not primary, has ended, or is being restarted already,
    /// [`ErrorCode::CommandNotFound`] where its program has gone.
    pub(crate) fn restart(
        &mut self,
        id: &str,
        restart: PendingRestart,
        grace: Duration,
    ) -> Result<(), AgentError> {
        let session = self.session(id)?;
        let (key, primary, ended) = (session.key, session.primary, session.ended);
        let under_way = session.pending_restart.is_some();
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
        if self.session(&restart.next).is_ok() {
            let message = format!("session {} exists already", restart.next);
            return Err(refuse(ErrorCode::Exists, message));
        }
        // What cannot start again is not ended for it.
        if let Some(start) = self
            .sessions
            .get(&key)
            .and_then(Session::current_start_spec)
            && !prepare(&start, &[])?.is_there(&start)
        {
            let name = start.argv.first().map_or("", String::as_str);
            let message = format!("{name} is not in the worker any more; nothing was ended");
            return Err(refuse(ErrorCode::CommandNotFound, message));
        }
        if let Some(session) = self.sessions.get_mut(&key) {
            session.pending_restart = Some(restart);
            session.stop(grace, &mut self.reactor);
            podbay_failpoints::failpoint!("agent.restart.stopped");
        }
        Ok(())
    }

    /// A session has ended; starts it again when that was asked for.
    pub(crate) fn restart_ended(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        let (Some(restart), Some(mut start)) =
            (session.pending_restart.take(), session.current_start_spec())
        else {
            return;
        };
        session.start_spec = None;
        let old = session.id.clone();
        let next = restart.next.clone();
        start.session = restart.next;
        start.claim = Some(restart.claim);
        podbay_failpoints::failpoint!("agent.restart.ended");
        let outcome = self.launch(start);
        podbay_failpoints::failpoint!("agent.restart.started");
        if outcome.is_ok()
            && let Some(session) = self.sessions.get_mut(&key)
        {
            session.primary = false;
            session.claim = None;
            if session.clients.is_empty() {
                session.last_screen.0 = Vec::new();
            }
        }
        self.reactor.report(AgentEvent::Restarted {
            session: old,
            next,
            outcome,
        });
    }
}
