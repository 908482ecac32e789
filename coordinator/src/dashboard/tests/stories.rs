//! What a user does, from key to effect.

use super::fixtures::*;
use crate::{
    dashboard::{
        dialog::Dialog,
        event::{Act, ActionDone, AttachEnd, Effect, Failure, LiveBody, LiveMsg, Msg},
        painter::Painter,
        state::{Level, PreviewStream},
        update::{spawn_words, update},
    },
    model::WorkerState,
    wire::EventBody,
};
use crossterm::event::KeyCode;
use podbay_protocol::ActivityState;

#[test]
fn the_selection_stays_with_its_worker_when_the_order_changes() {
    let mut state = state_with(80, 24, workers(4));
    press(&mut state, "gj");
    let chosen = state.selected.clone().unwrap();
    let mut view = state.workers[&chosen].view.clone();
    view.activity.as_mut().unwrap().state = ActivityState::Idle;
    update(
        &mut state,
        event(EventBody::Worker {
            worker: Box::new(view),
        }),
    );
    assert_eq!(state.selected.as_ref(), Some(&chosen));
    update(
        &mut state,
        event(EventBody::Removed {
            id: chosen.clone(),
            name: "x".into(),
        }),
    );
    assert!(state.selected.is_some() && state.selected != Some(chosen));
}

#[test]
fn what_needs_you_is_first() {
    let state = state_with(80, 24, workers(10));
    let first = state.listed().next().unwrap();
    assert_eq!(first.view.name, "add-search");
}

#[test]
fn enter_attaches_and_only_where_there_is_a_session() {
    let mut state = state_with(80, 24, workers(10));
    press(&mut state, "g");
    let effects = update(&mut state, code(KeyCode::Enter));
    assert!(
        matches!(
            &effects[..],
            [Effect::Zoom {
                takeover: false,
                ..
            }]
        ),
        "{effects:?}"
    );
    state.selected = Some(format!("{:012x}", 5));
    update(&mut state, Msg::Now(NOW));
    assert_eq!(update(&mut state, code(KeyCode::Enter)), []);
    let notice = state.notice.unwrap();
    assert!(notice.level == Level::Error && notice.text.contains("no running session"));
}

#[test]
fn a_stop_needs_a_yes() {
    let mut state = state_with(80, 24, workers(2));
    press(&mut state, "x");
    assert!(matches!(state.dialog, Some(Dialog::Confirm(_))));
    // Enter is on Cancel at first.
    assert_eq!(update(&mut state, code(KeyCode::Enter)), []);
    assert_eq!(press(&mut state, "xn"), []);
    let effects = press(&mut state, "xy");
    assert!(
        matches!(
            &effects[..],
            [Effect::Act {
                act: Act::Stop(_),
                ..
            }]
        ),
        "{effects:?}"
    );
    assert_eq!(state.pending.len(), 1);
}

#[test]
fn a_running_worker_is_not_removed_and_an_ended_one_is_not_stopped() {
    let mut state = state_with(80, 24, workers(10));
    assert_eq!(press(&mut state, "gD"), []);
    assert!(
        state
            .notice
            .as_ref()
            .unwrap()
            .text
            .contains("x stops it first")
    );
    state.selected = Some(format!("{:012x}", 6));
    press(&mut state, "x");
    assert!(state.dialog.is_none());
    assert!(state.notice.as_ref().unwrap().text.contains("D removes it"));
    assert!(matches!(
        &press(&mut state, "Dy")[..],
        [Effect::Act {
            act: Act::Remove(_),
            ..
        }]
    ));
}

