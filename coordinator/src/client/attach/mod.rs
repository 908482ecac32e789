//! Attach: a connection to a session, by `podbay-attach/1` or by WebSocket.
//!
//! Owns: which of the two is used, and one interface to both. Never shows anything, and never believes
//! a session's worker beyond its own session.

mod framed;
mod open;
mod outgoing;
mod receiver;
mod sender;
mod stream;
mod websocket;

pub use receiver::{AttachReceiver, Incoming};
pub use sender::AttachSender;
pub use stream::AttachStream;
