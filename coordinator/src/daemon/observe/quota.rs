//! Watches what workers keep on the state volume, and pauses those that keep too much.
//!
//! `fleet/quota` decides; here the volume is looked at, workers are measured by the mounter, one at a
//! time, and the engine is asked to pause them and to let them go on. A paused worker is marked in
//! its folder, so that the next coordinator knows that it was us. Must never be on a claim's path,
//! and never end a session.

use crate::daemon::{Daemon, blocking, engine::disk, wakes::Task, workers::record::Record};
use crate::{
    fleet::{Held, Millis, Step, Subject},
    model::WorkerId,
    mounter_client::UsageRequest,
    wire::{ApiError, AuditEntry, ErrorKind, Who},
};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{task::JoinHandle, time::Instant};

/// More entries of a worker than this are not measured.
const MAX_ENTRIES: u64 = 5_000_000;

impl Daemon {
    /// Watches the volume and the workers until the coordinator stops.
    pub(in crate::daemon) async fn keep_quotas(self: Arc<Self>) {
        let mut measuring: Option<JoinHandle<()>> = None;
        let mut looked: Option<Instant> = None;
        loop {
            let pace = self.lock().quotas.pace();
            if looked.is_none_or(|at| at.elapsed() >= pace) {
                self.look_at_space().await;
                looked = Some(Instant::now());
            }
            let due = self.watch_workers();
            if measuring.as_ref().is_none_or(JoinHandle::is_finished)
                && let Some((id, budget)) = due
            {
                measuring = Some(tokio::spawn(self.clone().measure(id, budget)));
            }
            while let Some(step) = self.next_step() {
                self.take(step).await;
            }
            let wait = looked.map_or(Duration::ZERO, |at| {
                self.lock().quotas.pace().saturating_sub(at.elapsed())
            });
            tokio::select! {
                biased;
                () = tokio::time::sleep(wait) => {}
                () = self.wakes.woken(Task::Quotas) => {}
            }
        }
    }

    async fn look_at_space(&self) {
        let (host, state_dir) = (self.outside.host.clone(), self.state_dir.clone());
        match blocking(move || disk::space(&*host, state_dir.path())).await {
            Ok(space) => {
                let now = self.now();
                self.lock().quotas.space(now, space);
            }
            Err(error) => tracing::debug!(%error, "the state volume cannot be looked at"),
        }
    }

    /// Says who there is; who is to be measured now.
    fn watch_workers(&self) -> Option<(WorkerId, Duration)> {
        let (now, config) = (self.now(), self.config());
        let mut guard = self.lock();
        let state = &mut *guard;
        let subject = |record: &Record| {
            let claim = record.claim.as_ref()?;
            if record.underway.removes()
                || record.underway.recreates()
                || record.session.exit.is_some()
            {
                return None;
            }
            Some(Subject {
                worker: record.id.clone(),
                container: record.container.clone()?,
                profile: claim.profile.clone(),
                limit: config.profiles.get(&claim.profile).and_then(|p| p.disk),
            })
        };
        let subjects = state.records.values().filter_map(subject).collect();
        state.quotas.watch(now, subjects);
        state.quotas.due(now)
    }

    async fn measure(self: Arc<Self>, id: WorkerId, budget: Duration) {
        let began = Instant::now();
        let (pid, overlay) = {
            let state = self.lock();
            let record = state.records.get(&id);
            let claim = record.and_then(|record| record.claim.as_ref());
            let overlay = claim.is_some_and(|claim| claim.isolation.is_reviewed());
            (record.and_then(|record| record.pid), overlay)
        };
        let request = UsageRequest {
            worker: id.to_string(),
            pid,
            overlay,
            most: MAX_ENTRIES,
            most_ms: millis(budget),
        };
        let used = self.outside.mounter.usage(request).await;
        let now = self.now();
        {
            let quotas = &mut self.lock().quotas;
            match &used {
                Ok(used) => {
                    let took = millis(began.elapsed());
                    quotas.measured(now, &id, used.bytes, used.complete, took);
                }
                Err(_) => quotas.failed(now, &id),
            }
        }
        match used {
            Ok(used) => tracing::debug!(worker = %id, ?used, "measured"),
            Err(error) => tracing::debug!(worker = %id, %error, "cannot be measured"),
        }
        self.wakes.wake(Task::Quotas);
    }

    fn next_step(&self) -> Option<Step> {
        let now = self.now();
        self.lock().quotas.decide(now)
    }

    async fn take(self: &Arc<Self>, step: Step) {
        let _turn = self.pause_lock.lock().await;
        // It may be being stopped by now.
        if self.next_step().as_ref() != Some(&step) {
            return;
        }
        match step {
            Step::Hold(worker, held) => self.hold(&worker, held).await,
            Step::Release(worker) => self.release(&worker).await,
        }
    }

