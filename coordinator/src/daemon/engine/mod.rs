//! The engine: reached, listed, watched, and whether its disk is full.
//!
//! The listing is the truth; events are hints. Never calls more often the worse the engine is.

pub(in crate::daemon) mod disk;
pub(in crate::daemon) mod disk_watch;
pub(in crate::daemon) mod sync;
pub(in crate::daemon) mod watch;
