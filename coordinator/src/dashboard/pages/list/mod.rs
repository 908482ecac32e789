//! The list of workers.

pub mod columns;
pub mod view;
