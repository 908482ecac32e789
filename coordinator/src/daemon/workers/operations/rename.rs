//! Names of workers that are claimed: who has which, and another name.
//!
//! A name is in use from the claim's registration on. Never gives one name to two workers.

use crate::daemon::{Daemon, State, detached};
use crate::{
    fleet::Event,
    model::{WorkerId, WorkerName, WorkerState},
    wire::{ApiError, ErrorKind, WorkerView},
};
use std::sync::Arc;

impl State {
    /// Whether a worker has a name, or is being looked for under it, or left changes under it.
    pub(in crate::daemon) fn name_taken(&self, name: &WorkerName) -> bool {
        self.fleet.name_taken(name).is_some()
            || self.waiting.values().any(|w| w.name == *name)
            || self
                .finished
                .values()
                .any(|f| f.claim.name == *name && f.unapplied)
    }
}

impl Daemon {
    /// Gives a worker another name; it is on disk when this returns.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for what is no name, [`ErrorKind::Conflict`] for one in use or a
    /// worker that has none of its own, [`ErrorKind::NotFound`].
    pub async fn rename_worker(
        self: &Arc<Self>,
        name: &str,
        new_name: &str,
    ) -> Result<WorkerView, ApiError> {
        let new_name = WorkerName::new(new_name)
            .map_err(|e| ApiError::new(ErrorKind::Invalid, e.to_string()))?;
        let id = self.find(name)?;
        let daemon = self.clone();
        detached(async move { daemon.rename_id(&id, new_name).await }).await
    }

    async fn rename_id(
        self: &Arc<Self>,
        id: &WorkerId,
        name: WorkerName,
    ) -> Result<WorkerView, ApiError> {
        let live = self.lock().records.contains_key(id);
        let kept = if live {
            self.rename_live(id, name)?;
            podbay_failpoints::failpoint!("rename.noted");
            self.write_claim(id).await
        } else {
            self.rename_finished(id, name).await?
        };
        self.tell_worker(id);
        kept.map_err(|e| {
            ApiError::new(
                ErrorKind::Internal,
                format!("it has its new name, but that is not on disk: {e}"),
            )
            .hint("make room in the state volume and rename it again")
        })?;
        podbay_failpoints::failpoint!("rename.written");
        if live {
            let (daemon, id) = (self.clone(), id.clone());
            tokio::spawn(async move {
                daemon.sync_claim(&id).await;
                daemon.name_container(&id).await;
            });
        }
        self.worker(id.as_str())
    }

    fn rename_live(self: &Arc<Self>, id: &WorkerId, name: WorkerName) -> Result<(), ApiError> {
        let now = self.now();
        let actions = {
            let mut guard = self.lock();
            let state = &mut *guard;
            let found = state.fleet.worker(id).map(|entry| entry.state);
            let record = state.records.get(id).filter(|r| !r.underway.removes());
            let claim = record.and_then(|r| r.claim.as_ref());
            let settled = matches!(
                found,
                Some(WorkerState::Running | WorkerState::Exited | WorkerState::Lost)
            );
            let Some(claim) = claim.filter(|_| settled) else {
                let what = found.map_or("being removed", WorkerState::as_str);
                return Err(ApiError::new(
                    ErrorKind::Conflict,
                    format!("a worker that is {what} has no name to change"),
                )
                .hint("only claimed workers have names; `podbay ls` shows them"));
            };
            if claim.name == name {
                return Ok(());
            }
            check_free(state, &name)?;
            let actions = state.fleet.apply(
                now,
                Event::Rename {
                    worker: id.clone(),
                    name: name.clone(),
                },
            );
            if let Some(claim) = state.records.get_mut(id).and_then(|r| r.claim.as_mut()) {
                claim.name = name;
            }
            actions
        };
        for action in actions {
            self.execute(action);
        }
        Ok(())
    }

    async fn rename_finished(
        &self,
        id: &WorkerId,
        name: WorkerName,
    ) -> Result<std::io::Result<()>, ApiError> {
        {
            let mut state = self.lock();
            if state.finished.get(id).is_some_and(|f| f.claim.name != name) {
                check_free(&state, &name)?;
            }
            let Some(finished) = state.finished.get_mut(id) else {
                return Err(ApiError::new(
                    ErrorKind::NotFound,
                    format!("no worker {id}"),
                ));
            };
            finished.claim.name = name;
        }
        Ok(self.keep_changed(id).await)
    }
}

fn check_free(state: &State, name: &WorkerName) -> Result<(), ApiError> {
    if state.name_taken(name) {
        return Err(
            ApiError::new(ErrorKind::Conflict, format!("the name {name} is in use"))
                .hint("choose another name; `podbay ls -a` shows the ones in use"),
        );
    }
    Ok(())
}
