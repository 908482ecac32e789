//! Workers that a person wants to end: TERM, the grace, KILL, then the container goes.
//!
//! Waits for the removals that the fleet decides. Never ends a worker that nobody asked to end.

use crate::daemon::{Daemon, claims::resolve::check_grace};
use crate::{
    fleet::Event,
    model::WorkerId,
    runtime::Helper,
    wire::{ApiError, ErrorKind, WorkerView},
};
use podbay_protocol::ToAgentBody;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// From the end of the grace to the container's end.
const REMOVAL_DEADLINE: Duration = Duration::from_secs(60);
/// How long a session may take from TERM's grace to its end's report.
const REPORT_SLACK: Duration = Duration::from_millis(500);

impl Daemon {
    /// A person wants a worker stopped; resolves when its container is gone.
    ///
    /// # Errors
    /// [`ApiError`]: no such worker; it did not go in time.
    pub async fn stop_worker(
        self: &Arc<Self>,
        name: &str,
        grace_ms: Option<u64>,
    ) -> Result<WorkerView, ApiError> {
        check_grace(grace_ms)?;
        let worker = self.find_live(name)?;
        self.stop_ids(vec![worker.clone()], grace_ms).await?;
        self.worker(worker.as_str()).or_else(|_| self.worker(name))
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
        podbay_failpoints::failpoint!("stop.ended");
        for worker in &workers {
            self.feed(Event::Remove(worker.clone()));
        }
        let deadline = Instant::now() + REMOVAL_DEADLINE;
        let left = || {
            let state = self.lock();
            let there = workers.iter().filter(|w| state.records.contains_key(*w));
            there.map(ToString::to_string).collect::<Vec<_>>()
        };
        let gone = || left().is_empty().then_some(());
        if self.wakes.until(deadline, gone).await.is_some() {
            return Ok(());
        }
        let message = format!(
            "still there after {REMOVAL_DEADLINE:?}: {}",
            left().join(", ")
        );
        Err(ApiError::new(ErrorKind::Timeout, message)
            .hint("`podbay doctor` checks the engine; the removal is tried again"))
    }

    /// The time between TERM and KILL: as asked for, or the profile's.
    pub(in crate::daemon) fn grace(&self, profile: &str, asked_ms: Option<u64>) -> Duration {
        let config = self.config();
        let default = config.profiles.get(profile).map(|p| p.stop_grace);
        let asked = asked_ms.map(Duration::from_millis);
        asked.or(default).unwrap_or_default()
    }

    /// TERM, grace, KILL to the main session; returns when it ended or cannot be asked.
    pub(in crate::daemon) async fn end_session(
        self: &Arc<Self>,
        worker: &WorkerId,
        grace_ms: Option<u64>,
    ) {
        self.let_go(worker).await;
        let (session, grace) = {
            let mut state = self.lock();
            let Some(record) = state.records.get_mut(worker) else {
                return;
            };
            // A stop calls a restart off.
            record.underway.end_restart();
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
        let ended = || self.lock().exits.get(worker, &session).map(|_| ());
        let _ = self.wakes.until(deadline, ended).await;
    }

    /// Stops every claimed worker and says their names.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] naming what did not go.
    pub async fn stop_all(
        self: &Arc<Self>,
        grace_ms: Option<u64>,
    ) -> Result<Vec<String>, ApiError> {
        check_grace(grace_ms)?;
        let claimed: Vec<(WorkerId, String)> = {
            let state = self.lock();
            let records = state.records.values().filter(|r| !r.underway.removes());
            records
                .filter_map(|r| r.claim.as_ref().map(|c| (r.id.clone(), c.name.to_string())))
                .collect()
        };
        let (ids, names) = claimed.into_iter().unzip();
        self.stop_ids(ids, grace_ms).await?;
        Ok(names)
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
