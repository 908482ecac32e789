//! The agent inside every worker: PID 1, sessions on terminals and pipes, attach, recording.
//!
//! `screen`, `hygiene`, `pty` and `playback` are of use to the coordinator as well. The agent dials
//! the coordinator and never listens where another worker could reach it.

pub mod agent;
mod connection;
mod error;
mod event_loop;
pub mod hygiene;
mod log;
mod process;
pub mod pty;
pub mod recording;
mod sandbox;
pub mod screen;
mod session;
pub mod supervisor;
mod version_skew;

#[cfg(test)]
#[path = "../../tests/support/seeds.rs"]
mod seeds;

pub use recording::playback;
