//! The user's terminal: its modes, what it shows, how it is written to.

pub mod frame_writer;
pub mod guard;
pub mod host_terminal;
pub mod painter;
