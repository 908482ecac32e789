//! What commands print: failures with their exit codes, tables, colours, progress.
//!
//! Also used by `podbay-bench`. Never speaks to the coordinator.

mod failure;
pub mod term;
pub mod text;

pub use failure::{Failure, each};
