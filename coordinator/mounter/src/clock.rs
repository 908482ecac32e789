//! When the project's files changed: before a claim or after it, although the wall clock is set. Owns
//! what is known of the wall clock ([`History`]), and judges ([`Clock`]). Never takes what changed after
//! the claim for unchanged, but for a file server's clock and a clock that is set while rebooting.

use serde::{Deserialize, Serialize};

const SECOND: i64 = 1_000_000_000;
/// Less is no step: clocks are slewed by that much, too.
const MIN_STEP: i64 = SECOND;
/// Around a step: the file system's clock is coarse, and a step is noticed a little later.
const SLOP: i64 = 10 * SECOND;
/// By how much the clock is slewed at most, as a part of the time that passed: adjtimex(2).
const SLEWED: i64 = 2_000;
/// A file with a later ctime than that from now on did not change since the claim: it is from a
/// time when the clock was wrong.
const MAX_AHEAD: i64 = 3_600 * SECOND;
/// Steps that are kept.
const MAX_STEPS: usize = 64;

/// By how much the wall clock was ahead of the time since the boot. All in nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Span {
    /// Time since the boot from which on it may have been so; `None`: from ever.
    from: Option<i64>,
    /// Until when; `None`: it is so.
    until: Option<i64>,
    ahead: i64,
}

/// What is known of the wall clock in this boot.
///
/// A file's ctime is the wall clock's at its change; the claim's time is, too. Neither says in which
/// order they came when the clock was set in between. The time since the boot does, so it is kept by
/// how much the wall clock was ahead of it, and since when.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct History {
    boot: String,
    spans: Vec<Span>,
}

/// Both clocks, read together, in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    pub real: i64,
    pub since_boot: i64,
}

impl History {
    /// Goes on with what was known, in the same boot; whether there is something new to keep. A step
    /// may have been at any time since the last one.
    pub(crate) fn resume(known: Option<Self>, boot: String, now: Now) -> (Self, bool) {
        let mut history = known
            .filter(|known| known.boot == boot && !known.spans.is_empty())
            .unwrap_or(Self {
                boot,
                spans: Vec::new(),
            });
        let from = history.spans.last().and_then(|span| span.from);
        let news = history.step(now, from);
        (history, news)
    }

    /// Looks whether the clock was set since the last look; whether it was.
    pub(crate) fn look(&mut self, now: Now) -> bool {
        self.step(now, Some(now.since_boot))
    }

    fn step(&mut self, now: Now, from: Option<i64>) -> bool {
        let ahead = now.real.saturating_sub(now.since_boot);
        if let Some(last) = self.spans.last_mut() {
            if last.ahead.abs_diff(ahead) < MIN_STEP.unsigned_abs() {
                return false;
            }
            last.until = Some(now.since_boot);
        }
        let from = if self.spans.is_empty() { None } else { from };
        self.spans.push(Span {
            from,
            until: None,
            ahead,
        });
        if self.spans.len() > MAX_STEPS {
            self.spans.remove(0);
            if let Some(first) = self.spans.first_mut() {
                first.from = None;
            }
        }
        true
    }

    /// The ctimes of what changed after the claim.
    pub(crate) fn since(&self, claimed: i64, now: Now) -> Clock {
        // The earliest time at which the clock may have shown that: then nothing is missed.
        let at = self.spans.iter().find_map(|span| {
            let at = claimed.saturating_sub(span.ahead);
            let after = span.from.is_none_or(|from| at >= from.saturating_sub(SLOP));
            let before = at <= span.until.unwrap_or(now.since_boot).saturating_add(SLOP);
            (after && before).then_some(at)
        });
        // A clock that was ahead in another boot: all of this one is after the claim.
        let begin = at.unwrap_or(0);
        let mut ranges = Vec::new();
        if at.is_none() {
            ranges.push((claimed, i64::MAX));
        }
        for span in &self.spans {
            let until = span.until.unwrap_or(now.since_boot);
            let first = span.from.unwrap_or(begin).max(begin);
            if until < first.saturating_sub(SLOP) {
                continue;
            }
            let slop = SLOP + (until - first).max(0) / SLEWED;
            let last = match span.until {
                Some(until) => until.saturating_add(span.ahead).saturating_add(slop),
                None => now.real.saturating_add(MAX_AHEAD),
            };
            let first = if first == begin && at.is_some_and(|at| claimed - at == span.ahead) {
                claimed
            } else {
                first.saturating_add(span.ahead).saturating_sub(slop)
            };
            ranges.push((first, last));
        }
        if ranges.is_empty() {
            return Clock::after(claimed);
        }
        Clock { ranges }
    }
}

/// The times that are after a claim, by the file system's clock, which may be ahead by [`MAX_AHEAD`].
/// What did not change is taken for changed only if its ctime happens to be among them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Clock {
    /// After the first of each, up to the second. Unix nanoseconds.
    ranges: Vec<(i64, i64)>,
}

