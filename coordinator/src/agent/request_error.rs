//! Why a request to an agent came to nothing.

use super::version::AgentVersion;
use podbay_protocol::{AgentError, ErrorCode};
use std::{sync::Arc, time::Duration};

/// Why a request to an agent came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AgentRequestError {
    /// The agent refused.
    #[error("{}", .0.message)]
    Refused(AgentError),
    /// The agent does not know the operation, or its answer is not understood.
    #[error("{operation:?} does not work with the worker's agent, which is of {version}")]
    OtherVersion {
        /// The operation, as it is named on the wire.
        operation: &'static str,
        /// What the agent says of itself.
        version: Arc<AgentVersion>,
    },
    /// The connection had ended before the request was handed over: nothing was sent.
    #[error("the worker's agent is not connected")]
    NotSent,
    /// The connection ended; the agent may have got the request.
    #[error("the connection to the worker's agent ended")]
    Gone,
    /// No answer in time.
    #[error("the worker's agent did not answer within {0:?}")]
    TimedOut(Duration),
    /// The request cannot be sent.
    #[error("the request to the agent is too large: {0}")]
    TooLarge(String),
}

/// A fitting API error kind for what an agent refused.
#[must_use]
pub(crate) fn kind_of(code: ErrorCode) -> crate::wire::ErrorKind {
    use crate::wire::ErrorKind;
    match code {
        ErrorCode::CommandNotFound => ErrorKind::CommandNotFound,
        ErrorCode::NotExecutable => ErrorKind::NotExecutable,
        ErrorCode::NoSuchSession => ErrorKind::NotFound,
        ErrorCode::Exists => ErrorKind::Conflict,
        ErrorCode::Invalid => ErrorKind::Invalid,
        ErrorCode::Exhausted => ErrorKind::Exhausted,
        ErrorCode::Unsupported | ErrorCode::System => ErrorKind::Internal,
    }
}
