//! The help: every key; it scrolls and can be searched.

pub mod keys;
pub mod model;
pub mod sections;
pub mod view;