    async fn hold(self: &Arc<Self>, worker: &WorkerId, held: Held) {
        let Some((container, name)) = self.container_of(worker) else {
            let now = self.now();
            self.lock().quotas.failed(now, worker);
            return;
        };
        let (store, id, mark) = (self.outside.store.clone(), worker.clone(), held.clone());
        if let Err(error) = blocking(move || store.write_hold(&id, &mark)).await {
            tracing::warn!(%worker, %error, "why it is paused is not on disk");
        }
        match self.outside.engine.pause(&container).await {
            Ok(()) => {
                let now = self.now();
                self.lock().quotas.held(now, worker, held.clone());
                tracing::warn!(%worker, name, reason = %held, "paused");
                self.record_hold("pause", name, Some(held.to_string()));
                self.tell_worker(worker);
            }
            Err(error) => {
                let now = self.now();
                self.lock().quotas.failed(now, worker);
                tracing::warn!(%worker, %error, "cannot be paused");
                self.engine_said(&error);
                // An engine that is away may have paused it all the same: then the mark tells.
                if !error.engine_is_away() {
                    self.unmark(worker).await;
                }
            }
        }
        self.wakes.wake(Task::Listing);
    }

    /// Lets it go on; the turn is the caller's.
    async fn release(self: &Arc<Self>, worker: &WorkerId) {
        let Some((container, name)) = self.container_of(worker) else {
            let now = self.now();
            self.lock().quotas.failed(now, worker);
            return;
        };
        match self.outside.engine.unpause(&container).await {
            Ok(()) => {
                let now = self.now();
                self.lock().quotas.released(now, worker);
                self.unmark(worker).await;
                tracing::info!(%worker, name, "goes on");
                self.record_hold("resume", name, None);
                self.tell_worker(worker);
                // It may have got another name meanwhile.
                let (daemon, worker) = (self.clone(), worker.clone());
                tokio::spawn(async move { daemon.sync_claim(&worker).await });
            }
            Err(error) => {
                let now = self.now();
                self.lock().quotas.failed(now, worker);
                tracing::warn!(%worker, %error, "cannot go on");
                self.engine_said(&error);
            }
        }
        self.wakes.wake(Task::Listing);
    }

    /// A worker is about to be stopped: it goes on if it is paused, and is not paused any more.
    pub(in crate::daemon) async fn let_go(self: &Arc<Self>, worker: &WorkerId) {
        let turn = self.pause_lock.lock().await;
        let held = self.lock().quotas.exempt(worker);
        if held {
            self.release(worker).await;
            drop(turn);
            // One that a former coordinator paused has not called this one yet.
            self.agent_back(worker).await;
        }
    }

    /// What a listing says of a worker, asked for at `asked_at`: whether it is paused by us.
    pub(in crate::daemon) fn note_paused(
        self: &Arc<Self>,
        worker: &WorkerId,
        paused: bool,
        claimed: bool,
        asked_at: Millis,
    ) -> bool {
        let known = self.lock().quotas.reason(worker).is_some();
        if paused && !known && claimed {
            let Some(held) = self.outside.store.hold(worker) else {
                return false;
            };
            let now = self.now();
            self.lock().quotas.adopt(now, worker, held);
            self.wakes.wake(Task::Quotas);
            return true;
        }
        if !paused && known && self.lock().quotas.seen_running(asked_at, worker) {
            tracing::info!(%worker, "somebody else let it go on");
            let (daemon, worker) = (self.clone(), worker.clone());
            tokio::spawn(async move {
                daemon.unmark(&worker).await;
                daemon.tell_worker(&worker);
            });
            self.wakes.wake(Task::Quotas);
            return false;
        }
        paused && known
    }

    /// Nothing can be asked of a paused worker's agent.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] with the reason and what to do.
    pub(in crate::daemon) fn not_held(&self, worker: &WorkerId) -> Result<(), ApiError> {
        match self.lock().quotas.reason(worker) {
            None => Ok(()),
            Some(held) => {
                Err(ApiError::new(ErrorKind::Conflict, held.to_string()).hint(held.hint()))
            }
        }
    }

    async fn unmark(&self, worker: &WorkerId) {
        let (store, id) = (self.outside.store.clone(), worker.clone());
        if let Err(error) = blocking(move || store.remove_hold(&id)).await {
            tracing::warn!(%worker, %error, "it is still marked as paused");
        }
    }

    fn container_of(&self, worker: &WorkerId) -> Option<(String, String)> {
        let state = self.lock();
        let record = state
            .records
            .get(worker)
            .filter(|r| !r.underway.removes())?;
        let name = record.claim.as_ref()?.name.to_string();
        Some((record.container.clone()?, name))
    }

    fn record_hold(&self, what: &str, name: String, detail: Option<String>) {
        self.audit.record(AuditEntry {
            time: humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
            who: Who::Coordinator,
            what: what.to_owned(),
            worker: Some(name),
            profile: None,
            project: None,
            detail,
            result: "ok".to_owned(),
            duration_ms: 0,
            lost: 0,
        });
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
