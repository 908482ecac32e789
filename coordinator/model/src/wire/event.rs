//! The event stream.

use super::{pool::PoolView, status::Status, worker::WorkerView};
use serde::{Deserialize, Serialize};

/// One server-sent event. A gap in `seq` means that this reader was too slow: everything is sent
/// again, beginning with [`EventBody::Hello`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApiEvent {
    /// Grows by one with each event of a connection.
    pub seq: u64,
    /// Unix milliseconds.
    pub at_ms: u64,
    /// What happened.
    #[serde(flatten)]
    pub body: EventBody,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventBody {
    /// First event, and after a gap: forget everything, this is what there is.
    Hello {
        /// The coordinator.
        status: Box<Status>,
        /// Every worker.
        workers: Vec<WorkerView>,
    },
    /// A worker is new or changed.
    Worker {
        /// As it is now.
        worker: Box<WorkerView>,
    },
    /// A worker is gone.
    Removed {
        /// Its id.
        id: String,
        /// Its name.
        name: String,
    },
    /// A pool changed.
    Pool {
        /// As it is now.
        pool: PoolView,
    },
    /// A bell or a notification from a session.
    Notification {
        /// The worker's name.
        worker: String,
        /// The text; empty for a bare bell.
        text: String,
    },
    /// The engine came or went.
    Engine {
        /// Whether it answers.
        reachable: bool,
        /// Why not.
        error: Option<String>,
    },
}
