//! When the project's files changed: before the claim or after it.

/// Times of the file system that are after the claim.
#[derive(Debug, Clone)]
pub(super) struct Clock {
    claimed_at_ns: i64,
}

impl Clock {
    /// By the wall clock at the claim alone.
    pub(super) fn since(claimed_at_ns: i64) -> Self {
        Self { claimed_at_ns }
    }

    /// Whether a file's time, Unix nanoseconds, may be after the claim.
    pub(super) fn after_claim(&self, time: i64) -> bool {
        time > self.claimed_at_ns
    }
}
