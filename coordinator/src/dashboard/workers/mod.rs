//! A worker as the dashboard knows it, and the groups, order and filter of the list.

pub mod filter;
pub mod group;
pub mod sort;
pub mod worker;
