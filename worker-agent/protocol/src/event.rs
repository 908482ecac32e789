//! What an agent reports without being asked, and how it refuses.

use crate::{
    description::{Activity, ExitStatus},
    size::Size,
};
use serde::{Deserialize, Serialize};

/// Something that happened in the worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum AgentEvent {
    /// A session ended and its output is drained; on pipes its clients have taken all of it, unless
    /// it was told to stop. What only watches holds it for a few seconds at most.
    Exited {
        /// The session.
        session: String,
        /// How.
        status: ExitStatus,
        /// Whether the OOM killer struck one of its processes.
        oom: bool,
    },
    /// The result of [`crate::ToAgentBody::Restart`]; the old session's [`Self::Exited`] follows, so that
    /// nobody takes it for the end of the main session.
    Restarted {
        /// The session that ended.
        session: String,
        /// The one that follows.
        next: String,
        /// Its process id inside the worker, or why it could not be started.
        outcome: Result<i32, AgentError>,
    },
    /// A session's activity changed.
    Activity {
        /// The session.
        session: String,
        /// The new activity.
        activity: Activity,
    },
    /// A session's terminal title changed.
    Title {
        /// The session.
        session: String,
        /// The new title.
        title: String,
    },
    /// The bell rang or a notification (OSC 9, 777, 99) came.
    Notification {
        /// The session.
        session: String,
        /// The text; empty for a bare bell.
        text: String,
    },
    /// A client's stream ended.
    Detached {
        /// The session.
        session: String,
        /// The client's stream.
        stream: String,
        /// Clients attached now.
        clients: u32,
    },
    /// Another client types now, since it took over or since the one before left.
    Writer {
        /// The session.
        session: String,
        /// The client's stream.
        stream: String,
    },
    /// A session's terminal has another size now.
    Resized {
        /// The session.
        session: String,
        /// The new size.
        size: Size,
    },
    /// The screen model failed and was rebuilt; the restore blob starts again from here.
    ScreenRebuilt {
        /// The session.
        session: String,
        /// What failed.
        reason: String,
    },
}

/// A refused request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentError {
    /// What kind of refusal.
    pub code: ErrorCode,
    /// What was wrong and where, to be shown.
    pub message: String,
}

/// Kinds of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The program does not exist in the worker (a shell's 127).
    CommandNotFound,
    /// The program exists and cannot be executed (a shell's 126).
    NotExecutable,
    /// No such session or stream.
    NoSuchSession,
    /// The session exists already.
    Exists,
    /// The request makes no sense: empty argv, a NUL byte, a missing working directory.
    Invalid,
    /// This agent does not know the operation.
    Unsupported,
    /// A bound is reached; the message says which. It may be asked again later.
    Exhausted,
    /// The system refused; the message names the call. Also what a newer agent calls otherwise.
    #[serde(other)]
    System,
}
