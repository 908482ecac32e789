//! The failpoints of the sources, and the stories that lead to each.

use Story::{
    Apply, Discard, DiscardLive, Leftover, Refill, Remove, Rename, Restart, RestartEnded, Spawn,
    SpawnBind, SpawnLimits, SpawnOverlay, Start, Stop, StopOverlay,
};

/// What is done so that a failpoint is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Story {
    /// A warm worker is removed from outside; another one is made.
    Refill,
    /// The coordinator starts.
    Start,
    /// It starts and finds a folder whose container is gone.
    Leftover,
    /// A claim without a project.
    Spawn,
    /// A claim with other limits than the worker's.
    SpawnLimits,
    /// A claim with a project.
    SpawnBind,
    /// A copy-on-write claim.
    SpawnOverlay,
    /// A worker is stopped.
    Stop,
    /// A copy-on-write worker with changes is stopped.
    StopOverlay,
    /// A finished one is forgotten.
    Remove,
    /// A running session is started again.
    Restart,
    /// An ended one is.
    RestartEnded,
    /// A worker gets another name.
    Rename,
    /// Changes are applied.
    Apply,
    /// Changes are discarded.
    Discard,
    /// The same while the session runs.
    DiscardLive,
}

/// Points at which the coordinator dies, and the stories that lead there.
pub const COORDINATOR: &[(&str, &[Story])] = &[
    ("create.entered", &[Refill]),
    ("create.folder", &[Refill]),
    ("create.prepared", &[Refill]),
    ("create.guarded", &[Refill]),
    ("create.container", &[Refill]),
    ("create.started", &[Refill]),
    ("claim.assigned", &[Spawn, SpawnBind]),
    ("claim.mounted", &[SpawnBind, SpawnOverlay]),
    ("claim.starting", &[Spawn, SpawnOverlay]),
    ("claim.started", &[Spawn, SpawnBind, SpawnOverlay]),
    ("claim.placed", &[Spawn]),
    ("claim.written", &[Spawn]),
    ("claim.limited", &[SpawnLimits]),
    ("claim.named", &[Spawn]),
    ("store.opened", &[Spawn, Stop, Rename]),
    ("store.synced", &[Spawn, Stop]),
    ("store.renamed", &[Spawn, Stop]),
    ("stop.ended", &[Stop, StopOverlay]),
    ("finish.noted", &[Stop, StopOverlay]),
    ("finish.removed", &[Stop, StopOverlay]),
    ("finish.reviewed", &[Stop, StopOverlay]),
    ("finish.settled", &[Stop]),
    ("drop.folder", &[Remove]),
    ("restart.asked", &[Restart]),
    ("restart.told", &[Restart]),
    ("restart.claimed", &[RestartEnded]),
    ("rename.noted", &[Rename]),
    ("rename.written", &[Rename]),
    ("adopt.listed", &[Start]),
    ("adopt.leftover", &[Leftover]),
    ("review.applied", &[Apply]),
    ("review.discarded", &[Discard]),
];

/// The mounter's.
pub const MOUNTER: &[(&str, &[Story])] = &[
    ("mounter.request", &[SpawnBind]),
    ("mounter.prepare.half", &[Refill]),
    ("mounter.mount.made", &[SpawnBind, SpawnOverlay]),
    ("mounter.mount.moved", &[SpawnBind, SpawnOverlay]),
    ("mounter.remove.began", &[Remove]),
];

/// Those of the process that carries out a review.
pub const REVIEWER: &[(&str, &[Story])] = &[
    ("reviewer.request", &[Apply, Discard]),
    ("reviewer.apply.removed", &[Apply]),
    ("reviewer.apply.copied", &[Apply]),
    ("reviewer.apply.linked", &[Apply]),
    ("reviewer.apply.done", &[Apply]),
    ("reviewer.apply.taken", &[Apply]),
    ("reviewer.discard.taken", &[Discard]),
    ("reviewer.discard.hidden", &[DiscardLive]),
    ("reviewer.journal.synced", &[Apply, Discard]),
];

/// The agents'.
pub const AGENT: &[(&str, &[Story])] = &[
    ("agent.start.prepared", &[Spawn]),
    ("agent.start.forked", &[Spawn]),
    ("agent.restart.stopped", &[Restart]),
    ("agent.restart.ended", &[Restart]),
    ("agent.restart.started", &[Restart]),
];
