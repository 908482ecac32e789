//! Which key and which place of the screen does what: the part of `update` for typing and the
//! mouse.

pub mod key_events;
pub mod keymap;
pub mod late_keys;
pub mod mouse_events;
