//! What the daemon works with: engine, mounter, guard, and the state volume's records.
//!
//! Owns one trait for each, so that a test can run the daemon without any of them. Never decides
//! anything: the implementations are the clients, as they are. The clock is tokio's.

mod calls;
mod store;

pub(in crate::daemon) use calls::{Engine, Guard, Mounter};
pub(in crate::daemon) use store::{Installed, Store};

use crate::workspace::MounterClient;
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
}
