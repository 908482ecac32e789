//! What a user does, from key to effect.

use super::fixtures::*;
use crate::{
    dashboard::{
        app::{
            effect::{Call, Effect},
            failure::Failure,
            focus::{Focus, Tab},
            live_terminal::TerminalStream,
            message::{CallDone, FullscreenEnd, LiveBody, Msg},
            notice::NoticeLevel,
            state::AppState,
            update::update,
        },
        dialogs::{dialog::Dialog, spawn::request::describe_spawn},
        io::terminal::painter::Painter,
        workers::group::Group,
    },
    model::WorkerState,
    wire::EventBody,
};
use crossterm::event::KeyCode;
use podbay_protocol::{ActivityState, Size};

fn select(state: &mut AppState, n: u64) {
    state.selected = Some(id(n));
    update(state, Msg::Now(NOW));
}

fn now_in(state: &mut AppState, n: u64, activity: ActivityState) -> Vec<Effect> {
    let mut view = state.workers[&id(n)].view.clone();
    view.activity.as_mut().unwrap().state = activity;
    let worker = Box::new(view);
    update(state, event(EventBody::Worker { worker }))
}

#[test]
fn the_selection_stays_with_its_worker_when_the_order_changes() {
    let mut state = state_with(80, 24, workers(4));
    press(&mut state, "j");
    let chosen = state.selected.clone().unwrap();
    let mut view = state.workers[&chosen].view.clone();
    view.activity.as_mut().unwrap().state = ActivityState::Idle;
    let worker = Box::new(view);
    update(&mut state, event(EventBody::Worker { worker }));
    assert_eq!(state.selected.as_ref(), Some(&chosen));
    let removed = EventBody::Removed {
        id: chosen.clone(),
        name: "x".into(),
    };
    update(&mut state, event(removed));
    assert!(state.selected.is_some() && state.selected != Some(chosen));
}

#[test]
fn what_needs_you_is_first() {
    let state = state_with(80, 24, workers(10));
    let first = state.listed().next().unwrap();
    assert_eq!(first.view.name, "add-search");
}

#[test]
fn enter_types_in_place_and_the_leave_key_leads_back() {
    let mut state = state_with(120, 40, workers(10));
    let effects = update(&mut state, code(KeyCode::Enter));
    let chosen = state.selected.clone().unwrap();
    assert_eq!(state.typing.as_ref(), Some(&chosen));
    let area = state.typing_area().unwrap();
    let [Effect::Watch(targets)] = &effects[..] else {
        panic!("{effects:?}")
    };
    let size = Size {
        cols: area.width,
        rows: area.height,
    };
    assert_eq!(targets[0].write, Some(size));
    assert!(screen(&state).contains("all other keys go to the worker"));
    let effects = update(&mut state, Msg::Leave);
    assert!(matches!(&effects[..], [Effect::Watch(t)] if t[0].write.is_none()));
    assert_eq!(state.typing, None);
}

#[test]
fn where_there_is_no_room_enter_is_full_screen() {
    let mut state = state_with(40, 12, workers(2));
    let effects = update(&mut state, code(KeyCode::Enter));
    assert!(matches!(
        &effects[..],
        [Effect::Fullscreen { session: None, .. }]
    ));
    assert_eq!(state.typing, None);
}

#[test]
fn what_has_ended_shows_its_output_and_what_is_warm_says_why_not() {
    let mut state = state_with(120, 40, workers(10));
    select(&mut state, 6);
    update(&mut state, code(KeyCode::Enter));
    assert_eq!((state.tab, state.focus), (Tab::Logs, Focus::Pane));
    let mut state = state_with(120, 40, workers(10));
    select(&mut state, 5);
    assert_eq!(update(&mut state, code(KeyCode::Enter)), []);
    let notice = state.notice.unwrap();
    assert!(notice.level == NoticeLevel::Error && notice.text.contains("no running session"));
}

#[test]
fn another_writer_is_not_pushed_away_unasked() {
    let mut state = state_with(120, 40, workers(2));
    update(&mut state, code(KeyCode::Enter));
    let chosen = state.typing.clone().unwrap();
    live(&mut state, &chosen, LiveBody::Attached { writer: false });
    assert_eq!(state.typing, None);
    assert!(state.notice.as_ref().unwrap().text.contains("someone else"));
    update(&mut state, code(KeyCode::Esc));
    let effects = press(&mut state, "T");
    assert!(matches!(&effects[..], [Effect::Watch(t)] if t[0].takeover));
}

