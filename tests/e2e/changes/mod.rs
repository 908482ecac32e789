//! Copy-on-write workers and the review of their changes.

mod overlay;
mod review;
