//! Starting a worker's command again: in place while it runs, as a new claim once it has ended.
//!
//! In place it is the agent that does it, all in one: it alone still has the session's
//! environment, and a coordinator that dies meanwhile finds a session that runs. Here is only the
//! waiting; the agent tells the new start before the old end, which so ends nothing.

use crate::daemon::{
    Daemon,
    claims::{resolve::check_grace, start_request::START_DEADLINE},
    detached,
    sessions::attach::AGENT_DEADLINE,
    workers::{adoption::unproven::unproven_error, underway::Underway},
};
use crate::{
    agent::AgentRequestError,
    model::{WorkerId, WorkerState},
    store::ClaimRecord,
    wire::{ApiError, ErrorKind, SpawnRequest, WorkerView},
};
use podbay_protocol::{AgentError, ErrorCode, ToAgentBody};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// How often a worker that is being restarted is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// Said of a claim made again whose first one brought an environment.
pub(in crate::daemon) const WITHOUT_ENV: &str = "started again without the environment variables and secrets of its first start: they are kept nowhere";

fn conflict(message: impl Into<String>) -> ApiError {
    ApiError::new(ErrorKind::Conflict, message)
}

impl Daemon {
    /// Starts a worker's command again.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] for a worker that is not claimed, is being stopped, or ended with
    /// changes that were not applied; what a claim or the agent refuses.
    pub async fn restart_worker(
        self: &Arc<Self>,
        name: &str,
        grace_ms: Option<u64>,
    ) -> Result<WorkerView, ApiError> {
        check_grace(grace_ms)?;
        let id = self.find(name)?;
        let daemon = self.clone();
        // Half a restart would be a loss: it goes on when its client goes away.
        detached(async move {
            let view = daemon.worker(id.as_str())?;
            match view.state {
                WorkerState::Running => daemon.restart_in_place(&id, grace_ms).await,
                WorkerState::Lost | WorkerState::Exited | WorkerState::Failed
                    if daemon.unproven(&id).is_some() =>
                {
                    Err(unproven_error(&view.name, daemon.unproven(&id)))
                }
                WorkerState::Lost => daemon.recreate_lost(&id, grace_ms).await,
                WorkerState::Exited | WorkerState::Failed => daemon.claim_again(&id, &view).await,
                state @ (WorkerState::Creating
                | WorkerState::Warm
                | WorkerState::Claiming
                | WorkerState::Stopping) => Err(conflict(format!(
                    "{} is {}: it has no command to start again",
                    view.name,
                    state.as_str()
                ))
                .hint("workers that run or have ended can be restarted")),
            }
        })
        .await
    }

    pub(in crate::daemon) async fn restart_in_place(
        self: &Arc<Self>,
        id: &WorkerId,
        grace_ms: Option<u64>,
    ) -> Result<WorkerView, ApiError> {
        self.not_held(id)?;
        self.agent_back(id).await;
        let agent = self.agent(id)?;
        let next = self.random_id()?;
        let (session, claim, grace) = {
            let mut state = self.lock();
            let record = state.records.get_mut(id).filter(|r| !r.underway.removes());
            let running = record.filter(|r| r.session.exit.is_none());
            let Some((record, claim)) = running.and_then(|r| {
                let claim = r.claim.clone()?;
                Some((r, claim))
            }) else {
                return Err(conflict("its session ended at this very moment").hint("try again"));
            };
            if record.underway.restart().is_some() {
                return Err(conflict(format!(
                    "{} is being restarted already",
                    claim.name
                )));
            }
            let mut again = claim.clone();
            again.restarts = again.restarts.saturating_add(1);
            again.follow_with(&next);
            record.underway = Underway::Restart(next.clone());
            record.restart_failed = None;
            let grace = self.grace(&record.profile, grace_ms);
            (claim.session, again, grace)
        };
        self.tell_worker(id);
        let carried = self
            .claim_key
            .seal(&claim)
            .map_err(|e| ApiError::new(ErrorKind::Internal, format!("the claim's record: {e}")))?;
        let body = ToAgentBody::Restart {
            session,
            next: next.clone(),
            grace_ms: u64::try_from(grace.as_millis()).unwrap_or(u64::MAX),
            claim: carried,
        };
        if let Err(error) = agent.request(body, AGENT_DEADLINE).await {
            self.give_restart_up(id);
            return Err(refused(error));
        }
        podbay_failpoints::failpoint!("restart.asked");
        let deadline = Instant::now() + grace + START_DEADLINE;
        self.await_restart(id, &next, deadline).await
    }

