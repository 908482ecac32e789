//! What is said on an attach: by WebSocket, text is [`ClientMessage`] or [`ServerMessage`], binary is input
//! or output, with its channel on pipes; [`podbay_protocol::ATTACH_PROTOCOL`] has frames of its own.
//! Never says "exited" by closing: without `Exited` or `Error` the coordinator went away; attach again.

use super::{error::ApiError, spawn::SpawnResponse};
use podbay_protocol::{AgentError, AttachMode, ExitStatus, SessionMessage};
pub use podbay_protocol::{ClientMessage, INPUT_WINDOW};
use serde::{Deserialize, Serialize};

/// Channel byte of stdout for sessions on pipes.
pub const STDOUT_CHANNEL: u8 = 1;
/// Channel byte of stderr for sessions on pipes.
pub const STDERR_CHANNEL: u8 = 2;

/// Name of the header with which a 101 to [`podbay_protocol::ATTACH_PROTOCOL`] says what the session is
/// on, [`SESSION_PIPES`] or [`SESSION_TERMINAL`]: what the session's worker says later changes nothing.
pub const SESSION_HEADER: &str = "podbay-session";
/// The session is on pipes.
pub const SESSION_PIPES: &str = "pipes";
/// The session is on a terminal.
pub const SESSION_TERMINAL: &str = "terminal";

/// Name of the query parameter with which a client of a WebSocket asks for a window.
pub const INPUT_WINDOW_PARAM: &str = "input_window";

/// What a client may ask for in the query of any attach WebSocket.
///
/// With a window no more input than that is on its way without [`ServerMessage::Taken`], so that input
/// that the program does not read never fills the socket, and what is said as text, a close included, is
/// heard immediately. Without one, input that is not read holds up what is said behind it.
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
    /// The client draws the output itself, and nothing behind it answers what programs ask a terminal
    /// (cursor position, attributes, colours): the session's agent answers.
    #[serde(default)]
    pub silent: bool,
}

fn write() -> AttachMode {
    AttachMode::Write
}

/// Messages from the server.
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
    /// Who types has changed: another client took over, or left.
    Writer {
        /// Whether this client's input is heard from now on.
        writer: bool,
    },
    /// The session ended and all its output was sent. The server closes next.
    Exited {
        /// How it ended.
        status: ExitStatus,
        /// Whether the OOM killer struck one of its processes.
        oom: bool,
    },
    /// The client asked for something that was refused; it stays attached.
    Refused(AgentError),
    /// It cannot go on. The server closes next.
    Error(ApiError),
}

impl From<SessionMessage> for ServerMessage {
    fn from(said: SessionMessage) -> Self {
        match said {
            SessionMessage::Window { bytes } => Self::Window { bytes },
            SessionMessage::Taken { total } => Self::Taken { total },
            SessionMessage::Attached { writer, pipes } => Self::Attached { writer, pipes },
            SessionMessage::Writer { writer } => Self::Writer { writer },
            SessionMessage::Exited { status, oom } => Self::Exited { status, oom },
            SessionMessage::Refused(error) => Self::Refused(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use podbay_protocol::ErrorCode;

    #[test]
    fn a_session_says_it_in_the_same_words_as_the_coordinator() {
        let refused = AgentError {
            code: ErrorCode::Invalid,
            message: "no".to_owned(),
        };
        for said in [
            SessionMessage::Window { bytes: 7 },
            SessionMessage::Taken { total: 8 },
            SessionMessage::Attached {
                writer: true,
                pipes: true,
            },
            SessionMessage::Writer { writer: true },
            SessionMessage::Exited {
                status: ExitStatus::Signal(9),
                oom: true,
            },
            SessionMessage::Refused(refused),
        ] {
            let text = serde_json::to_string(&said).unwrap();
            let heard: ServerMessage = serde_json::from_str(&text).unwrap();
            assert_eq!(serde_json::to_string(&heard).unwrap(), text);
            let converted = serde_json::to_string(&ServerMessage::from(said)).unwrap();
            assert_eq!(converted, text);
        }
    }

    #[test]
    fn what_only_the_coordinator_says_is_nothing_a_session_could_say() {
        let error = ApiError::new(super::super::ErrorKind::Conflict, "gone");
        for said in [
            serde_json::to_value(ServerMessage::Error(error)).unwrap(),
            serde_json::json!({ "type": "spawned", "worker": {} }),
        ] {
            let heard = serde_json::from_value::<SessionMessage>(said);
            assert!(heard.is_err(), "{heard:?}");
        }
    }
}
