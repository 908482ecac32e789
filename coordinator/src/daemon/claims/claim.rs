//! A claim from the request to the worker that serves it.

use crate::daemon::{
    Daemon,
    claims::{
        name_generator,
        placed::Placed,
        resolved::Resolved,
        waiting::{ClaimOutcome, Waiting},
    },
    detached,
    sessions::attached::ClientPath,
};
use crate::{
    fleet::{ClaimId, ClaimSpec, Event, RejectReason, StartFault},
    model::{WorkerId, WorkerName, WorkerState},
    wire::{ApiError, ErrorKind, SpawnRequest},
};
use std::sync::Arc;
use tokio::{sync::mpsc, time::Instant};

/// Forgets the claim when its client goes away.
struct Cancel {
    daemon: Arc<Daemon>,
    claim: ClaimId,
    armed: bool,
}

impl Drop for Cancel {
    fn drop(&mut self) {
        self.daemon.lock().waiting.remove(&self.claim);
        if self.armed {
            self.daemon.feed(Event::Cancel(self.claim));
        }
    }
}

impl Daemon {
    /// Claims a worker and starts the command in it. With `client`, the session's first client is
    /// opened together with it, so that no byte is missed.
    ///
    /// # Errors
    /// [`ApiError`] for whatever is wrong with the request, or with the engine.
    pub async fn spawn(
        self: &Arc<Self>,
        request: SpawnRequest,
        client: Option<ClientPath>,
    ) -> Result<Placed, ApiError> {
        let began = Instant::now();
        let resolved = self.resolve(request)?;
        self.claim(resolved, client, began).await
    }

    /// The same for a request that was checked already.
    pub(in crate::daemon) async fn claim(
        self: &Arc<Self>,
        resolved: Resolved,
        client: Option<ClientPath>,
        began: Instant,
    ) -> Result<Placed, ApiError> {
        let resolved = Arc::new(resolved);
        let (claim, name, mut verdicts) = self.register(&resolved)?;
        let mut cancel = Cancel {
            daemon: self.clone(),
            claim,
            armed: true,
        };
        self.feed(Event::Claim(ClaimSpec {
            claim,
            profile: resolved.profile.to_string(),
            name: name.clone(),
            when_empty: resolved.when_empty,
            force_cold: resolved.force_cold.clone(),
        }));
        let mut last_fault: Option<ApiError> = None;
        loop {
            match verdicts.recv().await {
                Some(ClaimOutcome::Assigned { worker, warm }) => {
                    // From here on the work is finished even if the client goes away.
                    cancel.armed = false;
                    let (daemon, resolved, name) = (self.clone(), resolved.clone(), name.clone());
                    let placing = detached(async move {
                        Ok(daemon
                            .place(claim, worker, warm, &resolved, name, client, began)
                            .await)
                    });
                    match placing.await? {
                        Ok(mut placed) => {
                            if let (Some(reason), Some(fault)) =
                                (&mut placed.response.cold_reason, last_fault)
                            {
                                *reason = fault.message;
                            }
                            return Ok(placed);
                        }
                        Err(fault) if fault.whose.may_repeat() => {
                            cancel.armed = true;
                            last_fault = Some(fault.error);
                        }
                        Err(fault) => return Err(fault.error),
                    }
                }
                Some(ClaimOutcome::Rejected(error)) => {
                    cancel.armed = false;
                    return Err(last_fault.unwrap_or(error));
                }
                None => {
                    return Err(ApiError::new(
                        ErrorKind::Internal,
                        "the claim was forgotten",
                    ));
                }
            }
        }
    }

