//! Rules one by one, then volumes that workers fill, simulated over hours.

use super::*;
use proptest::prelude::*;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

fn id(n: u64) -> WorkerId {
    WorkerId::from_bits(n)
}

fn subject(n: u64, limit: Option<u64>) -> Subject {
    Subject {
        worker: id(n),
        container: "c".into(),
        profile: "p".into(),
        limit,
    }
}

fn space(free: u64) -> Space {
    Space {
        free,
        size: 100 * GIB,
    }
}

fn quotas(subjects: &[Subject], free: u64) -> Quotas {
    let mut quotas = Quotas::default();
    quotas.watch(0, subjects.to_vec());
    quotas.space(0, space(free));
    quotas
}

fn holds(step: Option<Step>) -> (WorkerId, Held) {
    match step {
        Some(Step::Hold(id, held)) => (id, held),
        other => panic!("{other:?}"),
    }
}

#[test]
fn nobody_is_measured_on_a_roomy_volume_but_who_has_a_limit_and_that_not_at_once() {
    let all = [subject(1, None), subject(2, Some(GIB))];
    let mut quotas = quotas(&all, 50 * GIB);
    assert_eq!(quotas.due(0), None);
    assert_eq!(quotas.due(MEASURE_LIMITED - 1), None);
    assert_eq!(quotas.due(MEASURE_LIMITED), Some((id(2), BUDGET)));
    // One that took long is measured rarely.
    quotas.measured(MEASURE_LIMITED, &id(2), 0, true, 4_000);
    assert_eq!(quotas.due(MEASURE_LIMITED + 39_999), None);
    assert!(quotas.due(MEASURE_LIMITED + 40_000).is_some());
    // Close to the reserve everybody is.
    quotas.space(50_000, space(3 * GIB));
    assert_eq!(quotas.due(50_000), Some((id(1), BUDGET_CLOSE)));
}

#[test]
fn a_worker_above_its_limit_is_paused_with_the_reason_and_goes_on_when_the_limit_is_raised() {
    let mut quotas = quotas(&[subject(1, Some(10 * GIB))], 50 * GIB);
    quotas.measured(1, &id(1), 10 * GIB, true, 1);
    assert_eq!(quotas.decide(1), None);
    quotas.measured(2, &id(1), 12 * GIB + 300 * MIB, true, 1);
    let (who, held) = holds(quotas.decide(2));
    assert_eq!(
        held.to_string(),
        "paused: it uses 12.3 GiB of the 10.0 GiB that profile p allows (disk)"
    );
    assert!(held.hint().contains("raise `disk` of profile p"));
    quotas.held(2, &who, held);
    assert_eq!(quotas.decide(1_000_000), None);
    quotas.watch(3, vec![subject(1, Some(11 * GIB))]);
    assert_eq!(quotas.decide(3), None);
    quotas.watch(4, vec![subject(1, Some(13 * GIB))]);
    assert_eq!(quotas.decide(4), Some(Step::Release(id(1))));
    quotas.released(4, &id(1));
    assert_eq!(quotas.reason(&id(1)), None);
    assert_eq!(quotas.decide(5), None);
}

#[test]
fn a_lower_bound_pauses_and_lets_go_only_for_a_limit_that_was_raised() {
    let mut quotas = quotas(&[subject(1, Some(GIB))], 50 * GIB);
    quotas.measured(1, &id(1), 2 * GIB, false, 1);
    let (who, held) = holds(quotas.decide(1));
    assert!(held.to_string().contains("at least 2.0 GiB"));
    quotas.held(1, &who, held);
    // Less was seen in the time there was: that says nothing.
    quotas.measured(2, &id(1), MIB, false, 1);
    assert_eq!(quotas.decide(2), None);
    quotas.measured(3, &id(1), MIB, true, 1);
    assert_eq!(quotas.decide(3), Some(Step::Release(id(1))));
}

