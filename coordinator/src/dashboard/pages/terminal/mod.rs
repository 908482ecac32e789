//! The tab with a worker's live terminal, its scrollback, and several as tiles.

pub mod grid;
pub mod picture;
pub mod scrollback;
pub mod tiles_view;
pub mod view;
