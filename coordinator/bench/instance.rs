//! The instance that is measured, and what every figure needs of it.

use crate::{arguments::BenchArgs, scratch::Scratch};
use coordinator::{
    cli::{Failure, output::term},
    client::{Client, Target, engine::Engine, engine_address},
    model::{HostPath, Isolation, STATE_DIR, WorkerState},
    wire::{PoolView, ScaleRequest, SpawnRequest, WorkerView},
};
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// Filling a pool takes no longer.
const FILL: Duration = Duration::from_secs(300);

/// What every figure needs.
pub struct Bench {
    /// The coordinator, over its socket.
    pub client: Client,
    /// The engine.
    pub engine: Arc<Engine>,
    /// The parent container's id.
    pub parent: String,
    /// The parent's PID 1 as the host counts.
    pub parent_pid: i32,
    /// The coordinator's socket on the host.
    pub socket: PathBuf,
    /// The `podbay` that is measured.
    pub program: PathBuf,
    /// The profile whose pool is measured.
    pub profile: String,
    /// Its image.
    pub image: String,
    /// Marks containers and workers as this run's.
    pub run: String,
    /// Temporary folders.
    pub scratch: Scratch,
    /// Claims of each mode.
    pub count: usize,
    /// Fewer rounds.
    pub quick: bool,
    before: PoolView,
    next: AtomicUsize,
}

impl Bench {
    /// Finds the instance, its socket on this host and its pool.
    pub async fn open(args: &BenchArgs) -> Result<Self, Failure> {
        let globals = &args.globals;
        if !nix::unistd::geteuid().is_root() {
            return Err(
                Failure::new(1, "the bench reads other processes and the state volume")
                    .hint("run it as root on the engine's host"),
            );
        }
        let address = engine_address::find(&engine_address::SystemEnv)
            .map_err(|error| Failure::new(3, error.to_string()))?;
        let engine = Arc::new(Engine::connect(address).await?);
        let name = globals.discover().parent();
        let container = engine.container(&name).await?.ok_or_else(|| {
            Failure::new(3, format!("there is no container {name}")).hint("start it: `podbay up`")
        })?;
        let state = container.mounts.iter().flatten();
        let state = state
            .filter(|mount| mount.destination.as_deref() == Some(STATE_DIR))
            .find_map(|mount| mount.source.clone());
        let given = globals.socket.clone().or_else(|| {
            let set = std::env::var_os("PODBAY_SOCKET").filter(|path| !path.is_empty());
            set.map(PathBuf::from)
        });
        let found = || Some(Path::new(&state?).join("run/podbay.sock"));
        let socket = given
            .or_else(found)
            .ok_or_else(|| Failure::new(3, format!("{name} has nothing mounted at {STATE_DIR}")))?;
        let client = Client::new(Target::Socket(socket.clone()));
        let pools = client.pools().await?;
        let wanted = args.profile.as_deref();
        let before = match pools.as_slice() {
            [only] if wanted.is_none() => Some(only.clone()),
            pools => {
                let wanted = wanted.unwrap_or("default");
                pools.iter().find(|pool| pool.profile == wanted).cloned()
            }
        };
        let before = before.ok_or_else(|| Failure::new(5, "no such profile"))?;
        let state = container.state.as_ref();
        Ok(Self {
            client,
            engine,
            parent: container.id.unwrap_or(name),
            parent_pid: state
                .and_then(|state| i32::try_from(state.pid?).ok())
                .ok_or_else(|| Failure::new(3, "the parent does not run"))?,
            socket,
            program: podbay()?,
            profile: before.profile.clone(),
            image: before.image.clone(),
            run: format!("{:08x}", std::process::id()),
            scratch: Scratch::new()?,
            count: args.count.try_into().unwrap_or(usize::MAX),
            quick: args.quick,
            before,
            next: AtomicUsize::new(0),
        })
    }

    /// A line of progress.
    pub fn say(&self, text: &str) {
        term::note(&format!("bench: {text}"));
    }

