//! Who is paused for what it keeps on the state volume, and who goes on.
//!
//! Owns the decisions; reads no clock and no disk. A worker above its own limit is paused. While the
//! volume is short, or about to be, the worker that filled it is paused, one at a time, and the next
//! one only by what was measured after that. Must never pause a worker for a shortage that uses
//! little, and never one that is being stopped.

use super::Millis;
use crate::model::WorkerId;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fmt::{self, Display},
    time::Duration,
};

/// What is kept free of the state volume, in bytes; a twentieth of a small one.
const MAX_RESERVE: u64 = 1 << 30;
/// A worker that uses less than this is not paused for a shortage, in bytes.
const MIN_USED: u64 = 64 << 20;
/// A worker that grew by less than this did not cause a shortage, in bytes; less than a quarter of a
/// small reserve.
const MIN_GROWTH: u64 = 16 << 20;
/// With less free than so many times the reserve everybody is measured.
const CLOSE: u64 = 4;
/// A paused worker goes on with so many times the reserve free.
const ENOUGH: u64 = 2;
/// A volume that fills so fast that the reserve is reached within this is short already, in ms.
const LOOKAHEAD: Millis = 1_000;
/// Between two steps for the sake of the volume, in ms.
const SETTLE: Millis = 1_000;
/// How long measurements are waited for while the volume is short, in ms.
const PATIENCE: Millis = 10_000;
/// How often the volume is looked at, in ms, and while it is close to its reserve.
const LOOK: Millis = 1_000;
const LOOK_CLOSE: Millis = 250;
/// Between two measurements of a worker, in ms: it has a limit; the volume is close to its reserve;
/// it is paused for its limit.
const MEASURE_LIMITED: Millis = 3_000;
const MEASURE_CLOSE: Millis = 1_000;
const MEASURE_HELD: Millis = 30_000;
/// A worker rests for so many times as long as its measurement took.
const REST: u64 = 10;
/// After a measurement or a step that failed, in ms; doubled with each further one, to the longest.
const RETRY: Millis = 2_000;
const MAX_RETRY: Millis = 600_000;
/// The shortest pause for a shortage, in ms; doubled with each further one of the same worker.
const MIN_HOLD: Millis = 10_000;
const MAX_HOLD: Millis = 600_000;
/// A worker that was not paused for so long begins with the shortest one again.
const FORGIVEN: Millis = 1_200_000;
/// The longest that one measurement may take.
const BUDGET: Duration = Duration::from_secs(20);
const BUDGET_CLOSE: Duration = Duration::from_secs(3);

/// How much there is of the state volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that are free.
    pub free: u64,
    /// Bytes in all.
    pub size: u64,
}

impl Space {
    /// Bytes that are to stay free.
    #[must_use]
    pub fn reserve(self) -> u64 {
        MAX_RESERVE.min(self.size / 20)
    }
}

/// A worker with a living session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Its id.
    pub worker: WorkerId,
    /// Its container: another one of the same worker is judged anew.
    pub container: String,
    /// Its profile.
    pub profile: String,
    /// What the profile allows it, in bytes.
    pub limit: Option<u64>,
}

/// Why a worker is paused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Held {
    /// It uses more than its profile allows. Bytes; `used` at least, when it is not `complete`.
    Limit {
        /// What it uses.
        used: u64,
        /// Whether that is all.
        complete: bool,
        /// What it may.
        limit: u64,
        /// Whose key that is.
        profile: String,
    },
    /// The volume is short. Bytes.
    Reserve {
        /// What it uses.
        used: u64,
        /// What is to stay free.
        reserve: u64,
    },
    /// A former coordinator paused it, and noted no more than that.
    Former,
}

