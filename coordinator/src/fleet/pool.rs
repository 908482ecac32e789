//! One profile's pool: how many warm workers it should have, and what to do about it.
//!
//! The planner is a pure function from a census to numbers; `refill.rs` picks the workers.

use super::backoff::{Breaker, Failure};
use super::event::{Millis, PoolSpec};

/// Arrivals are forgotten with this time constant.
const MEMORY_OF_ARRIVALS: f64 = 30_000.0;
/// What is kept ready on top of the arrivals expected while one worker is made.
const SAFETY: f64 = 1.5;
/// What making a worker takes until it has been measured.
const FIRST_GUESS_MS: f64 = 500.0;
/// Refills stop before the host has less than this to spare.
const RESERVE_BYTES: u64 = 512 << 20;
/// What an unclaimed worker uses: an agent and nothing else. Its limit says nothing about that.
const TYPICAL_BYTES: u64 = 64 << 20;

/// A pool's numbers, as clients see them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolNumbers {
    /// The profile.
    pub profile: String,
    /// Fewest warm workers.
    pub min_warm: u32,
    /// Most warm workers.
    pub max_warm: u32,
    /// How many the planner wants now.
    pub target: u32,
    /// Ready and unclaimed.
    pub warm: u32,
    /// On their way, for the pool or for a claim.
    pub creating: u32,
    /// Being given to a claim, running, or lost.
    pub claimed: u32,
    /// Claims that wait for a worker.
    pub queued: u32,
    /// Refilling is paused.
    pub paused: bool,
    /// The pool is kept empty.
    pub draining: bool,
    /// Refilling waits until the host has memory to spare.
    pub short_of_memory: bool,
    /// Claims served by a warm worker at once.
    pub hits: u64,
    /// Claims that had to wait, start cold, or were turned down.
    pub misses: u64,
    /// The last failure to make a worker.
    pub last_failure: Option<Failure>,
}

/// A profile's pool.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    pub(super) spec: PoolSpec,
    pub(super) min: u32,
    pub(super) max: u32,
    pub(super) paused: bool,
    pub(super) draining: bool,
    pub(super) hits: u64,
    pub(super) misses: u64,
    pub(super) breaker: Breaker,
    pub(super) target: u32,
    pub(super) short_of_memory: bool,
    arrivals: Arrivals,
    warm_up_ms: f64,
}

/// Arrivals, exponentially forgotten.
#[derive(Debug, Clone, Copy, Default)]
struct Arrivals {
    level: f64,
    at: Millis,
}

impl Arrivals {
    fn level(self, now: Millis) -> f64 {
        self.level * (-(now.saturating_sub(self.at) as f64) / MEMORY_OF_ARRIVALS).exp()
    }

    fn count(&mut self, now: Millis) {
        self.level = self.level(now) + 1.0;
        self.at = now;
    }

    fn per_second(self, now: Millis) -> f64 {
        self.level(now) * 1000.0 / MEMORY_OF_ARRIVALS
    }
}

/// How many there are of what the planner looks at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Census {
    /// Warm, of the present specification and not too old.
    pub(super) fresh: u32,
    /// Warm, to be replaced.
    pub(super) stale: u32,
    /// Warm, but paused behind our back.
    pub(super) frozen: u32,
    /// Being given to claims that may still fail and give them back.
    pub(super) returning: u32,
    /// On their way to the pool.
    pub(super) coming: u32,
    /// Of these, the ones made here (found ones are not under way in the breaker's sense).
    pub(super) making: u32,
    /// Claims that wait for a warm worker and create none of their own.
    pub(super) waiting: u32,
}

/// What to do about it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Workers to create, if the global bound allows.
    pub(super) create: u32,
    /// Stale workers to remove now.
    pub(super) retire: u32,
    /// Fresh workers to remove now: more than the most.
    pub(super) surplus: u32,
    /// Fresh workers that may go once they have been idle for long enough.
    pub(super) spare: u32,
}

impl Pool {
    pub(super) fn new(spec: PoolSpec) -> Self {
        let mut pool = Self {
            min: 0,
            max: 0,
            paused: false,
            draining: false,
            hits: 0,
            misses: 0,
            breaker: Breaker::default(),
            target: 0,
            short_of_memory: false,
            arrivals: Arrivals::default(),
            warm_up_ms: FIRST_GUESS_MS,
            spec: spec.clone(),
        };
        pool.configure(spec);
        pool
    }

    /// Takes a new specification; what was scaled by hand is as configured again.
    pub(super) fn configure(&mut self, spec: PoolSpec) {
        self.scale(spec.min_warm, spec.max_warm);
        self.spec = spec;
    }

    /// New bounds. A minimum above the maximum is taken as the maximum.
    pub(super) fn scale(&mut self, min: u32, max: u32) {
        self.min = min.min(max);
        self.max = max;
    }

    /// A claim came.
    pub(super) fn count_arrival(&mut self, now: Millis) {
        self.arrivals.count(now);
    }

    /// A worker became ready so long after it was asked for.
    pub(super) fn count_warm_up(&mut self, took: Millis) {
        self.warm_up_ms += (took as f64 - self.warm_up_ms) * 0.3;
    }

    /// What one more worker is likely to use.
    pub(super) fn typical_bytes(&self) -> u64 {
        match self.spec.memory {
            0 => TYPICAL_BYTES,
            limit => limit.clamp(1, TYPICAL_BYTES),
        }
    }

