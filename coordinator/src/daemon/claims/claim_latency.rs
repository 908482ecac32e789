//! Claim times: the last thousand of each pool.

use std::collections::VecDeque;

const KEPT: usize = 1000;
/// Of them, those that are shown one by one.
const SHOWN: usize = 32;

/// Microseconds of the last warm claims.
#[derive(Debug, Default)]
pub(in crate::daemon) struct ClaimTimes(VecDeque<u64>);

impl ClaimTimes {
    pub fn add(&mut self, micros: u64) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(micros);
    }

    /// The last ones, oldest first.
    pub fn recent(&self) -> Vec<u64> {
        let skipped = self.0.len().saturating_sub(SHOWN);
        self.0.iter().skip(skipped).copied().collect()
    }

    /// The value below which `percent` of the claims are (nearest rank); `None` without claims.
    pub fn percentile(&self, percent: usize) -> Option<u64> {
        let mut sorted: Vec<u64> = self.0.iter().copied().collect();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_by_nearest_rank_over_the_last_thousand() {
        let mut times = ClaimTimes::default();
        assert_eq!(times.percentile(50), None);
        assert_eq!(times.recent(), Vec::<u64>::new());
        for micros in 1..=2000 {
            times.add(micros);
        }
        assert_eq!(times.percentile(50), Some(1500));
        assert_eq!(times.percentile(99), Some(1990));
        assert_eq!(times.percentile(100), Some(2000));
        assert_eq!(times.recent(), (1969..=2000).collect::<Vec<u64>>());
    }
}
