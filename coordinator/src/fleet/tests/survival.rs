//! What is lost, found again, replaced and removed when things break.

use super::*;
use crate::model::FIRST_UID;

fn ready_as(worker: &WorkerId, name: &str, ended: bool) -> Event {
    Event::Ready {
        worker: worker.clone(),
        claimed_as: Some(name.parse().unwrap()),
        ended,
    }
}

fn id(n: u64) -> WorkerId {
    WorkerId::from_bits(n)
}

#[test]
fn a_restarted_coordinator_adopts_what_it_finds_and_creates_only_what_is_missing() {
    let mut bench = Bench {
        fleet: Fleet::new(9, 4),
        now: 0,
        actions: vec![],
        claims: 0,
    };
    bench.tell(Event::Reserve(vec![]));
    bench.tell(Event::Configured(vec![spec("default", 3, 3)]));
    // One agent is faster than the listing.
    bench.tell(ready_as(&id(1), "busy", false));
    let found = (1..=4).map(|n| observed(&id(n))).collect();
    let actions = bench.list(found);
    assert!(
        created(&actions).is_empty(),
        "three may be warm: wait for their agents"
    );
    assert_eq!(bench.state(&id(1)), Some(WorkerState::Running));
    bench.ready(&id(2));
    bench.tell(ready_as(&id(3), "done", true));
    let actions = bench.ready(&id(4));
    assert_eq!(bench.state(&id(2)), Some(WorkerState::Warm));
    assert_eq!(bench.state(&id(3)), Some(WorkerState::Exited));
    assert!(bench.fleet.by_name(&"busy".parse().unwrap()).is_some());
    assert_eq!(bench.pool().warm, 2);
    assert_eq!(created(&actions).len() + bench.pool().creating as usize, 1);
}

#[test]
fn a_found_worker_that_stays_silent_goes_only_when_no_record_calls_it_claimed() {
    let mut bench = Bench::new(vec![spec("default", 0, 0)]);
    let mut claimed = observed(&id(2));
    claimed.claimed = true;
    claimed.name = Some("mine".parse().unwrap());
    bench.list(vec![observed(&id(1)), claimed]);
    let taken = rejected(&bench.claim("mine", WhenEmpty::Queue));
    assert_eq!(taken, [RejectReason::NameInUse(WorkerState::Creating)]);
    let gone = removed(&bench.after(30_000));
    assert_eq!(gone.len(), 1);
    assert_eq!(gone[0].0, id(1));
    assert_eq!(bench.state(&id(1)), Some(WorkerState::Failed));
    assert_eq!(bench.state(&id(2)), Some(WorkerState::Lost));
    bench.tell(ready_as(&id(2), "mine", false));
    assert_eq!(
        bench.state(&id(2)),
        Some(WorkerState::Running),
        "it was only slow"
    );
}

#[test]
fn a_found_worker_made_for_a_claim_is_never_warm() {
    let mut bench = Bench::new(vec![spec("default", 1, 1)]);
    let mut claimed = observed(&id(1));
    claimed.claimed = true;
    bench.list(vec![claimed]);
    let gone = removed(&bench.ready(&id(1)));
    assert_eq!(gone, [(id(1), RemoveCause::Orphan)]);
}

#[test]
fn a_container_that_was_never_started_is_left_over() {
    let mut bench = Bench::new(vec![spec("default", 0, 0)]);
    let mut dead = observed(&id(1));
    dead.running = false;
    let gone = removed(&bench.list(vec![dead]));
    assert_eq!(gone, [(id(1), RemoveCause::Orphan)]);
}

#[test]
fn a_listing_asked_for_before_a_worker_was_created_does_not_lose_it() {
    let mut bench = Bench::warm(1);
    let asked_at = bench.now;
    bench.now += 10;
    let first = bench.running("a");
    let second = bench.in_state(WorkerState::Creating)[0].clone();
    bench.tell(Event::Created(second.clone()));
    bench.ready(&second);
    bench.tell(Event::Relisted {
        asked_at,
        containers: vec![observed(&first)],
    });
    assert_eq!(bench.state(&second), Some(WorkerState::Warm));
}

