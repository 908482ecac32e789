//! Claims: who gets which worker.

use super::*;

#[test]
fn eight_claims_on_four_warm_workers_get_eight_workers_and_no_two_the_same() {
    let mut bench = Bench::warm(4);
    let mut given = Vec::new();
    for n in 0..8 {
        given.extend(assigned(&bench.claim(&format!("w{n}"), WhenEmpty::Cold)));
    }
    assert_eq!(given.len(), 4, "four at once");
    given.extend(assigned(&bench.settle()));
    let workers: std::collections::BTreeSet<_> = given.iter().map(|(_, w)| w.clone()).collect();
    assert_eq!((given.len(), workers.len()), (8, 8));
    assert_eq!((bench.pool().hits, bench.pool().misses), (4, 4));
}

#[test]
fn queued_claims_are_served_in_the_order_they_came() {
    let mut bench = Bench::warm(1);
    for name in ["a", "b", "c"] {
        bench.claim(name, WhenEmpty::Queue);
    }
    assert_eq!(bench.pool().queued, 2);
    let order: Vec<_> = assigned(&bench.settle()).iter().map(|(c, _)| c.0).collect();
    assert_eq!(order, [2, 3]);
}

#[test]
fn a_claim_that_must_not_wait_fails_with_the_pools_trouble() {
    let mut bench = Bench::new(vec![spec("default", 1, 1)]);
    let making = bench.in_state(WorkerState::Creating);
    bench.fails(&making[0]);
    let reasons = rejected(&bench.claim("a", WhenEmpty::Fail));
    let expected = RejectReason::Exhausted(Some("no such image".into()));
    assert_eq!(reasons, [expected]);
}

#[test]
fn a_cold_claim_sticks_to_its_own_worker() {
    let mut bench = Bench::new(vec![spec("default", 1, 1)]);
    let pooled = bench.in_state(WorkerState::Creating)[0].clone();
    let own = created(&bench.claim("a", WhenEmpty::Cold))[0].clone();
    assert!(assigned(&bench.up(&pooled)).is_empty());
    assert_eq!(assigned(&bench.up(&own))[0].1, own);
}

#[test]
fn a_cold_claim_that_has_no_slot_yet_takes_a_worker_that_becomes_warm() {
    let mut bench = Bench::new(vec![spec("default", 4, 4)]);
    let making = bench.in_state(WorkerState::Creating);
    assert_eq!(making.len(), 4, "all slots are taken");
    assert!(created(&bench.claim("a", WhenEmpty::Cold)).is_empty());
    let actions = bench.up(&making[0]);
    // The freed slot would go to the claim; `Created` comes before `Ready`.
    assert!(assigned(&actions).len() + created(&actions).len() >= 1);
}

#[test]
fn cold_claims_come_before_refills() {
    let mut bench = Bench::new(vec![spec("default", 0, 0), spec("other", 8, 8)]);
    assert_eq!(bench.in_state(WorkerState::Creating).len(), 4);
    bench.claim("a", WhenEmpty::Cold);
    let one = bench.in_state(WorkerState::Creating)[0].clone();
    let actions = bench.tell(Event::Created(one));
    assert!(actions.iter().any(|a| matches!(
        a,
        Action::Create {
            cold_for: Some(ClaimId(1)),
            ..
        }
    )));
}

#[test]
fn a_claim_forced_cold_leaves_the_warm_ones_alone() {
    let mut bench = Bench::warm(1);
    let actions = bench.claim_with("a", WhenEmpty::Queue, |c| {
        c.force_cold = Some("no hot mounts".into());
    });
    assert!(assigned(&actions).is_empty());
    assert_eq!(created(&actions).len(), 1);
}

#[test]
fn a_name_in_use_is_refused_with_the_state_of_who_has_it() {
    let mut bench = Bench::warm(1);
    bench.running("a");
    assert_eq!(
        rejected(&bench.claim("a", WhenEmpty::Cold)),
        [RejectReason::NameInUse(WorkerState::Running)]
    );
    bench.claim("b", WhenEmpty::Queue);
    assert_eq!(
        rejected(&bench.claim("b", WhenEmpty::Queue)),
        [RejectReason::NameInUse(WorkerState::Creating)],
        "names of claims that wait count"
    );
}

#[test]
fn an_unknown_profile_is_refused_with_the_ones_there_are() {
    let mut bench = Bench::warm(1);
    let actions = bench.claim_with("a", WhenEmpty::Cold, |c| c.profile = "nope".into());
    let expected = RejectReason::NoProfile(vec!["default".into()]);
    assert_eq!(rejected(&actions), [expected]);
}

