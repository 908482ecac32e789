//! The agent inside every worker: PID 1, sessions on terminals and pipes, attach, recording.
//!
//! `relay` and `screen` are of use to the coordinator as well; the rest serves the binary. The
//! agent dials the coordinator and never listens where another worker could reach it.

mod activity;
pub mod agent;
mod apart;
mod cgroup;
mod client;
mod command;
mod confine;
pub mod faults;
pub mod hook;
pub mod hygiene;
mod passwd;
pub mod playback;
mod pump;
pub mod recording;
pub mod redact;
pub mod relay;
pub mod screen;
mod session;
mod sink;
pub mod supervise;

mod attach;
mod channel;
mod control;
mod ending;
mod ends;
mod flow;
mod note;
mod procs;
pub mod pty;
mod reactor;
mod reap;
mod requests;
mod restart;
mod secrets;
mod shutdown;
mod signals;
