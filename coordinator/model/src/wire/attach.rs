//! Messages on an attach WebSocket: text is [`ClientMessage`] or [`ServerMessage`], binary is input or
//! output bytes; of a session on pipes the first output byte is its channel. Owns the input window. Never
//! says "exited" by closing: without `Exited` or `Error` the coordinator went away; attach again.

use super::{error::ApiError, spawn::SpawnResponse};
use podbay_protocol::{AttachMode, ExitStatus, Size};
use serde::{Deserialize, Serialize};

/// Channel byte of stdout for sessions on pipes.
pub const STDOUT_CHANNEL: u8 = 1;
/// Channel byte of stderr for sessions on pipes.
pub const STDERR_CHANNEL: u8 = 2;

/// Name of the query parameter with which a client asks for a window.
pub const INPUT_WINDOW_PARAM: &str = "input_window";
/// The window that this version grants, and what a client may send before it was told one; bytes.
///
/// No more input than that is on its way without [`ServerMessage::Taken`], so that input the program
/// does not read never fills the socket, and what is said as text, a close included, is heard
/// immediately. Without a window, input that is not read holds up what is said behind it.
pub const INPUT_WINDOW: u32 = 64 << 10;

/// What a client may ask for in the query of any attach WebSocket.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct FlowQuery {
    /// Whether it counts its input: see [`ServerMessage::Window`].
    #[serde(default)]
    pub input_window: bool,
}

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
    /// Before `Attached`, to a client that asked: the client may have so many bytes of input on their
    /// way that [`Self::Taken`] has not counted.
    Window {
        /// Bytes.
        bytes: u32,
    },
    /// The session's worker has taken so much input, and there is room for more.
    Taken {
        /// Bytes, counted from the start of this connection.
        total: u64,
    },
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
