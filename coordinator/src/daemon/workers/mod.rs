//! Workers: created, adopted, named, recreated, restarted, removed, and shown.
//!
//! Owns what the daemon knows of each worker, and its record on disk. Never removes a worker with
//! live work unless a person asks for it.

pub(in crate::daemon) mod adoption;
pub(in crate::daemon) mod clients;
pub(in crate::daemon) mod creation;
pub(in crate::daemon) mod operations;
pub(in crate::daemon) mod record;
pub(in crate::daemon) mod record_sync;
pub(in crate::daemon) mod underway;
pub(in crate::daemon) mod view;
