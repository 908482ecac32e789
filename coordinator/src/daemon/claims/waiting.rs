//! A claim that waits for a worker, and what it hears meanwhile.

use super::resolved::Resolved;
use crate::{
    model::{WorkerId, WorkerName},
    wire::ApiError,
};
use std::sync::Arc;
use tokio::sync::mpsc;

/// What a claim hears from the fleet. A worker at fault is followed by another assignment.
#[derive(Debug)]
pub(in crate::daemon) enum ClaimOutcome {
    Assigned { worker: WorkerId, warm: bool },
    Rejected(ApiError),
}

/// A claim that waits.
#[derive(Debug)]
pub(in crate::daemon) struct Waiting {
    pub resolved: Arc<Resolved>,
    /// The name it is to have, given or made up.
    pub name: WorkerName,
    pub verdict: mpsc::Sender<ClaimOutcome>,
}
