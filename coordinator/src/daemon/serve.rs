//! `podbay serve`: from the arguments to the drain.

use super::{
    Daemon, DaemonParts,
    observe::logging,
    outside::{Outside, ThisHost},
    wakes::Task,
};
use crate::{
    agent::AgentRegistry,
    config::Config,
    guard_client::GuardClient,
    mounter_client::MounterClient,
    runtime::{Docker, PullPolicy},
    store::{AuditLog, ClaimKey, StateDir},
};
use anyhow::Context;
use std::{
    os::unix::fs::MetadataExt,
    path::PathBuf,
    pin::Pin,
    sync::{Arc, PoisonError},
    time::Duration,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

/// Reports from agents that wait to be heard; an agent that reports more waits.
const NOTICES: usize = 1024;
/// How often the configuration's files are looked at.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);
/// The audit log's last entries are written by then.
const AUDIT_DEADLINE: Duration = Duration::from_secs(2);
/// Requests under way when the coordinator stops may take so long to end.
const DRAIN_DEADLINE: Duration = Duration::from_secs(5);

/// Binds the API's socket and gives what serves it: `api` comes after this module.
pub type Listen =
    fn(Arc<Daemon>, PathBuf) -> anyhow::Result<Pin<Box<dyn Future<Output = ()> + Send>>>;

/// Loads the configuration anew.
pub(super) type Reload = Box<dyn Fn() -> Result<Config, String> + Send + Sync>;

/// What `podbay serve` needs to know.
pub(super) struct ServeOptions {
    /// The state volume.
    pub state_dir: PathBuf,
    /// The engine's socket.
    pub engine_socket: PathBuf,
    /// The worker-agent's binary, to be installed in the state volume.
    pub agent_binary: PathBuf,
    /// The checked configuration.
    pub config: Config,
    /// When images are pulled.
    pub pull: PullPolicy,
    /// What is copied into a fresh state volume.
    pub seeds: PathBuf,
    /// Loads the configuration anew, for SIGHUP and when one of `watched` changes.
    pub reload: Reload,
    /// Binds the API's socket.
    pub listen: Listen,
    /// The configuration's files and folders.
    pub watched: Vec<PathBuf>,
}

/// Runs the coordinator until SIGTERM or SIGINT. Workers and their sessions go on after it.
///
/// # Errors
/// The state volume or the socket cannot be used.
pub(super) async fn serve(options: ServeOptions) -> anyhow::Result<()> {
    let state_dir = StateDir::open(&options.state_dir)
        .with_context(|| format!("opening the state volume {}", options.state_dir.display()))?;
    #[cfg(feature = "faults")]
    podbay_failpoints::begin(&options.state_dir);
    state_dir
        .seed(&options.seeds)
        .context("seeding the state volume")?;
    let log = logging::start(&options.config.log, &state_dir)?;
    log.count();
    let config = &options.config;
    let docker = Docker::connect(
        &options.engine_socket,
        config.engine.timeout,
        config.engine.create_timeout,
    )?;
    let (notices, heard) = mpsc::channel(NOTICES);
    let registry = AgentRegistry::new(state_dir.join("workers"), notices);
    let mounter = MounterClient::connect(state_dir.join("run/mounter.sock"));
    let guard = GuardClient::connect(state_dir.join("run/netguard.sock"));
    let mut seed = [0u8; 8];
    getrandom::fill(&mut seed).map_err(|e| anyhow::anyhow!("no random numbers: {e}"))?;
    let daemon = Daemon::new(DaemonParts {
        outside: Outside {
            engine: Arc::new(docker),
            mounter: Arc::new(mounter.clone()),
            reviews: mounter,
            guard: Arc::new(guard),
            store: Arc::new(state_dir.clone()),
            host: Arc::new(ThisHost),
        },
        registry,
        claim_key: claim_key(&state_dir)?,
        audit: AuditLog::open(state_dir.join("logs")).context("starting the audit log")?,
        config: options.config.clone(),
        pull: options.pull,
        seed: u64::from_le_bytes(seed),
        state_dir: state_dir.clone(),
    });
    let socket = state_dir.join("run/podbay.sock");
    let serving = tokio::spawn((options.listen)(daemon.clone(), socket.clone())?);
    tracing::info!(socket = %socket.display(), version = env!("CARGO_PKG_VERSION"), "serving");
    daemon.background(
        "come up",
        daemon.clone().startup(options.agent_binary, heard),
    );
    wait_for_signals(&daemon, &options.reload, &options.watched).await?;
    tracing::info!("stopping; workers and their sessions go on");
    daemon.stop();
    if tokio::time::timeout(DRAIN_DEADLINE, serving).await.is_err() {
        tracing::warn!("requests were cut off");
    }
    let audit = daemon.audit().clone();
    let flushed = tokio::task::spawn_blocking(move || audit.flush(AUDIT_DEADLINE)).await;
    if !flushed.unwrap_or(false) {
        tracing::warn!("the last entries of the audit log are missing");
    }
    Ok(())
}

/// Without room for a key the coordinator works, and what is carried proves nothing to the next one.
fn claim_key(state_dir: &StateDir) -> anyhow::Result<ClaimKey> {
    ClaimKey::open(state_dir).or_else(|error| {
        tracing::error!(%error, "no key for claim records on disk; this coordinator has its own");
        ClaimKey::passing().context("making a key for claim records")
    })
}

async fn wait_for_signals(
    daemon: &Arc<Daemon>,
    reload: &Reload,
    watched: &[PathBuf],
) -> anyhow::Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let mut hup = signal(SignalKind::hangup())?;
    let mut look = tokio::time::interval(WATCH_INTERVAL);
    let mut last = fingerprint(watched);
    loop {
        tokio::select! {
            _ = term.recv() => return Ok(()),
            _ = int.recv() => return Ok(()),
            _ = hup.recv() => daemon.reload(reload).await,
            _ = look.tick() => {
                let now = fingerprint(watched);
                if now != last {
                    last = now;
                    daemon.reload(reload).await;
                }
            }
        }
    }
}

