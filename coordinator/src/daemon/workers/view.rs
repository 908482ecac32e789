//! Views for clients, made from the fleet's entry and the record.

use crate::daemon::{
    Daemon, State,
    claims::claim_latency::ClaimTimes,
    helpers::netguard::egress_words,
    unix_ms,
    workers::{record::Record, record_sync::unwritten_words},
};
use crate::{
    fleet::PoolNumbers,
    model::{Isolation, WorkerId, WorkerState},
    runtime::{mount_words, network_words, security_words},
    store::{ClaimRecord, FinishedRecord},
    wire::{ApiError, ErrorKind, PoolFailure, PoolView, Status, Version, WorkerView},
};
use podbay_protocol::paths;

impl Daemon {
    /// One worker as it is now; `None` when neither fleet nor disk know it.
    pub(in crate::daemon) fn view(&self, state: &State, id: &WorkerId) -> Option<WorkerView> {
        let Some(record) = state.records.get(id) else {
            return state.finished.get(id).map(of_finished);
        };
        let entry = state.fleet.worker(id);
        let mut view = of_record(record);
        if record.network == crate::config::Network::Shared {
            let words = egress_words(&record.egress, &state.guard, record.denied.as_ref());
            view.network = format!("{}; {words}", view.network);
        }
        view.agent = self
            .registry
            .handle(id)
            .and_then(|agent| agent.version().difference());
        let security = record.security.or_else(|| {
            let config = self.config();
            config.profiles.get(&record.profile).map(|p| p.security)
        });
        if let Some(security) = security {
            let root = view.uid == Some(0);
            view.security = security_words(security, root, record.landlock.as_ref());
            if let Some(runtime) = &record.runtime {
                view.security = format!("{}; runtime {runtime}", view.security);
            }
        }
        match entry {
            Some(entry) => {
                view.state = entry.state;
                if record.underway.restart().is_some() {
                    view.why = Some("its session is being started again".to_owned());
                } else if entry.why.is_some() {
                    view.why.clone_from(&entry.why);
                }
            }
            None => view.state = WorkerState::Stopping,
        }
        if let Some(held) = state.quotas.reason(id) {
            view.paused = Some(held.to_string());
            view.why = Some(format!("{held}; {}", held.hint()));
        }
        if let Some(error) = &record.write_error {
            let words = unwritten_words(error);
            view.why = Some(match view.why.take() {
                Some(why) => format!("{why}; {words}"),
                None => words,
            });
        }
        if view.state == WorkerState::Exited
            && let Some(claim) = &record.claim
        {
            view.unapplied = claim.may_have_changes();
        }
        Some(view)
    }

    /// All workers; finished ones too when `all`. Sorted by creation.
    #[must_use]
    pub fn workers(&self, all: bool) -> Vec<WorkerView> {
        let state = self.lock();
        let mut views: Vec<WorkerView> = state
            .records
            .keys()
            .filter_map(|id| self.view(&state, id))
            .collect();
        let finished = state
            .finished
            .values()
            .filter(|f| (all || f.unapplied) && !state.records.contains_key(&f.claim.id));
        views.extend(finished.map(of_finished));
        views.sort_by(|a, b| (a.created_ms, &a.id).cmp(&(b.created_ms, &b.id)));
        views
    }

