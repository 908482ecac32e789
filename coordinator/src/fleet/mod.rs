//! The fleet: a pure state machine over workers, pools and claims.
//!
//! `apply(now, event) -> actions`. It knows no I/O and no clock but the `now` passed in
//! (milliseconds of a monotonic clock). The daemon carries the actions out and feeds what came of
//! them back as events. Owns every decision about which worker serves which claim; must never
//! hand one worker to two claims, and never remove a worker that has live work unless told to.

mod event;

pub use event::{
    Action, ClaimId, ClaimSpec, Event, Millis, Observed, PoolSpec, RejectReason, RemoveCause,
};
