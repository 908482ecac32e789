//! Keeping in step with the engine: reaching it, taking stock, images, the spec hash.

use crate::daemon::{
    Daemon, Deployment,
    outside::Installed,
    wakes::Task,
    workers::{
        adoption::adopt::{Container, of_container},
        record::Record,
    },
};
use crate::{
    config::{Config, Network, Profile, SecurityProfile},
    fleet::{Event, Millis, Observed, PoolSpec},
    model::WorkerId,
    mounter_client::Policy,
    runtime::{HostFolders, Listed, PullPolicy, RuntimeError, labels},
    wire::EventBody,
};
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

/// Between tries to reach the engine: from the first to the longest.
pub(in crate::daemon) const FIRST_RETRY: Duration = Duration::from_millis(100);
pub(in crate::daemon) const LONGEST_RETRY: Duration = Duration::from_secs(5);
/// How often images are looked up again, so that a rebuilt one is noticed.
const IMAGES_INTERVAL: Duration = Duration::from_secs(30);
/// How often the fleet is told the time.
const TICK: Duration = Duration::from_millis(500);
/// How often the host's spare memory is read.
const MEMORY_INTERVAL: Duration = Duration::from_secs(5);

impl Daemon {
    /// Reaches the engine and takes stock; tries until it answers.
    pub(in crate::daemon) async fn reach(self: &Arc<Self>, agent_binary: &Path) {
        let mut wait = FIRST_RETRY;
        loop {
            match self.discover_deployment(agent_binary).await {
                Ok(deployment) => {
                    if self.deployment.set(deployment).is_err() {
                        tracing::debug!("the deployment was known already");
                    }
                    let was_lost = {
                        let engine = &mut self.lock().engine;
                        engine.reachable = engine.error.is_none();
                        engine.error.is_some()
                    };
                    if was_lost {
                        // The fleet was told so, too.
                        self.engine_back();
                    }
                    return;
                }
                Err(error) => {
                    tracing::warn!(%error, "the engine is not ready");
                    self.engine_lost(error.to_string());
                    self.mend_socket(&error).await;
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(LONGEST_RETRY);
                }
            }
        }
    }

    async fn discover_deployment(&self, agent_binary: &Path) -> Result<Deployment, RuntimeError> {
        let (name, version, api) = self.outside.engine.version().await?;
        let own = self.outside.engine.own(self.state_dir.path()).await?;
        let data_root = self.outside.engine.data_root().await?;
        let store = self.outside.store.clone();
        let binary = agent_binary.to_owned();
        let installed = crate::daemon::blocking(move || store.install(&binary));
        let Installed { agent, podbay } = installed.await.map_err(|e| RuntimeError::Other {
            doing: "installing the binaries in the state volume",
            message: e.to_string(),
        })?;
        {
            let mut state = self.lock();
            state.engine.endpoint = self.outside.engine.endpoint().to_owned();
            state.engine.name = name;
            state.engine.version = version;
            state.engine.api = api;
        }
        if let Some(source) = &own.engine_socket {
            self.remember_socket(own.pid, source).await;
        }
        let host = HostFolders {
            state: own.state_on_host.clone(),
        };
        Ok(Deployment {
            own,
            host,
            agent,
            podbay,
            data_root,
        })
    }

    pub(in crate::daemon) fn engine_lost(self: &Arc<Self>, reason: String) {
        let news = {
            let mut state = self.lock();
            let news = state.engine.reachable || state.engine.error.as_ref() != Some(&reason);
            state.engine.endpoint = self.outside.engine.endpoint().to_owned();
            state.engine.reachable = false;
            state.engine.error = Some(reason.clone());
            news
        };
        if news {
            tracing::warn!(reason, "lost the engine");
            self.feed(Event::EngineLost(reason.clone()));
            self.bus.send(EventBody::Engine {
                reachable: false,
                error: Some(reason),
            });
        }
    }

    pub(in crate::daemon) fn engine_back(self: &Arc<Self>) {
        let news = {
            let mut state = self.lock();
            let news = !std::mem::replace(&mut state.engine.reachable, true);
            if news {
                // What was said of an engine that could not be reached.
                state.engine.error = None;
            }
            news
        };
        if news {
            tracing::info!("the engine is back");
            // A stream of events from before may never end and never tell.
            self.wakes.wake(Task::Events);
            self.wakes.wake(Task::Parts);
            self.feed(Event::EngineBack);
            self.bus.send(EventBody::Engine {
                reachable: true,
                error: None,
            });
        }
    }

    pub(in crate::daemon) async fn list_once(self: &Arc<Self>) -> Result<(), RuntimeError> {
        let Some(deployment) = self.deployment.get() else {
            return Ok(());
        };
        let asked_at = self.now();
        let listed = self.outside.engine.list(&deployment.own.name).await?;
        let mut containers = Vec::new();
        for container in &listed {
            if let Some(observed) = self.observe(container, asked_at) {
                containers.push(observed);
            }
        }
        self.feed(Event::Relisted {
            asked_at,
            containers,
        });
        Ok(())
    }

