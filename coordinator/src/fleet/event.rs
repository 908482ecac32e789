//! What goes into the fleet and what comes out.

use crate::model::{WorkerId, WorkerName, WorkerState};

/// Milliseconds of a monotonic clock.
pub type Millis = u64;

/// One claim, numbered by the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimId(pub u64);

/// What the fleet has to know of a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSpec {
    /// The profile's name.
    pub profile: String,
    /// Hash of all that goes into a container (image id, limits, security …); a warm worker of
    /// another hash is replaced, new ones first.
    pub spec: String,
    /// What of it a session relies on: the image, and what confines it (security, network, egress …). A
    /// warm worker with another value is removed at once and serves no claim.
    pub confinement: String,
    /// Fewest warm workers.
    pub min_warm: u32,
    /// Most warm workers.
    pub max_warm: u32,
    /// A warm worker above the target goes after so long; 0 = never.
    pub idle_timeout: Millis,
    /// A warm worker older than this is replaced; 0 = never.
    pub max_age: Millis,
    /// How often a warm worker is probed; 0 = never.
    pub check_interval: Millis,
    /// How long a worker's agent may take from `Created` (or from being found) to `Ready`; 0 = 30 s.
    pub ready_timeout: Millis,
    /// Memory limit of one worker in bytes, for the memory guard; 0 = unknown.
    pub memory: u64,
}

/// One container of ours, as the engine lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// From the label.
    pub worker: WorkerId,
    /// From the label.
    pub profile: String,
    /// From the label.
    pub spec: String,
    /// From the labels; see [`PoolSpec::confinement`].
    pub confinement: String,
    /// The worker's own uid, from the label; 0 when it has none.
    pub uid: u32,
    /// The engine says it runs (paused counts as not running here).
    pub running: bool,
    /// The engine says it is paused.
    pub paused: bool,
    /// It is paused by us, for what it keeps on the state volume: it is claimed, and its agent cannot
    /// speak until it goes on.
    pub held: bool,
    /// A record on disk says that it was made for, or given to, a claim: it is never warm again,
    /// and never removed only because its agent is silent.
    pub claimed: bool,
    /// The name in that record, so that it stays taken until the agent speaks.
    pub name: Option<WorkerName>,
}

/// Why a claim's session was not started, and what that means for the claim and the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartFault {
    /// The request is at fault; the daemon has answered it. Nothing of it is left in the worker: a
    /// warm one serves other claims.
    Request,
    /// The claim failed; the daemon has answered it. Something of it may be left in the worker,
    /// which is removed.
    Tainted,
    /// The worker is at fault and was sent nothing: another one serves the claim (at most 2 more
    /// times).
    Worker,
    /// The worker's agent is of another version and refused: as [`Self::Worker`], and where the
    /// claim may go cold it does, since a worker that is created now has an agent of this version.
    Agent,
    /// The session may have been started; the daemon has answered so. The claim is not repeated.
    /// The worker keeps its name and is lost until its agent says what it runs.
    Unknown,
}

impl StartFault {
    /// Whether another worker may serve the claim.
    #[must_use]
    pub fn may_repeat(self) -> bool {
        matches!(self, Self::Worker | Self::Agent)
    }
}

