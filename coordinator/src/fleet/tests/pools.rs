//! Pools: filling, trimming, replacing, back-off.

use super::*;

#[test]
fn nothing_is_created_before_the_first_listing() {
    let mut fleet = Fleet::new(1, 4);
    fleet.apply(0, Event::Reserve(vec![]));
    let actions = fleet.apply(0, Event::Configured(vec![spec("default", 2, 5)]));
    assert!(created(&actions).is_empty());
    assert!(actions.contains(&Action::Relist));
    let listed = Event::Relisted {
        asked_at: 0,
        containers: vec![],
    };
    assert_eq!(created(&fleet.apply(1, listed)).len(), 2);
}

#[test]
fn creations_under_way_are_bounded_over_all_pools_and_shared_fairly() {
    let bench = Bench::new(vec![spec("a", 8, 8), spec("b", 8, 8)]);
    let (a, b) = (
        bench.fleet.pool("a").unwrap(),
        bench.fleet.pool("b").unwrap(),
    );
    assert_eq!((a.creating, b.creating), (2, 2));
}

#[test]
fn a_failing_pool_backs_off_keeps_the_reason_and_starts_slowly() {
    let mut bench = Bench::new(vec![spec("default", 8, 8)]);
    for id in bench.in_state(WorkerState::Creating) {
        bench.fails(&id);
    }
    let failure = bench.pool().last_failure.unwrap();
    assert_eq!(failure.reason, "no such image");
    assert_eq!(failure.in_a_row, 4);
    assert!(created(&bench.after(400)).is_empty());
    assert_eq!(bench.in_state(WorkerState::Creating).len(), 0);

    let first = created(&bench.after(1_000));
    assert_eq!(first.len(), 1);
    let second = created(&bench.up(&first[0]));
    assert_eq!(second.len(), 2);
    assert_eq!(bench.pool().last_failure.unwrap().retry_at, None);
    bench.settle();
    assert_eq!(bench.pool().warm, 8);
}

#[test]
fn a_full_disk_is_told_and_not_that_the_agents_are_gone() {
    let mut bench = Bench::warm(2);
    let young = bench.in_state(WorkerState::Warm);
    bench.tell(Event::AgentGone(young[0].clone()));
    assert_eq!(
        bench.pool().last_failure.unwrap().reason,
        "its agent is gone"
    );
    let next = created(&bench.after(1_000));
    bench.tell(Event::CreateFailed {
        worker: next[0].clone(),
        reason: "no space left on device".into(),
    });
    // The other one's death is noticed later than the engine's answer.
    bench.tell(Event::AgentGone(young[1].clone()));
    let told = bench.pool().last_failure.unwrap();
    assert!(
        told.reason.starts_with("no space left on device"),
        "{told:?}"
    );
    assert!(told.retry_at.is_some(), "{told:?}");
}

#[test]
fn a_container_that_stops_on_a_full_disk_is_told_as_that() {
    let mut bench = Bench::warm(1);
    let full = "no space left on the engine's disk (4096 bytes free)";
    bench.tell(Event::EngineDisk(Some(full.into())));
    let id = bench.in_state(WorkerState::Warm)[0].clone();
    bench.tell(Event::AgentGone(id));
    let told = |bench: &Bench| bench.pool().last_failure.unwrap().reason;
    assert_eq!(told(&bench), format!("{full}: its agent is gone"));
    // The engine makes one more, and its listing shows it stopped.
    let next = created(&bench.after(1_000))[0].clone();
    bench.tell(Event::Created(next.clone()));
    bench.ready(&next);
    let mut stopped = observed(&next);
    stopped.running = false;
    bench.list(vec![stopped]);
    assert_eq!(told(&bench), format!("{full}: its container has stopped"));
    // Who wants one all the same is told so.
    bench.claim("cold", WhenEmpty::Cold);
    let cold = created(&bench.actions.clone())[0].clone();
    let actions = bench.tell(Event::CreateFailed {
        worker: cold,
        reason: "it does not run (exit code 1)".into(),
    });
    let [RejectReason::CreateFailed(why)] = &rejected(&actions)[..] else {
        panic!("{actions:?}")
    };
    assert!(why.starts_with(full), "{why}");
}