    /// What the fleet has to know of a listed container; a record is made for an unknown one.
    /// `asked_at` is when the listing was asked for.
    fn observe(self: &Arc<Self>, listed: &Listed, asked_at: Millis) -> Option<Observed> {
        let label = |key: &str| listed.labels.get(key);
        if label(labels::ROLE).map(String::as_str) != Some("worker") {
            return None;
        }
        let id = WorkerId::new(label(labels::WORKER)?.clone()).ok()?;
        let profile = label(labels::PROFILE).cloned().unwrap_or_default();
        let uid = label(labels::UID)
            .and_then(|u| u.parse().ok())
            .unwrap_or_default();
        let found = {
            let mut state = self.lock();
            let removed = |(w, at): &(WorkerId, Millis)| *w == id && asked_at <= *at;
            let removed_since = state.gone.iter().any(removed);
            let finished = state.finished.contains_key(&id);
            let record = state.records.get_mut(&id);
            let found = of_container(record.is_some(), removed_since, finished);
            if let Some(record) = record {
                let container = &mut record.container;
                container.get_or_insert_with(|| listed.container.clone());
            }
            found
        };
        match found {
            Container::Known | Container::New => {}
            Container::Removed => return None,
            Container::Left => {
                self.finish_removal(id, uid, listed.container.clone());
                return None;
            }
        }
        let unknown = found == Container::New;
        let claim = if unknown {
            self.outside.store.claim(&id)
        } else {
            None
        };
        let (claimed, name) = if unknown {
            let created_ms = u64::try_from(listed.created_s).unwrap_or_default() * 1000;
            let image = self
                .config()
                .profiles
                .get(&profile)
                .map(|p| p.image.clone());
            let image = image.unwrap_or_else(|| listed.image.clone());
            let mut record = Record::new(id.clone(), profile.clone(), image, uid, created_ms);
            record.container = Some(listed.container.clone());
            record.unfollowed = true;
            record.limits = claim.as_ref().map(|c| c.limits).unwrap_or_else(|| {
                let config = self.config();
                let profile = config.profiles.get(&profile);
                profile.map(|p| p.limits).unwrap_or_default()
            });
            record.claim = claim;
            record.egress = label(labels::EGRESS)
                .and_then(|text| text.parse().ok())
                .unwrap_or_default();
            record.security = label(labels::SECURITY).and_then(|word| SecurityProfile::of(word));
            record.network = label(labels::NETWORK)
                .and_then(|word| Network::of(word))
                .unwrap_or(Network::Shared);
            record.runtime = label(labels::RUNTIME).filter(|r| !r.is_empty()).cloned();
            // Its record may have been lost: what the mounter noted says that it is somebody's.
            let live = listed.running || listed.paused;
            let claimed =
                record.claim.is_some() || (live && self.outside.store.mount_facts(&id).is_some());
            let name = record.claim.as_ref().map(|c| c.name.clone());
            self.lock().records.insert(id.clone(), record);
            self.welcome_back(&id, listed.running);
            self.guard_adopted(&id);
            (claimed, name)
        } else {
            let state = self.lock();
            let claim = state.records.get(&id).and_then(|r| r.claim.as_ref());
            (claim.is_some(), claim.map(|c| c.name.clone()))
        };
        let held = self.note_paused(&id, listed.paused, claimed, asked_at);
        Some(Observed {
            held,
            confinement: self.confinement_of(&profile, &listed.image, &listed.labels),
            uid,
            worker: id,
            profile,
            spec: label(labels::SPEC).cloned().unwrap_or_default(),
            running: listed.running,
            paused: listed.paused,
            claimed,
            name,
        })
    }

    /// Removes a container of a session that has ended. Until then its uid is in use.
    fn finish_removal(self: &Arc<Self>, worker: WorkerId, uid: u32, container: String) {
        self.feed(Event::Reserve(vec![(worker.clone(), uid)]));
        let daemon = self.clone();
        tokio::spawn(async move {
            match daemon.outside.engine.remove(&container).await {
                Ok(()) => daemon.feed(Event::Release(worker)),
                Err(error) => {
                    tracing::warn!(container, %error, "left over; the next relist tries again");
                }
            }
        });
    }

    /// Listens for the agent of a container that is there.
    pub(in crate::daemon) fn listen_for(&self, id: &WorkerId) {
        if let Some(token) = self.outside.store.token(id)
            && let Err(error) = self.registry.listen(id, token)
        {
            tracing::warn!(worker = %id, %error, "cannot listen for the worker's agent");
        }
    }

    /// An adopted worker: its agent is listened for, its host pid is looked up.
    fn welcome_back(self: &Arc<Self>, id: &WorkerId, running: bool) {
        self.listen_for(id);
        if !running {
            return;
        }
        let (daemon, id) = (self.clone(), id.clone());
        tokio::spawn(async move {
            let container = daemon
                .lock()
                .records
                .get(&id)
                .and_then(|r| r.container.clone());
            let Some(container) = container else { return };
            match daemon.outside.engine.host_pid(&container).await {
                Ok(pid) => {
                    if let Some(record) = daemon.lock().records.get_mut(&id) {
                        record.pid = Some(pid);
                    }
                }
                Err(error) => tracing::debug!(worker = %id, %error, "no host pid"),
            }
        });
    }

