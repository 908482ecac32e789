//! The state volume: how much of it is free, and what is to stay so.

use crate::fleet::Millis;
use std::time::Duration;

/// What is kept free of the state volume, in bytes; a twentieth of a small one.
pub(super) const MAX_RESERVE: u64 = 1 << 30;
/// With less free than so many times the reserve everybody is measured.
pub(super) const CLOSE: u64 = 4;
/// A paused worker goes on with so many times the reserve free.
pub(super) const ENOUGH: u64 = 2;
/// A volume that fills so fast that the reserve is reached within this is short already, in ms.
pub(super) const LOOKAHEAD: Millis = 1_000;
/// Between two steps for the sake of the volume, in ms.
pub(super) const SETTLE: Millis = 1_000;
/// How often the volume is looked at, in ms, and while it is close to its reserve.
pub(super) const LOOK: Millis = 1_000;
pub(super) const LOOK_CLOSE: Millis = 250;

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

/// What is known of the volume.
#[derive(Debug, Default)]
pub(super) struct Volume {
    pub(super) space: Option<(Millis, Space)>,
    /// Bytes that the volume lost in a second, by the last two looks.
    pub(super) loss: u64,
    pub(super) short_since: Option<Millis>,
    /// The last step for the sake of the volume.
    pub(super) stepped: Option<Millis>,
    /// Somebody was paused in this shortage. From then on only who grew since is: it may be none of
    /// the workers that fills the volume, and where nobody does, one more is of no use.
    pub(super) stepped_in: bool,
}

impl Volume {
    /// How much of the volume is free now.
    pub(super) fn look(&mut self, now: Millis, space: Space) {
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
        }
    }

    /// Whether it is short, or will be in a moment.
    pub(super) fn short(&self) -> bool {
        self.space.is_some_and(|(_, space)| {
            let soon = self.loss.saturating_mul(LOOKAHEAD) / 1_000;
            space.free.saturating_sub(soon) < space.reserve()
        })
    }

    /// Whether it is close to its reserve.
    pub(super) fn close(&self) -> bool {
        self.short()
            || self
                .space
                .is_some_and(|(_, space)| space.free < space.reserve().saturating_mul(CLOSE))
    }

    /// How long until the volume is to be looked at again.
    pub(super) fn pace(&self) -> Duration {
        Duration::from_millis(if self.close() { LOOK_CLOSE } else { LOOK })
    }

    /// While the volume is short: what was measured before this is out of date.
    pub(super) fn news_since(&self) -> Option<Millis> {
        let short = self.short_since?;
        Some(self.stepped.map_or(short, |at| at.max(short)))
    }

    /// The last step had time to show in how much is free.
    pub(super) fn settled(&self, now: Millis) -> bool {
        let looked = self.space.map(|(at, _)| at);
        self.stepped.is_none_or(|stepped| {
            looked.is_some_and(|at| at > stepped) && now.saturating_sub(stepped) >= SETTLE
        })
    }

    /// Whether who was paused for it may go on.
    pub(super) fn enough(&self) -> bool {
        self.space
            .is_some_and(|(_, space)| space.free >= space.reserve().saturating_mul(ENOUGH))
    }
}
