//! Who is paused for what it keeps on the state volume, and who goes on.
//!
//! Owns the decisions; reads no clock and no disk. A worker above its own limit is paused. While the
//! volume is short, or about to be, the worker that filled it is paused, one at a time, and the next
//! one only by what was measured after that. Must never pause a worker for a shortage that uses
//! little, and never one that is being stopped.

mod held;
#[cfg(test)]
mod tests;
mod volume;
mod watched;

pub use held::{Held, Step, Subject};
pub use volume::Space;

use super::Millis;
use crate::model::WorkerId;
use std::{collections::BTreeMap, time::Duration};
use volume::Volume;
use watched::{MAX_RETRY, Measured, RETRY, Watched, within};

/// A worker that uses less than this is not paused for a shortage, in bytes.
const MIN_USED: u64 = 64 << 20;
/// A worker that grew by less than this did not cause a shortage, in bytes; less than a quarter of a
/// small reserve.
const MIN_GROWTH: u64 = 16 << 20;
/// How long measurements are waited for while the volume is short, in ms.
const PATIENCE: Millis = 10_000;
/// Between two measurements of a worker, in ms: it has a limit; the volume is close to its reserve;
/// it is paused for its limit.
const MEASURE_LIMITED: Millis = 3_000;
const MEASURE_CLOSE: Millis = 1_000;
const MEASURE_HELD: Millis = 30_000;
/// A worker rests for so many times as long as its measurement took.
const REST: u64 = 10;
/// A worker that was not paused for so long begins with the shortest one again.
const FORGIVEN: Millis = 1_200_000;
/// The longest that one measurement may take.
const BUDGET: Duration = Duration::from_secs(20);
const BUDGET_CLOSE: Duration = Duration::from_secs(3);

/// All workers with living sessions, and the volume they are on.
#[derive(Debug, Default)]
pub struct Quotas {
    workers: BTreeMap<WorkerId, Watched>,
    volume: Volume,
}

impl Quotas {
    /// Those that there are; others are forgotten.
    pub fn watch(&mut self, now: Millis, subjects: Vec<Subject>) {
        let mut before = std::mem::take(&mut self.workers);
        for subject in subjects {
            let same = |w: &Watched| w.container.is_empty() || w.container == subject.container;
            let mut watched = before
                .remove(&subject.worker)
                .filter(same)
                .unwrap_or_else(|| Watched::new(now));
            watched.container = subject.container;
            watched.profile = subject.profile;
            watched.limit = subject.limit;
            self.workers.insert(subject.worker, watched);
        }
    }

    /// How much of the volume is free now.
    pub fn space(&mut self, now: Millis, space: Space) {
        self.volume.look(now, space);
        if !self.volume.close() {
            for worker in self.workers.values_mut() {
                worker.base = None;
            }
        }
    }

    /// How long until the volume is to be looked at again.
    #[must_use]
    pub fn pace(&self) -> Duration {
        self.volume.pace()
    }

    /// Who is to be measured now, and how long that may take.
    #[must_use]
    pub fn due(&self, now: Millis) -> Option<(WorkerId, Duration)> {
        let (close, news) = (self.volume.close(), self.volume.news_since());
        let due = |w: &Watched| {
            if w.exempt || w.retry > now {
                return None;
            }
            let every = match (&w.held, w.limit) {
                (Some(_), None) => return None,
                (Some(_), Some(_)) => MEASURE_HELD,
                (None, _) if close => MEASURE_CLOSE,
                (None, Some(_)) => MEASURE_LIMITED,
                (None, None) => return None,
            };
            let at = match w.measured {
                Some(m) if news.is_some_and(|news| m.at < news) && w.held.is_none() => m.at,
                Some(m) => m.at.saturating_add(every.max(m.took.saturating_mul(REST))),
                None if close || w.held.is_some() => w.seen,
                None => w.seen.saturating_add(every),
            };
            (at <= now).then_some(at)
        };
        let next = self
            .workers
            .iter()
            .filter_map(|(id, w)| Some((due(w)?, id)));
        let budget = if close { BUDGET_CLOSE } else { BUDGET };
        next.min().map(|(_, id)| (id.clone(), budget))
    }

    /// What a worker uses; `complete`: that is all. `took`: how long it took to tell, in ms.
    pub fn measured(
        &mut self,
        now: Millis,
        worker: &WorkerId,
        bytes: u64,
        complete: bool,
        took: Millis,
    ) {
        let close = self.volume.close();
        if let Some(w) = self.workers.get_mut(worker) {
            w.failures = 0;
            w.measured = Some(Measured {
                bytes,
                complete,
                at: now,
                took,
            });
            if close {
                w.base.get_or_insert(bytes);
            }
        }
    }

    /// It could not be measured, or a step failed: it is tried again later and later.
    pub fn failed(&mut self, now: Millis, worker: &WorkerId) {
        if let Some(w) = self.workers.get_mut(worker) {
            let wait = RETRY.saturating_mul(1 << w.failures.min(16));
            w.failures = w.failures.saturating_add(1);
            w.retry = now.saturating_add(wait.min(MAX_RETRY));
        }
    }

    /// It is paused now.
    pub fn held(&mut self, now: Millis, worker: &WorkerId, held: Held) {
        let Some(w) = self.workers.get_mut(worker) else {
            return;
        };
        if matches!(held, Held::Reserve { .. }) {
            self.volume.stepped = Some(now);
            self.volume.stepped_in = true;
            if now.saturating_sub(w.released) > FORGIVEN {
                w.holds = 0;
            }
            w.holds = w.holds.saturating_add(1);
        }
        w.failures = 0;
        w.held = Some((held, now));
        if self.volume.stepped == Some(now) {
            for w in self.workers.values_mut() {
                w.base = w.measured.map(|m| m.bytes);
            }
        }
    }

