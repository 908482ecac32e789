//! The coordinator itself: its edge, its death, its end, and where it cannot run.

mod bad_input;
mod down;
mod edge;
mod no_engine;
pub mod survival;
