//! Refusals, as the coordinator gets them.

use podbay_protocol::{AgentError, ErrorCode};

/// An error of a kind.
#[must_use]
pub fn refuse(code: ErrorCode, message: impl Into<String>) -> AgentError {
    AgentError {
        code,
        message: message.into(),
    }
}

/// A refusal that names the system call.
#[must_use]
pub fn system_error(call: &str, error: nix::Error) -> AgentError {
    refuse(ErrorCode::System, format!("{call}: {}", error.desc()))
}
