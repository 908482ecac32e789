//! One worker as the fleet knows it.

use super::event::{ClaimId, Millis, RemoveCause, StartFault};
use crate::model::{WorkerId, WorkerName, WorkerState};

/// How long the pool waits for the outcome of a claim before it replaces the claim's worker.
const PLACING: Millis = 1_000;

/// One worker.
#[derive(Debug, Clone)]
pub struct WorkerEntry {
    /// Its id.
    pub id: WorkerId,
    /// Its profile.
    pub profile: String,
    /// Hash of what its container was made of.
    pub spec: String,
    /// See [`super::PoolSpec::confinement`].
    pub confinement: String,
    /// Its own uid; 0 when its container does not say.
    pub uid: u32,
    /// Where it is in its life.
    pub state: WorkerState,
    /// Why it is there, when there is something to say.
    pub why: Option<String>,
    /// The name of the claim it serves or served.
    pub name: Option<WorkerName>,
    /// In this state since.
    pub since: Millis,
    /// When its creation was asked for, or when it was found.
    pub created: Millis,
    /// The claim it is being given to, or is made for.
    pub claim: Option<ClaimId>,
    /// Its project is in the container itself: it serves that claim or nobody.
    pub(super) cold: bool,
    /// Found, not made, by this fleet; `true` when a record says that it was claimed.
    pub(super) adopted: Option<bool>,
    pub(super) container: Container,
    /// Its agent is connected.
    pub(super) agent: bool,
    /// A claimed worker whose agent is away is lost at this time; and why.
    pub(super) lost_at: Option<(Millis, String)>,
    /// Its agent must have called by then.
    pub(super) answer_by: Millis,
    /// It was found paused by us: its agent is not waited for until it goes on.
    pub(super) held: bool,
    /// When `Unpause` was asked for.
    pub(super) unpause_asked: Option<Millis>,
    pub(super) next_probe: Millis,
    /// It has been warm long enough for its image to be sound.
    pub(super) proven: bool,
    pub(super) removal: Option<Removal>,
    /// Its container is being recreated.
    pub(super) recreating: bool,
}

/// What the engine has of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Container {
    /// `Create` is not answered yet.
    Asked,
    /// It is there, known since.
    Present(Millis),
    /// It was there and is gone.
    Absent,
}

/// It is to go.
#[derive(Debug, Clone)]
pub(super) struct Removal {
    pub(super) cause: RemoveCause,
    /// `Remove` is not answered yet.
    pub(super) in_flight: bool,
    pub(super) attempts: u32,
    /// Not before.
    pub(super) next: Millis,
    /// Nobody knew what it runs: it was found without a record, and its agent was silent.
    pub(super) unheard: bool,
    /// Its agent has said meanwhile that it runs the claim of this name.
    pub(super) spared: Option<WorkerName>,
}

impl WorkerEntry {
    /// A worker in creation, or one that was found.
    pub(super) fn new(
        id: WorkerId,
        profile: String,
        spec: String,
        now: Millis,
        container: Container,
    ) -> Self {
        Self {
            id,
            profile,
            spec,
            confinement: String::new(),
            uid: 0,
            state: WorkerState::Creating,
            why: None,
            name: None,
            since: now,
            created: now,
            claim: None,
            cold: false,
            adopted: None,
            container,
            agent: false,
            lost_at: None,
            answer_by: Millis::MAX,
            held: false,
            unpause_asked: None,
            next_probe: Millis::MAX,
            proven: false,
            removal: None,
            recreating: false,
        }
    }

    /// Moves to a state; `since` is kept when it is the same one.
    pub(super) fn go(&mut self, now: Millis, state: WorkerState, why: Option<String>) {
        if self.state != state {
            self.state = state;
            self.since = now;
        }
        self.why = why;
    }

    /// A claim may take it.
    pub(super) fn available(&self) -> bool {
        self.state == WorkerState::Warm
            && self.agent
            && self.unpause_asked.is_none()
            && self.removal.is_none()
    }

    /// Being made for the pool, or found and perhaps of the pool.
    pub(super) fn refills(&self) -> bool {
        self.state == WorkerState::Creating
            && !self.cold
            && self.removal.is_none()
            && self.adopted != Some(true)
    }

