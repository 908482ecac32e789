//! What can go wrong between a client and the coordinator.

use crate::wire::ApiError;
use std::time::Duration;

/// Why a call failed, each with what the user can do ([`ClientError::hint`]).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The engine cannot be found or does not answer.
    #[error("no container engine at {address}: {reason}")]
    NoEngine {
        /// Where it was looked for, and why there.
        address: String,
        /// What the system said.
        reason: String,
    },
    /// The engine answers and has no running parent of that name.
    #[error("no running Podbay named {name:?}: {reason}")]
    NoParent {
        /// The parent container's name.
        name: String,
        /// What the engine said.
        reason: String,
    },
    /// The coordinator does not answer, or went away during a call.
    #[error("cannot reach the coordinator through {target}: {reason}")]
    Unreachable {
        /// The socket, or the engine and container.
        target: String,
        /// What the system said.
        reason: String,
    },
    /// The call took longer than its deadline. It may still be carried out.
    #[error("no answer to {what} within {}", humantime::format_duration(*.after))]
    Deadline {
        /// The call.
        what: String,
        /// The deadline.
        after: Duration,
    },
    /// The coordinator answered with an error.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The answer is not what this client understands.
    #[error("unexpected answer to {what}: {reason}")]
    Protocol {
        /// The call.
        what: String,
        /// What was wrong with the answer.
        reason: String,
    },
}

impl ClientError {
    /// What came on an attach is not what this client understands.
    pub(super) fn attach(reason: impl ToString) -> Self {
        Self::Protocol {
            what: "attach".into(),
            reason: reason.to_string(),
        }
    }

    /// What would be right, for people.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoEngine { reason, .. } if reason.contains("ermission denied") => Some(
                "your user may not use the engine: add it to the group that owns the socket, or run with sudo"
                    .into(),
            ),
            Self::NoEngine { .. } => Some(
                "start the engine, or set DOCKER_HOST to its unix socket; `podbay doctor` checks it".into(),
            ),
            Self::NoParent { .. } => Some(
                "start it with `podbay up`, or name another with --parent or PODBAY_PARENT".into(),
            ),
            Self::Unreachable { .. } => {
                Some("the coordinator may be restarting; `podbay doctor` tells more".into())
            }
            Self::Deadline { .. } => {
                Some("it may still be carried out: see `podbay status` and `podbay ls`".into())
            }
            Self::Api(error) => error.hint.clone(),
            Self::Protocol { .. } => {
                Some("use the same version of podbay on both sides: see `podbay status`".into())
            }
        }
    }

    /// The exit code of the CLI.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NoEngine { .. } | Self::NoParent { .. } => 3,
            Self::Deadline { .. } => 124,
            Self::Api(error) => error.kind.exit_code(),
            Self::Unreachable { .. } | Self::Protocol { .. } => 1,
        }
    }

    /// Whether the coordinator may simply be restarting, so that trying again makes sense.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::Deadline { .. } | Self::NoParent { .. }
        )
    }
}