    /// It goes on.
    pub fn released(&mut self, now: Millis, worker: &WorkerId) {
        if let Some(w) = self.workers.get_mut(worker)
            && let Some((held, _)) = w.held.take()
        {
            if !matches!(held, Held::Limit { .. }) {
                self.volume.stepped = Some(now);
            }
            (w.released, w.failures) = (now, 0);
            // What it writes from now on is what counts.
            w.base = None;
        }
    }

    /// It was found paused by a former coordinator.
    pub fn adopt(&mut self, now: Millis, worker: &WorkerId, held: Held) {
        let w = self
            .workers
            .entry(worker.clone())
            .or_insert_with(|| Watched::new(now));
        w.held.get_or_insert((held, now));
    }

    /// It is being stopped: it is not paused from now on. Whether it is.
    pub fn exempt(&mut self, worker: &WorkerId) -> bool {
        self.workers.get_mut(worker).is_some_and(|w| {
            w.exempt = true;
            w.held.is_some()
        })
    }

    /// Somebody else let it go on, as the engine said at `asked_at`. Whether it was held until then.
    pub fn seen_running(&mut self, asked_at: Millis, worker: &WorkerId) -> bool {
        let Some(w) = self.workers.get_mut(worker) else {
            return false;
        };
        let since = w.held.as_ref().map(|(_, since)| *since);
        let gone = since.is_some_and(|since| since < asked_at);
        if gone {
            self.released(asked_at, worker);
        }
        gone
    }

    /// Why a worker is paused.
    #[must_use]
    pub fn reason(&self, worker: &WorkerId) -> Option<&Held> {
        let (held, _) = self.workers.get(worker)?.held.as_ref()?;
        Some(held)
    }

    /// How many are paused.
    #[must_use]
    pub fn count(&self) -> usize {
        self.workers.values().filter(|w| w.held.is_some()).count()
    }

    /// The next step; it is to be answered by [`Self::held`], [`Self::released`] or
    /// [`Self::failed`].
    #[must_use]
    pub fn decide(&self, now: Millis) -> Option<Step> {
        let able = || {
            self.workers
                .iter()
                .filter(|(_, w)| !w.exempt && w.retry <= now)
        };
        let over = able().find_map(|(id, w)| {
            let (measured, limit) = w.over().filter(|_| w.held.is_none())?;
            let held = Held::Limit {
                used: measured.bytes,
                complete: measured.complete,
                limit,
                profile: w.profile.clone(),
            };
            Some(Step::Hold(id.clone(), held))
        });
        if over.is_some() {
            return over;
        }
        if self.volume.short() {
            return self.culprit(now);
        }
        let settled = self.volume.settled(now);
        let mut held: Vec<_> = able()
            .filter_map(|(id, w)| Some((w.held.as_ref()?, id, w)))
            .collect();
        held.sort_by_key(|((_, since), ..)| *since);
        held.into_iter()
            .find(|((held, since), _, w)| match held {
                Held::Limit { limit, .. } => within(w, *limit),
                // Of what a former coordinator paused, both may have been the reason.
                Held::Former => {
                    settled && self.volume.enough() && (w.limit.is_none() || within(w, 0))
                }
                Held::Reserve { .. } => {
                    settled
                        && self.volume.enough()
                        && w.over().is_none()
                        && now.saturating_sub(*since) >= w.shortest_hold()
                }
            })
            .map(|(_, id, _)| Step::Release(id.clone()))
    }

    /// Who filled the volume.
    fn culprit(&self, now: Millis) -> Option<Step> {
        let news = self.volume.news_since()?;
        if !self.volume.settled(now) {
            return None;
        }
        let able = || {
            self.workers
                .iter()
                .filter(|(_, w)| !w.exempt && w.held.is_none())
        };
        let told = |w: &Watched| w.failures > 0 || w.measured.is_some_and(|m| m.at >= news);
        let waited = now.saturating_sub(news) >= PATIENCE;
        if !waited && !able().all(|(_, w)| told(w)) {
            return None;
        }
        let (_, space) = self.volume.space?;
        let large = able()
            .filter(|(_, w)| w.retry <= now)
            .filter_map(|(id, w)| {
                let measured = w.measured.filter(|m| m.at >= news)?;
                let large = measured.bytes >= MIN_USED || !measured.complete;
                large.then_some((id, w, measured))
            });
        let large: Vec<_> = large.collect();
        let least = MIN_GROWTH.min(space.reserve() / 4).max(1);
        let grew = large.iter().filter(|(_, w, _)| w.growth() >= least);
        let grew = grew.max_by_key(|(_, w, _)| w.growth());
        // Who did not grow is the cause only if the volume would not be short without it.
        let lack = space.reserve().saturating_sub(space.free);
        let cause = |m: &Measured| !self.volume.stepped_in && (m.bytes >= lack || !m.complete);
        let largest = large.iter().filter(|(_, _, m)| cause(m));
        let largest = largest.max_by_key(|(_, _, m)| (m.bytes, m.complete));
        let (id, _, measured) = grew.or(largest)?;
        let held = Held::Reserve {
            used: measured.bytes,
            reserve: space.reserve(),
        };
        Some(Step::Hold((*id).clone(), held))
    }
}
