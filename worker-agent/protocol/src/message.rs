//! Greeting, requests and answers.

use crate::{
    description::{Description, Readings},
    event::{AgentError, AgentEvent},
    secret::Secret,
    size::Size,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// First frame of every connection, from the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`crate::PROTOCOL_VERSION`] of the agent.
    pub protocol: u32,
    /// The agent's package version, to be shown.
    pub build: String,
    /// The worker's id, as the coordinator gave it in `PODBAY_WORKER`.
    pub worker: String,
    /// The worker's token, read from [`crate::paths::TOKEN`].
    pub token: String,
    /// What the connection is for.
    pub purpose: Purpose,
    /// Whether the agent takes clients' sockets: [`ToAgentBody::Hand`], [`Attach::handed`].
    #[serde(default)]
    pub takes_clients: bool,
}

/// What a connection is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Purpose {
    /// The one control connection.
    Control,
    /// Raw bytes of one attach or exec, by the one-time id the coordinator named.
    Stream {
        /// The id from [`ToAgentBody::Attach`].
        stream: String,
    },
}

/// The coordinator's answer to a control [`Hello`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// [`crate::PROTOCOL_VERSION`] of the coordinator.
    pub protocol: u32,
    /// The coordinator's package version.
    pub build: String,
}

/// A request to the agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToAgent {
    /// Echoed in the [`Response`]; unique per connection.
    pub id: u64,
    /// What is asked.
    #[serde(flatten)]
    pub body: ToAgentBody,
}

/// What the coordinator can ask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum ToAgentBody {
    /// Answered with [`Reply::Done`]: the health check.
    Ping,
    /// Answered with [`Reply::Described`]: all the agent knows.
    Describe,
    /// Starts a session; answered with [`Reply::Started`] once exec succeeded or failed.
    Start(Box<StartSession>),
    /// The same with secrets: an older agent refuses it, where it would start without them.
    StartWithSecrets(Box<StartSession>),
    /// Opens a client's stream on a session: the agent dials a [`Purpose::Stream`] connection.
    Attach(Attach),
    /// The socket of a client that waits for it ([`Attach::handed`]); its descriptor comes with this
    /// frame's first byte. From then on nobody but the agent writes to it.
    Hand {
        /// The client's stream id.
        stream: String,
        /// What was read from the socket already, in frames of [`crate::ATTACH_PROTOCOL`].
        #[serde(with = "base64_bytes")]
        first: Vec<u8>,
    },
    /// The size of one client's terminal; followed when that client is the writer.
    Resize {
        /// The client's stream id.
        stream: String,
        /// The new size.
        size: Size,
    },
    /// Makes this client the writer; the former writer becomes a reader.
    Takeover {
        /// The client's stream id.
        stream: String,
    },
    /// Sends a signal to the session's process group.
    Signal {
        /// The session.
        session: String,
        /// The signal's number.
        signal: i32,
    },
    /// A client of the session leaves, or has left, on purpose ([`crate::ClientMessage::Detach`]).
    Detach {
        /// The session.
        session: String,
    },
    /// TERM to the session's processes, then KILL after the grace; answered immediately.
    Stop {
        /// The session.
        session: String,
        /// Milliseconds between TERM and KILL.
        grace_ms: u64,
    },
    /// Ends a running primary session as [`Self::Stop`] does, then starts the same program with
    /// the same environment again as another session, which is the primary one from then on.
    /// Answered immediately, reported by [`AgentEvent::Restarted`]. A [`Self::Stop`] in between calls the
    /// second part off.
    Restart {
        /// The session.
        session: String,
        /// Id of the session that follows.
        next: String,
        /// Milliseconds between TERM and KILL.
        grace_ms: u64,
        /// Claim record that the agent keeps from then on.
        claim: serde_json::Value,
    },
    /// What a session was started with, its environment included, so that it can be started again
    /// in another container; answered with [`Reply::Origin`].
    Origin {
        /// The session.
        session: String,
    },
    /// Replaces the claim record that the agent keeps for a session.
    #[serde(rename = "carry")]
    UpdateClaim {
        /// The session.
        session: String,
        /// The new record.
        claim: serde_json::Value,
    },
    /// Writes bytes to the session as if typed, no matter who the writer is.
    Input {
        /// The session.
        session: String,
        /// The bytes.
        #[serde(with = "base64_bytes")]
        data: Vec<u8>,
    },
    /// The visible screen as text; answered with [`Reply::Screen`].
    Screen {
        /// The session.
        session: String,
    },
    /// Someone looked at the session: `done` becomes `idle`.
    Seen {
        /// The session.
        session: String,
    },
    /// Cgroup readings; answered with [`Reply::Readings`].
    Readings,
    /// Stops every session and exits with 0, as SIGTERM does.
    Shutdown {
        /// Milliseconds between TERM and KILL.
        grace_ms: u64,
    },
}

