//! Making a lost worker's container anew: of the same folders, where the network is.
//!
//! A parent that was started again, or made again, leaves running workers with a network of their
//! own that leads nowhere; an engine that was started again may have ended them. A container of
//! the same worker takes the place of the lost one: its home, its changes and its recordings are
//! kept, the project is mounted again, and the profile's `resume` command (or its own) runs with
//! the environment that the former agent still has. The claim's record says `moving` while there
//! may be no container, so that a coordinator that dies meanwhile takes it for lost, not for ended.

use crate::daemon::{
    Daemon, blocking,
    claims::{
        check::same_folder,
        environment::{Variables, renewed},
        resolve::configured,
        resolved::Resolved,
        start_request::Found,
    },
    workers::{
        operations::restart::{WITHOUT_ENV, request_of},
        record::SessionView,
    },
};
use crate::{
    config::{Profile, RecreatePolicy},
    fleet::Event,
    model::{WorkerId, WorkerState},
    store::ClaimRecord,
    wire::{ApiError, ErrorKind, WorkerView},
};
use podbay_protocol::{Reply, SessionIo, StartSession, ToAgentBody};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// An agent that still answers says at once what its session was started with.
const ORIGIN_DEADLINE: Duration = Duration::from_secs(2);
/// How often a new container's agent is looked for.
const CALL_STEP: Duration = Duration::from_millis(10);
/// Between the tries of `rehome = "auto"`, the first included; then a person is asked.
const TRIES: [Duration; 3] = [
    Duration::ZERO,
    Duration::from_secs(5),
    Duration::from_secs(30),
];
/// Said of a session that ran again in a new container.
const ANEW: &str = "its container was made anew; `podbay logs --previous` shows what was before";
/// Said of a worker whose coordinator died in the midst of it.
pub(in crate::daemon) const CUT_SHORT: &str =
    "its container was being made anew when the coordinator stopped; `podbay restart` goes on";

impl Daemon {
    /// A person wants a lost worker back.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] where the profile says `rehome = "never"`, or where its session may
    /// be alive and cannot be asked; what a claim refuses.
    pub(in crate::daemon) async fn recreate_lost(
        self: &Arc<Self>,
        id: &WorkerId,
        grace_ms: Option<u64>,
    ) -> Result<WorkerView, ApiError> {
        let claim = self
            .claim_of(id)
            .ok_or_else(|| ApiError::new(ErrorKind::Conflict, "the worker was never claimed"))?;
        if !claim.moving && !self.is_beyond_return(id).await {
            match self.find_out(id, &claim.session).await {
                Found::Started(_) => return self.restart_found(id, grace_ms).await,
                Found::Absent | Found::OtherVersion => {}
                Found::Silent(reason) => {
                    let message = format!(
                        "the container of {0} runs and its agent does not answer ({reason}): its \
                         session may be alive, and nothing was changed",
                        claim.name
                    );
                    return Err(ApiError::new(ErrorKind::Conflict, message).hint(format!(
                        "try again later; or end it with `podbay stop {0}`, which keeps its changes, \
                         and start it again with `podbay restart {0}`",
                        claim.name
                    )));
                }
            }
        }
        if self.recreate_policy(&claim.profile) == RecreatePolicy::Never {
            let message = format!(
                "profile {} has rehome = \"never\": {} stays lost",
                claim.profile, claim.name
            );
            return Err(ApiError::new(ErrorKind::Conflict, message).hint(
                "`podbay rm --force` removes it; the key is profiles.NAME.rehome of the configuration",
            ));
        }
        self.recreate(id).await?;
        self.worker(id.as_str())
    }

    /// It was taken for lost and runs: what it runs is taken over, and started again in place.
    async fn restart_found(
        self: &Arc<Self>,
        id: &WorkerId,
        grace_ms: Option<u64>,
    ) -> Result<WorkerView, ApiError> {
        if let Some(handle) = self.registry.handle(id) {
            self.clone().describe_and_adopt(id.clone(), handle).await;
        }
        self.restart_in_place(id, grace_ms).await
    }

    fn recreate_policy(&self, profile: &str) -> RecreatePolicy {
        let config = self.config();
        config
            .profiles
            .get(profile)
            .map_or(RecreatePolicy::Ask, |p| p.rehome)
    }