    /// Warm workers wanted now, before the memory guard: the arrivals expected while one worker is
    /// made, with a margin, within the bounds.
    fn wanted(&self, now: Millis) -> u32 {
        if self.draining {
            return 0;
        }
        let expected = self.arrivals.per_second(now) * (self.warm_up_ms / 1000.0) * SAFETY;
        // A cast from f64 saturates, so an absurd rate is only the maximum.
        (expected.ceil() as u32).max(self.min).min(self.max)
    }

    /// Decides, and keeps the target for the numbers shown. `spare_memory` is what the host has to
    /// spare in bytes, when known, less what workers made since that reading are likely to use.
    pub(super) fn plan(&mut self, c: Census, now: Millis, spare_memory: Option<u64>) -> Plan {
        let wanted = self.wanted(now);
        // Claims that wait do not wait for other claims to fail.
        let returning = if c.waiting == 0 { c.returning } else { 0 };
        let have = c.fresh + c.frozen + c.coming + returning;
        let room = spare_memory.map_or(u32::MAX, |bytes| {
            let more = bytes.saturating_sub(RESERVE_BYTES) / self.typical_bytes();
            u32::try_from(more).unwrap_or(u32::MAX)
        });
        let reachable = have.saturating_add(c.stale).saturating_add(room);
        self.target = wanted.min(reachable);
        self.short_of_memory = self.target < wanted;

        // Claims that wait are served on top of the target, within the maximum; one at a time
        // when the pool is to keep none.
        let most = if c.waiting > 0 {
            self.max.max(1)
        } else {
            self.max
        };
        let want = if self.draining {
            0
        } else {
            self.target.max((self.target + c.waiting).min(most))
        };
        let warm = c.fresh + c.stale;
        let retire = c.stale.min(warm.saturating_sub(want));
        let after = warm - retire;
        let create = if self.paused || self.draining {
            0
        } else {
            // A replacement comes before the old one goes, so one more than the maximum.
            let ceiling = most + u32::from(c.stale > 0);
            want.saturating_sub(have)
                .min(ceiling.saturating_sub(have + c.stale))
                .min(room)
                .min(self.breaker.allows(now).saturating_sub(c.making))
        };
        Plan {
            create,
            retire,
            surplus: c.fresh.min(after.saturating_sub(most)),
            spare: c.fresh.min(after.saturating_sub(want)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(min: u32, max: u32) -> Pool {
        Pool::new(PoolSpec {
            profile: "default".into(),
            spec: "a".into(),
            confinement: String::new(),
            min_warm: min,
            max_warm: max,
            idle_timeout: 0,
            max_age: 0,
            check_interval: 0,
            ready_timeout: 0,
            memory: 4 << 30,
        })
    }

    fn fresh(n: u32) -> Census {
        Census {
            fresh: n,
            ..Census::default()
        }
    }

    #[test]
    fn an_empty_pool_is_filled_to_the_minimum() {
        assert_eq!(pool(2, 5).plan(fresh(0), 0, None).create, 2);
        assert_eq!(pool(0, 0).plan(fresh(0), 0, None), Plan::default());
    }

    #[test]
    fn many_arrivals_raise_the_target_and_silence_lowers_it_again() {
        let mut pool = pool(1, 5);
        for _ in 0..20 {
            pool.count_warm_up(3_000);
        }
        for at in 0..20 {
            pool.count_arrival(at * 100);
        }
        assert!(pool.plan(fresh(0), 2_000, None).create >= 3);
        assert!(pool.target >= 3 && pool.target <= 5);
        pool.plan(fresh(3), 600_000, None);
        assert_eq!(pool.target, 1);
    }

    #[test]
    fn stale_workers_go_only_when_new_ones_are_warm() {
        let mut pool = pool(2, 2);
        let mut census = Census {
            stale: 2,
            ..Census::default()
        };
        let first = pool.plan(census, 0, None);
        assert_eq!((first.create, first.retire), (1, 0), "one over the maximum");
        census.fresh = 1;
        let second = pool.plan(census, 0, None);
        assert_eq!((second.create, second.retire), (0, 1));
        census.stale = 1;
        assert_eq!(pool.plan(census, 0, None).create, 1);
    }

    #[test]
    fn little_memory_stops_refills_and_removes_nothing() {
        let mut pool = pool(4, 8);
        let plan = pool.plan(fresh(1), 0, Some(RESERVE_BYTES + 2 * TYPICAL_BYTES + 1));
        assert_eq!((plan.create, pool.target), (2, 3));
        assert!(pool.short_of_memory);
        let plan = pool.plan(fresh(3), 0, Some(1));
        assert_eq!(plan, Plan::default());
        assert!(pool.plan(fresh(1), 0, None).create == 3 && !pool.short_of_memory);
    }

    #[test]
    fn a_claim_that_waits_on_a_pool_of_none_gets_one() {
        let census = Census {
            waiting: 3,
            ..Census::default()
        };
        assert_eq!(pool(0, 0).plan(census, 0, None).create, 1);
    }

    #[test]
    fn more_than_the_maximum_goes_at_once_and_more_than_the_target_may() {
        let mut pool = pool(1, 5);
        pool.scale(1, 2);
        let plan = pool.plan(fresh(4), 0, None);
        assert_eq!((plan.surplus, plan.spare), (2, 3));
    }
}