#[test]
fn a_cancelled_cold_claims_worker_is_removed_when_it_was_created() {
    let mut bench = Bench::new(vec![spec("default", 0, 0)]);
    let own = created(&bench.claim("a", WhenEmpty::Cold))[0].clone();
    assert!(removed(&bench.tell(Event::Cancel(ClaimId(1)))).is_empty());
    let gone = removed(&bench.tell(Event::Created(own.clone())));
    assert_eq!(gone, [(own, RemoveCause::Released)]);
    let again = bench.claim("a", WhenEmpty::Cold);
    assert!(rejected(&again).is_empty(), "the name is free again");
}

#[test]
fn a_placed_worker_stays_when_the_claimant_goes_away() {
    let mut bench = Bench::warm(1);
    let (claim, worker) = assigned(&bench.claim("a", WhenEmpty::Cold))[0].clone();
    bench.tell(Event::Cancel(claim));
    bench.tell(Event::Placed(claim));
    assert_eq!(bench.state(&worker), Some(WorkerState::Running));
}

#[test]
fn a_worker_at_fault_is_replaced_by_another_one_twice_and_then_the_claim_fails() {
    let mut bench = Bench::warm(4);
    let mut actions = bench.claim("a", WhenEmpty::Cold);
    for round in 0..3 {
        let (claim, worker) = assigned(&actions)[0].clone();
        actions = bench.tell(Event::PlaceFailed {
            claim,
            fault: StartFault::Worker,
            reason: "mount refused".into(),
        });
        let expected = RemoveCause::Unhealthy("mount refused".into());
        assert_eq!(removed(&actions), [(worker, expected)], "round {round}");
    }
    let expected = RejectReason::CreateFailed("mount refused".into());
    assert_eq!(rejected(&actions), [expected]);
    assert!(assigned(&actions).is_empty());
}

#[test]
fn an_agent_of_another_version_sends_the_claim_to_a_worker_that_is_made_for_it() {
    for when_empty in [WhenEmpty::Cold, WhenEmpty::Queue] {
        let mut bench = Bench::warm(4);
        let (claim, worker) = assigned(&bench.claim("a", when_empty))[0].clone();
        let actions = bench.tell(Event::PlaceFailed {
            claim,
            fault: StartFault::Agent,
            reason: "takes no secrets".into(),
        });
        let expected = RemoveCause::Unhealthy("takes no secrets".into());
        assert_eq!(removed(&actions), [(worker, expected)]);
        assert!(
            assigned(&actions).is_empty(),
            "the other warm ones may be as old"
        );
        assert!(rejected(&actions).is_empty());
        let own =
            |a: &Action| matches!(a, Action::Create { cold_for, .. } if *cold_for == Some(claim));
        assert!(actions.iter().any(own), "{actions:?}");
    }
}

#[test]
fn a_claim_that_takes_only_warm_workers_is_refused_once_none_will_do() {
    let mut bench = Bench::warm(2);
    let mut actions = bench.claim("a", WhenEmpty::Fail);
    for _ in 0..2 {
        let (claim, _) = assigned(&actions)[0].clone();
        actions = bench.tell(Event::PlaceFailed {
            claim,
            fault: StartFault::Agent,
            reason: "takes no secrets".into(),
        });
    }
    let expected = RejectReason::Exhausted(Some("takes no secrets".into()));
    assert_eq!(rejected(&actions), [expected]);
}

#[test]
fn a_request_at_fault_is_not_tried_again_and_not_answered_twice() {
    let mut bench = Bench::warm(2);
    let (claim, worker) = assigned(&bench.claim("a", WhenEmpty::Cold))[0].clone();
    let actions = bench.tell(Event::PlaceFailed {
        claim,
        fault: StartFault::Request,
        reason: "no such program".into(),
    });
    assert!(rejected(&actions).is_empty() && assigned(&actions).is_empty());
    assert!(removed(&actions).is_empty());
    assert_eq!(bench.state(&worker), Some(WorkerState::Warm));
    assert_eq!(bench.pool().warm, 2);
    assert!(
        rejected(&bench.claim("a", WhenEmpty::Cold)).is_empty(),
        "the name is free"
    );
}

#[test]
fn twenty_bad_requests_cost_no_warm_worker() {
    let mut bench = Bench::warm(3);
    let before = bench.in_state(WorkerState::Warm);
    for _ in 0..20 {
        let actions = bench.claim("a", WhenEmpty::Cold);
        assert!(created(&actions).is_empty(), "it may come back");
        let (claim, _) = assigned(&actions)[0].clone();
        let actions = bench.tell(Event::PlaceFailed {
            claim,
            fault: StartFault::Request,
            reason: "no such folder".into(),
        });
        assert!(removed(&actions).is_empty() && created(&actions).is_empty());
    }
    assert_eq!(bench.in_state(WorkerState::Warm), before);
}