    /// A worker's state changed: one that is lost comes back by itself where its profile says so.
    pub(in crate::daemon) fn recreate_if_wanted(self: &Arc<Self>, id: &WorkerId) {
        let tries = {
            let mut state = self.lock();
            let lost = state
                .fleet
                .worker(id)
                .is_some_and(|w| w.state == WorkerState::Lost);
            let Some(record) = state
                .records
                .get_mut(id)
                .filter(|r| lost && !r.underway.removes())
            else {
                return;
            };
            let Some(profile) = record.claim.as_ref().map(|c| c.profile.clone()) else {
                return;
            };
            if self.recreate_policy(&profile) != RecreatePolicy::Auto || record.underway.recreates()
            {
                return;
            }
            record.recreate_tries += 1;
            record.recreate_tries
        };
        let Some(pause) = TRIES.get(tries.saturating_sub(1)) else {
            return;
        };
        let (daemon, id, pause) = (self.clone(), id.clone(), *pause);
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            if !daemon.is_beyond_return(&id).await {
                // Its agent is away and may come back: a session that lives is not ended unasked.
                if let Some(record) = daemon.lock().records.get_mut(&id) {
                    record.recreate_tries = 0;
                }
                return;
            }
            if let Err(error) = daemon.recreate(&id).await {
                tracing::warn!(worker = %id, %error, "its container cannot be made anew");
            }
        });
    }

    /// Whether a lost worker's network or processes are gone for good.
    async fn is_beyond_return(&self, id: &WorkerId) -> bool {
        let container = {
            let state = self.lock();
            let lost = state
                .fleet
                .worker(id)
                .is_some_and(|w| w.state == WorkerState::Lost);
            let Some(record) = state.records.get(id).filter(|_| lost) else {
                return false;
            };
            if record.cut_off {
                return true;
            }
            record.container.clone()
        };
        match container {
            Some(container) => match self.outside.engine.host_pid(&container).await {
                Ok(_) => false,
                Err(error) => !error.engine_is_away(),
            },
            None => true,
        }
    }

    async fn recreate(self: &Arc<Self>, id: &WorkerId) -> Result<(), ApiError> {
        let gone = || ApiError::new(ErrorKind::Conflict, "the worker is not lost any more");
        {
            let mut state = self.lock();
            let lost = state
                .fleet
                .worker(id)
                .is_some_and(|w| w.state == WorkerState::Lost);
            let record = state.records.get_mut(id).filter(|_| lost);
            if !record.ok_or_else(gone)?.underway.begin_recreation() {
                return Err(gone());
            }
        }
        self.feed(Event::Recreate(id.clone()));
        let turn = self.recreations.acquire().await;
        let outcome = self.recreate_container(id).await;
        drop(turn);
        let mut left = false;
        if let Some(record) = self.lock().records.get_mut(id) {
            record.underway.end_recreation();
            if outcome.is_ok() {
                (record.cut_off, record.recreate_tries) = (false, 0);
            } else {
                left = record.container.is_some() && !record.underway.removes();
            }
        }
        // A removal waits for this.
        self.wakes.news();
        self.feed(Event::Recreated {
            worker: id.clone(),
            outcome: outcome
                .as_ref()
                .map(|_| ())
                .map_err(|e| format!("its container cannot be made anew: {}", e.message)),
        });
        self.tell_worker(id);
        if left && !self.registry.listens(id) {
            // The former container could not be removed, and its agent was forgotten.
            self.listen_for(id);
        }
        if outcome.is_ok() {
            tracing::info!(worker = %id, "its container was made anew");
            self.name_container(id).await;
        }
        outcome
    }

    async fn recreate_container(self: &Arc<Self>, id: &WorkerId) -> Result<(), ApiError> {
        let former = self
            .claim_of(id)
            .ok_or_else(|| ApiError::new(ErrorKind::Conflict, "the worker is gone"))?;
        let mut resolved = self.resolve(request_of(&former))?;
        resolved.limits = former.limits;
        resolved.restarts = former.restarts.saturating_add(1);
        let config = self.config();
        let profile = configured(&config, &former.profile)?;
        if !profile.resume.is_empty() {
            resolved.argv.clone_from(&profile.resume);
        }
        // All that can be known is checked before anything is ended.
        self.check_replacement(&former, &resolved).await?;
        self.check_size(&resolved)?;
        let origin = self.start_request_of(id, &former.session).await;
        let then = self.own_variables(&former, former.uid);
        self.note_moving(id, true).await?;
        self.end_session(id, None).await;
        self.remove_container(id).await?;
        podbay_failpoints::failpoint!("recreate.container.gone");
        self.make_container(id, &former, profile, &resolved).await?;
        self.await_agent(id, profile.ready_timeout).await?;
        self.restart_session(id, &former, &resolved, origin, &then)
            .await?;
        podbay_failpoints::failpoint!("recreate.started");
        if let Some(record) = self.lock().records.get_mut(id) {
            record.origin = None;
        }
        self.note_moving(id, false).await
    }

    /// What the session was started with: as its agent says, or as it said before a try that
    /// failed. Kept in memory until the session runs again.
    async fn start_request_of(&self, id: &WorkerId, session: &str) -> Option<Box<StartSession>> {
        let told = self.ask_origin(id, session).await;
        let mut state = self.lock();
        let record = state.records.get_mut(id)?;
        if told.is_some() {
            record.origin = told;
        }
        record.origin.clone()
    }

    /// What the former agent says of its session's start; `None` when there is none to ask.
    pub(in crate::daemon) async fn ask_origin(
        &self,
        id: &WorkerId,
        session: &str,
    ) -> Option<Box<StartSession>> {
        let body = ToAgentBody::Origin {
            session: session.to_owned(),
        };
        let asked = self
            .registry
            .handle(id)?
            .request(body, ORIGIN_DEADLINE)
            .await;
        match asked.and_then(|said| said.of(id)) {
            Ok(Reply::Origin(start)) => Some(start),
            Ok(other) => {
                tracing::debug!(worker = %id, other = other.kind(), "no origin");
                None
            }
            Err(error) => {
                tracing::debug!(worker = %id, %error, "its environment is lost with it");
                None
            }
        }
    }

    async fn note_moving(&self, id: &WorkerId, moving: bool) -> Result<(), ApiError> {
        if let Some(claim) = self
            .lock()
            .records
            .get_mut(id)
            .and_then(|r| r.claim.as_mut())
        {
            claim.moving = moving;
        }
        self.write_claim(id).await.map_err(|e| {
            let message = format!("the claim's record cannot be written: {e}");
            ApiError::new(ErrorKind::Internal, message)
        })
    }

    /// The former container goes, its session having had its time to end.
    async fn remove_container(&self, id: &WorkerId) -> Result<(), ApiError> {
        self.registry.forget(id);
        let container = {
            let state = self.lock();
            state.records.get(id).and_then(|r| r.container.clone())
        };
        let Some(container) = container else {
            return Ok(());
        };
        self.outside
            .engine
            .remove(&container)
            .await
            .map_err(|e| ApiError::new(ErrorKind::Engine, e.to_string()))?;
        if let Some(record) = self.lock().records.get_mut(id) {
            record.container = None;
        }
        Ok(())
    }

    async fn make_container(
        self: &Arc<Self>,
        id: &WorkerId,
        former: &ClaimRecord,
        profile: &Profile,
        resolved: &Resolved,
    ) -> Result<(), ApiError> {
        let engine = |e: String| ApiError::new(ErrorKind::Engine, e);
        let image = self
            .image_for(&former.profile, profile)
            .await
            .map_err(|e| engine(e.to_string()))?;
        let uid = {
            let mut state = self.lock();
            let record = state
                .records
                .get_mut(id)
                .ok_or_else(|| engine("the worker is gone".into()))?;
            record.session = SessionView {
                size: record.session.size,
                ..SessionView::default()
            };
            record.uid
        };
        let token = self.random_id()?;
        let (store, worker, given) = (self.outside.store.clone(), id.clone(), token.clone());
        blocking(move || store.renew(&worker, &given))
            .await
            .map_err(|e| ApiError::new(ErrorKind::Internal, format!("the worker's folder: {e}")))?;
        self.prepare_folder(id, uid).await.map_err(engine)?;
        self.registry
            .listen(id, token)
            .map_err(|e| engine(format!("cannot listen for the worker's agent: {e}")))?;
        self.start_container(
            id,
            &former.profile,
            profile,
            image,
            resolved.limits,
            resolved.engine_project(),
        )
        .await
        .map_err(engine)
    }

    async fn await_agent(&self, id: &WorkerId, patience: Duration) -> Result<(), ApiError> {
        let deadline = Instant::now() + patience;
        while self.registry.handle(id).is_none() {
            if self
                .lock()
                .records
                .get(id)
                .is_none_or(|r| r.underway.removes())
            {
                return Err(ApiError::new(ErrorKind::Conflict, "it is being removed"));
            }
            if Instant::now() >= deadline {
                let message = format!("its agent did not call within {patience:?}");
                return Err(ApiError::new(ErrorKind::Timeout, message));
            }
            tokio::time::sleep(CALL_STEP).await;
        }
        Ok(())
    }

    async fn restart_session(
        self: &Arc<Self>,
        id: &WorkerId,
        former: &ClaimRecord,
        resolved: &Resolved,
        origin: Option<Box<StartSession>>,
        then: &Variables,
    ) -> Result<(), ApiError> {
        let mounted = self.mount(id, resolved).await.map_err(|f| f.error)?;
        if let Some(m) = &mounted {
            // It may have been replaced since it was checked.
            same_folder(former, (m.dev, m.ino), m.fsid)?;
        }
        let mut record = self
            .record_of(
                id,
                former.warm_start,
                resolved,
                former.name.clone(),
                mounted.as_ref(),
            )
            .map_err(|f| f.error)?;
        let session = std::mem::replace(&mut record.session, former.session.clone());
        record.earlier.clone_from(&former.earlier);
        record.follow_with(&session);
        record.created_ms = former.created_ms;
        record.claimed_ns = former.claimed_ns;
        record.env_given = former.env_given;
        record.from_caller.clone_from(&former.from_caller);
        record.moving = true;
        record.note = Some(match (&origin, former.env_given) {
            (None, true) => format!("{ANEW}; {WITHOUT_ENV}"),
            _ => ANEW.to_owned(),
        });
        if let Some(known) = self.lock().records.get_mut(id) {
            if known.underway.removes() {
                return Err(ApiError::new(ErrorKind::Conflict, "it is being removed"));
            }
            known.claim = Some(record.clone());
        }
        let mut start = self.start_message(&record, resolved)?;
        if let Some(origin) = origin {
            let now = self.own_variables(&record, record.uid);
            start.env = renewed(origin.env, then, now);
            start.secrets = origin.secrets;
            if let (SessionIo::Pty { size }, SessionIo::Pty { size: was }) =
                (&mut start.io, origin.io)
            {
                *size = was;
            }
        }
        let started = self.start_session(id, start, None).await;
        started.map(drop).map_err(|f| f.error)
    }

    /// A folder whose record says that its container was being made anew, and there is none.
    pub(in crate::daemon) fn resume_interrupted_recreation(
        self: &Arc<Self>,
        claim: ClaimRecord,
    ) -> Result<(), String> {
        let id = claim.id.clone();
        let config = self.config();
        let profile = config
            .profiles
            .get(&claim.profile)
            .ok_or_else(|| format!("the profile {:?} is gone", claim.profile))?;
        let (name, profile_name) = (claim.name.clone(), claim.profile.clone());
        let found = self.outside.store.own_uid(&id);
        let uid = {
            // Whose end was under way when its coordinator died had given its uid on already.
            let fleet = &self.lock().fleet;
            let own = found.filter(|uid| fleet.workers().all(|w| w.uid != *uid || w.id == id));
            own.or_else(|| fleet.free_uid())
        };
        let uid = uid.ok_or("every worker uid is in use")?;
        self.enter(&id, &profile_name, profile, uid);
        if let Some(record) = self.lock().records.get_mut(&id) {
            record.created_ms = claim.created_ms;
            record.claim = Some(claim);
        }
        self.feed(Event::LeftBehind {
            worker: id,
            profile: profile_name,
            name,
            uid,
            reason: CUT_SHORT.to_owned(),
        });
        Ok(())
    }
}