    /// One worker by name or id; a live one before a finished one of the same name.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub fn worker(&self, name: &str) -> Result<WorkerView, ApiError> {
        let id = self.find(name)?;
        let state = self.lock();
        self.view(&state, &id).ok_or_else(|| not_found(name))
    }

    /// The id behind a name or id, of a worker or a finished session.
    pub(in crate::daemon) fn find(&self, name: &str) -> Result<WorkerId, ApiError> {
        if let Ok(id) = self.find_live(name) {
            return Ok(id);
        }
        let state = self.lock();
        let found = state
            .finished
            .values()
            .filter(|f| f.claim.name.as_str() == name || f.claim.id.as_str() == name)
            .max_by_key(|f| (f.unapplied, f.ended_ms));
        found
            .map(|f| f.claim.id.clone())
            .ok_or_else(|| not_found(name))
    }

    /// The id behind a name or id, of a worker with a container.
    pub(in crate::daemon) fn find_live(&self, name: &str) -> Result<WorkerId, ApiError> {
        let state = self.lock();
        let claimed = |r: &&Record| r.claim.as_ref().is_some_and(|c| c.name.as_str() == name);
        let found = state
            .records
            .values()
            .find(|r| r.id.as_str() == name)
            .or_else(|| state.records.values().find(claimed))
            .or_else(|| {
                let id = name.strip_prefix("warm-")?;
                state.records.values().find(|r| r.id.as_str() == id)
            });
        if let Some(record) = found {
            return Ok(record.id.clone());
        }
        let mut finished = state.finished.values();
        match finished.any(|f| f.claim.name.as_str() == name || f.claim.id.as_str() == name) {
            true => Err(ended(name)),
            false => Err(not_found(name)),
        }
    }

    /// All pools.
    #[must_use]
    pub fn pools(&self) -> Vec<PoolView> {
        let state = self.lock();
        let names: Vec<String> = state.fleet.pools().map(|p| p.profile.clone()).collect();
        names
            .iter()
            .filter_map(|name| self.pool_view(&state, name))
            .collect()
    }

    pub(in crate::daemon) fn pool_view(&self, state: &State, profile: &str) -> Option<PoolView> {
        let pool: PoolNumbers = state.fleet.pool(profile)?;
        let config = self.config();
        let times = state.times.get(profile);
        let now = self.now();
        Some(PoolView {
            profile: pool.profile,
            image: config
                .profiles
                .get(profile)
                .map(|p| p.image.clone())
                .unwrap_or_default(),
            min_warm: pool.min_warm,
            max_warm: pool.max_warm,
            target: pool.target,
            warm: pool.warm,
            creating: pool.creating,
            claimed: pool.claimed,
            queued: pool.queued,
            paused: pool.paused,
            draining: pool.draining,
            hits: pool.hits,
            misses: pool.misses,
            claim_p50_us: times.and_then(|t| t.percentile(50)),
            claim_p99_us: times.and_then(|t| t.percentile(99)),
            recent_claims_us: times.map(ClaimTimes::recent).unwrap_or_default(),
            last_failure: pool.last_failure.map(|f| PoolFailure {
                reason: f.reason,
                at_ms: unix_ms().saturating_sub(now.saturating_sub(f.at)),
                in_a_row: f.in_a_row,
                retry_in_ms: f.retry_at.map(|at| at.saturating_sub(now)),
            }),
        })
    }

    /// The coordinator itself.
    #[must_use]
    pub fn status(&self) -> Status {
        let pools = self.pools();
        let state = self.lock();
        let mut workers = std::collections::BTreeMap::new();
        for entry in state.fleet.workers() {
            *workers.entry(entry.state.as_str().to_owned()).or_insert(0) += 1;
        }
        let own = self
            .deployment
            .get()
            .map(|deployment| deployment.own.clone());
        let mut warnings = Vec::new();
        if !state.hot.available && self.deployment.get().is_some() {
            let why = state
                .hot
                .reason
                .clone()
                .unwrap_or_else(|| "not ready yet".to_owned());
            warnings.push(format!("projects do not get into warm workers: {why}"));
        }
        warnings.extend(self.not_in_effect());
        if let Some(why) = state.guard.reason.clone() {
            warnings.push(if state.guard.available {
                why
            } else {
                format!("workers reach each other's ports, and profiles whose egress is not open are refused: {why}")
            });
        }
        warnings.extend(state.disks.warnings());
        if let n @ 1.. = state.quotas.count() {
            warnings.push(format!(
                "{n} of the workers {} paused for what they keep on the state volume: `podbay ls` \
                 and their details say why",
                if n == 1 { "is" } else { "are" }
            ));
        }
        for pool in &pools {
            if let Some(failure) = &pool.last_failure
                && failure.retry_in_ms.is_some()
            {
                warnings.push(format!("pool {} fails: {}", pool.profile, failure.reason));
            }
        }
        Status {
            version: version(),
            instance: own.as_ref().map(|own| own.name.clone()).unwrap_or_default(),
            parent: own.map(|own| own.id),
            binary: self
                .deployment
                .get()
                .map(|s| s.podbay.clone())
                .unwrap_or_default(),
            uptime_ms: self.now(),
            engine: state.engine.clone(),
            hot_mounts: state.hot.clone(),
            guard: state.guard.clone(),
            pools,
            workers,
            warnings,
        }
    }
}

