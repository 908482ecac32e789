//! Connections to the workers' agents.
//!
//! The coordinator listens on one socket per worker, in a folder that only this worker sees; the
//! agent dials. Owns the sockets, the handshake and the request/answer pairing. Must never trust
//! what an agent says about another worker, and never wait for one without a bound.

mod bind;
mod connection;
mod hub;
mod said;
mod sockets;
mod version;

pub(crate) use bind::bind_private;
pub(crate) use connection::kind_of;
pub use connection::{AgentHandle, AgentRequestError};
pub use hub::{AgentHub, AgentNotice, RawStream};
pub use said::{FromWorker, Sessions};
pub use version::AgentVersion;
