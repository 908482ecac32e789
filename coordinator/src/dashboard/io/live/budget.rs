//! How much output is read for how long: a flood never takes the processor. What is over the budget
//! is not read, so the agent drops it and sends a fresh screen instead.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Bytes a time, shared by all who pay into it: first come, first served.
#[derive(Debug)]
pub struct Budget {
    /// Nanoseconds that a byte takes.
    byte_ns: u64,
    /// What may be spent in one go after a pause.
    burst: Duration,
    /// When all that was spent is paid off.
    paid: Mutex<Option<Instant>>,
}

impl Budget {
    /// So many bytes in so long, and in one go as many as make up `burst`.
    pub fn new(bytes: u32, time: Duration, burst: Duration) -> Self {
        let byte_ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX) / u64::from(bytes.max(1));
        Self {
            byte_ns,
            burst,
            paid: Mutex::new(None),
        }
    }

    /// Takes note of bytes that were read; gives when to read on, if that is not now.
    pub fn spend(&self, bytes: usize, now: Instant) -> Option<Instant> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let takes = Duration::from_nanos(self.byte_ns.saturating_mul(bytes));
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        let earliest = now.checked_sub(self.burst).unwrap_or(now);
        let until = paid.map_or(earliest, |paid| paid.max(earliest)) + takes;
        *paid = Some(until);
        (until > now).then_some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_gets_its_rate_and_a_pause_earns_a_burst() {
        let budget = Budget::new(1_000, Duration::from_millis(100), Duration::from_millis(50));
        let start = Instant::now();
        assert_eq!(budget.spend(500, start), None, "the burst");
        let ms = Duration::from_millis;
        assert_eq!(budget.spend(1_000, start), Some(start + ms(100)));
        // Two who share wait for each other.
        assert_eq!(budget.spend(1_000, start), Some(start + ms(200)));
        assert_eq!(budget.spend(500, start + ms(300)), None);
    }
}
