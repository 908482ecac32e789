//! What is measured: one file per group of figures.

pub mod adopt;
pub mod attach;
pub mod claim;
pub mod cold;
pub mod dashboard;
pub mod idle;
pub mod ready;
pub mod refill;
pub mod scale;