#[test]
fn an_older_answer_that_comes_late_changes_nothing() {
    let mut bench = Bench::warm(1);
    let warm = bench.in_state(WorkerState::Warm)[0].clone();
    bench.now += 5_000;
    bench.list(vec![observed(&warm)]);
    bench.tell(Event::Relisted {
        asked_at: bench.now - 2_000,
        containers: vec![],
    });
    assert_eq!(bench.state(&warm), Some(WorkerState::Warm));
}

#[test]
fn a_removed_container_in_a_stale_listing_is_not_adopted_and_a_leftover_is_removed_again() {
    let mut bench = Bench::warm(1);
    let worker = bench.running("a");
    bench.tell(Event::Remove(worker.clone()));
    let asked_at = bench.now;
    bench.now += 10;
    bench.tell(Event::Removed(worker.clone()));
    bench.tell(Event::Relisted {
        asked_at,
        containers: vec![observed(&worker)],
    });
    assert_eq!(bench.state(&worker), None);
    let gone = removed(&bench.list(vec![observed(&worker)]));
    assert_eq!(gone, [(worker, RemoveCause::Orphan)]);
}

#[test]
fn a_warm_worker_that_dies_is_replaced_within_a_second() {
    let mut bench = Bench::warm(1);
    let worker = bench.in_state(WorkerState::Warm)[0].clone();
    let gone = removed(&bench.tell(Event::AgentGone(worker.clone())));
    assert_eq!(gone.len(), 1);
    assert_eq!(bench.state(&worker), Some(WorkerState::Failed));
    let made = bench.in_state(WorkerState::Creating).len() + created(&bench.after(1_000)).len();
    assert_eq!(made, 1);
}

#[test]
fn a_running_worker_may_miss_its_agent_for_ten_seconds() {
    let mut bench = Bench::warm(1);
    let worker = bench.running("a");
    let actions = bench.tell(Event::AgentGone(worker.clone()));
    assert!(actions.contains(&Action::Relist), "is the container there?");
    bench.after(9_000);
    assert_eq!(bench.state(&worker), Some(WorkerState::Running));
    bench.tell(ready_as(&worker, "a", false));
    bench.after(5_000);
    assert_eq!(bench.state(&worker), Some(WorkerState::Running));
    bench.tell(Event::AgentGone(worker.clone()));
    assert!(removed(&bench.after(10_000)).is_empty());
    assert_eq!(bench.state(&worker), Some(WorkerState::Lost));
    bench.tell(ready_as(&worker, "a", false));
    assert_eq!(bench.state(&worker), Some(WorkerState::Running));
}

#[test]
fn a_running_worker_whose_container_is_gone_is_lost_at_once_and_kept() {
    let mut bench = Bench::warm(1);
    let worker = bench.running("a");
    bench.tell(Event::AgentGone(worker.clone()));
    let actions = bench.list(vec![]);
    assert_eq!(bench.state(&worker), Some(WorkerState::Lost));
    assert!(bench.why(&worker).contains("removed from outside"));
    assert!(removed(&actions).iter().all(|(id, _)| *id != worker));
    assert_eq!(removed(&bench.tell(Event::Remove(worker.clone()))).len(), 1);
    bench.tell(Event::Removed(worker.clone()));
    assert_eq!(bench.state(&worker), None);
}

#[test]
fn a_late_probe_does_not_harm_a_worker_that_was_claimed_meanwhile() {
    let mut bench = Bench::warm(1);
    let worker = bench.running("a");
    bench.tell(Event::Unhealthy {
        worker: worker.clone(),
        reason: "probe timed out".into(),
    });
    bench.after(60_000);
    assert_eq!(bench.state(&worker), Some(WorkerState::Running));
}

#[test]
fn a_restarted_container_has_lost_its_session() {
    let mut bench = Bench::warm(1);
    let worker = bench.running("a");
    bench.ready(&worker);
    assert_eq!(bench.state(&worker), Some(WorkerState::Lost));
    assert!(bench.why(&worker).contains("session is gone"));
}