/// What a session is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartSession {
    /// The session's id; a second start of the same id is refused with [`crate::ErrorCode::Exists`].
    pub session: String,
    /// Program and arguments; the program is looked up in the session's `PATH`.
    pub argv: Vec<String>,
    /// The whole environment, except for what the agent always sets (`HOME`, `USER`, `TERM`
    /// when absent).
    pub env: BTreeMap<String, String>,
    /// Working directory.
    pub cwd: String,
    /// User id the session runs as; 0 only when the user asked for it.
    pub uid: u32,
    /// Group id the session runs as.
    pub gid: u32,
    /// Name for that uid when the image's passwd has none.
    pub user: String,
    /// The session's home directory.
    pub home: String,
    /// A terminal of this size, or pipes.
    pub io: SessionIo,
    /// Whether to write an asciicast recording under [`crate::paths::LOG`].
    pub record: bool,
    /// The worker's main session: its end ends the claim. `exec` sessions are not primary.
    pub primary: bool,
    /// Claim record kept by the agent (opaque to it), so that a new coordinator can adopt it.
    #[serde(default)]
    pub claim: Option<serde_json::Value>,
    /// A first client to open together with the session, so that a claim is one round trip and
    /// no byte is missed.
    #[serde(default)]
    pub attach: Option<Attach>,
    /// Seconds after which the session is stopped, if any.
    #[serde(default)]
    pub timeout_s: Option<u64>,
    /// Secrets by name, each a file of that name in memory that the session's user alone can read.
    #[serde(default)]
    pub secrets: BTreeMap<String, Secret>,
}

/// How a session talks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SessionIo {
    /// A PTY of this size.
    Pty {
        /// The first size.
        size: Size,
    },
    /// Three pipes: the stream carries stdin and stdout, the error stream stderr.
    /// Output is lossless: a slow client slows the program.
    Pipes,
}

/// A client's stream on a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attach {
    /// The session.
    pub session: String,
    /// One-time id that the agent sends back in its stream's [`Hello`].
    pub stream: String,
    /// One-time id of a second connection for stderr (pipes only).
    #[serde(default)]
    pub error_stream: Option<String>,
    /// What the client may do.
    pub mode: AttachMode,
    /// The client's terminal, when it has one.
    pub size: Option<Size>,
    /// Whether the restore blob is sent first (PTY only).
    pub restore: bool,
    /// The agent dials no stream: it keeps what the client is to get until the client's own socket
    /// comes by [`ToAgentBody::Hand`], and speaks [`crate::ATTACH_PROTOCOL`] on it.
    #[serde(default)]
    pub handed: bool,
    /// No terminal is behind this client that answers a program's queries (cursor position, device
    /// attributes, colours): it draws the output itself. The agent's screen model answers then.
    #[serde(default)]
    pub silent: bool,
}

/// What a client may do with a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttachMode {
    /// Becomes the writer when there is none, else a reader.
    Write,
    /// Never writes.
    ReadOnly,
    /// Becomes the writer; the former writer becomes a reader.
    Takeover,
}

/// What the agent sends on the control connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FromAgent {
    /// The answer to a [`ToAgent`].
    Response(Response),
    /// Something happened.
    Event(AgentEvent),
}

/// The answer to one request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// The request's id.
    pub id: u64,
    /// The result.
    pub result: Result<Reply, AgentError>,
}

/// Successful answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// Done; nothing to say.
    Done,
    /// The session's program was executed.
    Started {
        /// Process id inside the worker.
        pid: i32,
        /// Microseconds from the request's arrival to a successful exec.
        exec_us: u64,
    },
    /// The client's stream is being dialled.
    Attached {
        /// Whether this client is the writer now.
        writer: bool,
    },
    /// Everything the agent knows.
    Described(Box<Description>),
    /// The visible screen.
    Screen {
        /// One string per row, trailing blanks removed.
        lines: Vec<String>,
        /// The terminal's title.
        title: String,
    },
    /// Cgroup readings.
    Readings(Readings),
    /// What a session was started with; its terminal has the size it has now.
    Origin(Box<StartSession>),
}

/// Bytes as base64 text inside JSON.
mod base64_bytes {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
        STANDARD
            .decode(String::deserialize(d)?)
            .map_err(D::Error::custom)
    }
}
