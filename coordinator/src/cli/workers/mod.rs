//! Commands about workers and their sessions.

pub(super) mod exec;
mod log_filter;
pub(super) mod logs;
pub(super) mod ls;
mod plain_log;
mod project;
pub(super) mod refresh;
pub(super) mod rename;
pub(super) mod restart;
pub(super) mod rm;
mod secret;
pub(super) mod spawn;
pub(super) mod stop;
pub(super) mod top;
