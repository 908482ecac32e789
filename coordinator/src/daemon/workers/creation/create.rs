//! Creating, probing and unpausing workers.

use crate::daemon::{Daemon, blocking, unix_ms, wakes::Task, workers::record::Record};
use crate::{
    config::Profile,
    fleet::{ClaimId, Event},
    model::WorkerId,
    mounter_client::{MounterErrorKind, PrepareRequest},
    runtime::{ProjectMount, RuntimeError},
};
use podbay_protocol::{Reply, ToAgentBody};
use std::sync::Arc;

impl Daemon {
    pub(in crate::daemon) fn start_create(
        self: &Arc<Self>,
        worker: WorkerId,
        profile: String,
        uid: u32,
        cold_for: Option<ClaimId>,
    ) {
        let daemon = self.clone();
        tokio::spawn(async move {
            match daemon.create(&worker, &profile, uid, cold_for).await {
                Ok(()) => daemon.feed(Event::Created(worker)),
                Err(reason) => {
                    tracing::warn!(%worker, profile, reason, "could not create a worker");
                    daemon.forget(&worker).await;
                    daemon.feed(Event::CreateFailed { worker, reason });
                }
            }
        });
    }

    async fn create(
        self: &Arc<Self>,
        worker: &WorkerId,
        profile_name: &str,
        uid: u32,
        cold_for: Option<ClaimId>,
    ) -> Result<(), String> {
        let config = self.config();
        let profile = config.profiles.get(profile_name).ok_or_else(|| {
            format!("the profile {profile_name:?} is gone from the configuration")
        })?;
        self.deployment().map_err(|e| e.message)?;
        let token = self.random_id().map_err(|e| e.message)?;
        self.enter(worker, profile_name, profile, uid);
        podbay_failpoints::failpoint!("create.entered");
        let image = self
            .image_for(profile_name, profile)
            .await
            .map_err(|e| e.to_string())?;
        self.make_folder(worker, uid, &token).await?;
        podbay_failpoints::failpoint!("create.prepared");
        self.registry
            .listen(worker, token)
            .map_err(|e| format!("cannot listen for the worker's agent: {e}"))?;
        let (project, limits) = self.claims_part(cold_for, profile);
        self.start_container(worker, profile_name, profile, image, limits, project)
            .await
    }

    /// Creates and starts the container of a worker whose folder is ready.
    pub(in crate::daemon) async fn start_container(
        self: &Arc<Self>,
        worker: &WorkerId,
        profile_name: &str,
        profile: &Profile,
        image: String,
        limits: crate::model::Limits,
        project: Option<ProjectMount>,
    ) -> Result<(), String> {
        let deployment = self.deployment().map_err(|e| e.message)?.clone();
        let engine_mounted = project.is_some();
        let uid = {
            let mut state = self.lock();
            let record = state.records.get_mut(worker).ok_or("the worker is gone")?;
            record.limits = limits;
            record.security = Some(profile.security);
            record.network = profile.network;
            record.runtime.clone_from(&profile.runtime);
            record.engine_mounted = engine_mounted;
            record.egress = profile.egress.clone();
            record.uid
        };
        self.guard_worker(worker).await?;
        podbay_failpoints::failpoint!("create.guarded");
        let spec = self
            .spec_of(worker, profile_name, profile, uid, image, project, limits)
            .await?;
        let started = self
            .outside
            .engine
            .create_worker(&spec, &deployment.host)
            .await
            .map_err(|e| {
                self.engine_said(&e);
                self.wakes.wake(Task::Parts);
                e.to_string()
            })?;
        podbay_failpoints::failpoint!("create.started");
        let wanted = {
            let mut state = self.lock();
            let record = state
                .records
                .get_mut(worker)
                .filter(|r| !r.underway.removes());
            record.map(|record| {
                record.container = Some(started.container.clone());
                record.pid = Some(started.pid);
            })
        };
        if wanted.is_none() {
            // What removed the worker knew of no container.
            if let Err(error) = self.outside.engine.remove(&started.container).await {
                tracing::warn!(%worker, %error, "left over; the next relist tries again");
            }
            return Err("it was removed while its container was being created".to_owned());
        }
        Ok(())
    }

    /// A record of a worker that has, or is to have, this uid.
    pub(in crate::daemon) fn enter(
        &self,
        worker: &WorkerId,
        name: &str,
        profile: &Profile,
        uid: u32,
    ) {
        let record = Record::new(
            worker.clone(),
            name.to_owned(),
            profile.image.clone(),
            uid,
            unix_ms(),
        );
        self.lock().records.insert(worker.clone(), record);
    }

    async fn make_folder(&self, worker: &WorkerId, uid: u32, token: &str) -> Result<(), String> {
        let (store, id) = (self.outside.store.clone(), worker.clone());
        let hot = self.lock().hot.available;
        let token = token.to_owned();
        let made = blocking(move || store.create(&id, &token, !hot));
        made.await
            .map_err(|e| format!("cannot make the worker's folder: {e}"))?;
        podbay_failpoints::failpoint!("create.folder");
        self.prepare_folder(worker, uid).await
    }

