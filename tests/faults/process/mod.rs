//! Processes that die, are stopped, or run out of something; and the state they leave.

mod crash;
mod descriptors;
pub mod kill;
pub mod kit;
mod load;
mod points;
mod stage;
mod state;
