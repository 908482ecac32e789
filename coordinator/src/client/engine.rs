//! The few engine calls of `up`, `down` and `doctor`.
