//! Connections to the coordinator: its socket, exec in its container, TLS; and the protocols on them.
//!
//! Owns deadlines of connecting and framing. Knows no call of the API.

mod connection;
mod exec;
mod http;
mod mux;
mod sse;
mod target;
mod tls;

pub(super) use connection::Connection;
pub(super) use exec::chain;
pub(super) use http::{Call, Http, within};
pub(super) use sse::SseParser;
pub use target::Target;
pub use tls::TlsTarget;
