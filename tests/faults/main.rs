//! Faults: each row of the table in `tests/README.md` is a test here, named `row_NN_…`.
//!
//! A test makes the fault happen for real, checks what must hold, and says what it measured
//! (`e2e::measured`). `PODBAY_FAULTS=full` runs each as often as the table says; otherwise a few
//! times, so that the ordinary suite stays quick.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that fails ends its test"
)]

mod claims;
mod engine;
mod mounter;
mod parent;
mod process;
mod random;
#[path = "../support/seeds.rs"]
mod seeds;
mod table;
mod versions;
