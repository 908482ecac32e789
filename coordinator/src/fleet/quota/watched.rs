//! One worker: what it was found to use, its own limit, and when it may be tried again.

use super::held::Held;
use crate::fleet::Millis;

/// After a measurement or a step that failed, in ms; doubled with each further one, to the longest.
pub(super) const RETRY: Millis = 2_000;
pub(super) const MAX_RETRY: Millis = 600_000;
/// The shortest pause for a shortage, in ms; doubled with each further one of the same worker.
pub(super) const MIN_HOLD: Millis = 10_000;
pub(super) const MAX_HOLD: Millis = 600_000;

/// What it was found to use.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measured {
    pub(super) bytes: u64,
    pub(super) complete: bool,
    /// When it ended, and how long it took.
    pub(super) at: Millis,
    pub(super) took: Millis,
}

/// One worker with a living session.
#[derive(Debug, Clone)]
pub(super) struct Watched {
    /// Empty until it was watched once.
    pub(super) container: String,
    pub(super) profile: String,
    pub(super) limit: Option<u64>,
    pub(super) seen: Millis,
    pub(super) measured: Option<Measured>,
    /// What it used when the volume came close to its reserve.
    pub(super) base: Option<u64>,
    pub(super) held: Option<(Held, Millis)>,
    /// Pauses for a shortage in a row, and when the last one ended.
    pub(super) holds: u32,
    pub(super) released: Millis,
    /// Measurements or steps in a row that failed; nothing before `retry`.
    pub(super) failures: u32,
    pub(super) retry: Millis,
    /// It is being stopped.
    pub(super) exempt: bool,
}

impl Watched {
    /// One that was seen now for the first time.
    pub(super) fn new(now: Millis) -> Self {
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

    /// What it grew by since the volume came close to its reserve.
    pub(super) fn growth(&self) -> u64 {
        let now = self.measured.map_or(0, |m| m.bytes);
        now.saturating_sub(self.base.unwrap_or(now))
    }

    /// What it uses above its own limit.
    pub(super) fn over(&self) -> Option<(Measured, u64)> {
        let (measured, limit) = (self.measured?, self.limit?);
        (measured.bytes > limit).then_some((measured, limit))
    }

    /// How long a pause for a shortage lasts at least.
    pub(super) fn shortest_hold(&self) -> Millis {
        let doubled = self.holds.saturating_sub(1).min(16);
        MIN_HOLD.saturating_mul(1 << doubled).min(MAX_HOLD)
    }
}

/// Whether a worker is within its limit, which was `before` when it was paused: a lower bound says so
/// only of a limit that was raised.
pub(super) fn within(w: &Watched, before: u64) -> bool {
    match (w.limit, w.measured) {
        (None, _) => true,
        (Some(limit), Some(m)) => {
            m.bytes <= limit && (m.complete || (before > 0 && limit > before))
        }
        (Some(_), None) => false,
    }
}
