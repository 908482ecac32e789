//! Samples and their summaries. Pure.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Samples of one thing in one unit, in the order in which they were taken.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// How many.
    pub n: usize,
    /// Median.
    pub p50: f64,
    /// 99th percentile, by nearest rank: the largest of fewer than 100 samples.
    pub p99: f64,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
    /// The samples.
    pub raw: Vec<f64>,
}

impl Series {
    /// Summarises samples; all zero when there are none.
    pub fn of(raw: Vec<f64>) -> Self {
        let mut sorted = raw.clone();
        sorted.sort_by(f64::total_cmp);
        Self {
            n: raw.len(),
            p50: percentile(&sorted, 50),
            p99: percentile(&sorted, 99),
            min: percentile(&sorted, 0),
            max: percentile(&sorted, 100),
            raw,
        }
    }

    /// A single number.
    pub fn one(value: f64) -> Self {
        Self::of(vec![value])
    }
}

/// Nearest rank: the smallest sample that at least `percent` of a hundred do not exceed.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

/// Milliseconds with microseconds behind the point.
pub fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::Series;

    #[test]
    fn percentiles_are_samples_of_the_nearest_rank() {
        let series = Series::of((1..=200).rev().map(f64::from).collect());
        assert_eq!((series.n, series.p50, series.p99), (200, 100.0, 198.0));
        assert_eq!((series.min, series.max), (1.0, 200.0));
        assert_eq!(series.raw[0], 200.0);
        let few = Series::of(vec![3.0, 1.0, 2.0]);
        assert_eq!((few.p50, few.p99), (2.0, 3.0));
        assert_eq!(Series::of(Vec::new()), Series::default());
    }
}
