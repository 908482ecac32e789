//! The dashboard: one terminal for all workers. Everything that happens becomes a message, `app`
//! changes the state, `view` draws it, `io` executes the effects. Never knows the coordinator but
//! through the client and the wire types, and never prints a byte of a worker's.

mod app;
mod dialogs;
mod input;
mod io;
mod pages;
mod view;
mod widgets;
mod workers;

pub use io::run::{DashboardOptions, open, run, start};

#[cfg(test)]
mod tests;