#[test]
fn a_shortage_pauses_who_grew_and_not_who_is_largest() {
    let mut quotas = quotas(&[subject(1, None), subject(2, None)], 3 * GIB);
    quotas.measured(1, &id(1), 40 * GIB, true, 1);
    quotas.measured(1, &id(2), 100 * MIB, true, 1);
    quotas.space(10_000, space(GIB - 1));
    // What was measured before is out of date.
    assert_eq!(quotas.decide(10_000), None);
    quotas.measured(10_001, &id(1), 40 * GIB, true, 1);
    assert_eq!(quotas.decide(10_001), None);
    quotas.measured(10_002, &id(2), 2 * GIB, true, 1);
    let (who, held) = holds(quotas.decide(10_002));
    assert_eq!(who, id(2));
    assert_eq!(
        held.to_string(),
        "paused: the state volume is nearly full, and it uses 2.0 GiB of it"
    );
}

#[test]
fn a_shortage_that_is_nobodys_pauses_one_worker_at_most_and_never_a_small_one() {
    let all: Vec<_> = (1..=4).map(|n| subject(n, None)).collect();
    let mut quotas = quotas(&all, GIB / 2);
    let (mut now, mut paused) = (0, Vec::new());
    for _ in 0..1_000 {
        now += 250;
        quotas.space(now, space(GIB / 2));
        while let Some((who, _)) = quotas.due(now) {
            let bytes = if who == id(4) { 50 * MIB } else { GIB };
            quotas.measured(now, &who, bytes, true, 1);
        }
        if let Some(Step::Hold(who, held)) = quotas.decide(now) {
            quotas.held(now, &who, held);
            paused.push(who);
        }
    }
    assert_eq!(paused.len(), 1, "{paused:?}");
    let small = quotas_with_one(50 * MIB, true);
    assert_eq!(small.decide(1), None);
    // Without it the volume would be as short.
    assert_eq!(quotas_with_one(GIB - 2, true).decide(1), None);
    assert!(quotas_with_one(GIB - 1, true).decide(1).is_some());
    assert!(quotas_with_one(50 * MIB, false).decide(1).is_some());
}

fn quotas_with_one(bytes: u64, complete: bool) -> Quotas {
    let mut quotas = quotas(&[subject(1, None)], 1);
    quotas.measured(1, &id(1), bytes, complete, 1);
    quotas
}

#[test]
fn who_is_being_stopped_is_not_paused_and_who_was_paused_for_it_is_told() {
    let mut quotas = quotas_with_one(GIB, true);
    let (who, held) = holds(quotas.decide(1));
    quotas.held(1, &who, held);
    assert!(quotas.exempt(&who));
    quotas.released(2, &who);
    for now in [2, 100_000] {
        quotas.space(now, space(1));
        quotas.measured(now, &who, 2 * GIB, true, 1);
        assert_eq!(quotas.decide(now), None);
    }
    assert!(!quotas.exempt(&id(9)));
    // In another container it is a worker like any other.
    let mut again = subject(1, None);
    again.container = "d".into();
    quotas.watch(200_000, vec![again]);
    quotas.measured(200_000, &who, 2 * GIB, true, 1);
    quotas.measured(200_001, &who, 3 * GIB, true, 1);
    quotas.space(200_002, space(1));
    assert!(quotas.decide(200_002).is_some());
}

#[test]
fn what_a_former_coordinator_paused_stays_paused_until_there_is_a_reason() {
    let mut quotas = quotas(&[subject(1, Some(GIB)), subject(2, None)], GIB / 2);
    for n in [1, 2] {
        quotas.adopt(0, &id(n), Held::Former);
    }
    quotas.watch(1, vec![subject(1, Some(GIB)), subject(2, None)]);
    assert_eq!(quotas.count(), 2);
    assert_eq!(quotas.decide(1), None);
    quotas.space(2, space(50 * GIB));
    assert_eq!(quotas.decide(2), Some(Step::Release(id(2))));
    quotas.released(2, &id(2));
    // Its usage is not known.
    quotas.space(50_000, space(50 * GIB));
    assert_eq!(quotas.decide(50_000), None);
    assert_eq!(quotas.due(50_000), Some((id(1), BUDGET)));
    quotas.measured(50_000, &id(1), MIB, true, 1);
    assert_eq!(quotas.decide(50_000), Some(Step::Release(id(1))));
    // The reason is kept where there was room to write it.
    let held = Held::Reserve {
        used: 1,
        reserve: 2,
    };
    let text = serde_json::to_string(&held).unwrap();
    assert_eq!(serde_json::from_str::<Held>(&text).unwrap(), held);
}

