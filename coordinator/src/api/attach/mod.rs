//! Attached clients: by WebSocket, or by a socket that goes to the session's agent.
//!
//! Owns: how a client asks for either, and what is said before the two ends speak with each other.
//! Never reads what a session prints or is sent, other than to relay it.

mod handed;
mod routes;
mod socket;
mod upgrade;
mod uplink;
mod websocket;

pub(super) use routes::{attach, spawn};
