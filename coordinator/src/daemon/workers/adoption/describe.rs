//! What an agent says of its worker when it connects, and what that makes of the worker.
//!
//! Takes a claim over from the record on disk, from a sealed copy, or from what the mounter noted. Never
//! believes an agent about another worker, or about a claim that no coordinator sealed.

use crate::daemon::{
    Daemon,
    sessions::{attach::AGENT_DEADLINE, pending_execs::EXEC_PREFIX},
    unix_ms,
    workers::{
        adoption::adopt::{Adoption, Claimed, Described, of_description},
        record::SessionView,
    },
};
use crate::{
    agent::{AgentHandle, AgentRequestError, FromWorker},
    config::Network,
    fleet::Event,
    model::{WorkerId, WorkerState},
};
use podbay_protocol::{Description, SessionInfo, ToAgentBody};
use std::{sync::Arc, time::Duration};

/// Between the tries to have an agent describe itself: from the first pause to the longest.
const FIRST_DESCRIBE_PAUSE: Duration = Duration::from_millis(200);
const MAX_DESCRIBE_PAUSE: Duration = Duration::from_secs(10);
/// Said of a worker that was started before the parent was.
const CUT_OFF: &str =
    "its network is gone: the parent was started anew since; `podbay restart` moves it";

impl Daemon {
    /// Asks a new connection who it is and what it has, again and again as long as it lives: an
    /// agent may be paused or busy, and what it runs is not lost for that.
    pub(in crate::daemon) async fn describe_and_adopt(
        self: Arc<Self>,
        worker: WorkerId,
        handle: AgentHandle,
    ) {
        self.feed(Event::Connected(worker.clone()));
        let mut pause = FIRST_DESCRIBE_PAUSE;
        loop {
            let described = handle.request(ToAgentBody::Describe, AGENT_DEADLINE).await;
            let trouble = match described.map(FromWorker::described) {
                Ok(Ok(description)) => {
                    self.adopt(&handle, description);
                    return;
                }
                Ok(Err(kind)) => format!("it answered with {kind}"),
                Err(error @ AgentRequestError::OtherVersion { .. }) => {
                    let reason = error.to_string();
                    self.feed(Event::Lost { worker, reason });
                    return;
                }
                Err(AgentRequestError::NotSent | AgentRequestError::Gone) => return,
                Err(error) => error.to_string(),
            };
            silent(&worker, &trouble);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(MAX_DESCRIBE_PAUSE);
        }
    }

    /// Takes in what an agent says of its worker.
    fn adopt(self: &Arc<Self>, agent: &AgentHandle, said: FromWorker<Description>) {
        let (worker, version) = (said.worker().clone(), agent.version());
        let missing = self.missing_record(&worker);
        let adoption = {
            let mut guard = self.lock();
            let state = &mut *guard;
            let Some((record, description)) = said.own(&mut state.records) else {
                tracing::debug!(%worker, "an agent of a worker that is not listed yet");
                return;
            };
            record.readings = description.readings;
            record.landlock = description.landlock;
            let main = description.sessions.iter().find(|s| s.primary);
            if main.is_none() {
                // Later it would be the word of whatever runs there: who it runs as is no agent's to
                // say.
                let owner = (description.workspace_uid, description.workspace_gid);
                record.workspace_owner = Some(owner);
            }
            for info in &description.sessions {
                match info.exit {
                    // It ended while nobody listened.
                    Some(status) if record.exec_ended(&info.session) => {
                        let session = info.session.clone();
                        state.exits.add(&worker, session, status, false);
                    }
                    // Of a former coordinator: its client may attach again.
                    None if is_exec(info) && record.exec(&info.session).is_none() => {
                        record.exec_starts(&info.session, info.size.is_none());
                    }
                    _ => {}
                }
            }
            let carried = main.and_then(|info| info.claim.clone());
            let described = Described {
                main,
                workspace_mounted: description.workspace_mounted,
                carried: carried.and_then(|claim| self.claim_key.unseal(&worker, claim)),
                missing,
                other_version: (!version.speaks_ours()).then_some(version),
                cut_off: record.network == Network::Shared && cut_off(description.netns),
            };
            of_description(record, described)
        };
        match adoption {
            Adoption::Pending => {}
            Adoption::Lost(reason, claim) => {
                if let (Some(claim), Some(record)) = (claim, self.lock().records.get_mut(&worker)) {
                    record.claim = Some(*claim);
                }
                self.feed(Event::Lost { worker, reason });
            }
            Adoption::CutOff => self.lose(&worker),
            Adoption::Unhealthy(reason) => {
                let id = worker.clone();
                self.feed(Event::Unhealthy { worker, reason });
                if self.is_lost(&id) {
                    // It was taken for claimed, and its agent says that nothing runs.
                    self.feed(Event::Remove(id));
                }
            }
            Adoption::Claimed(claimed) => self.take_over(&worker, *claimed, agent.connection()),
            Adoption::Empty => {
                self.feed(Event::Ready {
                    worker: worker.clone(),
                    claimed_as: None,
                    ended: false,
                });
                self.tell_worker(&worker);
            }
        }
    }

