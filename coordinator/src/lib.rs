//! Podbay's coordinator, command line and dashboard.
//!
//! Modules import only from the ones above them in this list; `tests/tidy.rs` keeps it so.
//! `dashboard` and `cli` know the coordinator through `client` and `wire` alone.

pub use podbay_model::{model, wire};

pub mod config;

pub mod fleet;

pub mod runtime;

pub mod mounter_client;

pub mod guard_client;

pub mod agent;

pub mod store;

pub mod daemon;

pub mod api;

pub mod client;

pub mod cli;

pub mod dashboard;

#[cfg(test)]
#[path = "../../tests/support/needs.rs"]
mod needs;

#[cfg(test)]
#[path = "../../tests/support/seeds.rs"]
mod seeds;
