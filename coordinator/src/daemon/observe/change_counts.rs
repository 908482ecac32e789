//! How much copy-on-write workers changed, counted beside everything else.
//!
//! A count is wanted when a session rests or ends and after a review, and now and then while it
//! works. One is made at a time, and the next of the same worker only after ten times as long as
//! the last one took, so that a large tree never keeps the machine busy. Must never be on a
//! claim's path.

use crate::daemon::Daemon;
use crate::{
    model::WorkerId,
    wire::ChangeCount,
    workspace::{MounterError, MounterErrorKind, ReviewTarget},
};
use podbay_protocol::ActivityState;
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// More entries than this are not counted.
const MAX_ENTRIES: u64 = 20_000;
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
    fn wait(&self, id: &WorkerId, working: bool, now: Instant) -> Option<Duration> {
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

    fn counted(&mut self, id: &WorkerId, took: Duration, now: Instant) {
        self.wanted.remove(id);
        self.failures.remove(id);
        let pause = took.saturating_mul(REST).max(SHORTEST_PAUSE);
        self.last.insert(id.clone(), (now, pause));
    }

    fn failed(&mut self, id: &WorkerId, now: Instant) {
        let failures = self.failures.entry(id.clone()).or_default();
        let pause = AFTER_FAILURE.saturating_mul(1 << (*failures).min(7));
        *failures = failures.saturating_add(1);
        self.last.insert(id.clone(), (now, pause.min(MAX_PAUSE)));
    }

    /// There was no room for it: that says nothing of the worker.
    fn put_off(&mut self, id: &WorkerId, now: Instant) {
        self.last.insert(id.clone(), (now, AFTER_FAILURE));
    }
}

impl Daemon {
    /// Asks for a count soon.
    pub(in crate::daemon) fn want_count(&self, id: &WorkerId) {
        self.lock().counts.want(id.clone());
        self.counting.notify_one();
    }

    /// Counts whatever is to be counted until the coordinator stops.
    pub(in crate::daemon) async fn keep_counts(self: Arc<Self>) {
        loop {
            let (due, wait) = self.due_counts();
            for (id, target) in &due {
                self.count(id, target).await;
            }
            if !due.is_empty() {
                continue;
            }
            match wait {
                Some(wait) => tokio::select! {
                    biased;
                    () = tokio::time::sleep(wait) => {}
                    () = self.counting.notified() => {}
                },
                None => self.counting.notified().await,
            }
        }
    }

    /// Who is to be counted now, and else how long to wait; `None` until somebody asks.
    fn due_counts(&self) -> (Vec<(WorkerId, ReviewTarget)>, Option<Duration>) {
        let now = Instant::now();
        let mut guard = self.lock();
        let state = &mut *guard;
        let live = state.records.values().filter(|r| !r.underway.removes());
        let live = live.filter_map(|record| {
            let working = record.session.exit.is_none()
                && record
                    .session
                    .activity
                    .as_ref()
                    .is_some_and(|a| a.state == ActivityState::Working);
            Some((
                record.id.clone(),
                self.target(record.claim.as_ref()?)?,
                working,
            ))
        });
        let finished = state.finished.values();
        let finished =
            finished.filter_map(|f| Some((f.claim.id.clone(), self.target(&f.claim)?, false)));
        let all: Vec<_> = live.chain(finished).collect();
        let known: BTreeSet<&WorkerId> = all.iter().map(|(id, ..)| id).collect();
        state.counts.wanted.retain(|id| known.contains(id));
        state.counts.last.retain(|id, _| known.contains(id));
        state.counts.failures.retain(|id, _| known.contains(id));
        let mut due = Vec::new();
        let mut next: Option<Duration> = None;
        for (id, target, working) in all {
            match state.counts.wait(&id, working, now) {
                Some(Duration::ZERO) => due.push((id, target)),
                Some(wait) => next = Some(next.map_or(wait, |next| next.min(wait))),
                None => {}
            }
        }
        (due, next)
    }

    async fn count(self: &Arc<Self>, id: &WorkerId, target: &ReviewTarget) {
        let began = Instant::now();
        match self
            .outside
            .mounter
            .count(target.clone(), MAX_ENTRIES)
            .await
        {
            Ok(count) => {
                let now = Instant::now();
                self.lock().counts.counted(id, now - began, now);
                self.note_count(id, count).await;
            }
            Err(error) => {
                tracing::debug!(worker = %id, %error, "changes are not counted");
                self.not_counted(id, &error);
            }
        }
    }

    fn not_counted(&self, id: &WorkerId, error: &MounterError) {
        let counts = &mut self.lock().counts;
        match error.kind {
            MounterErrorKind::Busy => counts.put_off(id, Instant::now()),
            _ => counts.failed(id, Instant::now()),
        }
    }

    /// One count now, for a worker that ends; `None` when it cannot be counted, or could not be
    /// a moment ago.
    pub(in crate::daemon) async fn counted(
        &self,
        id: &WorkerId,
        target: ReviewTarget,
    ) -> Option<ChangeCount> {
        if self.lock().counts.failures.contains_key(id) {
            return None;
        }
        match self.outside.mounter.count(target, MAX_ENTRIES).await {
            Ok(count) => count,
            Err(error) => {
                tracing::debug!(worker = %id, %error, "changes are not counted");
                self.not_counted(id, &error);
                None
            }
        }
    }

    async fn note_count(self: &Arc<Self>, id: &WorkerId, count: Option<ChangeCount>) {
        let (news, finished) = {
            let mut state = self.lock();
            if let Some(record) = state.records.get_mut(id) {
                let news = std::mem::replace(&mut record.changes, count) != count;
                (news, false)
            } else if let Some(finished) = state.finished.get_mut(id) {
                let news = std::mem::replace(&mut finished.changes, count) != count;
                (news, true)
            } else {
                (false, false)
            }
        };
        if news
            && finished
            && let Err(error) = self.keep_changed(id).await
        {
            tracing::warn!(worker = %id, %error, "the count of its changes is not on disk");
        }
        if news {
            self.tell_worker(id);
        }
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
