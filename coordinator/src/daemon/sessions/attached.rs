//! A client on a session: how its bytes go, and how the session ended.
//!
//! Owns: what the API needs of a client whose session's agent has taken it. Never speaks to either.

use crate::{
    agent::{AgentHandle, RawStream},
    model::WorkerId,
};
use podbay_protocol::ExitStatus;

/// How bytes go between a client and its session's agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientPath {
    /// Through this process: the agent dials a stream.
    Relayed,
    /// Directly: the agent is handed the client's socket.
    Handed,
}

/// A client that its session's agent has taken.
#[derive(Debug)]
pub struct Attached {
    /// The worker.
    pub worker: WorkerId,
    /// The session.
    pub session: String,
    /// The stream's one-time id, which names the client to the agent.
    pub stream: String,
    /// Whether its input is heard.
    pub writer: bool,
    /// Whether the session is on pipes.
    pub pipes: bool,
    /// It was asked for to watch only, and is noted so: nothing of the client reaches the session.
    pub read_only: bool,
    /// How its bytes go.
    pub link: ClientLink,
}

/// How a client's bytes go, with what that takes.
#[derive(Debug)]
pub enum ClientLink {
    /// By the agent's own connections.
    Relayed {
        /// Input and output (stdout on pipes).
        out: RawStream,
        /// Stderr, on pipes.
        err: Option<RawStream>,
    },
    /// This agent waits for the client's socket, on this connection.
    Handed(AgentHandle),
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionEnd {
    /// The program ended.
    Exited {
        /// How.
        status: ExitStatus,
        /// Whether the OOM killer struck.
        oom: bool,
    },
    /// The stream ended and the session goes on: attach again.
    StillRunning,
    /// The worker is gone.
    Gone(String),
}
