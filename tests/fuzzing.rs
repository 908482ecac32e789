//! The fuzz targets as short runs: each on its corpus, on cuts of it, and on random bytes. Long runs:
//! `scripts/fuzz.sh`.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what fails is a finding"
)]

#[path = "support/seeds.rs"]
mod seeds;
#[path = "fuzz/targets.rs"]
mod targets;

use proptest::prelude::*;
use std::{fs, path::Path};

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(name);
    let mut found: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    found.sort();
    found.iter().map(|path| fs::read(path).unwrap()).collect()
}

#[test]
fn every_target_takes_its_corpus_and_every_beginning_of_it() {
    for (name, target) in targets::ALL {
        let corpus = corpus(name);
        assert!(corpus.len() >= 3, "{name} has {}", corpus.len());
        for input in corpus {
            target(&input);
            let step = (input.len() / 64).max(1);
            for cut in (0..input.len()).step_by(step) {
                target(&input[..cut]);
            }
        }
    }
}

proptest! {
    #![proptest_config(seeds::cases(200))]
    #[test]
    fn every_target_takes_random_bytes(data in proptest::collection::vec(any::<u8>(), 0..300)) {
        for (_, target) in targets::ALL {
            target(&data);
        }
    }

    #[test]
    fn every_target_takes_what_is_almost_right(
        pick in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        with in proptest::collection::vec(any::<u8>(), 0..8),
    ) {
        for (name, target) in targets::ALL {
            let corpus = corpus(name);
            let mut input = corpus[pick.index(corpus.len())].clone();
            let at = at.index(input.len() + 1);
            let end = (at + with.len() / 2).min(input.len());
            input.splice(at..end, with.iter().copied());
            target(&input);
        }
    }
}