#[test]
fn who_was_let_go_on_by_somebody_else_is_judged_again() {
    let mut quotas = quotas(&[subject(1, Some(MIB))], 50 * GIB);
    quotas.measured(1, &id(1), GIB, true, 1);
    let (who, held) = holds(quotas.decide(1));
    quotas.held(10, &who, held);
    // A list that was asked for before it was paused.
    assert!(!quotas.seen_running(10, &who));
    assert!(quotas.seen_running(11, &who));
    assert!(matches!(quotas.decide(12), Some(Step::Hold(..))));
}

#[test]
fn what_fails_is_tried_later_and_later() {
    let mut quotas = quotas(&[subject(1, Some(MIB))], 50 * GIB);
    quotas.measured(1, &id(1), GIB, true, 1);
    let (mut now, mut tries) = (1, 0);
    while now < 24 * 3_600_000 {
        if quotas.decide(now).is_some() {
            quotas.failed(now, &id(1));
            tries += 1;
        }
        now += 1_000;
    }
    assert!((10..200).contains(&tries), "{tries} tries in a day");
}

/// A volume, and workers that write whenever they run.
struct World {
    quotas: Quotas,
    now: Millis,
    size: u64,
    /// What they use, and what each writes in a second.
    workers: Vec<(u64, u64)>,
    holds: Vec<(Millis, WorkerId)>,
    releases: usize,
    least: u64,
}

impl World {
    fn new(size: u64, workers: Vec<(u64, u64)>) -> Self {
        Self {
            quotas: Quotas::default(),
            now: 0,
            size,
            workers,
            holds: Vec::new(),
            releases: 0,
            least: u64::MAX,
        }
    }

    fn subjects(&self, limit: Option<u64>) -> Vec<Subject> {
        let numbers = (0..self.workers.len()).filter_map(|n| u64::try_from(n).ok());
        numbers.map(|n| subject(n, limit)).collect()
    }

    /// One look at the volume and all that follows from it.
    fn step(&mut self, limit: Option<u64>, took: Millis) {
        let pace = u64::try_from(self.quotas.pace().as_millis()).unwrap();
        self.now += pace;
        let mut free = self.size - self.workers.iter().map(|w| w.0).sum::<u64>();
        for n in 0..self.workers.len() {
            if self.quotas.reason(&id(n as u64)).is_none() {
                let written = (self.workers[n].1 * pace / 1_000).min(free);
                self.workers[n].0 += written;
                free -= written;
            }
        }
        self.least = self.least.min(free);
        let subjects = self.subjects(limit);
        self.quotas.watch(self.now, subjects);
        let size = self.size;
        self.quotas.space(self.now, Space { free, size });
        if let Some((who, _)) = self.quotas.due(self.now) {
            let n = (0..self.workers.len())
                .find(|n| id(*n as u64) == who)
                .unwrap();
            let used = self.workers[n].0;
            self.quotas.measured(self.now, &who, used, true, took);
        }
        match self.quotas.decide(self.now) {
            Some(Step::Hold(who, held)) => {
                assert_eq!(self.quotas.reason(&who), None, "paused twice");
                self.quotas.held(self.now, &who, held);
                self.holds.push((self.now, who));
            }
            Some(Step::Release(who)) => {
                assert!(self.quotas.reason(&who).is_some(), "let go on twice");
                self.quotas.released(self.now, &who);
                self.releases += 1;
            }
            None => {}
        }
    }
}

