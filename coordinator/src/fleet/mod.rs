//! The fleet: a pure state machine over workers, pools and claims.
//!
//! `apply(now, event) -> actions`. It knows no I/O and no clock but the `now` passed in
//! (milliseconds of a monotonic clock). The daemon carries the actions out and feeds what came of
//! them back as events. Owns every decision about which worker serves which claim; must never
//! hand one worker to two claims, and never remove a worker that has live work unless told to.
//!
//! What the daemon owes the fleet: an answer to every `Create`, `Remove` and `Assign`, a `Tick` at
//! least once a second, and a first `Relisted`: before it, nothing is created, since what is
//! there already is not known.

mod backoff;
mod claim;
mod event;
mod lifecycle;
mod pool;
mod queue;
mod quota;
mod reconcile;
mod recreation;
mod refill;
mod state;
#[cfg(test)]
mod tests;
mod uids;
mod worker;

pub use backoff::Failure;
pub use event::{
    Action, ClaimId, ClaimSpec, Event, Millis, Observed, PoolSpec, RejectReason, RemoveCause,
    StartFault,
};
pub use pool::PoolNumbers;
pub use quota::{Held, Quotas, Space, Step, Subject};
pub use state::Fleet;
pub use worker::WorkerEntry;