#[test]
fn a_worker_without_network_is_lost_when_claimed_and_replaced_when_warm() {
    let mut bench = Bench::warm(2);
    let claimed = bench.running("a");
    let warm = bench.in_state(WorkerState::Warm)[0].clone();
    for worker in [&claimed, &warm] {
        bench.tell(Event::Lost {
            worker: worker.clone(),
            reason: "its network is gone".into(),
        });
    }
    assert_eq!(bench.state(&claimed), Some(WorkerState::Lost));
    assert_eq!(bench.state(&warm), Some(WorkerState::Failed));
}

#[test]
fn a_paused_warm_worker_is_unpaused_and_replaced_when_that_does_not_help() {
    let mut bench = Bench::warm(1);
    let worker = bench.in_state(WorkerState::Warm)[0].clone();
    let mut paused = observed(&worker);
    (paused.paused, paused.running) = (true, false);
    let actions = bench.list(vec![paused.clone()]);
    assert!(actions.contains(&Action::Unpause(worker.clone())));
    assert!(
        assigned(&bench.claim("a", WhenEmpty::Queue)).is_empty(),
        "it cannot serve now"
    );
    let gone = removed(&bench.list(vec![paused]));
    assert_eq!(gone.len(), 1);
}

/// A claimed worker that a new coordinator finds paused by the former one.
fn found_held(bench: &mut Bench) -> (WorkerId, Observed) {
    let worker = WorkerId::from_bits(77);
    let mut seen = observed(&worker);
    (seen.paused, seen.running, seen.held) = (true, false, true);
    (seen.claimed, seen.name) = (true, Some("a".parse().unwrap()));
    let actions = bench.list(vec![seen.clone()]);
    assert!(!actions.contains(&Action::Unpause(worker.clone())));
    (worker, seen)
}

#[test]
fn a_worker_that_a_former_coordinator_paused_is_kept_paused_and_not_taken_for_lost() {
    let mut bench = Bench::new(vec![spec("default", 0, 0)]);
    let (worker, mut seen) = found_held(&mut bench);
    for _ in 0..100 {
        bench.after(10_000);
        let actions = bench.list(vec![seen.clone()]);
        assert!(actions.is_empty(), "{actions:?}");
        assert_eq!(bench.state(&worker), Some(WorkerState::Running));
    }
    (seen.paused, seen.running, seen.held) = (false, true, false);
    bench.list(vec![seen.clone()]);
    bench.tell(Event::Ready {
        worker: worker.clone(),
        claimed_as: Some("a".parse().unwrap()),
        ended: false,
    });
    bench.after(3_600_000);
    bench.list(vec![seen]);
    assert_eq!(bench.state(&worker), Some(WorkerState::Running));
}

#[test]
fn one_whose_agent_is_silent_when_it_goes_on_is_lost() {
    let mut bench = Bench::new(vec![spec("default", 0, 0)]);
    let (worker, mut seen) = found_held(&mut bench);
    (seen.paused, seen.running, seen.held) = (false, true, false);
    bench.list(vec![seen.clone()]);
    bench.after(3_600_000);
    assert_eq!(bench.state(&worker), Some(WorkerState::Lost));
}

#[test]
fn an_unpaused_worker_serves_again() {
    let mut bench = Bench::warm(1);
    let worker = bench.in_state(WorkerState::Warm)[0].clone();
    let mut paused = observed(&worker);
    (paused.paused, paused.running) = (true, false);
    bench.list(vec![paused]);
    bench.claim("a", WhenEmpty::Queue);
    let actions = bench.list(vec![observed(&worker)]);
    assert_eq!(assigned(&actions), [(ClaimId(1), worker)]);
}

