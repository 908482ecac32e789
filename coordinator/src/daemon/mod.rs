//! The run loop: carries out what the fleet decides and feeds back the results.
//!
//! Owns the records of all workers (a cache: engine and agents hold the truth) and the tasks that
//! keep it true. Must never decide which worker serves which claim (that is `fleet`), and never
//! hold its lock across an await.

mod actions;
mod claims;
mod clock;
mod engine;
mod helpers;
mod observe;
mod outside;
mod serve;
mod sessions;
mod start;
mod state;
mod tasks;
#[cfg(test)]
mod tests;
mod wakes;
mod workers;

pub use claims::placed::Placed;
pub use helpers::upgrade::install;
pub use observe::bus::{Bus, BusMessage};
pub use serve::Listen;
pub use sessions::{
    attached::{Attached, ClientLink, ClientPath, SessionEnd},
    logs::LogReader,
};
pub use start::start;
pub use state::Daemon;
pub(crate) use workers::view::version;

use clock::{unix_ms, unix_ns};
use state::{DaemonParts, Deployment, State};
use tasks::{blocking, detached};
