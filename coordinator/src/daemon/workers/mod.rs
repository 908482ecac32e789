//! Workers: created, adopted, named, recreated, restarted, removed, and shown.
//!
//! Owns what the daemon knows of each worker, and its record on disk. Never removes a worker with
//! live work unless a person asks for it.

pub(in crate::daemon) mod adopt;
pub(in crate::daemon) mod create;
pub(in crate::daemon) mod describe;
pub(in crate::daemon) mod parts;
pub(in crate::daemon) mod pools;
pub(in crate::daemon) mod record;
pub(in crate::daemon) mod record_sync;
pub(in crate::daemon) mod recreate;
pub(in crate::daemon) mod removal;
pub(in crate::daemon) mod rename;
pub(in crate::daemon) mod restart;
pub(in crate::daemon) mod review;
pub(in crate::daemon) mod spec;
pub(in crate::daemon) mod startup;
pub(in crate::daemon) mod stopping;
pub(in crate::daemon) mod underway;
pub(in crate::daemon) mod unproven;
pub(in crate::daemon) mod view;
