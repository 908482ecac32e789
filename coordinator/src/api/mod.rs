//! The HTTP API on the state volume's socket.
//!
//! Translates requests to calls of the daemon and errors to statuses. Must never decide anything,
//! and never hold output back: attach relays bytes as they come.

mod attach;
mod audit;
mod connection;
mod events;
mod listen;
mod metrics;
mod peer;
mod projects;
mod reply;
mod review;
mod routes;
mod security;
mod tcp;

pub use listen::listen;