    async fn await_restart(
        self: &Arc<Self>,
        id: &WorkerId,
        next: &str,
        deadline: Instant,
    ) -> Result<WorkerView, ApiError> {
        loop {
            // A worker that is lost meanwhile says nothing: its state is looked at now and then.
            let look = deadline.min(Instant::now() + LOOK);
            match self.wakes.until(look, || self.restarted(id, next)).await {
                Some(Ok(())) => return self.worker(id.as_str()),
                Some(Err(error)) => return Err(error),
                None if look == deadline => break,
                None => {}
            }
        }
        self.give_restart_up(id);
        Err(ApiError::new(
            ErrorKind::Timeout,
            "the worker's agent did not report in time whether it restarted the session",
        )
        .hint("`podbay ls` shows what the worker does now"))
    }

    /// How the restart ended; `None`: it is under way.
    fn restarted(&self, id: &WorkerId, next: &str) -> Option<Result<(), ApiError>> {
        let mut state = self.lock();
        let entry = state.fleet.worker(id);
        let lost = entry.is_some_and(|entry| entry.state == WorkerState::Lost);
        let record = state.records.get_mut(id);
        if let Some(record) = &record {
            if record.is_main(next) {
                return Some(Ok(()));
            }
            if record.underway.restart().is_some() && !record.underway.removes() && !lost {
                return None;
            }
        }
        let failed = record.and_then(|record| {
            record.underway.end_restart();
            record.restart_failed.take()
        });
        Some(Err(failed.map_or_else(
            || conflict("its session ended before it was started again"),
            |error| {
                let kind = crate::agent::kind_of(error.code);
                let message = format!("it was stopped and does not start: {}", error.message);
                ApiError::new(kind, message)
            },
        )))
    }

    fn give_restart_up(&self, id: &WorkerId) {
        if let Some(record) = self.lock().records.get_mut(id) {
            record.underway.end_restart();
        }
        self.tell_worker(id);
    }

    /// All that follows a session's new start.
    pub(in crate::daemon) fn follow_restart(self: &Arc<Self>, id: &WorkerId) {
        self.wakes.news();
        self.tell_worker(id);
        let (daemon, id) = (self.clone(), id.clone());
        tokio::spawn(async move {
            podbay_failpoints::failpoint!("restart.told");
            if daemon.write_claim(&id).await.is_err() {
                tracing::debug!(worker = %id, "the claim's record is tried again");
            }
            // It may have got another name meanwhile.
            daemon.sync_claim(&id).await;
        });
    }

