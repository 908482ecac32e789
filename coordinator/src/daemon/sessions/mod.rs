//! Sessions as their clients see them: attaching, exec, how they ended, what they printed.
//!
//! Owns the waiting for streams and ends. Never parses what passes through.

pub(in crate::daemon) mod attach;
pub(in crate::daemon) mod attached;
pub(in crate::daemon) mod exits;
pub(in crate::daemon) mod logs;
pub(in crate::daemon) mod opening;
pub(in crate::daemon) mod pending_execs;
pub(in crate::daemon) mod readers;
pub(in crate::daemon) mod relayed;
