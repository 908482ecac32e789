//! The tab that shows what a session wrote.

pub mod assembler;
pub mod page;
pub mod page_control;
pub mod tab;
pub mod view;
