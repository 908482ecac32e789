//! The tab that shows what a copy-on-write worker changed.

pub mod apply;
pub mod areas;
pub mod changed_words;
pub mod diff;
pub mod diff_parser;
pub mod diff_view;
pub mod files;
pub mod navigation;
pub mod tab;
pub mod view;
