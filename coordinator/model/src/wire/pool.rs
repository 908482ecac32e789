//! Pools as clients see them.

use serde::{Deserialize, Serialize};

/// One profile's pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolView {
    /// The profile.
    pub profile: String,
    /// Its image.
    pub image: String,
    /// Fewest warm workers.
    pub min_warm: u32,
    /// Most warm workers.
    pub max_warm: u32,
    /// How many the planner wants now.
    pub target: u32,
    /// Ready and unclaimed.
    pub warm: u32,
    /// On their way.
    pub creating: u32,
    /// Claimed.
    pub claimed: u32,
    /// Claims that wait.
    pub queued: u32,
    /// Refilling is paused by the user.
    pub paused: bool,
    /// The pool is being emptied and stays empty.
    pub draining: bool,
    /// Claims served by a warm worker since the coordinator started.
    pub hits: u64,
    /// Claims that had to wait or start cold.
    pub misses: u64,
    /// Microseconds of warm claims, median of the last 1,000.
    pub claim_p50_us: Option<u64>,
    /// The same, 99th percentile.
    pub claim_p99_us: Option<u64>,
    /// Microseconds of the last warm claims, oldest first, at most 32.
    #[serde(default)]
    pub recent_claims_us: Vec<u64>,
    /// The last failure to create a worker.
    pub last_failure: Option<PoolFailure>,
}

/// Why a pool is not full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolFailure {
    /// The reason, for people.
    pub reason: String,
    /// Unix milliseconds.
    pub at_ms: u64,
    /// Failures in a row.
    pub in_a_row: u32,
    /// Milliseconds until the next try; `None` when a success came since.
    pub retry_in_ms: Option<u64>,
}

/// Body of `…/scale`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScaleRequest {
    /// Fewest warm workers.
    pub min_warm: u32,
    /// Most warm workers.
    pub max_warm: u32,
}
