//! What lies over the list: help, palette, spawn form, questions, one line of text.

pub mod confirm;
pub mod dialog;
pub mod help;
pub mod line;
pub mod palette;
pub mod spawn;
pub mod view;