impl Held {
    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Limit { profile, .. } => format!(
                "raise `disk` of profile {profile} and have the configuration read again (SIGHUP), \
                 and it goes on; or `podbay stop` it, which keeps its changes"
            ),
            Self::Reserve { reserve, .. } => format!(
                "free space on the state volume (`podbay rm` of ended workers, apply or discard of \
                 their changes): with {} free it goes on; or `podbay stop` it, which keeps its \
                 changes",
                bytes(reserve.saturating_mul(ENOUGH))
            ),
            Self::Former => {
                "free space on the state volume, or raise `disk` of its profile and have \
                             the configuration read again (SIGHUP), and it goes on"
                    .to_owned()
            }
        }
    }
}

impl Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit {
                used,
                complete,
                limit,
                profile,
            } => write!(
                f,
                "paused: it uses {}{} of the {} that profile {profile} allows (disk)",
                if *complete { "" } else { "at least " },
                bytes(*used),
                bytes(*limit)
            ),
            Self::Reserve { used, .. } => write!(
                f,
                "paused: the state volume is nearly full, and it uses {} of it",
                bytes(*used)
            ),
            Self::Former => f.write_str("paused: it used too much of the state volume"),
        }
    }
}

/// Bytes for people.
fn bytes(n: u64) -> String {
    match n {
        n if n >= 1 << 30 => format!("{:.1} GiB", n as f64 / f64::from(1 << 30)),
        n => format!("{:.1} MiB", n as f64 / f64::from(1 << 20)),
    }
}

/// What is to be done with a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Pause it.
    Hold(WorkerId, Held),
    /// Let it go on.
    Release(WorkerId),
}

#[derive(Debug, Clone, Copy)]
struct Measured {
    bytes: u64,
    complete: bool,
    /// When it ended, and how long it took.
    at: Millis,
    took: Millis,
}

#[derive(Debug, Clone)]
struct Watched {
    /// Empty until it was watched once.
    container: String,
    profile: String,
    limit: Option<u64>,
    seen: Millis,
    measured: Option<Measured>,
    /// What it used when the volume came close to its reserve.
    base: Option<u64>,
    held: Option<(Held, Millis)>,
    /// Pauses for a shortage in a row, and when the last one ended.
    holds: u32,
    released: Millis,
    /// Measurements or steps in a row that failed; nothing before `retry`.
    failures: u32,
    retry: Millis,
    /// It is being stopped.
    exempt: bool,
}

impl Watched {
    fn growth(&self) -> u64 {
        let now = self.measured.map_or(0, |m| m.bytes);
        now.saturating_sub(self.base.unwrap_or(now))
    }

    /// What it uses above its own limit.
    fn over(&self) -> Option<(Measured, u64)> {
        let (measured, limit) = (self.measured?, self.limit?);
        (measured.bytes > limit).then_some((measured, limit))
    }

    fn shortest_hold(&self) -> Millis {
        let doubled = self.holds.saturating_sub(1).min(16);
        MIN_HOLD.saturating_mul(1 << doubled).min(MAX_HOLD)
    }
}

