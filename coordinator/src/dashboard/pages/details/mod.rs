//! The tab with all about a worker and the coordinator.

pub mod text;
pub mod view;
