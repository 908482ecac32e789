//! Typed client of the API: over the socket, through `podbay relay` by engine exec, or over TCP
//! with TLS.
//!
//! Owns how a connection is made and reused, deadlines, and the parsers of what streams back.
//! Knows nothing of the coordinator but the wire types; never prints and never touches a terminal.

mod api;
mod attach;
mod changes;
mod discover;
pub mod engine;
pub mod engine_address;
mod error;
mod events;
mod query;
mod transport;

pub use api::{Client, Deadlines};
pub use attach::{AttachReceiver, AttachSender, AttachStream, Incoming};
pub use changes::Diffs;
pub use discover::{DEFAULT_PARENT, DEFAULT_SOCKET, Discover};
pub use engine_address::{Endpoint, EngineAddress, EngineAddressError};
pub use error::ClientError;
pub use events::EventStream;
pub use transport::{Target, TlsTarget};
