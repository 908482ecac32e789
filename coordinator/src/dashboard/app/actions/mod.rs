//! What actions do, what they would lose, and when they make sense: the part of `update` behind the
//! keys, the mouse and the palette.

pub mod confirmations;
pub mod data_loss_warnings;
pub mod line_dialogs;
pub mod pending_call;
pub mod perform;
pub mod pools;
pub mod preconditions;
pub mod selection;
pub mod tabs;
