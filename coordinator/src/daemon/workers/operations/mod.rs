//! What is done with a worker that is there: renamed, refreshed, restarted, recreated, reviewed,
//! stopped, removed.

pub(in crate::daemon) mod recreate;
pub(in crate::daemon) mod refresh;
pub(in crate::daemon) mod removal;
pub(in crate::daemon) mod rename;
pub(in crate::daemon) mod restart;
pub(in crate::daemon) mod review;
pub(in crate::daemon) mod stopping;
