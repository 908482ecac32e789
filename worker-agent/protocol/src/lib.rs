//! Wire types between the coordinator and the worker-agent.
//!
//! A leaf: plain structs, `serde` only, no I/O.
//!
//! ## Versions
//! An upgrade puts another coordinator into effect while workers keep the agent they were started
//! with, so either side may be the older one. What is added is ignored by a side that does not know it:
//! fields (which have a default), events, operations (answered with [`ErrorCode::Unsupported`]) and
//! the answers to those. What must not be ignored is an operation of its own, as
//! [`ToAgentBody::StartWithSecrets`] is. [`PROTOCOL_VERSION`] grows only when something that is
//! there comes to mean something else.
//!
//! ## Connections
//! The coordinator listens on `<worker folder>/run/agent.sock`; the agent dials.
//! The first frame the agent sends is [`Hello`]. A [`Purpose::Control`] connection is answered
//! with [`Welcome`] and then carries [`ToAgent`] one way and [`FromAgent`] the other, each one
//! frame. A [`Purpose::Stream`] connection carries **raw bytes** both ways right after the `Hello`
//! frame: no answer frame, so a claim pays no extra round trip.
//!
//! A client's socket goes to the agent with [`ToAgentBody::Hand`]: one descriptor (`SCM_RIGHTS`) with
//! the first byte of that frame. What is spoken on it is [`ATTACH_PROTOCOL`].
//!
//! ## Frames
//! Four bytes of big-endian length, then that many bytes of JSON, at most [`MAX_FRAME`] bytes.

mod attach;
mod bounds;
mod description;
mod event;
mod frame;
mod message;
mod name;
mod secret;
mod size;

#[cfg(test)]
#[path = "../../../tests/support/seeds.rs"]
mod seeds;

pub use attach::*;
pub use bounds::{MAX_CLIENTS, MAX_ID, MAX_NOTICE, MAX_REASON, MAX_TITLE, cut, shorten};
pub use description::*;
pub use event::*;
pub use frame::{FrameDecoder, FrameError, MAX_FRAME, encode};
pub use message::*;
pub use secret::{MAX_SECRET, SHORTEST_REDACTED, Secret, SecretText};
pub use size::Size;

/// Version of this protocol; sent in [`Hello`] and [`Welcome`]. Additions leave it as it is.
///
/// A difference ends no session: a worker that is claimed is served as far as both sides
/// understand each other. A warm one is given to no claim; it is replaced.
pub const PROTOCOL_VERSION: u32 = 1;

/// Where things are inside every worker. Fixed, so that any image can be a worker.
pub mod paths {
    /// Read-only folder with the agent's binary.
    pub const BIN: &str = "/.podbay/bin";
    /// Read-only folder with the coordinator's socket and the token.
    pub const RUN: &str = "/.podbay/run";
    /// The coordinator's socket, seen from the worker.
    pub const SOCKET: &str = "/.podbay/run/agent.sock";
    /// The per-worker token; mode 0400, root in the worker alone can read it.
    pub const TOKEN: &str = "/.podbay/run/token";
    /// Memory for secrets: a tmpfs of the worker's own.
    pub const SECRETS: &str = "/.podbay/secrets";
    /// Writable folder for recordings; it survives the container.
    pub const LOG: &str = "/.podbay/log";
    /// Home of the session's user; it survives the container.
    pub const HOME: &str = "/home/podbay";
    /// Where the project is.
    pub const WORKSPACE: &str = "/workspace";
    /// Variable of the agent with the worker's own TCP ports, `FIRST-LAST`; unset: any.
    pub const PORTS_ENV: &str = "PODBAY_TCP_PORTS";
    /// Variable of the agent that is set where sessions may mount in namespaces of their own.
    pub const MAY_MOUNT_ENV: &str = "PODBAY_MAY_MOUNT";
    /// Variable of the agent that is set where the engine mounted the project when it made the container.
    pub const ENGINE_MOUNTED_ENV: &str = "PODBAY_ENGINE_MOUNTED";
    /// Name of the socket in the `run` folder.
    pub const SOCKET_NAME: &str = "agent.sock";
    /// Name of the token file in the `run` folder.
    pub const TOKEN_NAME: &str = "token";
}
