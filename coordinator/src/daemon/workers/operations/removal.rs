//! The end of workers: their containers go, and what must not be lost is kept.
//!
//! Owns the records of finished sessions. Never removes a record before the container is gone.

use crate::daemon::{Daemon, blocking, detached, unix_ms};
use crate::{
    fleet::{Event, RemoveCause},
    model::WorkerId,
    store::{ClaimRecord, FinishedRecord},
    wire::{ApiError, ErrorKind, EventBody},
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// Finished sessions that are kept; those with unapplied changes do not count.
const KEPT_SESSIONS: usize = 200;
/// Removed workers that are remembered, for lists that were made before their removal.
const REMEMBERED: usize = 1024;
/// How long a removal waits for a container that is being recreated; then it is tried again.
const MOVE_DEADLINE: Duration = Duration::from_secs(30);

impl Daemon {
    pub(in crate::daemon) fn start_remove(self: &Arc<Self>, worker: WorkerId, cause: RemoveCause) {
        let daemon = self.clone();
        tokio::spawn(async move {
            if let Some(record) = daemon.lock().records.get_mut(&worker) {
                record.underway.begin_removal();
            }
            match daemon.remove(&worker, &cause).await {
                Ok(()) => daemon.feed(Event::Removed(worker.clone())),
                Err(reason) => {
                    daemon.feed(Event::RemoveFailed {
                        worker: worker.clone(),
                        reason,
                    });
                    daemon.keep_spared(&worker);
                }
            }
            daemon.wakes.news();
        });
    }

    /// The fleet may have decided that a worker stays that was to go.
    pub(in crate::daemon) fn keep_spared(&self, worker: &WorkerId) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let stays = state.fleet.worker(worker).is_some_and(|w| !w.leaves());
        if let Some(record) = state.records.get_mut(worker).filter(|_| stays) {
            record.underway.end_removal();
        }
    }

    async fn remove(
        self: &Arc<Self>,
        worker: &WorkerId,
        cause: &RemoveCause,
    ) -> Result<(), String> {
        self.await_move(worker).await?;
        let container = {
            let state = self.lock();
            state.records.get(worker).and_then(|r| r.container.clone())
        };
        let container = match (container, self.deployment.get()) {
            (None, Some(deployment)) => {
                let found = self
                    .outside
                    .engine
                    .find_worker(&deployment.own.name, worker.as_str());
                found.await.map_err(|error| {
                    self.engine_said(&error);
                    error.to_string()
                })?
            }
            (known, _) => known,
        };
        self.note_end(worker).await;
        podbay_failpoints::failpoint!("finish.noted");
        if let Some(container) = container
            && let Err(error) = self.outside.engine.remove(&container).await
        {
            self.engine_said(&error);
            return Err(error.to_string());
        }
        podbay_failpoints::failpoint!("finish.removed");
        self.registry.forget(worker);
        self.finalize(worker, cause).await;
        podbay_failpoints::failpoint!("finish.settled");
        Ok(())
    }

    /// Waits until nobody creates a container for the worker any more: one that is created after
    /// the removal would be left over, under a uid that another worker may have by then.
    async fn await_move(&self, worker: &WorkerId) -> Result<(), String> {
        let deadline = Instant::now() + MOVE_DEADLINE;
        let moved = || {
            let state = self.lock();
            let record = state.records.get(worker);
            record.is_none_or(|r| !r.underway.recreates()).then_some(())
        };
        let moved = self.wakes.until(deadline, moved).await;
        moved.ok_or_else(|| "its container is still being recreated".to_owned())
    }

    /// How the session ended, on disk before the container goes: nobody could tell afterwards, should
    /// the coordinator die in between.
    async fn note_end(&self, worker: &WorkerId) {
        let ended = {
            let state = self.lock();
            state.records.get(worker).and_then(|record| {
                let exit = record.session.exit?;
                let claim = record.claim.clone()?;
                Some(FinishedRecord {
                    exit: Some(exit),
                    oom: record.session.oom,
                    ended_ms: record.session.ended_ms.unwrap_or_else(unix_ms),
                    why: None,
                    unapplied: claim.may_have_changes(),
                    changes: record.changes,
                    claim,
                })
            })
        };
        let Some(ended) = ended else { return };
        let store = self.outside.store.clone();
        if let Err(error) = blocking(move || store.write_finished(&ended)).await {
            tracing::error!(%worker, %error, "the session's end is not on disk");
        }
    }

    /// What is left of a worker whose container is gone: its record and recording, its changes.
    pub(in crate::daemon) async fn finalize(
        self: &Arc<Self>,
        worker: &WorkerId,
        cause: &RemoveCause,
    ) {
        self.unguard(worker).await;
        let record = {
            let now = self.now();
            let mut state = self.lock();
            if state.gone.len() >= REMEMBERED {
                state.gone.pop_front();
            }
            state.gone.push_back((worker.clone(), now));
            let record = state.records.get(worker);
            record.map(|r| (r.claim.clone(), r.session.clone()))
        };
        let (claim, session) = record.unwrap_or_default();
        let claim = claim.or_else(|| self.outside.store.claim(worker));
        let claim = match claim {
            None => self.changed_without_record(worker).await,
            claim => claim,
        };
        let Some(claim) = claim else {
            self.lock().records.remove(worker);
            self.remove_folder(worker).await;
            let id = worker.to_string();
            self.bus.send(EventBody::Removed {
                name: format!("warm-{id}"),
                id,
            });
            return;
        };
        let why = match (session.exit, cause) {
            (Some(_), _) => None,
            (None, RemoveCause::Released) => Some("stopped".to_owned()),
            (None, RemoveCause::Drained) => Some("stopped with everything else".to_owned()),
            (None, RemoveCause::Unhealthy(reason)) => Some(reason.clone()),
            (None, other) => Some(format!("removed: {other:?}")),
        };
        let (unapplied, changes) = self.left_of(&claim).await;
        let finished = FinishedRecord {
            exit: session.exit,
            oom: session.oom,
            ended_ms: session.ended_ms.unwrap_or_else(unix_ms),
            why,
            unapplied,
            changes,
            claim,
        };
        podbay_failpoints::failpoint!("finish.reviewed");
        self.keep(finished).await;
        self.tell_worker(worker);
    }

    /// Writes a finished session's record as it is now, unless it was removed meanwhile.
    pub(in crate::daemon) async fn keep_changed(&self, id: &WorkerId) -> std::io::Result<()> {
        let _turn = self.finished_lock.lock().await;
        let Some(finished) = self.lock().finished.get(id).cloned() else {
            return Ok(());
        };
        let store = self.outside.store.clone();
        blocking(move || store.write_finished(&finished)).await
    }

    async fn keep(self: &Arc<Self>, finished: FinishedRecord) {
        let store = self.outside.store.clone();
        let written = finished.clone();
        let turn = self.finished_lock.lock().await;
        if let Err(error) = blocking(move || store.write_finished(&written)).await {
            tracing::error!(worker = %finished.claim.id, %error, "the session's record is not on disk");
        }
        let id = finished.claim.id.clone();
        {
            // In one step: in neither it would be nowhere, and whoever waits for its end would be
            // told that there is no such worker.
            let mut state = self.lock();
            state.records.remove(&id);
            state.finished.insert(id, finished);
        }
        drop(turn);
        let dropped = {
            let state = self.lock();
            let mut old: Vec<(u64, WorkerId)> = state
                .finished
                .values()
                .filter(|f| !f.unapplied)
                .map(|f| (f.ended_ms, f.claim.id.clone()))
                .collect();
            old.sort_unstable();
            let surplus = old.len().saturating_sub(KEPT_SESSIONS);
            old.into_iter()
                .take(surplus)
                .map(|(_, id)| id)
                .collect::<Vec<_>>()
        };
        for id in dropped {
            if let Err(error) = self.drop_finished(&id).await {
                tracing::warn!(worker = %id, %error, "an old session is left over");
            }
        }
    }

    pub(in crate::daemon) async fn drop_finished(
        self: &Arc<Self>,
        id: &WorkerId,
    ) -> std::io::Result<()> {
        self.lock().finished.remove(id);
        self.remove_folder(id).await;
        podbay_failpoints::failpoint!("drop.folder");
        let _turn = self.finished_lock.lock().await;
        let (store, id) = (self.outside.store.clone(), id.clone());
        blocking(move || store.remove_finished(&id)).await
    }

    /// Removes a worker and all that is kept of it.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] for live work or unapplied changes without `force`.
    pub async fn remove_worker(self: &Arc<Self>, name: &str, force: bool) -> Result<(), ApiError> {
        let id = self.find(name)?;
        let daemon = self.clone();
        // Half a removal would leave a folder that nothing knows: it goes on without its client.
        detached(async move { daemon.remove_id(id, force).await }).await
    }

    async fn remove_id(self: &Arc<Self>, id: WorkerId, force: bool) -> Result<(), ApiError> {
        let view = self.worker(id.as_str())?;
        if !force && view.exit.is_none() && view.state == crate::model::WorkerState::Running {
            return Err(ApiError::new(
                ErrorKind::Conflict,
                format!("{} is still running", view.name),
            )
            .hint(format!(
                "stop it first with `podbay stop {}`, or use --force",
                view.name
            )));
        }
        let name = view.name;
        if !force {
            // Also of one that is lost: what it changed is there all the same.
            self.refuse_unapplied(&id, &name).await?;
        }
        if self.lock().records.contains_key(&id) {
            self.stop_ids(vec![id.clone()], None).await?;
            if !force {
                // A recreation that was under way may have started its session since.
                self.refuse_unapplied(&id, &name).await?;
            }
        }
        self.drop_finished(&id).await.map_err(|e| {
            ApiError::new(
                ErrorKind::Internal,
                format!("cannot remove its record: {e}"),
            )
        })?;
        self.bus.send(EventBody::Removed {
            id: id.to_string(),
            name,
        });
        Ok(())
    }

    /// # Errors
    /// [`ErrorKind::Conflict`] where the worker has changes that were not applied.
    async fn refuse_unapplied(self: &Arc<Self>, id: &WorkerId, name: &str) -> Result<(), ApiError> {
        let possible = {
            let state = self.lock();
            let live = state.records.get(id).and_then(|r| r.claim.as_ref());
            live.is_some_and(ClaimRecord::may_have_changes)
                || state.finished.get(id).is_some_and(|f| f.unapplied)
        };
        if !possible || !self.has_changes(id).await {
            return Ok(());
        }
        let message = format!("{name} has changes that were not applied");
        Err(ApiError::new(ErrorKind::Conflict, message).hint(format!(
            "see `podbay diff {name}`; `podbay rm --force` drops them"
        )))
    }
}