#[test]
fn a_failed_claims_worker_goes_when_something_may_be_left_in_it_or_its_agent_went() {
    for (fault, agent_goes) in [(StartFault::Tainted, false), (StartFault::Request, true)] {
        let mut bench = Bench::warm(1);
        let (claim, worker) = assigned(&bench.claim("a", WhenEmpty::Cold))[0].clone();
        if agent_goes {
            bench.tell(Event::AgentGone(worker.clone()));
        }
        let actions = bench.tell(Event::PlaceFailed {
            claim,
            fault,
            reason: "no such program".into(),
        });
        assert_eq!(removed(&actions), [(worker, RemoveCause::Released)]);
    }
}

#[test]
fn a_start_that_is_not_known_keeps_its_worker_and_is_not_repeated() {
    let mut bench = Bench::warm(2);
    let (claim, worker) = assigned(&bench.claim("a", WhenEmpty::Cold))[0].clone();
    let actions = bench.tell(Event::PlaceFailed {
        claim,
        fault: StartFault::Unknown,
        reason: "no answer".into(),
    });
    assert!(rejected(&actions).is_empty() && assigned(&actions).is_empty());
    assert!(removed(&actions).is_empty());
    assert_eq!(bench.state(&worker), Some(WorkerState::Lost));
    let taken = rejected(&bench.claim("a", WhenEmpty::Cold));
    assert_eq!(taken, [RejectReason::NameInUse(WorkerState::Lost)]);
    // Its agent answers in the end.
    bench.tell(Event::Ready {
        worker: worker.clone(),
        claimed_as: Some("a".parse().unwrap()),
        ended: false,
    });
    assert_eq!(bench.state(&worker), Some(WorkerState::Running));
}

#[test]
fn a_session_that_ends_before_it_is_reported_placed_stays_ended() {
    let mut bench = Bench::warm(1);
    let (claim, worker) = assigned(&bench.claim("a", WhenEmpty::Cold))[0].clone();
    bench.tell(Event::SessionEnded {
        worker: worker.clone(),
        remove: false,
    });
    bench.tell(Event::Placed(claim));
    assert_eq!(bench.state(&worker), Some(WorkerState::Exited));
}

#[test]
fn a_failed_cold_creation_is_answered_with_its_reason() {
    let mut bench = Bench::new(vec![spec("default", 0, 0)]);
    let own = created(&bench.claim("a", WhenEmpty::Cold))[0].clone();
    let expected = RejectReason::CreateFailed("no such image".into());
    assert_eq!(rejected(&bench.fails(&own)), [expected]);
    assert_eq!(bench.state(&own), None);
}

#[test]
fn shutdown_turns_claims_down_and_removes_everything_also_what_is_still_being_created() {
    let mut bench = Bench::warm(1);
    let running = bench.running("a");
    bench.claim("b", WhenEmpty::Queue);
    let making = bench.in_state(WorkerState::Creating)[0].clone();
    let actions = bench.tell(Event::Shutdown);
    assert_eq!(rejected(&actions), [RejectReason::ShuttingDown]);
    assert_eq!(removed(&actions), [(running.clone(), RemoveCause::Drained)]);
    assert_eq!(
        removed(&bench.tell(Event::Created(making.clone()))).len(),
        1
    );
    assert_eq!(
        rejected(&bench.claim("c", WhenEmpty::Cold)),
        [RejectReason::ShuttingDown]
    );
    bench.tell(Event::Removed(running));
    bench.tell(Event::Removed(making));
    assert_eq!(bench.fleet.workers().count(), 0);
}

#[test]
fn a_new_name_is_taken_at_once_and_the_old_one_is_free() {
    let mut bench = Bench::warm(3);
    let worker = bench.running("a");
    bench.running("b");
    let rename = |to: &str| Event::Rename {
        worker: worker.clone(),
        name: to.parse().unwrap(),
    };
    let actions = bench.tell(rename("c"));
    assert!(actions.contains(&Action::WorkerChanged(worker.clone())));
    let refused = bench.claim("c", WhenEmpty::Fail);
    let in_use = [RejectReason::NameInUse(WorkerState::Running)];
    assert_eq!(rejected(&refused), in_use);
    assert_eq!(assigned(&bench.claim("a", WhenEmpty::Fail)).len(), 1);
    bench.tell(rename("b"));
    let entry = bench.fleet.worker(&worker).unwrap();
    assert_eq!(entry.name.as_ref().unwrap().as_str(), "c", "b was taken");
}

#[test]
fn a_claimed_worker_is_replaced_once_its_session_runs_or_takes_long_to_start() {
    for placed in [true, false] {
        let mut bench = Bench::warm(2);
        let actions = bench.claim("a", WhenEmpty::Cold);
        assert!(created(&actions).is_empty());
        let (claim, _) = assigned(&actions)[0].clone();
        let actions = if placed {
            bench.tell(Event::Placed(claim))
        } else {
            bench.after(1_000)
        };
        assert_eq!(created(&actions).len(), 1, "placed: {placed}");
    }
}
