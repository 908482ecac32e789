//! Connections to the workers' agents.
//!
//! The coordinator listens on one socket per worker, in a folder that only this worker sees; the
//! agent dials. Owns the sockets, the handshake and the request/answer pairing. Must never trust
//! what an agent says about another worker, and never wait for one without a bound.

mod bind;
mod connection;
mod handle;
mod notice;
mod registry;
mod request_error;
mod said;
mod sockets;
mod version;

pub(crate) use bind::bind_private;
pub use handle::AgentHandle;
pub use notice::ConnectionEvent;
pub use registry::{AgentRegistry, ExpectedStream, RawStream};
pub use request_error::AgentRequestError;
pub(crate) use request_error::kind_of;
pub use said::{FromWorker, Sessions};
pub use version::AgentVersion;
