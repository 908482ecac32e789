//! The palette: every action by name, and what else can be gone to or chosen.

pub mod items;
pub mod keys;
pub mod model;
pub mod view;
