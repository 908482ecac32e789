//! What the daemon works with: engine, mounter, guard, the state volume's records, the
//! kernel with its random numbers.
//!
//! Owns one trait for each, so that a test can run the daemon without any of them. Never decides
//! anything: the implementations are the clients, as they are. The clock is tokio's.

mod calls;
mod host;
mod listening;
mod store;

pub(in crate::daemon) use calls::{Engine, Guard, Mounter};
#[cfg(test)]
pub(in crate::daemon) use host::DiskSpace;
pub(in crate::daemon) use host::{Host, ThisHost};
pub(in crate::daemon) use store::{Installed, Store};

use crate::mounter_client::MounterClient;
use std::sync::Arc;

/// All of them.
#[derive(Debug, Clone)]
pub(in crate::daemon) struct Outside {
    /// The engine.
    pub engine: Arc<dyn Engine>,
    /// The mounter; it may be away.
    pub mounter: Arc<dyn Mounter>,
    /// Reviews, whose answers pass through to the API.
    pub reviews: MounterClient,
    /// The guard; it may be away.
    pub guard: Arc<dyn Guard>,
    /// Records of workers and finished sessions.
    pub store: Arc<dyn Store>,
    /// What the kernel says of this machine, and its random numbers.
    pub host: Arc<dyn Host>,
}
