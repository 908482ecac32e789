//! What the coordinator knows and shares: all of it, in one place.
//!
//! Owns the one lock. Never holds it across an await, and knows none of the tasks that work with it.

use super::{
    claims::{claim_latency::ClaimTimes, overlay_claims::OverlayClaims, waiting::Waiting},
    engine::disk::Disks,
    observe::{bus::Bus, change_counts::Counts, tells::Tells},
    outside::Outside,
    sessions::{
        exits::ExitLog, pending_execs::PendingExecs, readers::Readers, relayed::RelayedClients,
    },
    wakes::Wakes,
    workers::{creation::container_inputs::ContainerInputs, record::Record},
};
use crate::{
    agent::AgentRegistry,
    config::{self, Config},
    fleet::{ClaimId, Fleet, Millis, Quotas},
    model::WorkerId,
    runtime::{HostFolders, Image, Own, PullPolicy},
    store::{AuditLog, ClaimKey, FinishedRecord, StateDir},
    wire::{ApiError, EngineView, ErrorKind, GuardView, HotMounts},
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Semaphore, watch},
    time::Instant,
};

/// The coordinator at work. Shared by the API and the background tasks.
#[derive(Debug)]
pub struct Daemon {
    /// The checked configuration; replaced by a reload.
    pub(super) config: Mutex<Arc<Config>>,
    /// The configuration at the start; some keys are read then alone.
    pub(super) started_with: Arc<Config>,
    /// The state volume.
    pub(super) state_dir: StateDir,
    /// Everything that it works with.
    pub(super) outside: Outside,
    /// Connections to the workers' agents.
    pub(super) registry: AgentRegistry,
    /// Serializes what is sent to the guard, so that its rules are those of the workers there are.
    pub(super) guard_lock: tokio::sync::Mutex<()>,
    /// What is known once the engine has answered.
    pub(super) deployment: OnceLock<Deployment>,
    /// All that changes.
    pub(super) state: Mutex<State>,
    /// Serializes writing and removing finished sessions' records, so that none that was removed
    /// comes back.
    pub(super) finished_lock: tokio::sync::Mutex<()>,
    /// Seals the claim records that agents carry.
    pub(super) claim_key: ClaimKey,
    /// Who did what.
    pub(super) audit: AuditLog,
    /// Clients that read logs.
    pub(super) readers: Readers,
    /// Clients that are relayed.
    pub(super) relayed: RelayedClients,
    /// What each worker may have told.
    pub(super) tells: Tells,
    /// Tells clients what changed.
    pub(super) bus: Bus,
    /// What wakes the tasks.
    pub(super) wakes: Wakes,
    /// Serializes starting and removing helpers, so that none is left behind.
    pub(super) helpers_lock: tokio::sync::Mutex<()>,
    /// Serializes pausing and resuming workers.
    pub(super) pause_lock: tokio::sync::Mutex<()>,
    /// How many containers may be recreated at a time.
    pub(super) recreations: Semaphore,
    /// When images are pulled.
    pub(super) pull: PullPolicy,
    /// Becomes true once what ran before this coordinator is known again.
    pub(super) up: watch::Sender<bool>,
    /// Becomes true when the coordinator stops.
    pub(super) stopping: watch::Sender<bool>,
    /// Origin of the fleet's clock.
    pub(super) started: Instant,
}

/// Containers that are recreated at a time: the engine has other work.
const MAX_RECREATIONS: usize = 4;
/// How long a request waits for the coordinator to know what there is.
const COMING_UP: Duration = Duration::from_secs(10);

/// What is known of the place the coordinator runs in.
#[derive(Debug, Clone)]
pub(super) struct Deployment {
    pub(super) own: Own,
    pub(super) host: HostFolders,
    /// File name of the agent under `bin/`.
    pub(super) agent: String,
    /// File name of this binary under `bin/`, for the helpers' containers.
    pub(super) podbay: String,
    /// The engine's data root: no project may be there.
    pub(super) data_root: Option<std::path::PathBuf>,
}

/// All that changes, behind one lock that is held for microseconds.
#[derive(Debug)]
pub(super) struct State {
    /// The decisions.
    pub(super) fleet: Fleet,
    /// What the fleet does not have to know of each worker.
    pub(super) records: BTreeMap<WorkerId, Record>,
    /// Workers whose container was removed, and when: a list that was made before it still shows
    /// them.
    pub(super) gone: VecDeque<(WorkerId, Millis)>,
    /// Workers that are gone and whose folder could not be removed yet.
    pub(super) leftovers: BTreeSet<WorkerId>,
    /// Claims that wait for a worker, by the number the fleet knows them by.
    pub(super) waiting: BTreeMap<ClaimId, Waiting>,
    /// Sessions that ended and have no container any more.
    pub(super) finished: BTreeMap<WorkerId, FinishedRecord>,
    /// Exec sessions that wait for their client.
    pub(super) execs: PendingExecs,
    /// How the last sessions ended.
    pub(super) exits: ExitLog,
    /// The engine as last seen.
    pub(super) engine: EngineView,
    /// Whether projects get into warm workers.
    pub(super) hot: HotMounts,
    /// What is wrong with the disks.
    pub(super) disks: Disks,
    /// Who is paused for what it keeps on the state volume.
    pub(super) quotas: Quotas,
    /// Whether where workers connect to is kept.
    pub(super) guard: GuardView,
    /// The guard that was told of all workers.
    pub(super) guard_boot: Option<u64>,
    /// Images by profile, as last seen.
    pub(super) images: BTreeMap<String, Image>,
    /// Claim times by profile.
    pub(super) times: BTreeMap<String, ClaimTimes>,
    /// The last copy-on-write claims.
    pub(super) overlays: OverlayClaims,
    /// What containers are made of.
    pub(super) parts: ContainerInputs,
    /// Whose changes are to be counted.
    pub(super) counts: Counts,
    /// Next claim's number.
    pub(super) next_claim: u64,
}