    /// A name for a worker or a container of this run's.
    pub fn name(&self) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        format!("bench-{}-{number}", self.run)
    }

    /// A claim of a project for a shell command.
    pub fn request(&self, project: &Path, isolation: Isolation, command: &str) -> SpawnRequest {
        SpawnRequest {
            project: Some(HostPath::new(project)),
            name: Some(self.name()),
            profile: Some(self.profile.clone()),
            isolation: Some(isolation),
            argv: ["/bin/sh", "-c", command].map(str::to_owned).to_vec(),
            ..SpawnRequest::default()
        }
    }

    /// The pool.
    pub async fn pool(&self) -> Result<PoolView, Failure> {
        let pools = self.client.pools().await?;
        let own = pools.into_iter().find(|pool| pool.profile == self.profile);
        own.ok_or_else(|| Failure::new(1, "the pool is gone"))
    }

    /// Waits until the pool is as wanted, asking every `every`.
    pub async fn until(
        &self,
        what: &str,
        every: Duration,
        wanted: impl Fn(&PoolView) -> bool,
    ) -> Result<(), Failure> {
        let began = Instant::now();
        loop {
            let pool = self.pool().await?;
            if wanted(&pool) {
                return Ok(());
            }
            let failing = pool.last_failure.as_ref().filter(|f| f.in_a_row >= 3);
            if let Some(failure) = failing {
                let message = format!("waiting for {what}: {}", failure.reason);
                return Err(Failure::new(1, message));
            }
            if began.elapsed() > FILL {
                let message = format!("{what} in vain: {} warm", pool.warm);
                return Err(Failure::new(1, message));
            }
            tokio::time::sleep(every).await;
        }
    }

    /// Fills the pool with exactly `n` warm workers.
    pub async fn fill(&self, n: u32) -> Result<(), Failure> {
        self.client.resume(&self.profile).await?;
        self.scale(n).await?;
        let full = |pool: &PoolView| pool.warm == n && pool.creating == 0;
        self.until(
            &format!("{n} warm workers"),
            Duration::from_millis(20),
            full,
        )
        .await
    }

    /// Keeps `n` workers warm.
    pub async fn scale(&self, n: u32) -> Result<(), Failure> {
        let request = ScaleRequest {
            min_warm: n,
            max_warm: n,
        };
        self.client.scale(&self.profile, &request).await?;
        Ok(())
    }

    /// Stops refilling.
    pub async fn pause(&self) -> Result<(), Failure> {
        self.client.pause(&self.profile).await?;
        Ok(())
    }

    /// Empties the pool and waits for it.
    pub async fn drain(&self) -> Result<(), Failure> {
        self.client.drain(&self.profile).await?;
        let empty = |pool: &PoolView| pool.warm == 0 && pool.creating == 0;
        self.until("an empty pool", Duration::from_millis(20), empty)
            .await
    }

    /// The warm workers of the pool.
    pub async fn warm(&self) -> Result<Vec<WorkerView>, Failure> {
        let mut workers = self.client.workers(false).await?;
        workers
            .retain(|worker| worker.profile == self.profile && worker.state == WorkerState::Warm);
        Ok(workers)
    }

    /// Removes workers of this run's, all at once.
    pub async fn remove(&self, names: Vec<String>) -> Result<(), Failure> {
        let mut removals = JoinSet::new();
        for name in names {
            let client = self.client.clone();
            removals.spawn(async move { client.remove(&name, true).await });
        }
        while let Some(removed) = removals.join_next().await {
            removed.map_err(|error| Failure::new(1, error.to_string()))??;
        }
        Ok(())
    }

    /// Removes everything that this run left, and gives the pool its former size.
    pub async fn clean(&self) -> Result<(), Failure> {
        crate::rivals::kill_tmux(&self.run).await;
        crate::rivals::remove_labelled(&self.run).await;
        let mine = format!("bench-{}-", self.run);
        let workers = self.client.workers(true).await?;
        let names = workers.into_iter().map(|worker| worker.name);
        let left: Vec<String> = names.filter(|name| name.starts_with(&mine)).collect();
        self.remove(left).await?;
        let request = ScaleRequest {
            min_warm: self.before.min_warm,
            max_warm: self.before.max_warm,
        };
        self.client.scale(&self.profile, &request).await?;
        if self.before.draining {
            self.client.drain(&self.profile).await?;
        } else if self.before.paused {
            self.client.pause(&self.profile).await?;
        } else {
            self.client.resume(&self.profile).await?;
        }
        Ok(())
    }
}

/// The `podbay` that was built along with this program: it is in the same folder.
fn podbay() -> Result<PathBuf, Failure> {
    let podbay = std::env::current_exe()?.with_file_name("podbay");
    if !podbay.is_file() {
        let message = format!("there is no {}", podbay.display());
        return Err(
            Failure::new(1, message).hint("build both: `cargo build -p coordinator --bins`")
        );
    }
    Ok(podbay)
}
