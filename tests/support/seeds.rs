//! Seeds of random tests. A test that fails prints its seed and the command that runs it again with
//! that seed, which `PODBAY_SEED` names.
//!
//! Used by path in the other packages' tests as well. Makes no random decisions itself.
#![allow(dead_code, reason = "each user asks for some of it")]
#![allow(clippy::panic, reason = "a seed that is no number fails the test")]

use proptest::test_runner::{
    Config, FailurePersistence, FileFailurePersistence, PersistedSeed, RngSeed,
};
use std::{
    any::Any,
    fmt::Debug,
    hash::{BuildHasher, Hasher, RandomState},
};

/// Names the seed of random tests.
const VARIABLE: &str = "PODBAY_SEED";

/// The seed that is asked for, if one is.
fn given() -> Option<u64> {
    let text = std::env::var(VARIABLE).ok()?;
    let seed = text.parse();
    Some(seed.unwrap_or_else(|_| panic!("{VARIABLE} is a number, not {text:?}")))
}

/// Runs a test with each of these seeds, or only with the one that is asked for.
pub fn each(seeds: impl IntoIterator<Item = u64>, mut test: impl FnMut(u64)) {
    let seeds = match given() {
        Some(seed) => vec![seed],
        None => seeds.into_iter().collect(),
    };
    for seed in seeds {
        let _told = ToldOnPanic(seed);
        test(seed);
    }
}

/// Properties with the usual number of cases.
#[must_use]
pub fn config() -> Config {
    let seed = given().unwrap_or_else(|| RandomState::new().build_hasher().finish());
    Config {
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: Some(Box::new(Repeat {
            seed,
            file: FileFailurePersistence::default(),
        })),
        ..Config::default()
    }
}

/// Properties with that many cases each.
#[must_use]
pub fn cases(cases: u32) -> Config {
    Config { cases, ..config() }
}

struct ToldOnPanic(u64);

impl Drop for ToldOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tell(self.0);
        }
    }
}

fn tell(seed: u64) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("NAME");
    eprintln!("seed {seed}; to repeat it: {VARIABLE}={seed} scripts/dev.sh test {test}");
}

/// Tells how a failed property is repeated, and keeps the failed case as proptest does.
#[derive(Debug, Clone, PartialEq)]
struct Repeat {
    seed: u64,
    file: FileFailurePersistence,
}

impl FailurePersistence for Repeat {
    fn load_persisted_failures2(&self, source: Option<&'static str>) -> Vec<PersistedSeed> {
        self.file.load_persisted_failures2(source)
    }

    fn save_persisted_failure2(
        &mut self,
        source: Option<&'static str>,
        seed: PersistedSeed,
        shrunken: &dyn Debug,
    ) {
        self.file.save_persisted_failure2(source, seed, shrunken);
        tell(self.seed);
    }

    fn box_clone(&self) -> Box<dyn FailurePersistence> {
        Box::new(self.clone())
    }

    fn eq(&self, other: &dyn FailurePersistence) -> bool {
        other.as_any().downcast_ref::<Self>() == Some(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
