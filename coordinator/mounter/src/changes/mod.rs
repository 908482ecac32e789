//! Review of copy-on-write workers, in a child process: list, show, apply, discard. Owns the journal of
//! what was settled. Never opens a path but beneath two descriptors ([`reviewer`]), and writes to the
//! project only as its owner.
//!
//! What is listed depends on the two trees alone: what equals the project is no change. While the overlay
//! is mounted in a living worker its upper folder is only read; what was applied or discarded is noted in
//! the journal and hidden, and taken out of the upper folder once the overlay is no longer mounted.

mod answer;
mod apply;
mod discard;
mod entry;
mod gather;
pub(crate) mod git;
mod journal;
mod list;
mod review;
mod reviewer;
mod summary;
mod text;
mod usage;
mod walk;

#[cfg(test)]
mod tests;

pub use reviewer::review;
pub(crate) use reviewer::{Job, send};
