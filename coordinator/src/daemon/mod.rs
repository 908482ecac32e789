//! The run loop: carries out what the fleet decides and feeds back the results.
//!
//! Owns the records of all workers (a cache: engine and agents hold the truth) and the tasks that
//! keep it true. Must never decide which worker serves which claim (that is `fleet`), and never
//! hold its lock across an await.

mod claims;
mod engine;
mod helpers;
mod observe;
mod outside;
mod serve;
mod sessions;
mod start;
#[cfg(test)]
mod tests;
mod workers;

pub use claims::start_session::Placed;
pub use helpers::upgrade::install;
pub use observe::bus::{Bus, BusMessage};
pub use serve::Listen;
pub use sessions::{
    attach::{Attached, SessionEnd},
    logs::LogReader,
};
pub use start::start;
pub(crate) use workers::view::version;

use crate::{
    agent::AgentHub,
    config::Config,
    fleet::{Action, ClaimId, Event, Fleet, Millis, Quotas},
    model::WorkerId,
    runtime::{HostFolders, Image, Own, PullPolicy},
    store::{AuditLog, ClaimKey, FinishedRecord, StateDir},
    wire::{ApiError, EngineView, ErrorKind, GuardView, HotMounts},
};
use claims::{claim::Waiting, claim_latency::ClaimTimes};
use observe::change_counts::Counts;
use outside::Outside;
use sessions::{attach::PendingExecs, exits::ExitLog};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, UNIX_EPOCH},
};
use tokio::{
    sync::{Notify, Semaphore, watch},
    time::Instant,
};
use workers::record::Record;

/// The coordinator at work. Shared by the API and the background tasks.
#[derive(Debug)]
pub struct Daemon {
    /// The checked configuration; replaced by a reload.
    config: Mutex<Arc<Config>>,
    /// The state volume.
    state_dir: StateDir,
    /// Everything that it works with.
    outside: Outside,
    /// Connections to the workers' agents.
    hub: AgentHub,
    /// Whoever tells the guard something takes turns, so that what it knows is what there is.
    guard_turn: tokio::sync::Mutex<()>,
    /// What is known once the engine has answered.
    site: OnceLock<Site>,
    /// All that changes.
    state: Mutex<State>,
    /// Whoever writes or removes finished sessions' records takes turns, so that none that was
    /// removed comes back.
    keeping: tokio::sync::Mutex<()>,
    /// Seals the claim records that agents carry.
    claim_key: ClaimKey,
    /// Woken when a claim's record could not be written.
    unwritten: Notify,
    /// Who did what.
    audit: AuditLog,
    /// Clients that read logs.
    readers: sessions::logs::Readers,
    /// What each worker may have told.
    tells: observe::tells::Tells,
    /// Tells clients what changed.
    bus: Bus,
    /// Woken when a relist is wanted now.
    relist: Notify,
    /// Woken when the engine is back after it was away.
    returned: Notify,
    /// Woken when the engine's parts are to be looked at.
    doubt: Notify,
    /// Whoever starts or removes helpers takes turns, so that none is left behind.
    helper_turn: tokio::sync::Mutex<()>,
    /// Woken when the mounter is to be looked at.
    mounter_hint: Notify,
    /// Woken when a session ended or a worker went.
    ended: Notify,
    /// Woken when changes may have to be counted.
    counting: Notify,
    /// Woken when somebody may have to be paused, or may go on.
    weighing: Notify,
    /// Whoever pauses a worker or lets it go on takes turns.
    holding: tokio::sync::Mutex<()>,
    /// How many containers may be recreated at a time.
    recreations: Semaphore,
    /// When images are pulled.
    pull: PullPolicy,
    /// Becomes true once what ran before this coordinator is known again.
    up: watch::Sender<bool>,
    /// Becomes true when the coordinator stops.
    stopping: watch::Sender<bool>,
    /// Origin of the fleet's clock.
    started: Instant,
}

/// How long a request waits for the coordinator to know what there is.
const COMING_UP: Duration = Duration::from_secs(10);

/// What is known of the place the coordinator runs in.
#[derive(Debug, Clone)]
struct Site {
    own: Own,
    host: HostFolders,
    /// File name of the agent under `bin/`.
    agent: String,
    /// File name of this binary under `bin/`, for the helpers' containers.
    podbay: String,
    /// The engine's data root: no project may be there.
    data_root: Option<std::path::PathBuf>,
}

/// All that changes, behind one lock that is held for microseconds.
#[derive(Debug)]
struct State {
    /// The decisions.
    fleet: Fleet,
    /// What the fleet does not have to know of each worker.
    records: BTreeMap<WorkerId, Record>,
    /// Workers whose container was removed, and when: a list that was made before it still shows
    /// them.
    gone: VecDeque<(WorkerId, Millis)>,
    /// Workers that are gone and whose folder could not be removed yet.
    leftovers: BTreeSet<WorkerId>,
    /// Claims that wait for a worker, by the number the fleet knows them by.
    waiting: BTreeMap<ClaimId, Waiting>,
    /// Sessions that ended and have no container any more.
    finished: BTreeMap<WorkerId, FinishedRecord>,
    /// Exec sessions that wait for their client.
    execs: PendingExecs,
    /// How the last sessions ended.
    exits: ExitLog,
    /// The engine as last seen.
    engine: EngineView,
    /// Whether projects get into warm workers.
    hot: HotMounts,
    /// What is wrong with the disks.
    disks: engine::disk::Disks,
    /// Who is paused for what it keeps on the state volume.
    quotas: Quotas,
    /// Whether where workers connect to is kept.
    guard: GuardView,
    /// The guard that was told of all workers.
    guard_boot: Option<u64>,
    /// Images by profile, as last seen.
    images: BTreeMap<String, Image>,
    /// Claim times by profile.
    times: BTreeMap<String, ClaimTimes>,
    /// What containers are made of.
    parts: workers::spec::Parts,
    /// Whose changes are to be counted.
    counts: Counts,
    /// Next claim's number.
    next_claim: u64,
}