    /// Takes a worker over with the session that it runs.
    fn take_over(self: &Arc<Self>, worker: &WorkerId, claimed: Claimed, connection: u64) {
        let info = &claimed.info;
        let (name, remove) = (claimed.claim.name.clone(), claimed.claim.remove);
        let (follow, moved) = {
            let mut guard = self.lock();
            let state = &mut *guard;
            let Some(record) = state.records.get_mut(worker) else {
                return;
            };
            record.limits = claimed.claim.limits;
            let moved = !claimed.claim.moving && record.claim.as_ref().is_some_and(|c| c.moving);
            record.claim = Some(claimed.claim);
            if claimed.started_again {
                record.started_again(&info.session);
            }
            record.hear(info, connection);
            if let Some(status) = info.exit {
                record.session.ended_ms.get_or_insert_with(unix_ms);
                record.underway.end_restart();
                let oom = record.session.oom;
                state.exits.add(worker, info.session.clone(), status, oom);
            } else {
                record.session.ended_ms = None;
            }
            let unfollowed = std::mem::take(&mut record.unfollowed);
            (record.claim.clone().filter(|_| unfollowed), moved)
        };
        if claimed.started_again {
            self.follow_restart(worker);
        }
        if let Some(claim) = follow {
            self.follow_adopted(claim);
        } else if moved {
            // Else the next coordinator would take it for lost once its container is gone.
            let (daemon, worker) = (self.clone(), worker.clone());
            tokio::spawn(async move {
                if daemon.write_claim(&worker).await.is_err() {
                    tracing::debug!(%worker, "the claim's record is tried again");
                }
            });
        }
        if claimed.carry {
            // From a former version, or under another key: it gets a copy that proves itself.
            let (daemon, worker) = (self.clone(), worker.clone());
            tokio::spawn(async move { daemon.sync_claim(&worker).await });
        }
        let ended = info.exit.is_some();
        self.feed(Event::Ready {
            worker: worker.clone(),
            claimed_as: Some(name),
            ended,
        });
        self.keep_spared(worker);
        if claimed.cut_off {
            self.lose(worker);
        }
        if ended {
            self.wakes.news();
            self.feed(Event::SessionEnded {
                worker: worker.clone(),
                remove,
            });
        }
        self.tell_worker(worker);
    }

    fn is_lost(&self, worker: &WorkerId) -> bool {
        let state = self.lock();
        let entry = state.fleet.worker(worker);
        entry.is_some_and(|entry| entry.state == WorkerState::Lost)
    }

    fn lose(self: &Arc<Self>, worker: &WorkerId) {
        if let Some(record) = self.lock().records.get_mut(worker) {
            record.cut_off = true;
        }
        self.feed(Event::Lost {
            worker: worker.clone(),
            reason: CUT_OFF.to_owned(),
        });
    }

    pub(in crate::daemon) fn update_session(
        &self,
        worker: &WorkerId,
        session: &str,
        change: impl FnOnce(&mut SessionView),
    ) {
        let changed = {
            let mut state = self.lock();
            match state.records.get_mut(worker).filter(|r| r.is_main(session)) {
                Some(record) => {
                    change(&mut record.session);
                    true
                }
                None => false,
            }
        };
        if changed {
            self.tell_program(worker);
        }
    }
}

/// Whether a session is one that was started beside the main one.
fn is_exec(info: &SessionInfo) -> bool {
    !info.primary && info.session.starts_with(EXEC_PREFIX)
}

fn silent(worker: &WorkerId, why: &str) {
    tracing::warn!(%worker, why, "the agent does not describe itself");
}

/// Whether a worker's network is not the parent's (any more).
fn cut_off(netns: u64) -> bool {
    use std::os::unix::fs::MetadataExt;
    let own = std::fs::metadata("/proc/self/ns/net").map_or(0, |meta| meta.ino());
    own != 0 && netns != 0 && own != netns
}
