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

mod attach;
mod bad_input;
mod claim_faults;
mod claims;
mod dashboard;
mod down;
mod edge;
mod egress;
mod egress_holds;
mod exec;
mod hostile;
mod images;
mod impostor;
mod no_engine;
mod overlay;
mod pool;
mod records;
mod rename;
mod restart;
mod review;
mod secrets;
mod stop;
mod survival;
mod views;
mod walk;
