//! Where a claim's record is kept: on disk, with the worker's agent, and its name as the container's.
//!
//! Writes that fail are repeated, and until one succeeds the worker says so and nothing is applied to
//! its project: the next coordinator would have to take the project from elsewhere.

use crate::daemon::{Daemon, blocking, wakes::Task};
use crate::{
    model::WorkerId,
    wire::{ApiError, ErrorKind},
};
use podbay_protocol::ToAgentBody;
use std::{sync::Arc, time::Duration};

/// Between two tries: from the first to the longest.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const MAX_RETRY: Duration = Duration::from_secs(60);

impl Daemon {
    /// Writes the claim's record as it is now; what fails is tried again by [`Self::keep_writing`].
    pub(in crate::daemon) async fn write_claim(&self, id: &WorkerId) -> std::io::Result<()> {
        let following = {
            let state = self.lock();
            state.records.get(id).map(|r| r.following.clone())
        };
        let Some(following) = following else {
            return Ok(());
        };
        let _turn = following.lock().await;
        let claim = {
            let state = self.lock();
            state.records.get(id).and_then(|r| r.claim.clone())
        };
        let Some(claim) = claim else { return Ok(()) };
        let store = self.outside.store.clone();
        let written = blocking(move || store.write_claim(&claim)).await;
        let news = {
            let mut state = self.lock();
            state.records.get_mut(id).is_some_and(|record| {
                let error = written.as_ref().err().map(ToString::to_string);
                record.written = error.is_none();
                let news = record.write_error.is_some() != error.is_some();
                record.write_error = error;
                news
            })
        };
        if news {
            match &written {
                Ok(()) => tracing::info!(worker = %id, "the claim's record is on disk now"),
                Err(error) => {
                    tracing::error!(worker = %id, %error, "the claim's record is not on disk");
                }
            }
            self.tell_worker(id);
            self.wakes.wake(Task::Records);
        }
        written
    }

    /// Writes what could not be written, with a growing pause between the tries.
    pub(in crate::daemon) async fn keep_writing(self: Arc<Self>) {
        let mut pause = FIRST_RETRY;
        loop {
            let late: Vec<WorkerId> = {
                let state = self.lock();
                let late = state.records.values().filter(|r| r.write_error.is_some());
                late.map(|r| r.id.clone()).collect()
            };
            if late.is_empty() {
                pause = FIRST_RETRY;
                self.wakes.woken(Task::Records).await;
                continue;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(MAX_RETRY);
            for id in late {
                if let Err(error) = self.write_claim(&id).await {
                    tracing::debug!(worker = %id, %error, "the claim's record is still not on disk");
                }
            }
        }
    }

    /// The claim's record is on disk, or is written now.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`]: it cannot be written.
    pub(in crate::daemon) async fn on_record(&self, id: &WorkerId) -> Result<(), ApiError> {
        let waits = {
            let state = self.lock();
            state
                .records
                .get(id)
                .is_some_and(|r| r.claim.is_some() && !r.written)
        };
        if !waits {
            return Ok(());
        }
        self.write_claim(id).await.map_err(|error| {
            let message = format!("the claim's record is not on disk: {error}");
            ApiError::new(ErrorKind::Conflict, message).hint(
                "make room in the state volume; nothing is applied before the record is written",
            )
        })
    }

    /// Has the agent carry the claim's record as it is now.
    pub(in crate::daemon) async fn sync_claim(&self, id: &WorkerId) {
        let claim = {
            let state = self.lock();
            state.records.get(id).and_then(|r| r.claim.clone())
        };
        let Some(claim) = claim else { return };
        let carried = match self.claim_key.seal(&claim) {
            Ok(carried) => carried,
            Err(error) => {
                tracing::error!(worker = %id, %error, "the claim's record is no JSON");
                return;
            }
        };
        let body = ToAgentBody::UpdateClaim {
            session: claim.session,
            claim: carried,
        };
        // The record on disk comes first; an agent of an older version cannot do this.
        if let Err(error) = self.ask(id, body).await {
            tracing::debug!(worker = %id, %error, "the agent carries an older record");
        }
    }

    /// Names the container after its claim.
    pub(in crate::daemon) async fn name_container(&self, id: &WorkerId) {
        let following = {
            let state = self.lock();
            state.records.get(id).map(|r| r.following.clone())
        };
        let Some(following) = following else { return };
        let _turn = following.lock().await;
        let named = {
            let state = self.lock();
            let found = state.records.get(id).filter(|r| !r.underway.removes());
            found.and_then(|r| Some((r.container.clone()?, r.claim.as_ref()?.name.clone())))
        };
        let (Some((container, name)), Ok(deployment)) = (named, self.deployment()) else {
            return;
        };
        // A name space of their own: no worker's name is a helper's or a warm worker's.
        let name = format!("{}.w.{name}", deployment.own.name);
        if let Err(error) = self.outside.engine.rename(&container, &name).await
            && !error.is_gone()
        {
            tracing::debug!(worker = %id, %error, "the container keeps its former name");
        }
    }
}

/// For people, of a record that is not on disk.
pub(in crate::daemon) fn unwritten_words(error: &str) -> String {
    format!(
        "its claim's record is not on disk ({error}): it is tried again, and `podbay apply` is \
         refused until it is written"
    )
}
