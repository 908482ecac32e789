//! The list and the tabs, each with its model and its view in one folder.

pub mod changes;
pub mod details;
pub mod list;
pub mod logs;
pub mod tab_outcome;
pub mod terminal;