impl State {
    /// Nothing but the fleet.
    fn new(fleet: Fleet) -> Self {
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
            disks: engine::disk::Disks::default(),
            quotas: Quotas::default(),
            guard_boot: None,
            images: BTreeMap::new(),
            times: BTreeMap::new(),
            parts: workers::spec::Parts::default(),
            counts: Counts::default(),
            next_claim: 0,
        }
    }
}

/// What a daemon is made of.
struct Parts {
    outside: Outside,
    hub: AgentHub,
    state_dir: StateDir,
    claim_key: ClaimKey,
    audit: AuditLog,
    config: Config,
    pull: PullPolicy,
    /// Of the workers' ids.
    seed: u64,
}

impl Daemon {
    fn new(parts: Parts) -> Arc<Self> {
        let parallel = parts.config.engine.max_parallel;
        Arc::new(Self {
            hub: parts.hub,
            outside: parts.outside,
            guard_turn: tokio::sync::Mutex::default(),
            site: OnceLock::new(),
            state: Mutex::new(State::new(Fleet::new(parts.seed, parallel))),
            keeping: tokio::sync::Mutex::new(()),
            claim_key: parts.claim_key,
            unwritten: Notify::new(),
            audit: parts.audit,
            readers: sessions::logs::Readers::default(),
            tells: observe::tells::Tells::default(),
            bus: Bus::new(),
            relist: Notify::new(),
            returned: Notify::new(),
            doubt: Notify::new(),
            helper_turn: tokio::sync::Mutex::new(()),
            mounter_hint: Notify::new(),
            ended: Notify::new(),
            counting: Notify::new(),
            weighing: Notify::new(),
            holding: tokio::sync::Mutex::new(()),
            recreations: Semaphore::new(workers::recreate::MAX_RECREATIONS),
            pull: parts.pull,
            up: watch::channel(false).0,
            stopping: watch::channel(false).0,
            started: Instant::now(),
            config: Mutex::new(Arc::new(parts.config)),
            state_dir: parts.state_dir,
        })
    }

    /// Milliseconds on the fleet's clock.
    fn now(&self) -> Millis {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The configuration in force.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        self.config
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
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

    /// Tells the fleet and carries out what it decides.
    fn feed(self: &Arc<Self>, event: Event) {
        let now = self.now();
        let actions = self.lock().fleet.apply(now, event);
        for action in actions {
            self.carry_out(action);
        }
    }

    fn site(&self) -> Result<&Site, ApiError> {
        self.site.get().ok_or_else(|| {
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

    /// 128 random bits as hexadecimal text: tokens and one-time ids.
    fn random_id(&self) -> Result<String, ApiError> {
        let bytes = self.outside.host.random().map_err(|e| {
            ApiError::new(
                ErrorKind::Internal,
                format!("the system gives no random numbers: {e}"),
            )
        })?;
        Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
    }

    /// Runs `task` until it ends or the coordinator stops.
    fn background(
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
}

/// Unix nanoseconds.
fn unix_ns() -> i64 {
    #[cfg(test)]
    if let Some(now) = tests::wall_clock() {
        return now;
    }
    let since = worker_agent::faults::wall_clock()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Unix milliseconds.
fn unix_ms() -> u64 {
    u64::try_from(unix_ns() / 1_000_000).unwrap_or_default()
}

/// Work that must not be dropped half-way when a client goes away.
async fn detached<T: Send + 'static>(
    task: impl Future<Output = Result<T, ApiError>> + Send + 'static,
) -> Result<T, ApiError> {
    match tokio::spawn(task).await {
        Ok(result) => result,
        Err(error) => Err(ApiError::new(
            ErrorKind::Internal,
            format!("a task failed: {error}"),
        )),
    }
}

/// Blocking file work off the executor. A test that holds the clock has one thread alone.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    #[cfg(test)]
    if tests::wall_clock().is_some() {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(std::io::Error::other(error)),
    }
}

impl Daemon {
    /// The action of a decision; each returns at once and works in a task of its own.
    fn carry_out(self: &Arc<Self>, action: Action) {
        match action {
            Action::Create {
                worker,
                profile,
                uid,
                cold_for,
            } => {
                self.start_create(worker, profile, uid, cold_for);
            }
            Action::Remove { worker, cause } => self.start_remove(worker, cause),
            Action::Probe(worker) => self.start_probe(worker),
            Action::Unpause(worker) => self.start_unpause(worker),
            Action::Assign {
                claim,
                worker,
                warm,
            } => self.assign(claim, worker, warm),
            Action::Reject { claim, reason } => self.reject(claim, reason),
            Action::Relist => self.relist.notify_one(),
            Action::WorkerChanged(worker) => {
                self.tell_worker(&worker);
                self.perhaps_rehome(&worker);
            }
            Action::PoolChanged(profile) => self.tell_pool(&profile),
        }
    }
}
