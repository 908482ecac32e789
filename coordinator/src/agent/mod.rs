//! Connections to the workers' agents.
//!
//! The coordinator listens on one socket per worker, in a folder that only this worker sees; the
//! agent dials. Owns the sockets, the handshake and the request/answer pairing. Must never trust
//! what an agent says about another worker, and never wait for one without a bound.

mod connection;
mod hub;
mod version;

pub(crate) use connection::kind_of;
pub use connection::{AgentHandle, AgentRequestError};
pub(crate) use hub::bind_private;
pub use hub::{AgentHub, AgentNotice, RawStream};
pub use version::AgentVersion;
