//! What the terminal itself is asked, and its answers taken out of what is typed.

pub(super) mod presence;
pub(super) mod size;
