//! Names made up for claims that bring none.

use crate::model::WorkerName;

const FIRST: [&str; 32] = [
    "amber", "bold", "brisk", "calm", "clear", "coral", "crisp", "dawn", "deep", "eager", "early",
    "fair", "fast", "fine", "fresh", "glad", "gold", "green", "keen", "kind", "light", "lucid",
    "mild", "neat", "noble", "proud", "quick", "quiet", "rapid", "sharp", "swift", "warm",
];
const SECOND: [&str; 32] = [
    "badger", "bear", "crane", "deer", "dove", "eagle", "egret", "falcon", "finch", "fox", "gull",
    "hare", "hawk", "heron", "ibis", "jay", "kite", "lark", "lynx", "marten", "mole", "moth",
    "newt", "otter", "owl", "puffin", "raven", "robin", "seal", "swan", "tern", "wren",
];

/// A name that `taken` does not know; numbered when the words run out.
pub(in crate::daemon) fn make_up(
    mut seed: u64,
    taken: impl Fn(&WorkerName) -> bool,
) -> Option<WorkerName> {
    for round in 0..4096u64 {
        let first = FIRST.get(usize::try_from(seed % 32).ok()?)?;
        let second = SECOND.get(usize::try_from((seed / 32) % 32).ok()?)?;
        let text = match round {
            0..64 => format!("{first}-{second}"),
            _ => format!("{first}-{second}-{round}"),
        };
        let name = WorkerName::new(text).ok()?;
        if !taken(&name) {
            return Some(name);
        }
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407)
            >> 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_thousand_names_are_all_different() {
        let mut taken = std::collections::HashSet::new();
        for _ in 0..2000 {
            let name = make_up(7, |n| taken.contains(n)).unwrap();
            assert!(taken.insert(name));
        }
    }
}
