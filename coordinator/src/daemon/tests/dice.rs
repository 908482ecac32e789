//! The only source of chance of a run, and what a call may come to.

use std::time::Duration;

/// SplitMix64, from the run's seed.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`, which is not 0.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// So many times in a thousand.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// One of them; `None` of none.
    pub fn pick<T: Clone>(&mut self, all: &[T]) -> Option<T> {
        let at = usize::try_from(self.below(all.len().max(1) as u64)).unwrap();
        all.get(at).cloned()
    }

    /// One of them, by weight.
    pub fn weighted<T: Copy>(&mut self, all: &[(u64, T)]) -> T {
        let sum: u64 = all.iter().map(|(weight, _)| weight).sum();
        let mut at = self.below(sum);
        for (weight, value) in all {
            if at < *weight {
                return *value;
            }
            at -= weight;
        }
        all[0].1
    }

    /// Between the two.
    pub fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from + 1))
    }

    /// Mostly short, now and then long.
    pub fn delay(&mut self) -> Duration {
        match self.below(20) {
            0..=12 => self.millis(1, 50),
            13..=17 => self.millis(50, 2_000),
            18 => self.millis(2_000, 8_000),
            _ => self.millis(8_000, 40_000),
        }
    }
}

/// What becomes of a call to engine, mounter or guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is carried out and answered.
    Go,
    /// It is refused; nothing happened.
    Fail,
    /// It is carried out, and the answer is lost.
    Lost,
    /// It is carried out, and the coordinator dies before the answer.
    Crash,
}

/// What becomes of a request to an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentFate {
    /// It is carried out and answered.
    Go,
    /// It is read and carried out after a while.
    Late(Duration),
    /// It is carried out and answered after a while.
    AnsweredLate(Duration),
    /// The connection ends before it is carried out.
    DropBefore,
    /// The connection ends before it is answered.
    DropAfter,
    /// The system refuses it.
    Refuse,
    /// The coordinator dies, which had sent it.
    CrashAfter,
}
