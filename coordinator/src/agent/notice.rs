//! What the connections tell the daemon.

use super::{handle::AgentHandle, said::FromWorker};
use crate::model::WorkerId;
use podbay_protocol::AgentEvent;
use tokio::sync::OwnedSemaphorePermit;

/// What the registry reports to the daemon.
#[derive(Debug)]
pub enum ConnectionEvent {
    /// An agent is connected; ask it to describe itself.
    Connected {
        /// The worker.
        worker: WorkerId,
        /// Requests to it.
        handle: AgentHandle,
    },
    /// A connection ended. An older generation than the current one means nothing.
    Gone {
        /// The worker.
        worker: WorkerId,
        /// Which connection.
        generation: u64,
    },
    /// An agent reports something.
    Event {
        /// What, and whose word it is.
        said: FromWorker<AgentEvent>,
        /// Dropped once it is heard: an agent has so many reports under way.
        slot: OwnedSemaphorePermit,
    },
}
