//! A claim: from the request to a session that runs in a worker.
//!
//! Owns the checks and the order of a claim's steps. Never decides which worker serves it, and makes
//! no engine call and no fsync on the way.

pub(in crate::daemon) mod check;
pub(in crate::daemon) mod claim;
pub(in crate::daemon) mod claim_latency;
pub(in crate::daemon) mod environment;
pub(in crate::daemon) mod name_generator;
pub(in crate::daemon) mod overlay_claims;
pub(in crate::daemon) mod overlays_ahead;
pub(in crate::daemon) mod placed;
pub(in crate::daemon) mod projects;
pub(in crate::daemon) mod resolve;
pub(in crate::daemon) mod resolved;
pub(in crate::daemon) mod start_request;
pub(in crate::daemon) mod start_session;
pub(in crate::daemon) mod waiting;
