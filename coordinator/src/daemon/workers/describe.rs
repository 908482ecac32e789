//! What an agent says of its worker when it connects, and what that makes of the worker.
//!
//! Takes a claim over from the record on disk, from a sealed copy, or from what the mounter noted. Never
//! believes an agent about another worker, or about a claim that no coordinator sealed.

use crate::daemon::{
    Daemon,
    sessions::attach::AGENT_DEADLINE,
    unix_ms,
    workers::{
        record::{Recognised, SessionView},
        recreate::CUT_SHORT,
    },
};
use crate::{
    agent::{AgentHandle, AgentRequestError, AgentVersion, FromWorker},
    config::Network,
    fleet::Event,
    model::{WorkerId, WorkerName, WorkerState},
};
use podbay_protocol::{Description, ToAgentBody};
use std::{sync::Arc, time::Duration};

/// Between the tries to have an agent describe itself: from the first pause to the longest.
const FIRST_DESCRIBE_PAUSE: Duration = Duration::from_millis(200);
const MAX_DESCRIBE_PAUSE: Duration = Duration::from_secs(10);
/// Said of a worker that was started before the parent was.
const CUT_OFF: &str =
    "its network is gone: the parent was started anew since; `podbay restart` moves it";
/// Said of a worker whose agent names a main session that nobody started.
const UNKNOWN_MAIN: &str = "its agent names a main session that the coordinator did not start; `podbay rm --force` removes the worker";

impl Daemon {
    /// Asks a new connection who it is and what it has, again and again as long as it lives: an
    /// agent may be paused or busy, and what it runs is not lost for that.
    pub(in crate::daemon) async fn greet(self: Arc<Self>, worker: WorkerId, handle: AgentHandle) {
        self.feed(Event::Connected(worker.clone()));
        let mut pause = FIRST_DESCRIBE_PAUSE;
        loop {
            let described = handle.request(ToAgentBody::Describe, AGENT_DEADLINE).await;
            let trouble = match described.map(FromWorker::described) {
                Ok(Ok(description)) => {
                    self.adopt(handle.version(), description);
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

    fn adopt(self: &Arc<Self>, version: &AgentVersion, said: FromWorker<Description>) {
        let worker = said.worker().clone();
        let missing = self.missing_record(&worker);
        let mut claimed_as: Option<WorkerName> = None;
        let mut ended = None;
        let mut remove = true;
        let mut again = false;
        let mut follow = None;
        let mut recarry = false;
        let shares_network;
        let netns;
        let main_runs;
        {
            let mut guard = self.lock();
            let state = &mut *guard;
            let Some((record, description)) = said.own(&mut state.records) else {
                tracing::debug!(%worker, "an agent of a worker that is not listed yet");
                return;
            };
            let main = description.sessions.iter().find(|s| s.primary);
            main_runs = main.is_some();
            netns = description.netns;
            record.readings = description.readings;
            record.landlock.clone_from(&description.landlock);
            shares_network = record.network == Network::Shared;
            if main.is_none() {
                // Later it would be the word of whatever runs there: who it runs as is no agent's to
                // say.
                let owner = (description.workspace_uid, description.workspace_gid);
                record.workspace_owner = Some(owner);
            }
            if main.is_none() && record.claim.as_ref().is_some_and(|c| c.moving) {
                if record.rehoming {
                    // Its session is about to be started.
                    return;
                }
                drop(guard);
                self.feed(Event::Lost {
                    worker,
                    reason: CUT_SHORT.to_owned(),
                });
                return;
            }
            if main.is_none() && !version.speaks_ours() {
                // Not for new claims; and of a claimed one it may say the same in other words.
                drop(guard);
                let reason = format!("its agent is of {version}");
                self.feed(Event::Lost { worker, reason });
                return;
            }
            if main.is_none() && record.claim.is_none() && description.workspace_mounted {
                // A claim was cut short between its mount and its start: never warm again.
                drop(guard);
                let reason = "a project was mounted for a claim that was cut short".to_owned();
                let id = worker.clone();
                self.feed(Event::Unhealthy { worker, reason });
                if self.is_lost(&id) {
                    // It was taken for claimed, and its agent says that nothing runs.
                    self.feed(Event::Remove(id));
                }
                return;
            }
            for info in &description.sessions {
                if let Some(status) = info.exit.filter(|_| record.exec_ended(&info.session)) {
                    // It ended while nobody listened.
                    state
                        .exits
                        .add(&worker, info.session.clone(), status, false);
                }
            }
            if let Some(info) = main {
                let carried = info.claim.clone();
                let carried = carried.and_then(|claim| self.claim_key.unseal(&worker, claim));
                recarry = carried.is_none() && info.exit.is_none();
                match record.recognise(info, carried, missing) {
                    Recognised::Main => {}
                    Recognised::StartedAgain => again = true,
                    Recognised::Unknown => {
                        drop(guard);
                        let reason = UNKNOWN_MAIN.to_owned();
                        self.feed(Event::Lost { worker, reason });
                        return;
                    }
                }
                record.hear(info);
                record.session.ended_ms = info
                    .exit
                    .and(record.session.ended_ms)
                    .or(info.exit.map(|_| unix_ms()));
                let unfollowed = std::mem::take(&mut record.unfollowed);
                if let Some(claim) = &record.claim {
                    claimed_as = Some(claim.name.clone());
                    remove = claim.remove;
                    record.limits = claim.limits;
                    follow = unfollowed.then(|| claim.clone());
                }
                ended = info.exit.map(|status| (info.session.clone(), status));
            }
            if let Some((session, status)) = &ended {
                record.restarting = None;
                let oom = record.session.oom;
                state.exits.add(&worker, session.clone(), *status, oom);
            }
        }
        let worker = &worker;
        if again {
            self.follow_restart(worker);
        }
        if let Some(claim) = follow {
            self.follow_adopted(claim);
        }
        if recarry {
            // From a former version, or under another key: it gets a copy that proves itself.
            let (daemon, worker) = (self.clone(), worker.clone());
            tokio::spawn(async move { daemon.carry_claim(&worker).await });
        }
        let has_ended = ended.is_some();
        let cut_off = !has_ended && shares_network && self.cut_off(netns);
        if cut_off && !main_runs {
            self.lose(worker);
            return;
        }
        self.feed(Event::Ready {
            worker: worker.clone(),
            claimed_as,
            ended: has_ended,
        });
        if cut_off {
            self.lose(worker);
        }
        if has_ended {
            self.ended.notify_waiters();
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

    /// Whether a worker's network is not the parent's (any more).
    fn cut_off(&self, netns: u64) -> bool {
        use std::os::unix::fs::MetadataExt;
        let own = std::fs::metadata("/proc/self/ns/net").map_or(0, |meta| meta.ino());
        own != 0 && netns != 0 && own != netns
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

fn silent(worker: &WorkerId, why: &str) {
    tracing::warn!(%worker, why, "the agent does not describe itself");
}
