//! The time of day, as records and clients get it. Intervals are tokio's.

use std::time::UNIX_EPOCH;

/// Unix nanoseconds.
pub(super) fn unix_ns() -> i64 {
    #[cfg(test)]
    if let Some(now) = super::tests::wall_clock() {
        return now;
    }
    let since = podbay_failpoints::wall_clock()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Unix milliseconds.
pub(super) fn unix_ms() -> u64 {
    u64::try_from(unix_ns() / 1_000_000).unwrap_or_default()
}