impl Clock {
    /// By the wall clock alone, as if it was never set.
    pub(crate) fn after(claimed: i64) -> Self {
        Self {
            ranges: vec![(claimed, i64::MAX)],
        }
    }

    /// Whether a file's time, Unix nanoseconds, may be after the claim.
    pub(crate) fn after_claim(&self, time: i64) -> bool {
        let mut ranges = self.ranges.iter();
        ranges.any(|(first, last)| time > *first && time <= *last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: i64 = 86_400 * SECOND;
    /// Some day.
    const T: i64 = 1_700_000_000 * SECOND;

    fn at(since_boot: i64, ahead: i64) -> Now {
        Now {
            real: since_boot + ahead,
            since_boot,
        }
    }

    fn begun(since_boot: i64, ahead: i64) -> History {
        History::resume(None, "boot".into(), at(since_boot, ahead)).0
    }

    #[test]
    fn a_clock_that_is_never_set_says_it_all() {
        let history = begun(1_000 * SECOND, T);
        let claimed = T + 2_000 * SECOND;
        let clock = history.since(claimed, at(3_000 * SECOND, T));
        assert!(!clock.after_claim(claimed) && clock.after_claim(claimed + 1));
        assert!(clock.after_claim(T + 3_000 * SECOND));
        assert!(!clock.after_claim(claimed - DAY) && !clock.after_claim(claimed + DAY));
    }

    #[test]
    fn a_clock_set_back_hides_no_change_and_set_ahead_makes_none() {
        // A day ahead at the claim, then set back: what is changed now has a time before the claim.
        let mut history = begun(1_000 * SECOND, T + DAY);
        let claimed = T + DAY + 2_000 * SECOND;
        assert!(history.look(at(3_000 * SECOND, T)));
        assert!(!history.look(at(3_001 * SECOND, T)));
        let clock = history.since(claimed, at(9_000 * SECOND, T));
        assert!(
            clock.after_claim(T + 5_000 * SECOND),
            "changed after it was set"
        );
        assert!(
            clock.after_claim(claimed + 500 * SECOND),
            "changed before it was set"
        );
        assert!(!clock.after_claim(claimed - 1), "unchanged");
        assert!(!clock.after_claim(T - DAY), "unchanged for long");

        // A day behind at the claim: what is there is from the future, and did not change.
        let mut history = begun(1_000 * SECOND, T - DAY);
        let claimed = T - DAY + 2_000 * SECOND;
        assert!(history.look(at(3_000 * SECOND, T)));
        let clock = history.since(claimed, at(9_000 * SECOND, T));
        for hours in 1..23 {
            assert!(!clock.after_claim(T - hours * 3_600 * SECOND), "{hours}");
        }
        assert!(clock.after_claim(T + 4_000 * SECOND) && clock.after_claim(claimed + SECOND));
    }

    #[test]
    fn what_is_known_is_kept_in_one_boot() {
        let history = begun(1_000 * SECOND, T);
        let text = serde_json::to_string(&history).unwrap();
        let known: History = serde_json::from_str(&text).unwrap();
        let (same, news) =
            History::resume(Some(known.clone()), "boot".into(), at(2_000 * SECOND, T));
        assert_eq!((same, news), (history, false));
        let (other, news) = History::resume(Some(known), "other".into(), at(5 * SECOND, T + DAY));
        assert!(news && other.spans.len() == 1);
        // A claim of the boot before, with a clock that was ahead.
        let clock = other.since(T + 3 * DAY, at(50 * SECOND, T + DAY));
        assert!(clock.after_claim(T + DAY + 20 * SECOND) && clock.after_claim(T + 4 * DAY));
    }

    proptest! {
        #![proptest_config(crate::seeds::config())]

        /// Whatever the clock does, seen or not, no change after the claim is passed over.
        #[test]
        fn no_change_is_passed_over(
            steps in prop::collection::vec((1i64..50_000, -3i64..4, any::<bool>()), 0..12),
            claim in 1i64..200_000, change in 1i64..100_000,
        ) {
            let (claim, change) = (claim * SECOND, (claim + change) * SECOND);
            let mut ahead = T;
            let mut clock = vec![(0, ahead)];
            let mut history = begun(0, ahead);
            let mut now = 0;
            for (after, days, seen) in steps {
                now += after * SECOND;
                ahead += days * DAY;
                clock.push((now, ahead));
                // A mounter that was away finds out at its next start; claims wait for it.
                if seen || now > claim - 60_000 * SECOND && now < claim {
                    history.look(at(now, ahead));
                } else {
                    let (next, _) = History::resume(Some(history), "boot".into(), at(now, ahead));
                    history = next;
                }
            }
            let now = now.max(change) + SECOND;
            let shown = |at: i64| {
                let (_, ahead) = clock.iter().rfind(|(from, _)| *from <= at).unwrap();
                at + ahead
            };
            let seen = history.since(shown(claim), at(now, ahead));
            prop_assert!(seen.after_claim(shown(change)), "{:?} {:?}", history, seen);
        }
    }
}
