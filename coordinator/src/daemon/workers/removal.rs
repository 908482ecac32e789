//! The end of workers: stopping, removing, and keeping what must not be lost.

use crate::daemon::{
    Daemon, blocking, unix_ms,
    workers::unproven::{self, Known, unproven_error},
};
use crate::{
    fleet::{Event, RemoveCause},
    model::{Isolation, WorkerId},
    runtime::Helper,
    store::{ClaimRecord, FinishedRecord},
    wire::{ApiError, ChangeCount, ErrorKind, EventBody},
    workspace::ReviewTarget,
};
use podbay_protocol::ToAgentBody;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// Finished sessions that are kept; those with unapplied changes do not count.
const KEPT_SESSIONS: usize = 200;
/// Removed workers that are remembered, for lists that were made before their removal.
const REMEMBERED: usize = 1024;
/// From the end of the grace to the container's end.
const REMOVAL_DEADLINE: Duration = Duration::from_secs(60);
/// How long the end of a worker waits to be told what it changed.
const LOOK_TIME: Duration = Duration::from_secs(15);
/// How long a removal waits for a container that is being recreated; then it is tried again.
const MOVE_DEADLINE: Duration = Duration::from_secs(30);
/// How long a session may take from TERM's grace to its end's report.
const REPORT_SLACK: Duration = Duration::from_millis(500);

impl Daemon {
    pub(in crate::daemon) fn start_remove(self: &Arc<Self>, worker: WorkerId, cause: RemoveCause) {
        let daemon = self.clone();
        tokio::spawn(async move {
            if let Some(record) = daemon.lock().records.get_mut(&worker) {
                record.removing = true;
            }
            match daemon.remove(&worker, &cause).await {
                Ok(()) => daemon.feed(Event::Removed(worker.clone())),
                Err(reason) => daemon.feed(Event::RemoveFailed {
                    worker: worker.clone(),
                    reason,
                }),
            }
            daemon.ended.notify_waiters();
        });
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
        let container = match (container, self.site.get()) {
            (None, Some(site)) => {
                let found = self.outside.engine.find_worker(&site.own.name, worker.as_str());
                found.await.map_err(|error| {
                    self.engine_said(&error);
                    error.to_string()
                })?
            }
            (known, _) => known,
        };
        self.note_end(worker).await;
        worker_agent::failpoint!("finish.noted");
        if let Some(container) = container
            && let Err(error) = self.outside.engine.remove(&container).await
        {
            self.engine_said(&error);
            return Err(error.to_string());
        }
        worker_agent::failpoint!("finish.removed");
        self.hub.forget(worker);
        self.settle(worker, cause).await;
        worker_agent::failpoint!("finish.settled");
        Ok(())
    }