#[test]
fn one_profile_that_fails_does_not_hold_up_another() {
    let mut bench = Bench::new(vec![spec("bad", 2, 2), spec("default", 2, 2)]);
    let bad: Vec<_> = bench
        .fleet
        .workers()
        .filter(|w| w.profile == "bad")
        .map(|w| w.id.clone())
        .collect();
    for id in bad {
        bench.fails(&id);
    }
    bench.settle();
    assert_eq!(bench.pool().warm, 2);
}

#[test]
fn a_worker_whose_agent_never_calls_is_a_failed_creation() {
    let mut bench = Bench::new(vec![spec("default", 1, 1)]);
    let id = bench.in_state(WorkerState::Creating)[0].clone();
    bench.tell(Event::Created(id.clone()));
    assert!(removed(&bench.after(29_000)).is_empty());
    let gone = removed(&bench.after(1_000));
    assert_eq!(gone.len(), 1);
    assert_eq!(bench.state(&id), Some(WorkerState::Failed));
    assert!(bench.why(&id).contains("does not answer"));
    assert!(bench.pool().last_failure.is_some());
}

#[test]
fn an_agent_that_calls_before_the_engine_answers_is_no_surprise() {
    let mut bench = Bench::new(vec![spec("default", 1, 1)]);
    let id = bench.in_state(WorkerState::Creating)[0].clone();
    bench.ready(&id);
    assert_eq!(bench.state(&id), Some(WorkerState::Creating));
    bench.tell(Event::Created(id.clone()));
    assert_eq!(bench.state(&id), Some(WorkerState::Warm));
}

#[test]
fn a_new_specification_replaces_the_warm_ones_and_never_empties_the_pool() {
    let mut bench = Bench::warm(2);
    let running = bench.running("busy");
    bench.settle();
    let mut new = spec("default", 2, 2);
    new.spec = "b".into();
    bench.tell(Event::Configured(vec![new]));
    for _ in 0..20 {
        for id in bench.in_state(WorkerState::Creating) {
            bench.up(&id);
            assert!(bench.pool().warm >= 2);
        }
        for (id, cause) in removed(&bench.actions.clone()) {
            assert_eq!(cause, RemoveCause::Replaced);
            bench.tell(Event::Removed(id));
        }
    }
    let specs: Vec<_> = bench
        .fleet
        .workers()
        .filter(|w| w.state == WorkerState::Warm)
        .map(|w| w.spec.as_str())
        .collect();
    assert_eq!(specs, ["b", "b"]);
    assert_eq!(bench.state(&running), Some(WorkerState::Running));
}

#[test]
fn an_aged_worker_is_replaced_after_its_successor_is_ready() {
    let mut aging = spec("default", 1, 1);
    aging.max_age = 3_600_000;
    let mut bench = Bench::new(vec![aging]);
    bench.settle();
    let old = bench.in_state(WorkerState::Warm)[0].clone();
    let actions = bench.after(3_600_000);
    assert!(removed(&actions).is_empty());
    let new = created(&actions)[0].clone();
    assert_eq!(removed(&bench.up(&new)), [(old, RemoveCause::Aged)]);
}

#[test]
fn a_warm_worker_above_the_target_goes_after_the_idle_timeout() {
    let mut bench = Bench::warm(3);
    bench.tell(Event::Scale {
        profile: "default".into(),
        min_warm: 1,
        max_warm: 3,
    });
    assert!(removed(&bench.after(50_000)).is_empty());
    let gone = removed(&bench.after(20_000));
    assert_eq!(gone.len(), 2);
    assert!(gone.iter().all(|(_, cause)| *cause == RemoveCause::Idle));
}

#[test]
fn scaling_down_removes_what_is_above_the_maximum_at_once() {
    let mut bench = Bench::warm(4);
    let actions = bench.tell(Event::Scale {
        profile: "default".into(),
        min_warm: 0,
        max_warm: 1,
    });
    assert_eq!(removed(&actions).len(), 3);
    bench.tell(Event::Configured(vec![spec("default", 4, 4)]));
    assert_eq!(bench.pool().max_warm, 4, "a reload ends it");
}

#[test]
fn a_paused_pool_serves_but_does_not_refill() {
    let mut bench = Bench::warm(2);
    bench.tell(Event::Pause("default".into()));
    let actions = bench.claim("a", WhenEmpty::Queue);
    assert_eq!((assigned(&actions).len(), created(&actions).len()), (1, 0));
    bench.tell(Event::Placed(ClaimId(1)));
    let actions = bench.tell(Event::Resume("default".into()));
    assert_eq!(created(&actions).len(), 1);
}

