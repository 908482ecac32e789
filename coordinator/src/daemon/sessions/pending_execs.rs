//! Exec sessions between their request and their client.

use crate::{
    model::WorkerId,
    wire::{ApiError, ErrorKind, ExecRequest},
};
use std::{collections::HashMap, time::Duration};
use tokio::time::Instant;

/// What the id of an exec session begins with.
pub(in crate::daemon) const EXEC_PREFIX: &str = "x-";
/// An exec whose client does not attach is forgotten after this.
const EXEC_DEADLINE: Duration = Duration::from_secs(10);
/// Exec sessions that wait for their client.
const EXECS: usize = 256;

/// Exec sessions that wait for their client.
#[derive(Debug, Default)]
pub(in crate::daemon) struct PendingExecs(HashMap<String, (WorkerId, ExecRequest, Instant)>);

impl PendingExecs {
    /// Takes one, until its client comes or too much time has passed.
    ///
    /// # Errors
    /// [`ErrorKind::Exhausted`] when too many wait.
    pub(super) fn add(
        &mut self,
        session: String,
        worker: WorkerId,
        request: ExecRequest,
    ) -> Result<(), ApiError> {
        self.0
            .retain(|_, (_, _, since)| since.elapsed() < EXEC_DEADLINE);
        if self.0.len() >= EXECS {
            return Err(ApiError::new(
                ErrorKind::Exhausted,
                "too many execs wait for their client",
            ));
        }
        self.0.insert(session, (worker, request, Instant::now()));
        Ok(())
    }

    /// Gives one to its client; `None` where it is none of this worker's.
    pub(super) fn take(&mut self, session: &str, worker: &WorkerId) -> Option<ExecRequest> {
        let (owner, request, _) = self.0.remove(session)?;
        (owner == *worker).then_some(request)
    }
}