/// Version of the package and of the API.
#[must_use]
pub(crate) fn version() -> Version {
    Version {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        api: crate::wire::API_VERSION,
    }
}

fn not_found(name: &str) -> ApiError {
    let shown: String = name.chars().take(80).collect();
    ApiError::new(ErrorKind::NotFound, format!("no worker {shown:?}"))
        .hint("`podbay ls -a` shows all names")
}

fn ended(name: &str) -> ApiError {
    ApiError::new(ErrorKind::NotFound, format!("worker {name} has ended")).hint(format!(
        "`podbay logs {name}` shows what it printed, `podbay restart {name}` starts it again"
    ))
}

fn of_record(record: &Record) -> WorkerView {
    let mut view = match &record.claim {
        Some(claim) => of_claim(claim),
        None => blank(
            &record.id,
            &record.profile,
            &record.image,
            record.created_ms,
        ),
    };
    view.container.clone_from(&record.container);
    view.limits = record.limits;
    view.pid = record.session.pid;
    view.activity.clone_from(&record.session.activity);
    view.title.clone_from(&record.session.title);
    view.size = record.session.size;
    view.clients = record.session.clients.count();
    view.readings = record.readings;
    view.exit = record.session.exit;
    view.oom = record.session.oom;
    view.ended_ms = record.session.ended_ms;
    view.ports.clone_from(&record.ports);
    view.changes = record.changes;
    view.mounts.extend(mount_words(record.network));
    view.network = network_words(record.network);
    view.egress = record.egress.to_string();
    view.egress_denied.clone_from(&record.denied);
    view
}

/// What a claim alone says.
pub(in crate::daemon) fn of_claim(claim: &ClaimRecord) -> WorkerView {
    WorkerView {
        name: claim.name.to_string(),
        state: WorkerState::Running,
        claimed_ms: Some(claim.claimed_ms()),
        project: claim.project.clone(),
        isolation: claim.isolation,
        warm_start: claim.warm_start,
        limits: claim.limits,
        argv: claim.argv.clone(),
        session: Some(claim.session.clone()),
        uid: Some(claim.uid),
        remove: claim.remove,
        why: claim.note.clone(),
        mounts: project_words(claim).into_iter().collect(),
        restarts: claim.restarts,
        ..blank(&claim.id, &claim.profile, &claim.image, claim.created_ms)
    }
}

fn of_finished(finished: &FinishedRecord) -> WorkerView {
    WorkerView {
        state: WorkerState::Exited,
        why: finished.why.clone(),
        ended_ms: Some(finished.ended_ms),
        exit: finished.exit,
        oom: finished.oom,
        unapplied: finished.unapplied,
        changes: finished.changes,
        ..of_claim(&finished.claim)
    }
}

/// How the project got in, for people.
fn project_words(claim: &ClaimRecord) -> Option<String> {
    let project = claim.project.as_ref()?;
    let how = match claim.isolation {
        Isolation::Overlay => "copy-on-write",
        Isolation::Bind => "writes go to the project",
        Isolation::None => return None,
    };
    Some(format!("{project} → {} ({how})", paths::WORKSPACE))
}

/// A worker that nobody has claimed.
fn blank(id: &WorkerId, profile: &str, image: &str, created_ms: u64) -> WorkerView {
    WorkerView {
        id: id.to_string(),
        name: format!("warm-{id}"),
        profile: profile.to_owned(),
        created_ms,
        image: image.to_owned(),
        remove: true,
        ..WorkerView::default()
    }
}