/// Inode, size and time of change of the files, and of what is in the folders.
fn fingerprint(watched: &[PathBuf]) -> Vec<(PathBuf, u64, u64, i64)> {
    let entries = watched
        .iter()
        .filter_map(|path| std::fs::read_dir(path).ok())
        .flatten();
    let inside = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut found: Vec<_> = watched
        .iter()
        .cloned()
        .chain(inside)
        .filter_map(|path| {
            let meta = std::fs::metadata(&path)
                .ok()
                .filter(std::fs::Metadata::is_file)?;
            Some((
                path,
                meta.ino(),
                meta.len(),
                meta.mtime_nsec() ^ meta.mtime(),
            ))
        })
        .collect();
    found.sort_unstable();
    found
}

impl Daemon {
    /// Takes a new configuration; one that fails leaves the old one in force and says so.
    pub(super) async fn reload(self: &Arc<Self>, load: &Reload) {
        match load() {
            Ok(config) => {
                let config = Arc::new(config);
                let (parallel, hot) = (config.engine.max_parallel, config.workspace.hot_mounts);
                let former = {
                    let mut current = self.config.lock().unwrap_or_else(PoisonError::into_inner);
                    std::mem::replace(&mut *current, config)
                };
                if former.workspace.hot_mounts != hot {
                    self.wakes.wake(Task::HotMounts);
                }
                self.lock().fleet.set_max_parallel(parallel);
                let specs = self.pool_specs().await;
                self.feed(crate::fleet::Event::Configured(specs));
                self.wakes.wake(Task::Quotas);
                match self.not_in_effect() {
                    Some(waits) => tracing::warn!(waits, "took a new configuration in part"),
                    None => tracing::info!("took a new configuration"),
                }
            }
            Err(error) => tracing::error!(error, "the new configuration is not used"),
        }
    }
}
