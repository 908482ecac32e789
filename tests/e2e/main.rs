//! End-to-end tests: the built binaries and images, a real engine, real terminals.
//!
//! One instance a test, several assertions on it: starting one costs seconds. Every test takes
//! away what it made, also when it fails.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that fails ends its test"
)]

mod changes;
mod daemon;
mod hostile;
mod network;
mod screens;
mod sessions;
mod situations;
mod workers;
