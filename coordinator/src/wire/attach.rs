//! Messages on an attach WebSocket.
//!
//! Client to server: binary = input bytes; text = [`ClientMessage`].
//! Server to client: text = [`ServerMessage`]; binary = output bytes. For a session on pipes the
//! first byte of each binary message is its channel, [`STDOUT_CHANNEL`] or [`STDERR_CHANNEL`].
//! A socket that closes without `Exited` or `Error` means that the coordinator went away, not the
//! session: attach again.

use super::{ApiError, SpawnResponse};
use podbay_protocol::{AttachMode, ExitStatus, Size};
use serde::{Deserialize, Serialize};

/// Channel byte of stdout for sessions on pipes.
pub const STDOUT_CHANNEL: u8 = 1;
/// Channel byte of stderr for sessions on pipes.
pub const STDERR_CHANNEL: u8 = 2;

/// Query of `GET /v1/workers/{w}/attach`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AttachQuery {
    /// What the client may do.
    #[serde(default = "write")]
    pub mode: AttachMode,
    /// Columns of the client's terminal, when it has one.
    pub cols: Option<u16>,
    /// Rows of the client's terminal.
    pub rows: Option<u16>,
    /// Another session than the main one: an `exec`.
    pub session: Option<String>,
}

fn write() -> AttachMode {
    AttachMode::Write
}

/// Text messages from the client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientMessage {
    /// The client's terminal has this size now.
    Resize {
        /// The new size.
        size: Size,
    },
    /// Makes this client the writer.
    Takeover,
    /// No more input: closes stdin of a session on pipes.
    Eof,
    /// Sends a signal to the session's process group.
    Signal {
        /// The signal's number.
        signal: i32,
    },
}

/// Text messages from the server.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerMessage {
    /// `GET /v1/spawn` only: the worker that was claimed.
    Spawned(Box<SpawnResponse>),
    /// Attached; output follows.
    Attached {
        /// Whether this client's input is heard.
        writer: bool,
        /// Whether the session is on pipes, so that output carries its channel.
        #[serde(default)]
        pipes: bool,
    },
    /// The session ended and all its output was sent. The server closes next.
    Exited {
        /// How it ended.
        status: ExitStatus,
        /// Whether the OOM killer struck one of its processes.
        oom: bool,
    },
    /// It cannot go on. The server closes next.
    Error(ApiError),
}
