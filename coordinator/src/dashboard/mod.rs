//! The dashboard: one terminal for all workers.
//!
//! Everything that happens becomes an `event::Msg`; `update::update` changes the state and
//! nothing else; `view::draw` draws it and nothing else; [`run`] carries the effects out. It
//! knows the coordinator through the client and the wire types alone, draws only from parsed grids
//! and escaped text, and never leaves a terminal other than it found it.

mod actions;
mod allowed;
mod attention;
mod changes;
mod columns;
mod dialog;
mod effects;
mod event;
mod fetch;
mod field;
mod filter;
mod fuzzy;
mod grid;
mod help;
mod input;
mod keymap;
mod keys;
mod late;
mod link;
mod live;
mod logs;
mod losses;
mod memory;
mod mouse;
mod order;
mod outer;
mod painter;
mod palette;
mod run;
mod scrollback;
mod settings;
mod signals;
mod spawn;
mod state;
mod syntax;
mod term_guard;
mod text;
mod theme;
mod update;
mod view;
mod worker;
mod writer;
mod zoom;

pub use run::{DashboardOptions, open, run, start};

#[cfg(test)]
mod tests;
