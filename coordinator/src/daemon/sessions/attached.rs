//! A client's streams on a session, and how the session ended.

use crate::{agent::RawStream, model::WorkerId};
use podbay_protocol::ExitStatus;

/// A client's streams on a session.
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
    /// It was asked for to watch only, and is noted so: nothing of the client reaches the session.
    pub read_only: bool,
    /// Input and output (stdout on pipes).
    pub out: RawStream,
    /// Stderr, on pipes.
    pub err: Option<RawStream>,
}

impl Attached {
    pub(in crate::daemon) fn new(
        worker: WorkerId,
        session: String,
        stream: String,
        writer: bool,
        out: RawStream,
        err: Option<RawStream>,
    ) -> Self {
        Self {
            worker,
            session,
            stream,
            writer,
            read_only: false,
            out,
            err,
        }
    }
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