/// All workers with living sessions, and the volume they are on.
#[derive(Debug, Default)]
pub struct Quotas {
    workers: BTreeMap<WorkerId, Watched>,
    space: Option<(Millis, Space)>,
    /// Bytes that the volume lost in a second, by the last two looks.
    loss: u64,
    short_since: Option<Millis>,
    /// The last step for the sake of the volume.
    stepped: Option<Millis>,
    /// Somebody was paused in this shortage. From then on only who grew since is: it may be none of
    /// the workers that fills the volume, and where nobody does, one more is of no use.
    stepped_in: bool,
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
        self.loss = match self.space {
            Some((at, before)) if now > at => {
                let lost = before.free.saturating_sub(space.free);
                lost.saturating_mul(1_000) / (now - at)
            }
            Some(_) => self.loss,
            None => 0,
        };
        self.space = Some((now, space));
        if self.short() {
            self.short_since.get_or_insert(now);
        } else {
            self.short_since = None;
        }
        if !self.close() {
            self.stepped_in = false;
            for worker in self.workers.values_mut() {
                worker.base = None;
            }
        }
    }

    fn short(&self) -> bool {
        self.space.is_some_and(|(_, space)| {
            let soon = self.loss.saturating_mul(LOOKAHEAD) / 1_000;
            space.free.saturating_sub(soon) < space.reserve()
        })
    }

    fn close(&self) -> bool {
        self.short()
            || self
                .space
                .is_some_and(|(_, space)| space.free < space.reserve().saturating_mul(CLOSE))
    }

    /// How long until the volume is to be looked at again.
    #[must_use]
    pub fn pace(&self) -> Duration {
        Duration::from_millis(if self.close() { LOOK_CLOSE } else { LOOK })
    }

    /// Who is to be measured now, and how long that may take.
    #[must_use]
    pub fn due(&self, now: Millis) -> Option<(WorkerId, Duration)> {
        let (close, news) = (self.close(), self.news_since());
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

    /// While the volume is short: what was measured before this is out of date.
    fn news_since(&self) -> Option<Millis> {
        let short = self.short_since?;
        Some(self.stepped.map_or(short, |at| at.max(short)))
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
        let close = self.close();
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
            self.stepped = Some(now);
            self.stepped_in = true;
            if now.saturating_sub(w.released) > FORGIVEN {
                w.holds = 0;
            }
            w.holds = w.holds.saturating_add(1);
        }
        w.failures = 0;
        w.held = Some((held, now));
        if self.stepped == Some(now) {
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
                self.stepped = Some(now);
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
        if self.short() {
            return self.culprit(now);
        }
        let settled = self.settled(now);
        let mut held: Vec<_> = able()
            .filter_map(|(id, w)| Some((w.held.as_ref()?, id, w)))
            .collect();
        held.sort_by_key(|((_, since), ..)| *since);
        held.into_iter()
            .find(|((held, since), _, w)| match held {
                Held::Limit { limit, .. } => within(w, *limit),
                // Of what a former coordinator paused, both may have been the reason.
                Held::Former => settled && self.enough() && (w.limit.is_none() || within(w, 0)),
                Held::Reserve { .. } => {
                    settled
                        && self.enough()
                        && w.over().is_none()
                        && now.saturating_sub(*since) >= w.shortest_hold()
                }
            })
            .map(|(_, id, _)| Step::Release(id.clone()))
    }

    /// The last step had time to show in how much is free.
    fn settled(&self, now: Millis) -> bool {
        let looked = self.space.map(|(at, _)| at);
        self.stepped.is_none_or(|stepped| {
            looked.is_some_and(|at| at > stepped) && now.saturating_sub(stepped) >= SETTLE
        })
    }

    fn enough(&self) -> bool {
        self.space
            .is_some_and(|(_, space)| space.free >= space.reserve().saturating_mul(ENOUGH))
    }

    /// Who filled the volume.
    fn culprit(&self, now: Millis) -> Option<Step> {
        let news = self.news_since()?;
        if !self.settled(now) {
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
        let (_, space) = self.space?;
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
        let cause = |m: &Measured| !self.stepped_in && (m.bytes >= lack || !m.complete);
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

/// Whether a worker is within its limit, which was `before` when it was paused: a lower bound says so
/// only of a limit that was raised.
fn within(w: &Watched, before: u64) -> bool {
    match (w.limit, w.measured) {
        (None, _) => true,
        (Some(limit), Some(m)) => {
            m.bytes <= limit && (m.complete || (before > 0 && limit > before))
        }
        (Some(_), None) => false,
    }
}

impl Watched {
    fn new(now: Millis) -> Self {
        Self {
            container: String::new(),
            profile: String::new(),
            limit: None,
            seen: now,
            measured: None,
            base: None,
            held: None,
            holds: 0,
            released: 0,
            failures: 0,
            retry: 0,
            exempt: false,
        }
    }
}

#[cfg(test)]
#[path = "quota_tests.rs"]
mod tests;
