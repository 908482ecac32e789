//! What comes of a claim in a worker: the command runs there, or why it does not.

use crate::{
    daemon::{Daemon, sessions::attached::Attached},
    fleet::StartFault,
    model::{Limits, WorkerId},
    wire::{ApiError, ErrorKind, SpawnResponse},
};

use std::sync::Arc;

/// A worker that runs the command.
#[derive(Debug)]
pub struct Placed {
    /// The answer for the client.
    pub response: SpawnResponse,
    /// The first client's stream, when one was asked for.
    pub attached: Option<Attached>,
    /// What follows the claim: it begins when this is dropped, so that it does not compete with the
    /// client's first bytes for the processors.
    pub follow: FollowClaim,
}

/// What follows a claim, off its path: the record on disk, the limits, the container's name.
#[derive(Debug)]
pub struct FollowClaim {
    pub(in crate::daemon) daemon: Arc<Daemon>,
    pub(in crate::daemon) worker: WorkerId,
    /// Limits that its container does not have yet.
    pub(in crate::daemon) limits: Option<Limits>,
}

impl Drop for FollowClaim {
    fn drop(&mut self) {
        let (daemon, worker, limits) = (self.daemon.clone(), self.worker.clone(), self.limits);
        tokio::spawn(async move { daemon.after_claim(worker, limits).await });
    }
}

/// A session that runs.
#[derive(Debug)]
pub(in crate::daemon) struct StartedSession {
    /// The first client's stream; `None` although a client was asked for: it has to attach again.
    pub attached: Option<Attached>,
    /// How long its agent took, as the agent says; zero where it did not.
    pub exec_us: u64,
}

/// Why a worker does not run the command.
#[derive(Debug)]
pub(in crate::daemon) struct StartError {
    pub error: ApiError,
    /// What that means for the claim and the worker.
    pub whose: StartFault,
}

impl StartError {
    /// The default: the claim fails, and nothing of it is in the worker.
    pub(in crate::daemon) fn request(error: ApiError) -> Self {
        Self {
            error,
            whose: StartFault::Request,
        }
    }

    /// The claim fails, and something of it may be in the worker.
    pub(in crate::daemon) fn tainted(error: ApiError) -> Self {
        Self {
            error,
            whose: StartFault::Tainted,
        }
    }

    /// Only where nothing was sent to the worker's agent: another worker serves the claim.
    pub(in crate::daemon) fn worker(message: impl Into<String>) -> Self {
        Self {
            error: ApiError::new(ErrorKind::Internal, message),
            whose: StartFault::Worker,
        }
    }
}