#[test]
fn a_session_that_ends_while_it_is_typed_into_gives_the_keys_back() {
    let mut state = state_with(120, 40, workers(2));
    update(&mut state, code(KeyCode::Enter));
    let chosen = state.typing.clone().unwrap();
    let mut view = state.workers[&chosen].view.clone();
    view.state = WorkerState::Exited;
    let worker = Box::new(view);
    update(&mut state, event(EventBody::Worker { worker }));
    assert_eq!(state.typing, None);
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
            [Effect::Call {
                call: Call::Stop(_),
                ..
            }]
        ),
        "{effects:?}"
    );
    assert_eq!(state.pending, ["stop add-search"]);
}

#[test]
fn marked_workers_are_stopped_together_and_the_question_says_what_is_lost() {
    let mut state = state_with(120, 40, workers(4));
    press(&mut state, "  ");
    assert_eq!(state.marked.len(), 2);
    press(&mut state, "x");
    let shown = screen(&state);
    assert!(
        shown.contains("Stop 2 workers?") && shown.contains("kept for review"),
        "{shown}"
    );
    let effects = press(&mut state, "y");
    let [
        Effect::Call {
            call: Call::Stop(stopped),
            ..
        },
    ] = &effects[..]
    else {
        panic!("{effects:?}")
    };
    assert_eq!(stopped.len(), 2);
    update(&mut state, code(KeyCode::Esc));
    assert!(state.marked.is_empty());
}

#[test]
fn a_running_worker_is_not_removed_and_an_ended_one_is_not_stopped() {
    let mut state = state_with(80, 24, workers(10));
    assert_eq!(press(&mut state, "D"), []);
    let said = |state: &AppState| state.notice.as_ref().unwrap().text.clone();
    assert!(said(&state).contains("x stops it first"));
    select(&mut state, 6);
    press(&mut state, "x");
    assert!(state.dialog.is_none());
    assert!(said(&state).contains("D removes it"));
    assert!(matches!(
        &press(&mut state, "Dy")[..],
        [Effect::Call {
            call: Call::Remove(_),
            ..
        }]
    ));
}

#[test]
fn a_failed_spawn_says_why_and_the_form_keeps_its_values() {
    let mut state = state_with(80, 24, vec![]);
    press(&mut state, "n");
    assert!(matches!(state.dialog, Some(Dialog::Spawn(_))));
    let effects = update(&mut state, code(KeyCode::Enter));
    let request = effects.iter().find_map(|e| match e {
        Effect::Call {
            call: Call::Spawn(request),
            ..
        } => Some(request.clone()),
        _ => None,
    });
    let request = request.unwrap_or_else(|| panic!("{effects:?}"));
    assert_eq!(state.pending, ["spawn a worker"]);
    let done = CallDone::Failed(Failure::new("no space"));
    let what = describe_spawn(&request);
    update(&mut state, Msg::CallDone { what, done });
    assert_eq!(state.pending, [""; 0]);
    assert_eq!(
        state.notice.as_ref().unwrap().text,
        "spawn a worker: no space"
    );
}

#[test]
fn what_was_spawned_is_selected_when_it_is_listed() {
    let mut state = state_with(120, 40, workers(3));
    let done = CallDone::Spawned {
        id: id(7),
        name: "new".into(),
        cold_reason: None,
        total_us: 2_000,
        warnings: vec![],
    };
    let what = "spawn a worker".into();
    update(&mut state, Msg::CallDone { what, done });
    let worker = Box::new(worker(
        7,
        "new",
        WorkerState::Running,
        Some(ActivityState::Idle),
    ));
    update(&mut state, event(EventBody::Worker { worker }));
    assert_eq!(state.selected, Some(id(7)));
}

#[test]
fn nothing_is_done_while_the_coordinator_is_gone_and_it_comes_back_by_itself() {
    let mut state = state_with(120, 24, workers(3));
    let watched = state.watched.clone();
    assert_eq!(watched.len(), 1);
    update(&mut state, code(KeyCode::Enter));
    let reason = "gone".into();
    let effects = update(&mut state, Msg::Gone { reason });
    assert_eq!(effects, [Effect::Watch(vec![])]);
    assert_eq!(
        state.typing, None,
        "keys must not go where nobody hears them"
    );
    assert_eq!(press(&mut state, "x"), []);
    assert!(state.dialog.is_none() && state.notice.is_some());
    let shown = screen(&state);
    assert!(
        shown.contains("stale") && shown.contains("unreachable"),
        "{shown}"
    );
    let effects = update(&mut state, hello(workers(3)));
    assert!(effects.contains(&Effect::Watch(watched)), "{effects:?}");
}

