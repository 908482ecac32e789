//! x
pub mod hygiene;
pub mod screen;