    /// It will be warm, or is, and no claim has it.
    pub(super) fn unclaimed(&self) -> bool {
        self.state == WorkerState::Warm || self.refills()
    }

    /// Being given to a claim that may still fail and give it back. For a moment only: what takes
    /// longer is replaced meanwhile.
    pub(super) fn may_return(&self, now: Millis) -> bool {
        self.state == WorkerState::Claiming
            && self.claim.is_some()
            && !self.cold
            && now.saturating_sub(self.since) < PLACING
    }

    /// Warm, but of another specification or too old.
    pub(super) fn is_stale(&self, spec: &str, max_age: Millis, now: Millis) -> bool {
        self.spec != spec || (max_age > 0 && now.saturating_sub(self.created) >= max_age)
    }

    /// Marks it for removal; the `Remove` action follows as soon as the engine can do it.
    pub(super) fn remove(&mut self, now: Millis, cause: RemoveCause) {
        if let Some(removal) = &mut self.removal {
            // Asked again: do not wait for the next try.
            removal.next = removal.next.min(now);
            return;
        }
        let (state, why) = match &cause {
            RemoveCause::Unhealthy(reason) => (WorkerState::Failed, Some(reason.clone())),
            RemoveCause::Orphan => (WorkerState::Stopping, Some("left over".to_owned())),
            RemoveCause::Replaced => (
                WorkerState::Stopping,
                Some("its profile changed".to_owned()),
            ),
            RemoveCause::Aged => (WorkerState::Stopping, Some("too old".to_owned())),
            RemoveCause::Idle => (WorkerState::Stopping, Some("not needed".to_owned())),
            RemoveCause::Drained => (WorkerState::Stopping, Some("drained".to_owned())),
            RemoveCause::Released => (WorkerState::Stopping, None),
        };
        self.go(now, state, why);
        self.lost_at = None;
        self.recreating = false;
        self.removal = Some(Removal {
            cause,
            in_flight: false,
            attempts: 0,
            next: now,
            unheard: false,
            spared: None,
        });
    }

    /// Whether it is to go.
    pub fn leaves(&self) -> bool {
        self.removal.is_some()
    }

    /// One that is to go says that it runs a claim. Where it goes only since it was silent, it
    /// stays: at once, or when the removal that is under way has failed.
    pub(super) fn spare(&mut self, now: Millis, name: WorkerName) {
        let Some(removal) = self.removal.as_mut().filter(|r| r.unheard) else {
            return;
        };
        if removal.in_flight {
            removal.spared = Some(name);
            return;
        }
        self.removal = None;
        self.name = Some(name);
        self.go(now, WorkerState::Running, None);
    }

    /// The claim it was given to came to nothing.
    pub(super) fn claim_failed(&mut self, now: Millis, fault: StartFault, reason: String) {
        self.claim = None;
        if self.removal.is_some() {
            return;
        }
        let untouched = fault == StartFault::Request
            && self.state == WorkerState::Claiming
            && !self.cold
            && self.agent
            && matches!(self.container, Container::Present(_));
        match fault {
            StartFault::Request if untouched => {
                self.name = None;
                self.lost_at = None;
                self.go(now, WorkerState::Warm, None);
            }
            StartFault::Unknown => {
                // Its end, or the agent's word that it runs, may have come already.
                if self.state == WorkerState::Claiming {
                    self.lose(now, &reason);
                }
            }
            StartFault::Worker | StartFault::Agent => {
                self.name = None;
                self.remove(now, RemoveCause::Unhealthy(reason));
            }
            StartFault::Request | StartFault::Tainted => {
                self.name = None;
                self.remove(now, RemoveCause::Released);
            }
        }
    }

    /// Whether its container is gone, and no other is being created for it.
    #[must_use]
    pub fn has_no_container(&self) -> bool {
        self.container == Container::Absent && !self.recreating
    }

    /// A claimed worker that cannot be reached any more.
    pub(super) fn lose(&mut self, now: Millis, why: &str) {
        self.lost_at = None;
        self.go(now, WorkerState::Lost, Some(why.to_owned()));
    }
}