#[test]
fn spawn_sends_the_form_and_remembers_it() {
    let mut state = state_with(80, 24, vec![]);
    press(&mut state, "w/srv/shop");
    update(&mut state, code(KeyCode::Tab));
    press(&mut state, "fix");
    let effects = update(&mut state, code(KeyCode::Enter));
    let [
        Effect::Act {
            act: Act::Spawn(request),
            ..
        },
    ] = &effects[..]
    else {
        panic!("{effects:?}")
    };
    assert_eq!(request.project.as_ref().unwrap().to_string(), "/srv/shop");
    assert_eq!(request.name.as_deref(), Some("fix"));
    assert_eq!(state.pending, ["spawn fix"]);
    let done = ActionDone::Failed(Failure::new("no space"));
    update(
        &mut state,
        Msg::ActionDone {
            what: spawn_words(request),
            done,
        },
    );
    assert_eq!(state.pending, [""; 0]);
    assert_eq!(state.notice.as_ref().unwrap().text, "spawn fix: no space");
    press(&mut state, "n");
    let Some(Dialog::Spawn(form)) = &state.dialog else {
        panic!()
    };
    assert_eq!(
        (
            form.project.content().as_str(),
            form.name.content().as_str()
        ),
        ("/srv/shop", "")
    );
}

#[test]
fn nothing_is_done_while_the_coordinator_is_gone_and_it_comes_back_by_itself() {
    let mut state = state_with(80, 24, workers(3));
    let watched = state.preview.worker.clone();
    assert!(watched.is_some());
    let effects = update(
        &mut state,
        Msg::Gone {
            reason: "gone".into(),
        },
    );
    assert_eq!(effects, [Effect::Watch(vec![])]);
    assert_eq!(press(&mut state, "x"), []);
    assert!(state.dialog.is_none() && state.notice.is_some());
    let effects = update(&mut state, hello(workers(3)));
    assert!(
        matches!(&effects[..], [Effect::Watch(t)] if t.first().map(|t| &t.id) == watched.as_ref())
    );
}

#[test]
fn a_late_message_of_another_preview_is_dropped() {
    let mut state = state_with(80, 24, workers(3));
    let worker = "ffffffffffff".to_owned();
    update(
        &mut state,
        Msg::Live(LiveMsg {
            worker,
            body: LiveBody::Attached { writer: false },
        }),
    );
    assert_eq!(state.preview.stream, PreviewStream::Opening);
}

#[test]
fn coming_back_from_an_attach_draws_anew() {
    let mut state = state_with(80, 24, workers(1));
    let effects = update(
        &mut state,
        Msg::ZoomEnded(AttachEnd::Detached { writer: false }),
    );
    assert_eq!(effects, [Effect::Redraw]);
    assert!(state.notice.unwrap().hint.unwrap().contains("takes over"));
}

#[test]
fn an_idle_dashboard_writes_nothing_and_wakes_at_the_next_minute() {
    let mut state = state_with(80, 24, workers(4));
    let mut painter = Painter::new();
    assert!(!painter.frame(&state).unwrap().is_empty());
    let wait = state.next_change_ms().unwrap();
    assert!((1..=60_000).contains(&wait));
    update(&mut state, Msg::Now(NOW + wait - 1));
    assert!(painter.frame(&state).unwrap().is_empty());
    update(&mut state, Msg::Now(NOW + wait));
    assert!(!painter.frame(&state).unwrap().is_empty());
    assert_eq!(state_with(80, 24, vec![]).next_change_ms(), None);
}

#[test]
fn cpu_is_known_after_two_readings() {
    let mut state = state_with(120, 40, workers(1));
    let id = state.selected.clone().unwrap();
    let mut view = state.workers[&id].view.clone();
    view.readings.cpu_us = Some(2_500_000);
    let mut msg = event(EventBody::Worker {
        worker: Box::new(view),
    });
    let Msg::Api(event) = &mut msg else { panic!() };
    event.at_ms = NOW + 5_000;
    update(&mut state, msg);
    assert_eq!(state.workers[&id].cpu_percent, Some(50));
}

#[test]
fn a_filter_narrows_and_esc_shows_all() {
    let mut state = state_with(80, 24, workers(10));
    press(&mut state, "/needs");
    assert_eq!(state.rows.len(), 1);
    update(&mut state, code(KeyCode::Enter));
    update(&mut state, code(KeyCode::Esc));
    assert_eq!(state.rows.len(), 10);
    assert_eq!(
        state
            .workers
            .values()
            .filter(|w| w.view.state == WorkerState::Warm)
            .count(),
        1
    );
}
