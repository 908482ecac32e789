//! Programs and processes: what is executed, what is found in `/proc`, what has ended.

pub mod command;
pub mod procs;
pub mod reap;