    /// Waits until nobody creates a container for the worker any more: one that is created after
    /// the removal would be left over, under a uid that another worker may have by then.
    async fn await_move(&self, worker: &WorkerId) -> Result<(), String> {
        let deadline = Instant::now() + MOVE_DEADLINE;
        loop {
            let news = self.ended.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            if self.lock().records.get(worker).is_none_or(|r| !r.rehoming) {
                return Ok(());
            }
            if tokio::time::timeout_at(deadline, news).await.is_err() {
                return Err("its container is still being recreated".to_owned());
            }
        }
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
    pub(in crate::daemon) async fn settle(self: &Arc<Self>, worker: &WorkerId, cause: &RemoveCause) {
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
        let record_known = record.is_some();
        let (claim, session) = record.unwrap_or_default();
        let claim = claim.or_else(|| self.outside.store.claim(worker));
        let claim = match claim {
            None if !record_known => self.changed_without_record(worker).await,
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
        worker_agent::failpoint!("finish.reviewed");
        self.keep(finished).await;
        self.tell_worker(worker);
    }

    /// Writes a finished session's record as it is now, unless it was removed meanwhile.
    pub(in crate::daemon) async fn keep_changed(&self, id: &WorkerId) -> std::io::Result<()> {
        let _turn = self.keeping.lock().await;
        let Some(finished) = self.lock().finished.get(id).cloned() else {
            return Ok(());
        };
        let store = self.outside.store.clone();
        blocking(move || store.write_finished(&finished)).await
    }

    async fn keep(self: &Arc<Self>, finished: FinishedRecord) {
        let store = self.outside.store.clone();
        let written = finished.clone();
        let turn = self.keeping.lock().await;
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

    pub(in crate::daemon) async fn drop_finished(self: &Arc<Self>, id: &WorkerId) -> std::io::Result<()> {
        self.lock().finished.remove(id);
        self.remove_folder(id).await;
        worker_agent::failpoint!("drop.folder");
        let _turn = self.keeping.lock().await;
        let (store, id) = (self.outside.store.clone(), id.clone());
        blocking(move || store.remove_finished(&id)).await
    }

    /// Stops workers: TERM to their sessions, KILL after the grace, then the containers go.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] naming what did not go.
    pub(in crate::daemon) async fn stop_ids(
        self: &Arc<Self>,
        workers: Vec<WorkerId>,
        grace_ms: Option<u64>,
    ) -> Result<(), ApiError> {
        let mut stopping = Vec::new();
        for worker in workers.clone() {
            let daemon = self.clone();
            stopping.push(tokio::spawn(async move {
                daemon.end_session(&worker, grace_ms).await
            }));
        }
        for task in stopping {
            if let Err(error) = task.await {
                tracing::error!(%error, "stopping a session failed");
            }
        }
        worker_agent::failpoint!("stop.ended");
        for worker in &workers {
            self.feed(Event::Remove(worker.clone()));
        }
        let deadline = Instant::now() + REMOVAL_DEADLINE;
        loop {
            let news = self.ended.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            let left: Vec<String> = {
                let state = self.lock();
                let there = workers.iter().filter(|w| state.records.contains_key(*w));
                there.map(ToString::to_string).collect()
            };
            if left.is_empty() {
                return Ok(());
            }
            if tokio::time::timeout_at(deadline, news).await.is_err() {
                return Err(ApiError::new(
                    ErrorKind::Timeout,
                    format!(
                        "still there after {REMOVAL_DEADLINE:?}: {}",
                        left.join(", ")
                    ),
                )
                .hint("`podbay doctor` checks the engine; the removal is tried again"));
            }
        }
    }

    /// The time between TERM and KILL: as asked for, or the profile's.
    pub(in crate::daemon) fn grace(&self, profile: &str, asked_ms: Option<u64>) -> Duration {
        let config = self.config();
        let default = config.profiles.get(profile).map(|p| p.stop_grace);
        let asked = asked_ms.map(Duration::from_millis);
        asked.or(default).unwrap_or_default()
    }

    /// TERM, grace, KILL to the main session; returns when it ended or cannot be asked.
    pub(in crate::daemon) async fn end_session(self: &Arc<Self>, worker: &WorkerId, grace_ms: Option<u64>) {
        self.let_go(worker).await;
        let (session, grace) = {
            let mut state = self.lock();
            let Some(record) = state.records.get_mut(worker) else {
                return;
            };
            // A stop calls a restart off.
            record.restarting = None;
            let Some(session) = record.session_id() else {
                return;
            };
            if record.session.exit.is_some() {
                return;
            }
            (session.to_owned(), self.grace(&record.profile, grace_ms))
        };
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        let body = ToAgentBody::Stop {
            session: session.clone(),
            grace_ms,
        };
        if let Err(error) = self.ask(worker, body).await {
            tracing::debug!(%worker, %error, "cannot stop the session softly");
            return;
        }
        let deadline = Instant::now() + grace + REPORT_SLACK;
        loop {
            let news = self.ended.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            if self.lock().exits.get(worker, &session).is_some()
                || tokio::time::timeout_at(deadline, news).await.is_err()
            {
                return;
            }
        }
    }

    /// Stops every claimed worker and says their names.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] naming what did not go.
    pub async fn stop_all(
        self: &Arc<Self>,
        grace_ms: Option<u64>,
    ) -> Result<Vec<String>, ApiError> {
        crate::daemon::claims::resolve::check_grace(grace_ms)?;
        let claimed: Vec<(WorkerId, String)> = {
            let state = self.lock();
            let records = state.records.values().filter(|r| !r.removing);
            records
                .filter_map(|r| r.claim.as_ref().map(|c| (r.id.clone(), c.name.to_string())))
                .collect()
        };
        let (ids, names) = claimed.into_iter().unzip();
        self.stop_ids(ids, grace_ms).await?;
        Ok(names)
    }

    /// Removes a worker and all that is kept of it.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] for live work or unapplied changes without `force`.
    pub async fn remove_worker(self: &Arc<Self>, name: &str, force: bool) -> Result<(), ApiError> {
        let id = self.find(name)?;
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
        if !force && view.unapplied && self.has_changes(&id).await {
            return Err(ApiError::new(
                ErrorKind::Conflict,
                format!("{} has changes that were not applied", view.name),
            )
            .hint(format!(
                "see `podbay diff {}`; `podbay rm --force` drops them",
                view.name
            )));
        }
        if self.lock().records.contains_key(&id) {
            self.stop_ids(vec![id.clone()], None).await?;
        }
        self.drop_finished(&id).await.map_err(|e| {
            ApiError::new(
                ErrorKind::Internal,
                format!("cannot remove its record: {e}"),
            )
        })?;
        self.bus.send(EventBody::Removed {
            id: id.to_string(),
            name: view.name,
        });
        Ok(())
    }

    /// Whether a worker has changes; when that cannot be told, it may.
    pub(in crate::daemon) async fn has_changes(&self, id: &WorkerId) -> bool {
        let Some(claim) = self.claim_of(id) else {
            return false;
        };
        if claim.unproven.is_some() {
            return true;
        }
        match self.target(&claim) {
            Some(target) => self.outside.mounter.any_changes(target).await.unwrap_or(true),
            None => false,
        }
    }

    /// Whether a worker that ends leaves changes, and how much it changed where that can be counted.
    async fn left_of(&self, claim: &ClaimRecord) -> (bool, Option<ChangeCount>) {
        if claim.unproven.is_some() {
            return (claim.may_have_changes(), None);
        }
        let Some(target) = self.target(claim) else {
            return (false, None);
        };
        let worker = &claim.id;
        let any = self.outside.mounter.any_changes(target.clone());
        match tokio::time::timeout(LOOK_TIME, any).await {
            Ok(Ok(false)) => (false, Some(ChangeCount::default())),
            Ok(Ok(true)) => {
                let count = self.counted(worker, target);
                let count = tokio::time::timeout(LOOK_TIME, count).await;
                (true, count.ok().flatten())
            }
            Ok(Err(error)) => {
                tracing::warn!(%worker, %error, "cannot tell whether there are changes: they are kept");
                (true, None)
            }
            Err(_) => {
                tracing::warn!(%worker, "looking for changes takes long: they are kept");
                (true, None)
            }
        }
    }

    pub(in crate::daemon) fn claim_of(&self, id: &WorkerId) -> Option<ClaimRecord> {
        let state = self.lock();
        let live = state.records.get(id).and_then(|r| r.claim.clone());
        live.or_else(|| state.finished.get(id).map(|f| f.claim.clone()))
    }

    /// The claim of a worker of which nothing is left but its folder, where the mounter noted an
    /// overlay and there are changes in it.
    async fn changed_without_record(&self, worker: &WorkerId) -> Option<ClaimRecord> {
        let facts = self.outside.store.mount_facts(worker)?;
        let mut claim = unproven::claim_of(worker, Known::default(), Some(facts))?;
        claim.session = worker.to_string();
        let target = self.target(&claim)?;
        // Whether there are any cannot be told: they are kept.
        let any = self.outside.mounter.any_changes(target).await.unwrap_or(true);
        any.then_some(claim)
    }

    /// What to review of a worker, and its id.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when it is not copy-on-write.
    pub(crate) fn review_target(&self, name: &str) -> Result<(WorkerId, ReviewTarget), ApiError> {
        let id = self.find(name)?;
        let claim = self.claim_of(&id).ok_or_else(|| {
            ApiError::new(
                ErrorKind::Conflict,
                "the worker is not claimed: it has no project",
            )
        })?;
        if claim.unproven.is_some() {
            return Err(unproven_error(claim.name.as_str(), claim.unproven));
        }
        let target = self.target(&claim).ok_or_else(|| {
            ApiError::new(
                ErrorKind::Conflict,
                format!(
                    "{} has isolation {}: nothing to review",
                    claim.name,
                    claim.isolation.as_str()
                ),
            )
            .hint("only workers spawned with --isolation overlay are reviewed")
        })?;
        Ok((id, target))
    }

    /// What to apply of a worker, and its id; the claim's record is on disk then.
    ///
    /// # Errors
    /// As [`Self::review_target`]; [`ErrorKind::Conflict`] when the record cannot be written.
    pub(crate) async fn apply_target(
        &self,
        name: &str,
    ) -> Result<(WorkerId, ReviewTarget), ApiError> {
        let (id, target) = self.review_target(name)?;
        self.on_record(&id).await?;
        Ok((id, target))
    }

    /// What the mounter has to know to review a claim's changes; `None` when there are none to
    /// review by its nature.
    pub(in crate::daemon) fn target(&self, claim: &ClaimRecord) -> Option<ReviewTarget> {
        if claim.isolation != Isolation::Overlay || claim.unproven.is_some() {
            return None;
        }
        Some(ReviewTarget {
            worker: claim.id.to_string(),
            project: claim.project.clone()?,
            dev: claim.project_dev,
            ino: claim.project_ino,
            claimed_at_ns: claim.claimed_ns,
            policy: self.policy(),
        })
    }

    /// After changes were applied or discarded: a finished worker with none left can go.
    pub(crate) async fn reviewed(self: &Arc<Self>, id: &WorkerId, left: bool) {
        let finished = match self.lock().finished.get_mut(id) {
            Some(finished) => {
                finished.unapplied = left;
                true
            }
            None => false,
        };
        if finished {
            if let Err(error) = self.keep_changed(id).await {
                tracing::error!(worker = %id, %error, "what was reviewed is not on disk");
            }
            self.tell_worker(id);
        }
        self.want_count(id);
    }

    /// Stops everything: workers, then the mounter. The coordinator itself goes on answering.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] naming what did not go.
    pub async fn down(self: &Arc<Self>) -> Result<(), ApiError> {
        self.stop_all(None).await?;
        self.feed(Event::Shutdown);
        let all: Vec<WorkerId> = self.lock().records.keys().cloned().collect();
        self.stop_ids(all, None).await?;
        self.stop_guard().await?;
        self.remove_helper(Helper::Mounter).await
    }
}
