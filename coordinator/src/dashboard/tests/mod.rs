//! Tests of the dashboard as a whole: what it shows, and that no order of events breaks it.

pub mod changes_fixtures;
pub mod fixtures;
mod late_keys;
mod output;
mod overlays;
mod panes;
mod properties;
mod review;
mod screens;
mod spawning;
mod stories;
