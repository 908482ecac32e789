//! When copy-on-write workers' changes are to be counted.
//!
//! A count is wanted when a session rests or ends and after a review, and now and then while it
//! works. The next one of the same worker is only made after ten times as long as the last one took,
//! so that a large tree never keeps the machine busy.

use crate::model::WorkerId;
use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};
use tokio::time::Instant;

/// More entries than this are not counted.
pub(super) const MAX_ENTRIES: u64 = 20_000;
/// How often a worker that works is counted.
const WHILE_WORKING: Duration = Duration::from_secs(15);
/// The shortest pause between two counts of one worker.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
/// A worker rests for so many times as long as its count took.
const REST: u32 = 10;
/// After a count that failed; doubled with each further one of the same worker, to at most
/// [`MAX_PAUSE`].
const AFTER_FAILURE: Duration = Duration::from_secs(30);
const MAX_PAUSE: Duration = Duration::from_secs(3600);

/// Whose changes are to be counted, and when they were last.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Counts {
    wanted: BTreeSet<WorkerId>,
    /// When the last count ended, and how long the next one has to wait from then on.
    last: HashMap<WorkerId, (Instant, Duration)>,
    /// Failed counts in a row: a tree that cannot be counted is not tried for ever.
    failures: HashMap<WorkerId, u32>,
}

impl Counts {
    pub fn want(&mut self, id: WorkerId) {
        self.wanted.insert(id);
    }

    /// How long this worker's count has to wait; `None` when nobody wants one.
    pub(super) fn wait(&self, id: &WorkerId, working: bool, now: Instant) -> Option<Duration> {
        let left = |(at, pause): (Instant, Duration)| {
            pause.saturating_sub(now.saturating_duration_since(at))
        };
        let last = self.last.get(id).copied();
        if self.wanted.contains(id) {
            return Some(last.map_or(Duration::ZERO, left));
        }
        let regular = last.map_or(Duration::ZERO, |(at, pause)| {
            left((at, pause.max(WHILE_WORKING)))
        });
        working.then_some(regular)
    }

    pub(super) fn counted(&mut self, id: &WorkerId, took: Duration, now: Instant) {
        self.wanted.remove(id);
        self.failures.remove(id);
        let pause = took.saturating_mul(REST).max(SHORTEST_PAUSE);
        self.last.insert(id.clone(), (now, pause));
    }

    pub(super) fn failed(&mut self, id: &WorkerId, now: Instant) {
        let failures = self.failures.entry(id.clone()).or_default();
        let pause = AFTER_FAILURE.saturating_mul(1 << (*failures).min(7));
        *failures = failures.saturating_add(1);
        self.last.insert(id.clone(), (now, pause.min(MAX_PAUSE)));
    }

    /// There was no room for it: that says nothing of the worker.
    pub(super) fn put_off(&mut self, id: &WorkerId, now: Instant) {
        self.last.insert(id.clone(), (now, AFTER_FAILURE));
    }

    /// Whether this worker's last count failed.
    pub(super) fn has_failed(&self, id: &WorkerId) -> bool {
        self.failures.contains_key(id)
    }

    /// Forgets all but these workers.
    pub(super) fn keep(&mut self, known: &BTreeSet<&WorkerId>) {
        self.wanted.retain(|id| known.contains(id));
        self.last.retain(|id, _| known.contains(id));
        self.failures.retain(|id, _| known.contains(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_comes_at_once_when_wanted_and_every_15_seconds_while_working() {
        let (mut counts, id) = (Counts::default(), WorkerId::from_bits(1));
        let start = Instant::now();
        let at = |s: u64| start + Duration::from_secs(s);
        assert_eq!(counts.wait(&id, false, at(0)), None);
        assert_eq!(counts.wait(&id, true, at(0)), Some(Duration::ZERO));
        counts.counted(&id, Duration::from_millis(10), at(0));
        assert_eq!(counts.wait(&id, false, at(1)), None);
        assert_eq!(counts.wait(&id, true, at(5)), Some(Duration::from_secs(10)));
        counts.want(id.clone());
        assert_eq!(counts.wait(&id, true, at(5)), Some(Duration::ZERO));
    }

    #[test]
    fn a_tree_that_takes_long_is_counted_rarely_however_often_it_is_asked_for() {
        let (mut counts, id) = (Counts::default(), WorkerId::from_bits(1));
        let now = Instant::now();
        counts.counted(&id, Duration::from_secs(4), now);
        counts.want(id.clone());
        let wait =
            |counts: &Counts, working, s| counts.wait(&id, working, now + Duration::from_secs(s));
        assert_eq!(wait(&counts, false, 0), Some(Duration::from_secs(40)));
        assert_eq!(wait(&counts, true, 30), Some(Duration::from_secs(10)));
        counts.failed(&id, now);
        assert_eq!(wait(&counts, false, 0), Some(AFTER_FAILURE));
    }

    #[test]
    fn a_tree_that_cannot_be_counted_is_tried_ever_more_rarely_however_often_it_is_asked_for() {
        let (mut counts, id) = (Counts::default(), WorkerId::from_bits(1));
        let mut now = Instant::now();
        let (mut tries, mut last) = (0, Duration::ZERO);
        let end = now + Duration::from_secs(24 * 3600);
        while now < end {
            counts.want(id.clone());
            let wait = counts.wait(&id, true, now).unwrap();
            if wait.is_zero() {
                counts.failed(&id, now);
                tries += 1;
                continue;
            }
            assert!(wait >= last && wait <= MAX_PAUSE, "{wait:?} after {last:?}");
            (last, now) = (wait, now + wait);
        }
        assert!(tries < 32, "{tries} tries in a day");
        // No room says nothing of the worker, and a count that succeeds begins again.
        counts.put_off(&id, now);
        assert_eq!(counts.wait(&id, true, now), Some(AFTER_FAILURE));
        counts.counted(&id, Duration::ZERO, now);
        counts.failed(&id, now);
        counts.want(id.clone());
        assert_eq!(counts.wait(&id, true, now), Some(AFTER_FAILURE));
    }
}
