//! Errors of the API. Owns kinds, their HTTP status and exit codes. Never words what was wrong.

use serde::{Deserialize, Serialize};

/// An error as the API sends it and the CLI prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// What kind; decides the HTTP status and the exit code.
    pub kind: ErrorKind,
    /// What was wrong and where.
    pub message: String,
    /// What would be right.
    #[serde(default)]
    pub hint: Option<String>,
}

/// Kinds of [`ApiError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The request makes no sense as it stands.
    Invalid,
    /// No such worker, pool or session.
    NotFound,
    /// In conflict with what exists: a name in use, a worker in the wrong state.
    Conflict,
    /// The path policy or another rule refuses it; the message names the rule.
    Refused,
    /// The engine cannot be reached or refuses.
    Engine,
    /// There is no worker to be had now, and the request said not to wait.
    Exhausted,
    /// It took longer than allowed.
    Timeout,
    /// The program does not exist in the worker.
    CommandNotFound,
    /// The program exists and cannot be executed.
    NotExecutable,
    /// A token is needed, and none or a wrong one was given.
    Unauthorized,
    /// The request's body is over the bound.
    TooLarge,
    /// The request's headers are over the bound.
    HeadersTooLarge,
    /// The protocol of the Upgrade is not for this connection, or not for this worker: use WebSocket.
    UpgradeUnsupported,
    /// A fault of Podbay's own, or of the system below.
    Internal,
}

impl ErrorKind {
    /// The exit code of the CLI.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Invalid | Self::TooLarge | Self::HeadersTooLarge => 2,
            Self::Engine => 3,
            Self::NotFound => 5,
            Self::Refused | Self::Unauthorized => 6,
            Self::Timeout => 124,
            Self::NotExecutable => 126,
            Self::CommandNotFound => 127,
            Self::Conflict | Self::Exhausted | Self::UpgradeUnsupported | Self::Internal => 1,
        }
    }

    /// The HTTP status.
    #[must_use]
    pub fn http_status(self) -> u16 {
        match self {
            Self::Invalid => 400,
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::Refused => 403,
            Self::Engine => 502,
            Self::Exhausted => 503,
            Self::Timeout => 504,
            Self::CommandNotFound | Self::NotExecutable => 422,
            Self::Internal => 500,
            Self::Unauthorized => 401,
            Self::TooLarge => 413,
            Self::HeadersTooLarge => 431,
            Self::UpgradeUnsupported => 426,
        }
    }

    /// The word in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Refused => "refused",
            Self::Engine => "engine",
            Self::Exhausted => "exhausted",
            Self::Timeout => "timeout",
            Self::CommandNotFound => "command_not_found",
            Self::NotExecutable => "not_executable",
            Self::Internal => "internal",
            Self::Unauthorized => "unauthorized",
            Self::TooLarge => "too_large",
            Self::HeadersTooLarge => "headers_too_large",
            Self::UpgradeUnsupported => "upgrade_unsupported",
        }
    }
}

impl ApiError {
    /// An error without a hint.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
        }
    }

    /// The same with what would be right.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