#[test]
fn a_late_message_of_another_terminal_is_dropped() {
    let mut state = state_with(120, 24, workers(3));
    live(
        &mut state,
        "ffffffffffff",
        LiveBody::Attached { writer: false },
    );
    assert_eq!(state.terminals.len(), 1);
    let watched = state.watched[0].id.clone();
    assert_eq!(
        state.terminal(&watched).unwrap().stream,
        TerminalStream::Opening
    );
}

#[test]
fn coming_back_from_full_screen_draws_anew() {
    let mut state = state_with(80, 24, workers(1));
    let end = FullscreenEnd::Detached { writer: false };
    let effects = update(&mut state, Msg::FullscreenEnded(end));
    assert_eq!(effects, [Effect::Redraw]);
    assert!(state.notice.unwrap().hint.unwrap().contains("takes over"));
}

#[test]
fn who_begins_to_wait_is_announced_unless_the_user_looks_at_it() {
    let mut state = state_with(120, 40, workers(4));
    select(&mut state, 3);
    let effects = now_in(&mut state, 0, ActivityState::Waiting);
    let notified = |effects: &[Effect]| {
        effects
            .iter()
            .any(|e| matches!(e, Effect::Notify { title, .. } if title == "fix-login"))
    };
    assert!(notified(&effects), "{effects:?}");
    assert!(
        state
            .notice
            .as_ref()
            .unwrap()
            .text
            .contains("fix-login needs you")
    );
    assert!(state.title().starts_with("(2) "), "{}", state.title());
    // With the focus, the line at the bottom is enough.
    now_in(&mut state, 0, ActivityState::Working);
    update(&mut state, Msg::Focus(true));
    assert!(!notified(&now_in(&mut state, 0, ActivityState::Waiting)));
    // What is before the user's eyes is not announced at all.
    now_in(&mut state, 0, ActivityState::Working);
    select(&mut state, 0);
    state.notice = None;
    now_in(&mut state, 0, ActivityState::Waiting);
    assert_eq!(state.notice, None);
}

#[test]
fn g_goes_from_one_that_waits_to_the_next_also_when_filtered_away() {
    let mut list = workers(4);
    list[3].activity.as_mut().unwrap().state = ActivityState::Waiting;
    let mut state = state_with(120, 40, list);
    press(&mut state, "/docs");
    update(&mut state, code(KeyCode::Enter));
    assert_eq!(state.rows.len(), 1);
    press(&mut state, "g");
    let first = state.selected_worker().unwrap().view.name.clone();
    press(&mut state, "g");
    let second = state.selected_worker().unwrap().view.name.clone();
    assert_ne!(first, second);
    assert_eq!(state.selected_worker().unwrap().group(), Group::NeedsYou);
    press(&mut state, "g");
    assert_eq!(state.selected_worker().unwrap().view.name, first);
}

#[test]
fn a_worker_is_answered_from_the_list() {
    let mut state = state_with(120, 40, workers(4));
    press(&mut state, "r");
    assert!(screen(&state).contains("permission to run cargo test"));
    press(&mut state, "yes, go on");
    let effects = update(&mut state, code(KeyCode::Enter));
    let [
        Effect::Call {
            call: Call::Reply { line, .. },
            ..
        },
    ] = &effects[..]
    else {
        panic!("{effects:?}")
    };
    assert_eq!(line, "yes, go on");
    assert!(state.dialog.is_none());
}

#[test]
fn a_name_that_is_taken_or_wrong_is_said_in_the_dialog() {
    let mut state = state_with(120, 40, workers(4));
    press(&mut state, ",");
    for _ in 0..20 {
        update(&mut state, code(KeyCode::Backspace));
    }
    press(&mut state, "docs");
    assert_eq!(update(&mut state, code(KeyCode::Enter)), []);
    assert!(screen(&state).contains("named docs already"));
    press(&mut state, "-2");
    let effects = update(&mut state, code(KeyCode::Enter));
    assert!(
        matches!(&effects[..], [Effect::Call { call: Call::Rename { name, .. }, .. }] if name == "docs-2")
    );
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