proptest! {
    #![proptest_config(crate::seeds::cases(64))]

    #[test]
    fn who_fills_a_volume_is_paused_before_it_is_full_and_others_go_on(
        hog in 1u64..200,
        others in proptest::collection::vec(0u64..8_000, 0..6),
        took in 1u64..20,
    ) {
        let mut workers = vec![(0, hog * MIB)];
        workers.extend(others.iter().map(|mib| (mib * MIB, 0)));
        let mut world = World::new(100 * GIB, workers);
        while world.now < 3 * 3_600_000 {
            world.step(None, took);
        }
        prop_assert!(world.least > 0, "the volume was full");
        prop_assert!(world.holds.iter().all(|(_, who)| *who == id(0)), "{:?}", world.holds);
        if hog * 3 * 3_600 > 100 * 1_024 {
            prop_assert!(!world.holds.is_empty());
        }
    }

    #[test]
    fn a_worker_is_not_paused_and_let_go_on_over_and_over(
        rate in 1u64..100,
        freed in 1u64..400,
        took in 1u64..2_000,
    ) {
        // Somebody frees a little now and then, which the worker takes at once.
        let mut world = World::new(20 * GIB, vec![(19 * GIB, rate * MIB)]);
        let mut freed_at = 0;
        while world.now < 3_600_000 {
            world.step(None, took);
            if world.now >= freed_at + 5_000 {
                freed_at = world.now;
                world.workers[0].0 = world.workers[0].0.saturating_sub(freed * MIB);
            }
        }
        // Ten seconds, doubled each time up to ten minutes.
        prop_assert!(world.holds.len() <= 14, "{} pauses in an hour", world.holds.len());
    }

    #[test]
    fn who_is_above_its_limit_stays_paused_whatever_others_do(
        rates in proptest::collection::vec(0u64..50, 1..6),
        limit in 100u64..2_000,
    ) {
        let workers = rates.iter().map(|rate| (0, rate * MIB)).collect();
        let mut world = World::new(1 << 42, workers);
        while world.now < 600_000 {
            world.step(Some(limit * MIB), 1);
        }
        prop_assert_eq!(world.releases, 0);
        for (n, rate) in rates.iter().enumerate() {
            let paused = world.quotas.reason(&id(n as u64)).is_some();
            prop_assert!(paused || rate * 580 <= limit, "{rate} of {limit}");
            prop_assert!(!paused || rate * 601 > limit, "{rate} of {limit}");
            // Above by what it wrote between two measurements, all of them taking turns.
            let over = world.workers[n].0.saturating_sub(limit * MIB);
            prop_assert!(over <= (rate + 1) * MIB * 12, "{} MiB over", over / MIB);
        }
    }

    #[test]
    fn nothing_that_is_told_in_any_order_breaks_a_rule(
        events in proptest::collection::vec((0u8..9, 0u64..4, 0u64..(8 * GIB), 0u64..5_000), 1..200),
    ) {
        let mut quotas = Quotas::default();
        let mut now = 0;
        let mut exempt = std::collections::BTreeSet::new();
        let all: Vec<_> = (0..4).map(|n| subject(n, (n % 2 == 0).then_some(GIB))).collect();
        for (what, n, bytes, later) in events {
            now += later;
            match what {
                0 => quotas.watch(now, all.clone()),
                1 => {
                    let some: Vec<_> = all.iter().filter(|s| s.worker != id(n)).cloned().collect();
                    quotas.watch(now, some);
                    exempt.remove(&id(n));
                }
                2 | 3 => quotas.space(now, space(bytes)),
                4 | 5 => quotas.measured(now, &id(n), bytes, later % 2 == 0, later),
                6 => quotas.failed(now, &id(n)),
                7 if quotas.workers.contains_key(&id(n)) => {
                    quotas.exempt(&id(n));
                    exempt.insert(id(n));
                }
                _ => {
                    quotas.seen_running(now, &id(n));
                }
            }
            if let Some((who, _)) = quotas.due(now) {
                prop_assert!(!exempt.contains(&who));
            }
            match quotas.decide(now) {
                Some(Step::Hold(who, held)) => {
                    prop_assert!(quotas.reason(&who).is_none() && !exempt.contains(&who));
                    let known = quotas.workers[&who].measured.unwrap();
                    match held {
                        Held::Limit { used, limit, .. } => prop_assert!(used > limit),
                        Held::Reserve { .. } => {
                            prop_assert!(known.bytes >= MIN_USED || !known.complete);
                        }
                        Held::Former => prop_assert!(false, "nobody paused it before"),
                    }
                    quotas.held(now, &who, held);
                }
                Some(Step::Release(who)) => {
                    prop_assert!(quotas.reason(&who).is_some() && !exempt.contains(&who));
                    quotas.released(now, &who);
                }
                None => {}
            }
        }
    }
}
