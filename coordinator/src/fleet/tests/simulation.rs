//! The fleet in a hostile world: chosen by proptest, and long runs with fixed seeds.

use super::backoff::Rng;
use super::world::World;
use crate::seeds;
use proptest::prelude::*;

proptest! {
    #![proptest_config(seeds::cases(64))]

    #[test]
    fn whatever_happens_the_rules_hold(
        seed: u64,
        steps in prop::collection::vec(any::<(u8, u16)>(), 1..400),
    ) {
        let mut world = World::new(seed);
        for (code, arg) in steps {
            world.step(code, arg);
        }
        world.heal_and_check();
    }

    #[test]
    fn whatever_happened_a_shutdown_leaves_nothing(
        seed: u64,
        steps in prop::collection::vec(any::<(u8, u16)>(), 1..200),
        after in prop::collection::vec(any::<(u8, u16)>(), 0..30),
    ) {
        let mut world = World::new(seed);
        for (code, arg) in steps {
            world.step(code, arg);
        }
        world.shut_down();
        for (code, arg) in after {
            // A new coordinator would not know of the shutdown.
            if code % 32 != 29 {
                world.step(code, arg);
            }
        }
        world.heal_and_check();
    }
}

#[test]
fn a_hundred_thousand_steps_with_fixed_seeds() {
    seeds::each(0..10, |seed| {
        let mut dice = Rng::new(seed);
        let mut world = World::new(seed);
        for _ in 0..10_000 {
            let roll = dice.next();
            world.step((roll >> 32) as u8, roll as u16);
        }
        world.heal_and_check();
    });
}
