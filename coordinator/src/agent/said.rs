//! What comes from a worker, and whom it may concern.
//!
//! Everything a worker's agent says is the word of whatever runs in that worker: a root session can
//! speak in the agent's name. So it is one type, made only by a connection that was authenticated
//! for the worker, and it gives its value out only together with that worker's own record, or to
//! who names that worker. What is said of a session counts only where the coordinator itself
//! started that session in that worker.

use super::request_error::AgentRequestError;
use crate::model::WorkerId;
use podbay_protocol::{AgentEvent, Description, Reply};
use std::collections::BTreeMap;

/// A worker's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FromWorker<T> {
    worker: WorkerId,
    value: T,
}

/// A worker's record, which knows what was started in the worker.
pub trait Sessions {
    /// Whether the coordinator started this session in this worker, or is about to.
    fn has_started(&self, session: &str) -> bool;
}

impl<T> FromWorker<T> {
    /// Only for the connection that `worker` authenticated.
    pub(super) fn new(worker: WorkerId, value: T) -> Self {
        Self { worker, value }
    }

    /// Whose word it is.
    #[must_use]
    pub fn worker(&self) -> &WorkerId {
        &self.worker
    }

    /// The worker's own record with what is said; `None` where there is no record of it.
    pub fn own<R>(self, records: &mut BTreeMap<WorkerId, R>) -> Option<(&mut R, T)> {
        Some((records.get_mut(&self.worker)?, self.value))
    }

    /// What is said, where it is the word of this worker.
    ///
    /// # Errors
    /// [`AgentRequestError::Gone`]: it is another worker's.
    pub fn of(self, worker: &WorkerId) -> Result<T, AgentRequestError> {
        if self.worker == *worker {
            Ok(self.value)
        } else {
            Err(AgentRequestError::Gone)
        }
    }
}

impl FromWorker<Reply> {
    /// The answer to `Describe`.
    ///
    /// # Errors
    /// Which other answer it is.
    pub fn described(self) -> Result<FromWorker<Description>, &'static str> {
        match self.value {
            Reply::Described(description) => Ok(FromWorker::new(self.worker, *description)),
            other => Err(other.kind()),
        }
    }
}

impl FromWorker<AgentEvent> {
    /// The worker's own record with what is said of one of its sessions; `None` where the session
    /// is none that the coordinator started in this worker.
    pub fn resolve<R: Sessions>(
        self,
        records: &mut BTreeMap<WorkerId, R>,
    ) -> Option<(&mut R, AgentEvent)> {
        let (record, event) = self.own(records)?;
        record
            .has_started(session_of(&event))
            .then_some((record, event))
    }
}

/// The session that an event is about.
fn session_of(event: &AgentEvent) -> &str {
    match event {
        AgentEvent::Exited { session, .. }
        | AgentEvent::Restarted { session, .. }
        | AgentEvent::Activity { session, .. }
        | AgentEvent::Title { session, .. }
        | AgentEvent::Notification { session, .. }
        | AgentEvent::Detached { session, .. }
        | AgentEvent::Writer { session, .. }
        | AgentEvent::Resized { session, .. }
        | AgentEvent::ScreenRebuilt { session, .. } => session,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Started(&'static str);

    impl Sessions for Started {
        fn has_started(&self, session: &str) -> bool {
            self.0 == session
        }
    }

    fn records() -> (BTreeMap<WorkerId, Started>, WorkerId, WorkerId) {
        let (a, b) = (WorkerId::from_bits(1), WorkerId::from_bits(2));
        let records = BTreeMap::from([(a.clone(), Started("of-a")), (b.clone(), Started("of-b"))]);
        (records, a, b)
    }

    fn title(worker: &WorkerId, session: &str) -> FromWorker<AgentEvent> {
        let event = AgentEvent::Title {
            session: session.to_owned(),
            title: "t".to_owned(),
        };
        FromWorker::new(worker.clone(), event)
    }

    #[test]
    fn a_word_reaches_its_own_workers_sessions_and_nothing_else() {
        let (mut records, a, b) = records();
        let (record, _) = title(&a, "of-a").resolve(&mut records).unwrap();
        assert_eq!(record.0, "of-a");
        assert!(title(&a, "of-b").resolve(&mut records).is_none());
        assert!(title(&a, "").resolve(&mut records).is_none());
        assert!(title(&b, "of-a").resolve(&mut records).is_none());
        let gone = WorkerId::from_bits(3);
        assert!(title(&gone, "of-a").resolve(&mut records).is_none());
    }

    #[test]
    fn an_answer_is_given_to_who_asked_that_worker() {
        let (_, a, b) = records();
        assert_eq!(FromWorker::new(a.clone(), 7).of(&a), Ok(7));
        assert_eq!(FromWorker::new(a, 7).of(&b), Err(AgentRequestError::Gone));
    }
}
