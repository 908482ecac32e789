//! What workers report and use, and what clients are told of it.
//!
//! Owns the event bus, the meters and the limits of what one worker may cause to be told. Never acts
//! on the word of one worker for another.

pub(in crate::daemon) mod agent_events;
pub(in crate::daemon) mod announce;
pub(in crate::daemon) mod bus;
pub(in crate::daemon) mod change_counts;
pub(in crate::daemon) mod counting;
pub(in crate::daemon) mod logging;
pub(in crate::daemon) mod meters;
pub(in crate::daemon) mod ports;
pub(in crate::daemon) mod quota;
pub(in crate::daemon) mod tells;
