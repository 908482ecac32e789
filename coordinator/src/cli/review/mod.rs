//! Commands about what a copy-on-write worker changed: `diff`, `apply`, `discard`.

pub(super) mod apply;
pub(super) mod diff;
pub(super) mod discard;
