//! Back-off: how long to wait after a failure, and how fast to go again after it.
//!
//! Owns the jitter and the circuit breaker of a pool; must never look at a clock of its own.

use super::event::Millis;

/// The wait after a first failure.
const FIRST: Millis = 500;
/// The longest wait.
const LONGEST: Millis = 60_000;

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
/// For jitter and ids; nothing here is a secret.
#[derive(Debug, Clone)]
pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`; 0 for `n` = 0.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next().checked_rem(n).unwrap_or(0)
    }
}

/// The wait after the `attempt`-th failure in a row (from 1): 0.5 s doubled each time, plus up to
/// half of it at random, at most 60 s.
pub(super) fn delay(attempt: u32, rng: &mut Rng) -> Millis {
    let doublings = attempt.saturating_sub(1).min(7);
    let base = (FIRST << doublings).min(LONGEST);
    (base + rng.below(base / 2 + 1)).min(LONGEST)
}

/// What went wrong last, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The reason.
    pub reason: String,
    /// When.
    pub at: Millis,
    /// Failures in a row; 0 when a success came since.
    pub in_a_row: u32,
    /// When it is tried again; `None` when a success came since.
    pub retry_at: Option<Millis>,
}

/// What kind of failure a pool has to back off from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// The engine refused, and said why.
    Refused,
    /// The container is there, and its worker never became ready: a symptom.
    Silent,
    /// A worker died right after it was ready: a symptom.
    EarlyDeath,
}

/// Circuit breaker with slow start, one per pool. Open: nothing is created until `retry_at`; then
/// one, and after each success twice as many at once as before.
#[derive(Debug, Clone, Default)]
pub(super) struct Breaker {
    last: Option<Failure>,
    /// What the engine said when it refused last, until a worker lives on: whatever is only a
    /// symptom meanwhile is told behind it, and never instead of it.
    cause: Option<String>,
    /// Steps of the back-off since the last success.
    level: u32,
    /// Workers that died right after they were ready; a worker that lives on resets it.
    early_deaths: u32,
    /// Creations allowed at once; `None` = as many as there are slots.
    window: Option<u32>,
}

impl Breaker {
    pub(super) fn last(&self) -> Option<&Failure> {
        self.last.as_ref()
    }

    /// The reason, while no success has come since.
    pub(super) fn trouble(&self) -> Option<&str> {
        let last = self.last.as_ref().filter(|last| last.in_a_row > 0)?;
        Some(&last.reason)
    }

    /// Creations this pool may have under way now.
    pub(super) fn allows(&self, now: Millis) -> u32 {
        match self.last.as_ref().and_then(|last| last.retry_at) {
            Some(at) if now < at => 0,
            _ => self.window.unwrap_or(u32::MAX),
        }
    }

    /// A creation begun at `started` failed. Several that were under way together fail for one
    /// cause, so those begun before the last failure do not lengthen the wait.
    pub(super) fn failed(
        &mut self,
        now: Millis,
        started: Millis,
        reason: &str,
        kind: FailureKind,
        rng: &mut Rng,
    ) {
        let before = self.last.as_ref();
        let same_burst = before.is_some_and(|last| last.in_a_row > 0 && started <= last.at);
        let in_a_row = before.map_or(0, |last| last.in_a_row).saturating_add(1);
        let mut retry_at = before.and_then(|last| last.retry_at);
        if !same_burst || retry_at.is_none() {
            if kind == FailureKind::EarlyDeath {
                self.early_deaths = self.early_deaths.saturating_add(1);
            } else {
                self.level = self.level.saturating_add(1);
            }
            let attempt = self.level.saturating_add(self.early_deaths);
            retry_at = Some(now.saturating_add(delay(attempt, rng)));
        }
        self.window = Some(1);
        let reason = match (kind, &self.cause) {
            (FailureKind::Refused, _) => {
                self.cause = Some(reason.to_owned());
                reason.to_owned()
            }
            (_, Some(cause)) => format!("{cause}; since then, of another worker: {reason}"),
            (_, None) => reason.to_owned(),
        };
        self.last = Some(Failure {
            reason,
            at: now,
            in_a_row,
            retry_at,
        });
    }

    /// A worker became ready.
    pub(super) fn succeeded(&mut self, full: u32) {
        self.level = 0;
        self.window = self
            .window
            .map(|window| window.saturating_mul(2))
            .filter(|window| *window < full);
        if let Some(last) = &mut self.last {
            last.in_a_row = 0;
            last.retry_at = None;
        }
    }

    /// A worker has lived long enough for its image to be sound.
    pub(super) fn proven(&mut self) {
        self.cause = None;
        self.early_deaths = 0;
    }

    /// What stood in the way is gone (the engine is back): try again soon.
    pub(super) fn hasten(&mut self, now: Millis, rng: &mut Rng) {
        let soon = now.saturating_add(rng.below(FIRST));
        if let Some(at) = self.last.as_mut().and_then(|last| last.retry_at.as_mut()) {
            *at = soon.min(*at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_from_half_a_second_to_a_minute() {
        let mut rng = Rng::new(1);
        for (attempt, least) in [(1, 500), (2, 1_000), (3, 2_000), (7, 32_000)] {
            let wait = delay(attempt, &mut rng);
            assert!(
                (least..=least * 3 / 2).contains(&wait),
                "{attempt}: {wait} ms"
            );
        }
        assert_eq!(delay(8, &mut rng), LONGEST);
        assert_eq!(delay(u32::MAX, &mut rng), LONGEST);
    }

    #[test]
    fn failures_of_one_burst_lengthen_the_wait_once() {
        let (mut breaker, mut rng) = (Breaker::default(), Rng::new(2));
        for _ in 0..4 {
            breaker.failed(1_000, 900, "no such image", FailureKind::Refused, &mut rng);
        }
        let last = breaker.last().unwrap();
        assert_eq!(last.in_a_row, 4);
        assert!(last.retry_at.unwrap() <= 1_000 + 750);
        assert_eq!(breaker.allows(1_000), 0);
        assert_eq!(breaker.allows(2_000), 1);
    }

    #[test]
    fn after_a_failure_it_goes_on_by_one_two_four() {
        let (mut breaker, mut rng) = (Breaker::default(), Rng::new(3));
        assert_eq!(breaker.allows(0), u32::MAX);
        breaker.failed(0, 0, "x", FailureKind::Refused, &mut rng);
        let mut seen = Vec::new();
        for _ in 0..4 {
            seen.push(breaker.allows(10_000));
            breaker.succeeded(8);
        }
        assert_eq!(seen, [1, 2, 4, u32::MAX]);
    }

    #[test]
    fn workers_that_die_right_after_they_were_ready_back_off_although_creation_succeeds() {
        let (mut breaker, mut rng) = (Breaker::default(), Rng::new(4));
        let mut now = 0;
        for round in 0..5 {
            breaker.failed(
                now + 1,
                now + 1,
                "agent died",
                FailureKind::EarlyDeath,
                &mut rng,
            );
            let wait = breaker.last().unwrap().retry_at.unwrap() - now - 1;
            assert!(wait >= FIRST << round, "round {round}: {wait}");
            now += 100_000;
            breaker.succeeded(4);
        }
        breaker.proven();
        breaker.failed(
            now + 1,
            now + 1,
            "agent died",
            FailureKind::EarlyDeath,
            &mut rng,
        );
        assert!(breaker.last().unwrap().retry_at.unwrap() <= now + 1 + 750);
    }

    #[test]
    fn what_the_engine_said_is_not_hidden_by_what_followed_from_it() {
        let (mut breaker, mut rng) = (Breaker::default(), Rng::new(5));
        let mut reasons = Vec::new();
        let mut fail = |breaker: &mut Breaker, now, reason: &str, kind| {
            breaker.failed(now, now, reason, kind, &mut rng);
            reasons.push(breaker.last().unwrap().reason.clone());
        };
        fail(&mut breaker, 1, "agent died", FailureKind::EarlyDeath);
        fail(&mut breaker, 2, "no space left", FailureKind::Refused);
        fail(&mut breaker, 3, "agent died", FailureKind::EarlyDeath);
        fail(&mut breaker, 4, "does not answer", FailureKind::Silent);
        // One more could be made, and died of the same cause.
        breaker.succeeded(4);
        fail(&mut breaker, 5, "agent died", FailureKind::EarlyDeath);
        breaker.succeeded(4);
        breaker.proven();
        fail(&mut breaker, 6, "agent died", FailureKind::EarlyDeath);
        assert_eq!(
            reasons,
            [
                "agent died",
                "no space left",
                "no space left; since then, of another worker: agent died",
                "no space left; since then, of another worker: does not answer",
                "no space left; since then, of another worker: agent died",
                "agent died",
            ]
        );
    }
}
