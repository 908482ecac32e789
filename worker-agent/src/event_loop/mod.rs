//! The event loop's parts, shared by the agent and the supervisor.

pub mod reactor;
pub mod signals;