    fn register(
        &self,
        resolved: &Arc<Resolved>,
    ) -> Result<(ClaimId, WorkerName, mpsc::Receiver<ClaimOutcome>), ApiError> {
        let seed =
            u64::from_str_radix(self.random_id()?.get(..15).unwrap_or("0"), 16).unwrap_or_default();
        let (verdict, verdicts) = mpsc::channel(4);
        let mut state = self.lock();
        let taken = |name: &WorkerName| state.name_taken(name);
        let name = match &resolved.name {
            Some(name) => {
                if let Some(left) = state
                    .finished
                    .values()
                    .find(|f| f.claim.name == *name && f.unapplied)
                {
                    return Err(ApiError::new(
                        ErrorKind::Conflict,
                        format!(
                            "the name {} belongs to a worker with unapplied changes",
                            left.claim.name
                        ),
                    )
                    .hint(format!(
                        "review them with `podbay diff {name}`, then apply, discard or rm"
                    )));
                }
                name.clone()
            }
            None => name_generator::make_up(seed, taken)
                .ok_or_else(|| ApiError::new(ErrorKind::Internal, "no name is left"))?,
        };
        state.next_claim += 1;
        let claim = ClaimId(state.next_claim);
        state.waiting.insert(
            claim,
            Waiting {
                resolved: resolved.clone(),
                name: name.clone(),
                verdict,
            },
        );
        Ok((claim, name, verdicts))
    }

    /// The fleet gave the claim a worker.
    pub(in crate::daemon) fn assign(
        self: &Arc<Self>,
        claim: ClaimId,
        worker: WorkerId,
        warm: bool,
    ) {
        let told = self.lock().waiting.get(&claim).is_some_and(|waiting| {
            let verdict = ClaimOutcome::Assigned {
                worker: worker.clone(),
                warm,
            };
            waiting.verdict.try_send(verdict).is_ok()
        });
        if !told {
            // The client went away at this very moment; its worker is untouched but spoken for.
            self.feed(Event::PlaceFailed {
                claim,
                fault: StartFault::Request,
                reason: "the claimant went away".to_owned(),
            });
        }
    }

    /// The fleet turned the claim down.
    pub(in crate::daemon) fn reject(self: &Arc<Self>, claim: ClaimId, reason: RejectReason) {
        let (waiting, away) = {
            let mut state = self.lock();
            (state.waiting.remove(&claim), !state.engine.reachable)
        };
        let name = waiting.as_ref().and_then(|w| w.resolved.name.clone());
        let error = explain(reason, name.as_ref().map_or("it", WorkerName::as_str), away);
        if let Some(waiting) = waiting
            && waiting
                .verdict
                .try_send(ClaimOutcome::Rejected(error))
                .is_err()
        {
            tracing::debug!(claim = claim.0, "rejected a claim whose client has gone");
        }
    }
}

/// `away`: the engine cannot be reached, which is then what has failed, and not the image.
fn explain(reason: RejectReason, name: &str, away: bool) -> ApiError {
    match reason {
        RejectReason::NoProfile(known) => ApiError::new(ErrorKind::NotFound, "no such profile")
            .hint(format!("the profiles are: {}", known.join(", "))),
        RejectReason::NameInUse(WorkerState::Exited) => ApiError::new(
            ErrorKind::Conflict,
            format!("the name {name} is in use by a worker whose session has ended"),
        )
        .hint(format!(
            "remove it with `podbay rm {name}`, or choose another name"
        )),
        RejectReason::NameInUse(state) => ApiError::new(
            ErrorKind::Conflict,
            format!(
                "the name {name} is in use by a worker that is {}",
                state.as_str()
            ),
        )
        .hint("choose another name; `podbay ls` shows the ones in use"),
        RejectReason::Exhausted(failure) => {
            let why = failure.map(|f| format!(": {f}")).unwrap_or_default();
            ApiError::new(
                ErrorKind::Exhausted,
                format!("no warm worker is there{why}"),
            )
            .hint("use --when-empty cold or queue to wait for one")
        }
        RejectReason::CreateFailed(why) => ApiError::new(
            if away {
                ErrorKind::Engine
            } else {
                ErrorKind::Internal
            },
            format!("no worker could be created: {why}"),
        )
        .hint("`podbay doctor` checks engine, image and mounter"),
        RejectReason::ShuttingDown => {
            ApiError::new(ErrorKind::Exhausted, "the coordinator is stopping")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_does_not_suit_is_not_an_engine_that_is_away() {
        let failed = || RejectReason::CreateFailed("its agent does not answer".to_owned());
        assert_eq!(explain(failed(), "n", false).kind.exit_code(), 1);
        assert_eq!(explain(failed(), "n", true).kind.exit_code(), 3);
    }
}