impl State {
    /// Nothing but the fleet.
    pub(super) fn new(fleet: Fleet) -> Self {
        Self {
            fleet,
            records: BTreeMap::new(),
            gone: VecDeque::new(),
            leftovers: BTreeSet::new(),
            waiting: BTreeMap::new(),
            finished: BTreeMap::new(),
            execs: PendingExecs::default(),
            exits: ExitLog::default(),
            engine: EngineView::default(),
            hot: HotMounts::default(),
            guard: GuardView::default(),
            disks: Disks::default(),
            quotas: Quotas::default(),
            guard_boot: None,
            images: BTreeMap::new(),
            times: BTreeMap::new(),
            overlays: OverlayClaims::default(),
            parts: ContainerInputs::default(),
            counts: Counts::default(),
            next_claim: 0,
        }
    }
}

/// What a daemon is made of.
pub(super) struct DaemonParts {
    pub(super) outside: Outside,
    pub(super) registry: AgentRegistry,
    pub(super) state_dir: StateDir,
    pub(super) claim_key: ClaimKey,
    pub(super) audit: AuditLog,
    pub(super) config: Config,
    pub(super) pull: PullPolicy,
    /// Of the workers' ids.
    pub(super) seed: u64,
}

impl Daemon {
    pub(super) fn new(parts: DaemonParts) -> Arc<Self> {
        let parallel = parts.config.engine.max_parallel;
        let config = Arc::new(parts.config);
        Arc::new(Self {
            registry: parts.registry,
            outside: parts.outside,
            guard_lock: tokio::sync::Mutex::default(),
            deployment: OnceLock::new(),
            state: Mutex::new(State::new(Fleet::new(parts.seed, parallel))),
            finished_lock: tokio::sync::Mutex::new(()),
            claim_key: parts.claim_key,
            audit: parts.audit,
            readers: Readers::default(),
            relayed: RelayedClients::default(),
            tells: Tells::default(),
            bus: Bus::new(),
            wakes: Wakes::default(),
            helpers_lock: tokio::sync::Mutex::new(()),
            pause_lock: tokio::sync::Mutex::new(()),
            recreations: Semaphore::new(MAX_RECREATIONS),
            pull: parts.pull,
            up: watch::channel(false).0,
            stopping: watch::channel(false).0,
            started: Instant::now(),
            started_with: config.clone(),
            config: Mutex::new(config),
            state_dir: parts.state_dir,
        })
    }

    /// Milliseconds on the fleet's clock.
    pub(super) fn now(&self) -> Millis {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The configuration in effect.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        self.config
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// What the configuration says that is not in effect before the next start.
    #[must_use]
    pub fn not_in_effect(&self) -> Option<String> {
        config::not_in_effect(&self.started_with, &self.config())
    }

    /// Who did what.
    #[must_use]
    pub fn audit(&self) -> &AuditLog {
        &self.audit
    }

    /// What changes, for the event stream.
    #[must_use]
    pub fn bus(&self) -> &Bus {
        &self.bus
    }

    pub(super) fn deployment(&self) -> Result<&Deployment, ApiError> {
        self.deployment.get().ok_or_else(|| {
            let engine = self.lock().engine.clone();
            let reason = engine
                .error
                .unwrap_or_else(|| "it has not answered yet".to_owned());
            ApiError::new(
                ErrorKind::Engine,
                format!("the engine is not ready: {reason}"),
            )
            .hint("run `podbay doctor`")
        })
    }

    /// Resolves once what ran before this coordinator is known again, so that nobody is told "no
    /// such worker" of one that is there. Not for ever: the engine may be away.
    pub async fn up(&self) {
        let mut up = self.up.subscribe();
        let waited = tokio::time::timeout(COMING_UP, up.wait_for(|up| *up)).await;
        if waited.is_err() {
            tracing::debug!("answering although the workers are not known yet");
        }
    }

    /// Resolves once the coordinator is told to stop.
    pub async fn stopped(&self) {
        let mut stopping = self.stopping.subscribe();
        // The sender lives as long as self: an error cannot come before the value.
        if stopping.wait_for(|stop| *stop).await.is_err() {
            tracing::debug!("stopped without a word");
        }
    }

    /// Tells every task to stop. Workers and their sessions go on.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Runs `task` until it ends or the coordinator stops.
    pub(super) fn background(
        self: &Arc<Self>,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let daemon = self.clone();
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = task => tracing::debug!(name, "task ended"),
                () = daemon.stopped() => {}
            }
        });
    }

    /// 128 random bits as hexadecimal text: tokens and one-time ids.
    pub(super) fn random_id(&self) -> Result<String, ApiError> {
        let bytes = self.outside.host.random().map_err(|e| {
            ApiError::new(
                ErrorKind::Internal,
                format!("the system gives no random numbers: {e}"),
            )
        })?;
        Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
    }
}