    /// A new worker for the claim of one that has ended, which gives its name up.
    async fn claim_again(
        self: &Arc<Self>,
        id: &WorkerId,
        view: &WorkerView,
    ) -> Result<WorkerView, ApiError> {
        let began = Instant::now();
        let claim = self.claim_of(id).ok_or_else(|| {
            conflict(format!("{} was never claimed", view.name))
                .hint("workers that run or have ended can be restarted")
        })?;
        let mut resolved = self.resolve(request_of(&claim))?;
        // As they were, also where no request could say so.
        resolved.limits = claim.limits;
        resolved.env_given = claim.env_given;
        resolved.restarts = claim.restarts.saturating_add(1);
        resolved.note = claim.env_given.then(|| WITHOUT_ENV.to_owned());
        if claim.isolation.is_reviewed() && self.has_changes(id).await {
            return Err(conflict(format!(
                "{} has changes that were not applied",
                claim.name
            ))
            .hint(format!(
                "see `podbay diff {0}`, then `podbay apply {0}` or `podbay discard {0}` first",
                claim.name
            )));
        }
        // The former worker goes before the claim, which needs its name: not for one that must fail.
        self.check_replacement(&claim, &resolved).await?;
        if view.unapplied && claim.isolation.is_reviewed() {
            // There was something to review, and it is no more.
            self.reviewed(id, false).await;
        }
        if self.lock().records.contains_key(id) {
            self.stop_ids(vec![id.clone()], Some(0)).await?;
        }
        let placed = self.claim(resolved, None, began).await?;
        podbay_failpoints::failpoint!("restart.claimed");
        // The former record goes only now: a claim that fails leaves it.
        if self.lock().finished.contains_key(id) {
            if let Err(error) = self.drop_finished(id).await {
                tracing::warn!(worker = %id, %error, "the former record is left over");
            }
            self.bus.send(crate::wire::EventBody::Removed {
                id: id.to_string(),
                name: claim.name.to_string(),
            });
        }
        Ok(placed.response.worker)
    }

    /// A person sees the main session's screen.
    ///
    /// # Errors
    /// [`ApiError`]: no such worker, the agent is away.
    pub async fn seen(&self, name: &str) -> Result<(), ApiError> {
        let worker = self.find_live(name)?;
        let session = self.main_session(&worker)?;
        self.ask(&worker, ToAgentBody::Seen { session })
            .await
            .map(|_| ())
    }
}

fn refused(error: AgentRequestError) -> ApiError {
    match error {
        AgentRequestError::Refused(AgentError {
            code: ErrorCode::Invalid,
            message,
        }) => conflict(message).hint("`podbay ls` shows what the worker does now"),
        other => crate::daemon::sessions::attach::agent_error(other),
    }
}

/// What was asked for when it was claimed, without the environment.
pub(in crate::daemon) fn request_of(claim: &ClaimRecord) -> SpawnRequest {
    let default = SpawnRequest::default();
    SpawnRequest {
        project: claim.project.clone(),
        name: Some(claim.name.to_string()),
        profile: Some(claim.profile.clone()),
        isolation: Some(claim.isolation),
        argv: claim.argv.clone(),
        io: claim.io.unwrap_or(default.io),
        remove: claim.remove,
        timeout_s: claim.timeout_s,
        root: claim.uid == 0,
        ..default
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_asked_for_again_with_all_that_is_on_record() {
        let json = serde_json::json!({
            "id": "00000000000a", "name": "n", "profile": "p", "image": "i", "session": "s",
            "project": "/p", "project_dev": 1, "project_ino": 2, "isolation": "overlay",
            "hot": true, "warm_start": true, "created_ms": 1, "claimed_ns": 2,
            "argv": ["sh", "-c", "x"],
            "limits": { "memory_bytes": null, "nano_cpus": null, "pids": null },
            "uid": 0, "gid": 0, "remove": false, "io": { "kind": "pipes" }, "timeout_s": 7,
            "env_given": true
        });
        let claim: ClaimRecord = serde_json::from_value(json).unwrap();
        let request = request_of(&claim);
        assert_eq!(request.name.as_deref(), Some("n"));
        assert_eq!(request.profile.as_deref(), Some("p"));
        assert_eq!(request.isolation, Some(crate::model::Isolation::Overlay));
        assert_eq!(request.argv, ["sh", "-c", "x"]);
        assert_eq!(request.io, podbay_protocol::SessionIo::Pipes);
        assert_eq!(
            (request.timeout_s, request.root, request.remove),
            (Some(7), true, false)
        );
        assert!(request.env.is_empty());
    }
}