#[test]
fn a_drained_pool_stays_empty_until_it_is_resumed() {
    let mut bench = Bench::warm(2);
    let running = bench.running("a");
    let making = bench.in_state(WorkerState::Creating)[0].clone();
    let actions = bench.tell(Event::Drain("default".into()));
    assert_eq!(removed(&actions).len(), 1);
    assert_eq!(removed(&bench.tell(Event::Created(making))).len(), 1);
    bench.settle();
    assert!(created(&bench.after(5_000)).is_empty());
    assert_eq!(bench.state(&running), Some(WorkerState::Running));
    let numbers = bench.pool();
    assert!(numbers.draining && numbers.warm == 0 && numbers.target == 0);
    let actions = bench.tell(Event::Resume("default".into()));
    assert_eq!(created(&actions).len(), 2);
}

#[test]
fn a_profile_that_is_gone_loses_its_warm_workers_and_keeps_its_running_ones() {
    let mut bench = Bench::warm(2);
    let running = bench.running("a");
    bench.settle();
    let actions = bench.tell(Event::Configured(vec![spec("other", 0, 0)]));
    assert_eq!(removed(&actions).len(), 2);
    assert!(actions.contains(&Action::PoolChanged("default".into())));
    assert_eq!(bench.state(&running), Some(WorkerState::Running));
}

#[test]
fn warm_workers_are_probed_at_their_interval() {
    let mut bench = Bench::warm(1);
    let id = bench.in_state(WorkerState::Warm)[0].clone();
    let mut probes = 0;
    for _ in 0..60 {
        let actions = bench.after(1_000);
        probes += actions
            .iter()
            .filter(|a| **a == Action::Probe(id.clone()))
            .count();
    }
    assert!((5..=6).contains(&probes), "{probes}");
}

#[test]
fn clients_are_told_of_changes_and_only_of_changes() {
    let mut bench = Bench::warm(2);
    assert_eq!(bench.after(1_000), []);
    let listing = bench.listing();
    assert_eq!(bench.list(listing), []);
    let worker = bench.running("a");
    assert!(
        bench
            .actions
            .contains(&Action::WorkerChanged(worker.clone()))
    );
    let actions = bench.tell(Event::Remove(worker.clone()));
    assert!(actions.contains(&Action::WorkerChanged(worker.clone())));
    let actions = bench.tell(Event::Removed(worker.clone()));
    assert!(actions.contains(&Action::WorkerChanged(worker)));
}

#[test]
fn short_memory_holds_refills_and_says_so() {
    let mut bench = Bench::new(vec![spec("default", 0, 4)]);
    bench.tell(Event::MemoryAvailable(600 << 20));
    bench.tell(Event::Scale {
        profile: "default".into(),
        min_warm: 4,
        max_warm: 4,
    });
    bench.settle();
    assert!(bench.pool().short_of_memory);
    bench.tell(Event::MemoryAvailable(8 << 30));
    bench.settle();
    assert!(bench.pool().warm == 4 && !bench.pool().short_of_memory);
}

#[test]
fn a_worker_that_confines_less_than_its_profile_says_now_serves_no_claim() {
    let mut bench = Bench::warm(2);
    let loose = bench.in_state(WorkerState::Warm);
    let mut tight = spec("default", 2, 2);
    (tight.spec, tight.confinement) = ("b".into(), "tighter".into());
    let gone = removed(&bench.tell(Event::Configured(vec![tight])));
    let gone: Vec<_> = gone.into_iter().map(|(id, _)| id).collect();
    assert_eq!(gone, loose);
    assert!(assigned(&bench.claim("a", WhenEmpty::Cold)).is_empty());
    let served = assigned(&bench.settle());
    assert!(served.iter().all(|(_, worker)| !loose.contains(worker)));
    assert_eq!(served.len(), 1);
}

#[test]
fn a_worker_of_another_image_serves_claims_until_its_successor_is_there() {
    let mut bench = Bench::warm(2);
    let old = bench.in_state(WorkerState::Warm);
    let mut newer = spec("default", 2, 2);
    newer.spec = "b".into();
    assert!(removed(&bench.tell(Event::Configured(vec![newer]))).is_empty());
    let served = assigned(&bench.claim("a", WhenEmpty::Cold));
    assert!(old.contains(&served[0].1));
}