    /// Gives the folder's parts their owners, where there is a mounter to do so.
    pub(in crate::daemon) async fn prepare_folder(
        &self,
        worker: &WorkerId,
        uid: u32,
    ) -> Result<(), String> {
        if self.lock().hot.available {
            let request = PrepareRequest {
                worker: worker.to_string(),
                uid,
                gid: uid,
            };
            let prepare = || self.outside.mounter.prepare(request.clone());
            let prepared = self.repeated(prepare).await;
            prepared.map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    /// What a cold claim puts into its container: the project only where the engine has to.
    fn claims_part(
        &self,
        cold_for: Option<ClaimId>,
        profile: &Profile,
    ) -> (Option<ProjectMount>, crate::model::Limits) {
        let state = self.lock();
        let waiting = cold_for.and_then(|claim| state.waiting.get(&claim));
        let Some(waiting) = waiting else {
            return (None, profile.limits);
        };
        let resolved = &waiting.resolved;
        (resolved.engine_project(), resolved.limits)
    }

    /// Forgets a worker that never came to be, and its folder.
    async fn forget(self: &Arc<Self>, worker: &WorkerId) {
        self.registry.forget(worker);
        self.unguard(worker).await;
        self.lock().records.remove(worker);
        self.remove_folder(worker).await;
    }

    /// Removes a worker's folder; the mounter can remove what other uids own.
    /// While it is left, so is its uid: its files are of that uid.
    pub(in crate::daemon) async fn remove_folder(self: &Arc<Self>, worker: &WorkerId) {
        let hot = self.lock().hot.available;
        let mut result = Err("no mounter".to_owned());
        if hot {
            let remove = || self.outside.mounter.remove_worker(worker.as_str());
            let removed = self.repeated(remove).await;
            result = removed.map_err(|e| e.to_string());
        }
        self.settle_folder(worker, result).await;
    }

    /// What follows the mounter's try to remove a folder; without it the folder may be removed
    /// all the same.
    async fn settle_folder(self: &Arc<Self>, worker: &WorkerId, mut result: Result<(), String>) {
        if result.is_err() {
            let (store, id) = (self.outside.store.clone(), worker.clone());
            result = blocking(move || store.remove(&id))
                .await
                .map_err(|e| e.to_string());
        }
        match result {
            Ok(()) => {
                self.lock().leftovers.remove(worker);
                self.feed(Event::Release(worker.clone()));
            }
            Err(error) => {
                let (uid, news) = {
                    let mut state = self.lock();
                    let uid = state.fleet.worker(worker).map(|w| w.uid);
                    (uid, state.leftovers.insert(worker.clone()))
                };
                if let Some(uid) = uid {
                    self.feed(Event::Reserve(vec![(worker.clone(), uid)]));
                }
                if news {
                    tracing::warn!(%worker, error, "the worker's folder is left over");
                    // Once: what cannot be removed at all is tried at the mounter's own pace.
                    self.wakes.wake(Task::Mounter);
                }
            }
        }
    }

    /// Tries once more to remove folders that are left over, now that the mounter works. Where it
    /// is gone again, this ends: whoever calls it is who starts another one, which is not waited
    /// for here.
    pub(in crate::daemon) async fn remove_leftovers(self: &Arc<Self>) {
        let left: Vec<WorkerId> = self.lock().leftovers.iter().cloned().collect();
        for worker in left {
            let removed = self.outside.mounter.remove_worker(worker.as_str()).await;
            let away = matches!(&removed, Err(e) if e.kind == MounterErrorKind::Unreachable);
            let removed = removed.map_err(|e| e.to_string());
            self.settle_folder(&worker, removed).await;
            if away {
                return;
            }
        }
    }

    pub(in crate::daemon) fn start_probe(self: &Arc<Self>, worker: WorkerId) {
        let daemon = self.clone();
        tokio::spawn(async move {
            let probed = match daemon.registry.handle(&worker) {
                Some(agent) => agent
                    .request(
                        ToAgentBody::Readings,
                        crate::daemon::sessions::attach::AGENT_DEADLINE,
                    )
                    .await
                    .and_then(|said| said.of(&worker))
                    .map_err(|e| e.to_string()),
                None => Err("its agent is not connected".to_owned()),
            };
            match probed {
                Ok(Reply::Readings(readings)) => {
                    if let Some(record) = daemon.lock().records.get_mut(&worker) {
                        record.readings = readings;
                    }
                }
                Ok(other) => {
                    let reason = format!("its agent answered a probe with {}", other.kind());
                    daemon.feed(Event::Unhealthy { worker, reason });
                }
                Err(reason) => daemon.feed(Event::Unhealthy { worker, reason }),
            }
        });
    }

    pub(in crate::daemon) fn start_unpause(self: &Arc<Self>, worker: WorkerId) {
        let daemon = self.clone();
        tokio::spawn(async move {
            let container = daemon
                .lock()
                .records
                .get(&worker)
                .and_then(|r| r.container.clone());
            let Some(container) = container else { return };
            if let Err(error) = daemon.outside.engine.unpause(&container).await {
                daemon.engine_said(&error);
                tracing::warn!(%worker, %error, "cannot unpause");
            }
            daemon.wakes.wake(Task::Listing);
        });
    }

    /// Takes note when a call shows that the engine is away.
    pub(in crate::daemon) fn engine_said(self: &Arc<Self>, error: &RuntimeError) {
        if error.engine_is_away() {
            self.engine_lost(error.to_string());
        }
    }
}
