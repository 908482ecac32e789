//! Draws the whole screen: where things are, and what is around list and tab. Never changes the
//! state.

pub mod chrome;
pub mod draw;
pub mod layout;
pub mod notice_line;
pub mod pool_bar;
pub mod tiling;