#[test]
fn without_the_engine_warm_workers_still_serve_and_the_rest_waits() {
    let mut bench = Bench::warm(1);
    bench.tell(Event::EngineLost("connection refused".into()));
    let actions = bench.claim("a", WhenEmpty::Cold);
    assert_eq!((assigned(&actions).len(), created(&actions).len()), (1, 0));
    bench.tell(Event::Placed(ClaimId(1)));
    assert!(created(&bench.claim("b", WhenEmpty::Cold)).is_empty());
    let worker = assigned(&actions)[0].1.clone();
    assert!(removed(&bench.tell(Event::Remove(worker))).is_empty());
    let actions = bench.tell(Event::EngineBack);
    assert!(actions.contains(&Action::Relist));
    assert_eq!(removed(&actions).len(), 1);
    assert!(!created(&actions).is_empty());
}

#[test]
fn a_cold_claim_whose_creation_fails_because_the_engine_is_away_waits_for_it() {
    let mut bench = Bench::new(vec![spec("default", 0, 0)]);
    let own = created(&bench.claim("a", WhenEmpty::Cold))[0].clone();
    bench.tell(Event::EngineLost("connection refused".into()));
    assert!(rejected(&bench.fails(&own)).is_empty());
    assert_eq!(created(&bench.tell(Event::EngineBack)).len(), 1);
}

#[test]
fn a_removal_that_fails_is_tried_again_with_back_off() {
    let mut bench = Bench::warm(1);
    let worker = bench.running("a");
    bench.tell(Event::Remove(worker.clone()));
    let failed = Event::RemoveFailed {
        worker: worker.clone(),
        reason: "device busy".into(),
    };
    let mut waits = Vec::new();
    for _ in 0..4 {
        assert!(removed(&bench.tell(failed.clone())).is_empty());
        assert!(bench.why(&worker).contains("device busy"));
        let start = bench.now;
        while removed(&bench.after(50)).is_empty() {}
        waits.push(bench.now - start);
    }
    assert!(waits.windows(2).all(|w| w[0] < w[1]), "{waits:?}");
}

#[test]
fn an_image_whose_agent_dies_right_away_does_not_become_a_storm() {
    let mut bench = Bench::new(vec![spec("default", 1, 1)]);
    let mut creations = 0;
    for _ in 0..600 {
        for id in bench.in_state(WorkerState::Creating) {
            creations += 1;
            bench.up(&id);
            bench.tell(Event::AgentGone(id.clone()));
            bench.tell(Event::Removed(id));
        }
        bench.after(100);
    }
    assert!(creations <= 8, "{creations} in a minute");
}

#[test]
fn a_lost_worker_is_made_anew_and_nothing_seen_meanwhile_counts() {
    let mut bench = Bench::warm(1);
    let worker = bench.running("mine");
    bench.tell(Event::Recreate(worker.clone()));
    assert_eq!(bench.state(&worker), Some(WorkerState::Running), "not lost");
    let reason = "its network is gone".to_owned();
    bench.tell(Event::Lost {
        worker: worker.clone(),
        reason,
    });
    bench.tell(Event::Recreate(worker.clone()));
    assert_eq!(bench.state(&worker), Some(WorkerState::Claiming));
    // The old container goes, its agent too, and the new one calls without a session.
    bench.tell(Event::AgentGone(worker.clone()));
    bench.list(vec![]);
    bench.after(60_000);
    bench.list(vec![observed(&worker)]);
    bench.tell(Event::Ready {
        worker: worker.clone(),
        claimed_as: None,
        ended: false,
    });
    bench.tell(Event::SessionEnded {
        worker: worker.clone(),
        remove: true,
    });
    assert_eq!(bench.state(&worker), Some(WorkerState::Claiming));
    bench.tell(Event::Recreated {
        worker: worker.clone(),
        outcome: Ok(()),
    });
    bench.after(60_000);
    assert_eq!(bench.state(&worker), Some(WorkerState::Running));
}