/// A claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimSpec {
    /// The claim.
    pub claim: ClaimId,
    /// The profile.
    pub profile: String,
    /// The name; unique among workers that are not gone.
    pub name: WorkerName,
    /// What to do with no warm worker.
    pub when_empty: crate::wire::WhenEmpty,
    /// Start cold even when warm ones are there (no hot mounts, other limits that cannot be
    /// updated); the reason.
    pub force_cold: Option<String>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Time passed; at least once a second.
    Tick,
    /// The configuration, at the start and after a reload. Profiles that are not there any more
    /// lose their warm workers.
    Configured(Vec<PoolSpec>),
    /// All our containers, the whole truth as of the request's start `asked_at`. A worker the
    /// fleet knows as created before that and that is not listed is gone; one that is listed and
    /// unknown is adopted (it becomes `Creating` until its agent is ready).
    Relisted {
        /// When the request was sent.
        asked_at: Millis,
        /// What is there.
        containers: Vec<Observed>,
    },
    /// The engine does not answer.
    EngineLost(String),
    /// The engine answers again.
    EngineBack,
    /// Answer to `Create`: the container runs.
    Created(WorkerId),
    /// Answer to `Create`: it failed, and whatever was left was removed.
    CreateFailed {
        /// The worker.
        worker: WorkerId,
        /// For people.
        reason: String,
    },
    /// The worker's agent is connected and described itself.
    Ready {
        /// The worker.
        worker: WorkerId,
        /// The name of the claim it carries, when a session is (or was) there: it is adopted as
        /// `Running`, or as `Exited` when `ended`.
        claimed_as: Option<WorkerName>,
        /// The adopted session has ended.
        ended: bool,
    },
    /// The agent has connected and has not described itself yet. An adopted worker waits for that
    /// as long as the connection lives.
    Connected(WorkerId),
    /// The agent's connection ended.
    AgentGone(WorkerId),
    /// A probe failed, or the container's state says so.
    Unhealthy {
        /// The worker.
        worker: WorkerId,
        /// For people.
        reason: String,
    },
    /// The agent answers, but the worker is of no use: its network is gone, or what the agent says
    /// is not understood. A claimed one is shown as `Lost` until the next `Ready`, a warm one is
    /// replaced.
    Lost {
        /// The worker.
        worker: WorkerId,
        /// For people.
        reason: String,
    },
    /// Someone wants a worker.
    Claim(ClaimSpec),
    /// The claimant went away.
    Cancel(ClaimId),
    /// Answer to `Assign`: the session runs.
    Placed(ClaimId),
    /// Answer to `Assign`: it failed.
    PlaceFailed {
        /// The claim.
        claim: ClaimId,
        /// What that means for the claim and the worker.
        fault: StartFault,
        /// For people.
        reason: String,
    },
    /// The primary session ended.
    SessionEnded {
        /// The worker.
        worker: WorkerId,
        /// Remove the container now.
        remove: bool,
    },
    /// A claimed worker gets another name; nothing happens when that one is taken.
    Rename {
        /// The worker.
        worker: WorkerId,
        /// Its new name.
        name: WorkerName,
    },
    /// A lost worker's container is to be made anew; until the answer nothing that the engine or
    /// an agent shows of it changes its state.
    Recreate(WorkerId),
    /// Answer to `RecreatePolicy`: its session runs again, or why not: it is lost again.
    Recreated {
        /// The worker.
        worker: WorkerId,
        /// What came of it.
        outcome: Result<(), String>,
    },
    /// A record says that this worker's container was about to be made anew, and there is none.
    LeftBehind {
        /// The worker.
        worker: WorkerId,
        /// Its profile.
        profile: String,
        /// Its claim's name.
        name: WorkerName,
        /// Its uid.
        uid: u32,
        /// Why it is lost.
        reason: String,
    },
    /// These uids are in use by what the fleet does not know as workers: folders of workers without
    /// a container, containers of sessions that have ended. Nothing is created before the first
    /// one of these, which lists all that a former coordinator left.
    Reserve(Vec<(WorkerId, u32)>),
    /// Nothing is left of what had a reserved uid.
    Release(WorkerId),
    /// A person wants the worker gone, live work or not.
    Remove(WorkerId),
    /// Answer to `Remove`: the container is gone.
    Removed(WorkerId),
    /// Answer to `Remove`: it failed; it is tried again with back-off.
    RemoveFailed {
        /// The worker.
        worker: WorkerId,
        /// For people.
        reason: String,
    },
    /// New bounds for a pool, until the next `Configured`.
    Scale {
        /// The profile.
        profile: String,
        /// Fewest warm workers.
        min_warm: u32,
        /// Most warm workers.
        max_warm: u32,
    },
    /// No refilling until `Resume`.
    Pause(String),
    /// Refill again; also ends a drain.
    Resume(String),
    /// Remove the warm workers and stay empty until `Resume`.
    Drain(String),
    /// Bytes of memory the host has to spare, for the memory guard.
    MemoryAvailable(u64),
    /// That the engine's disk is full, for people; `None` when it is not. A container on it may be
    /// made and then stop without a word of the engine's why.
    EngineDisk(Option<String>),
    /// Everything goes: warm and claimed; no new claims.
    Shutdown,
}

/// Why a claim was turned down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RejectReason {
    /// No such profile; the ones there are.
    NoProfile(Vec<String>),
    /// The name is in use by a worker in this state.
    NameInUse(WorkerState),
    /// `WhenEmpty::Fail` and no warm worker; the pool's last failure, if any.
    Exhausted(Option<String>),
    /// A worker for it could not be created.
    CreateFailed(String),
    /// The coordinator is stopping.
    ShuttingDown,
}

/// Why a worker is removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemoveCause {
    /// Its session ended, or a person said so.
    Released,
    /// Above the target for too long.
    Idle,
    /// Too old.
    Aged,
    /// Its image or profile changed.
    Replaced,
    /// Sick; the reason.
    Unhealthy(String),
    /// Its pool is drained, or everything stops.
    Drained,
    /// Nothing knows it: left over from a crash.
    Orphan,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Create and start a container; answered with `Created` or `CreateFailed`, and `Ready`.
    Create {
        /// The new worker's id.
        worker: WorkerId,
        /// The profile.
        profile: String,
        /// Its own uid and gid; no other container has it.
        uid: u32,
        /// The claim it is for: its project and limits go into the container.
        cold_for: Option<ClaimId>,
    },
    /// Remove the container and the worker's folder as fits; answered with `Removed` or
    /// `RemoveFailed`.
    Remove {
        /// The worker.
        worker: WorkerId,
        /// Why.
        cause: RemoveCause,
    },
    /// Check the worker's agent; answered with `Unhealthy` if it does not answer.
    Probe(WorkerId),
    /// Unpause a paused container.
    Unpause(WorkerId),
    /// Mount the project and start the session; answered with `Placed` or `PlaceFailed`.
    Assign {
        /// The claim.
        claim: ClaimId,
        /// The worker; given to no other claim.
        worker: WorkerId,
        /// Whether it was warm.
        warm: bool,
    },
    /// Tell the claimant.
    Reject {
        /// The claim.
        claim: ClaimId,
        /// Why.
        reason: RejectReason,
    },
    /// List the containers again soon.
    Relist,
    /// This worker's state is different now (or it is gone): tell the clients.
    WorkerChanged(WorkerId),
    /// This pool's numbers are different now: tell the clients.
    PoolChanged(String),
}