    /// Tells the fleet the time, and the spare memory now and then.
    pub(in crate::daemon) async fn keep_time(self: Arc<Self>) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut memory_at = tokio::time::Instant::now();
        loop {
            tick.tick().await;
            if tokio::time::Instant::now() >= memory_at {
                memory_at += MEMORY_INTERVAL;
                if let Some(bytes) = self.outside.host.memory_available() {
                    self.feed(Event::MemoryAvailable(bytes));
                }
            }
            self.feed(Event::Tick);
        }
    }

    /// Looks up the profiles' images and tells the fleet what its pools are made of.
    pub(in crate::daemon) async fn keep_images(self: Arc<Self>) {
        let mut last = None;
        loop {
            let specs = self.pool_specs().await;
            if last.as_ref() != Some(&specs) {
                self.feed(Event::Configured(specs.clone()));
                last = Some(specs);
            }
            tokio::select! {
                biased;
                () = tokio::time::sleep(IMAGES_INTERVAL) => {}
                () = self.wakes.woken(Task::Images) => {}
            }
        }
    }

    pub(in crate::daemon) async fn pool_specs(self: &Arc<Self>) -> Vec<PoolSpec> {
        let config = self.config();
        self.read_seccomp().await;
        let mut specs = Vec::new();
        for (name, profile) in &config.profiles {
            let image = match self.outside.engine.image(&profile.image).await {
                Ok(Some(image)) => {
                    let id = image.id.clone();
                    self.lock().images.insert(name.clone(), image);
                    id
                }
                Ok(None) => {
                    self.lock().images.remove(name);
                    String::new()
                }
                Err(error) => {
                    self.engine_said(&error);
                    String::new()
                }
            };
            let image = self.last_image(name, image);
            let confinement = self.confinement(profile, &image);
            let spec = self.spec_hash(profile, &image);
            specs.push(pool_spec(name, profile, spec, confinement));
        }
        specs
    }

    /// The image's id, or where it was removed meanwhile, or the engine does not answer, the id that it
    /// had: warm workers of it serve claims still.
    fn last_image(&self, profile: &str, found: String) -> String {
        let mut state = self.lock();
        let last = state.parts.images.entry(profile.to_owned()).or_default();
        if !found.is_empty() {
            *last = found;
        }
        last.clone()
    }

    /// Fetches the profiles' images that are absent, where that is to happen at the start.
    pub(in crate::daemon) async fn pull_at_start(self: Arc<Self>) {
        if self.pull != PullPolicy::AtStart {
            return;
        }
        for (name, profile) in &self.config().profiles {
            if let Err(error) = self.image_for(name, profile).await {
                tracing::warn!(profile = name, %error, "no image");
            }
        }
    }

    /// The image's id for a new worker, pulled when it is absent and that is allowed.
    pub(in crate::daemon) async fn image_for(
        &self,
        name: &str,
        profile: &Profile,
    ) -> Result<String, RuntimeError> {
        if let Some(image) = self.lock().images.get(name) {
            return Ok(image.id.clone());
        }
        let image = self
            .outside
            .engine
            .ensure_image(&profile.image, self.pull != PullPolicy::Never)
            .await?;
        let id = image.id.clone();
        self.lock().images.insert(name.to_owned(), image);
        Ok(id)
    }

    /// The environment of a profile's image: what every session of it begins with.
    pub(in crate::daemon) fn image_env(&self, profile: &str) -> BTreeMap<String, String> {
        let state = self.lock();
        state
            .images
            .get(profile)
            .map(|image| image.env.clone())
            .unwrap_or_default()
    }

    /// Which folders may be projects.
    pub(in crate::daemon) fn policy(&self) -> Policy {
        let config: Arc<Config> = self.config();
        let paths = |list: &[std::path::PathBuf]| {
            list.iter()
                .map(crate::model::HostPath::new)
                .collect::<Vec<_>>()
        };
        let mut refuse = Vec::new();
        if let Some(deployment) = self.deployment.get() {
            let state = crate::model::HostPath::new(&deployment.host.state);
            refuse.push((state, "the state volume".to_owned()));
            if let Some(root) = &deployment.data_root {
                refuse.push((
                    crate::model::HostPath::new(root),
                    "the engine's data root".to_owned(),
                ));
            }
        }
        Policy {
            roots: paths(&config.workspace.roots),
            allow: paths(&config.workspace.allow),
            refuse,
        }
    }
}

fn pool_spec(name: &str, profile: &Profile, spec: String, confinement: String) -> PoolSpec {
    let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
    PoolSpec {
        profile: name.to_owned(),
        spec,
        confinement,
        min_warm: profile.min_warm,
        max_warm: profile.max_warm,
        idle_timeout: millis(profile.idle_timeout),
        max_age: millis(profile.max_age),
        check_interval: millis(profile.check_interval),
        ready_timeout: millis(profile.ready_timeout),
        memory: profile.limits.memory_bytes.unwrap_or_default(),
    }
}
