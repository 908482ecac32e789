//! Workers that were found and taken for dead, and whose agents say in time what they run.

use super::*;

/// A worker that was found paused without a record, and is to go; whether the engine is asked to
/// remove it already.
fn doomed(asked: bool) -> (Bench, WorkerId) {
    let mut bench = Bench::new(vec![spec("default", 0, 0)]);
    let id = WorkerId::from_bits(1);
    let mut paused = observed(&id);
    (paused.running, paused.paused) = (false, true);
    bench.list(vec![paused]);
    if !asked {
        bench.tell(Event::EngineLost("away".into()));
    }
    let gone = removed(&bench.after(30_000));
    assert_eq!(gone.len(), usize::from(asked));
    assert_eq!(bench.state(&id), Some(WorkerState::Failed));
    (bench, id)
}

fn runs(worker: &WorkerId, ended: bool) -> Event {
    Event::Ready {
        worker: worker.clone(),
        claimed_as: Some("mine".parse().unwrap()),
        ended,
    }
}

#[test]
fn one_that_runs_a_claim_after_all_is_not_removed_once_the_engine_is_back() {
    let (mut bench, id) = doomed(false);
    bench.tell(runs(&id, false));
    assert_eq!(bench.state(&id), Some(WorkerState::Running));
    assert!(bench.fleet.by_name(&"mine".parse().unwrap()).is_some());
    assert!(removed(&bench.tell(Event::EngineBack)).is_empty());
    assert!(removed(&bench.after(60_000)).is_empty());
}

#[test]
fn one_that_runs_nothing_any_more_is_removed_all_the_same() {
    for word in [0, 1] {
        let (mut bench, id) = doomed(false);
        match word {
            0 => bench.ready(&id),
            _ => bench.tell(runs(&id, true)),
        };
        assert_eq!(removed(&bench.tell(Event::EngineBack)).len(), 1);
    }
}

#[test]
fn a_removal_under_way_is_not_tried_again() {
    for agent in [true, false] {
        let (mut bench, id) = doomed(true);
        bench.tell(runs(&id, false));
        assert_eq!(bench.state(&id), Some(WorkerState::Failed), "it may go yet");
        if !agent {
            bench.tell(Event::AgentGone(id.clone()));
        }
        bench.tell(Event::RemoveFailed {
            worker: id.clone(),
            reason: "busy".into(),
        });
        assert_eq!(bench.state(&id), Some(WorkerState::Running));
        assert!(removed(&bench.after(60_000)).is_empty());
        let expected = if agent {
            WorkerState::Running
        } else {
            WorkerState::Lost
        };
        assert_eq!(bench.state(&id), Some(expected));
    }
}

#[test]
fn what_a_person_removes_is_removed_whatever_it_runs() {
    let mut bench = Bench::new(vec![spec("default", 0, 0)]);
    let id = WorkerId::from_bits(1);
    bench.list(vec![observed(&id)]);
    bench.tell(Event::EngineLost("away".into()));
    bench.tell(Event::Remove(id.clone()));
    bench.tell(runs(&id, false));
    assert_eq!(removed(&bench.tell(Event::EngineBack)).len(), 1);
}