#[test]
fn a_worker_that_cannot_be_made_anew_is_lost_again_with_the_reason() {
    let mut bench = Bench::new(vec![spec("default", 0, 0)]);
    bench.tell(Event::LeftBehind {
        worker: id(7),
        profile: "default".to_owned(),
        name: "mine".parse().unwrap(),
        uid: FIRST_UID,
        reason: "cut short".to_owned(),
    });
    assert_eq!(bench.state(&id(7)), Some(WorkerState::Lost));
    bench.tell(Event::Recreate(id(7)));
    bench.tell(Event::Recreated {
        worker: id(7),
        outcome: Err("no image".to_owned()),
    });
    assert_eq!(bench.state(&id(7)), Some(WorkerState::Lost));
    assert_eq!(bench.why(&id(7)), "no image");
    bench.tell(Event::Recreate(id(7)));
    let gone = removed(&bench.tell(Event::Remove(id(7))));
    assert_eq!(gone[0].0, id(7));
    bench.tell(Event::Recreated {
        worker: id(7),
        outcome: Ok(()),
    });
    assert_eq!(bench.state(&id(7)), Some(WorkerState::Stopping));
}

#[test]
fn an_agent_that_has_connected_is_waited_for_as_long_as_its_connection_lives() {
    let mut bench = Bench::new(vec![spec("default", 0, 0)]);
    let mut claimed = observed(&id(2));
    claimed.claimed = true;
    claimed.name = Some("mine".parse().unwrap());
    bench.list(vec![claimed]);
    bench.tell(Event::Connected(id(2)));
    bench.after(600_000);
    assert_eq!(bench.state(&id(2)), Some(WorkerState::Creating), "not lost");
    assert!(bench.why(&id(2)).contains("has not said yet"));
    bench.tell(Event::AgentGone(id(2)));
    bench.after(29_000);
    assert_eq!(bench.state(&id(2)), Some(WorkerState::Creating));
    bench.after(2_000);
    assert_eq!(bench.state(&id(2)), Some(WorkerState::Lost));
    bench.tell(ready_as(&id(2), "mine", false));
    assert_eq!(bench.state(&id(2)), Some(WorkerState::Running));
}

#[test]
fn a_running_worker_whose_agent_is_back_is_not_lost_while_it_describes_itself() {
    let mut bench = Bench::warm(1);
    let worker = bench.running("mine");
    bench.tell(Event::AgentGone(worker.clone()));
    bench.tell(Event::Connected(worker.clone()));
    bench.after(60_000);
    assert_eq!(bench.state(&worker), Some(WorkerState::Running));
}

#[test]
fn what_was_left_keeps_its_uid_and_nothing_is_created_before_it_is_known() {
    let mut bench = Bench {
        fleet: Fleet::new(9, 8),
        now: 0,
        actions: vec![],
        claims: 0,
    };
    let uids = |actions: &[Action]| -> Vec<u32> {
        let uid = |a: &Action| match a {
            Action::Create { uid, .. } => Some(*uid - FIRST_UID),
            _ => None,
        };
        actions.iter().filter_map(uid).collect()
    };
    bench.tell(Event::Configured(vec![spec("default", 4, 4)]));
    let mut there = observed(&id(1));
    (there.uid, there.claimed) = (FIRST_UID + 2, true);
    assert!(uids(&bench.list(vec![there])).is_empty());
    let left = (id(2), FIRST_UID + 1);
    let made = bench.tell(Event::Reserve(vec![left]));
    assert_eq!(uids(&made), [0, 3, 4, 5]);
}

#[test]
fn a_uid_is_free_again_only_when_a_later_listing_shows_no_container_of_it() {
    let mut bench = Bench::new(vec![spec("default", 1, 1)]);
    let first = bench.in_state(WorkerState::Creating)[0].clone();
    let uid = |bench: &Bench, worker: &WorkerId| bench.fleet.worker(worker).map(|w| w.uid);
    assert_eq!(uid(&bench, &first), Some(FIRST_UID));
    bench.fails(&first);
    bench.after(120_000);
    let second = bench.in_state(WorkerState::Creating)[0].clone();
    assert_eq!(
        uid(&bench, &second),
        Some(FIRST_UID + 1),
        "it may exist yet"
    );
    bench.fails(&second);
    bench.list(vec![]);
    bench.after(120_000);
    let third = bench.in_state(WorkerState::Creating)[0].clone();
    assert_eq!(uid(&bench, &third), Some(FIRST_UID));
}
