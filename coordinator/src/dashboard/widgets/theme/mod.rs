//! Colours and glyphs by role.

pub mod palette;
pub mod role;
pub mod scheme;
