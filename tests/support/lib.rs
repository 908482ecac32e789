//! Helpers that drive the real binaries.
