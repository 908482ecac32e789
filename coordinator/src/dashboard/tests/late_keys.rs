//! What is typed for a worker that no longer takes it never becomes a command.

use super::fixtures::*;
use crate::{
    dashboard::app::{
        effect::Effect,
        failure::Failure,
        focus::{Focus, Tab},
        keys::late_keys::QUIET_MS,
        message::{FullscreenEnd, LiveBody, LiveMsg, Msg},
        settings::Settings,
        state::AppState,
        update::update,
    },
    model::WorkerState,
    wire::EventBody,
};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use podbay_protocol::{ActivityState, ExitStatus, Size};
use proptest::prelude::*;

/// What takes a worker away from the one who types into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    Ended,
    Removed,
    Lost,
    Taken,
    Coordinator,
    Small,
    Stopping,
}

const LOSSES: [Loss; 7] = [
    Loss::Ended,
    Loss::Removed,
    Loss::Lost,
    Loss::Taken,
    Loss::Coordinator,
    Loss::Small,
    Loss::Stopping,
];

fn lose(state: &mut AppState, loss: Loss) -> Vec<Effect> {
    let id = state.typing.clone().unwrap();
    let name = state.workers[&id].view.name.clone();
    let mut view = state.workers[&id].view.clone();
    // The time goes on: an event says the coordinator's.
    let event = |state: &AppState, body| {
        let Msg::Api(mut event) = event(body) else {
            panic!()
        };
        event.at_ms = state.now_ms;
        Msg::Api(event)
    };
    let msg = match loss {
        Loss::Ended => {
            view.state = WorkerState::Exited;
            view.exit = Some(ExitStatus::Code(0));
            event(
                state,
                EventBody::Worker {
                    worker: Box::new(view),
                },
            )
        }
        Loss::Lost => {
            view.state = WorkerState::Lost;
            view.why = Some("its agent has not called for 10s".into());
            event(
                state,
                EventBody::Worker {
                    worker: Box::new(view),
                },
            )
        }
        Loss::Stopping => {
            view.state = WorkerState::Stopping;
            event(
                state,
                EventBody::Worker {
                    worker: Box::new(view),
                },
            )
        }
        Loss::Removed => event(state, EventBody::Removed { id, name }),
        Loss::Taken => Msg::Live(LiveMsg {
            worker: id,
            body: LiveBody::Attached { writer: false },
        }),
        Loss::Coordinator => Msg::Gone {
            reason: "gone".into(),
        },
        Loss::Small => Msg::Resize(Size { cols: 40, rows: 12 }),
    };
    update(state, msg)
}

fn back(state: &mut AppState) {
    let views = state.workers.values().map(|w| w.view.clone()).collect();
    let Msg::Api(mut event) = hello(views) else {
        panic!()
    };
    event.at_ms = state.now_ms;
    update(state, Msg::Api(event));
}

fn typing(cols: u16, rows: u16) -> AppState {
    let mut state = state_with(cols, rows, workers(10));
    update(&mut state, code(KeyCode::Enter));
    assert!(state.typing.is_some());
    state
}

fn after(state: &mut AppState, ms: u64, msg: Msg) -> Vec<Effect> {
    // As the loop does: each message is told the time.
    state.now_ms += ms;
    update(state, msg)
}

#[test]
fn whatever_takes_the_worker_away_keys_are_ignored_and_the_reason_is_said() {
    for (loss, why) in LOSSES.into_iter().zip([
        "add-search finished (exit 0)",
        "add-search is gone",
        "add-search is lost: its agent has not called for 10s",
        "someone else types into add-search, you are watching",
        "the coordinator is gone",
        "add-search is not shown any more",
        "add-search is being stopped",
    ]) {
        let mut state = typing(120, 40);
        lose(&mut state, loss);
        assert_eq!(state.typing, None, "{loss:?}");
        let notice = state.notice.clone().unwrap();
        assert_eq!(notice.text, format!("{why}: keys are ignored"));
        assert!(notice.hint.unwrap().starts_with("Esc goes on"), "{loss:?}");
        let (dialog, selected) = (state.dialog.is_some(), state.selected.clone());
        for c in "ls -la; a q ? n x D / T : t\r".chars() {
            assert_eq!(after(&mut state, 300, key(c)), [], "{loss:?} {c:?}");
        }
        assert_eq!(after(&mut state, 10, Msg::Paste("rm -rf x\n".into())), []);
        let ctrl = |c| KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL);
        for c in ['c', 'd', 'z', 'p'] {
            assert_eq!(
                after(&mut state, 300, Msg::Key(ctrl(c))),
                [],
                "{loss:?} ^{c}"
            );
        }
        assert_eq!(
            (state.dialog.is_some(), state.selected.clone()),
            (dialog, selected)
        );
        assert_eq!(
            (state.focus, state.tab, state.tiles),
            (Focus::List, Tab::Terminal, false)
        );
        assert!(state.filter.is_empty() && state.marked.is_empty() && !state.filtering);
    }
}

#[test]
fn a_terminal_that_is_live_is_typed_into_without_a_coordinator() {
    let mut state = typing(120, 40);
    let id = state.typing.clone().unwrap();
    let live = |worker: &String, body| {
        let worker = worker.clone();
        Msg::Live(LiveMsg { worker, body })
    };
    update(&mut state, live(&id, LiveBody::Attached { writer: true }));
    lose(&mut state, Loss::Coordinator);
    let watched = state.watched.iter().map(|w| (&w.id, w.write.is_some()));
    assert_eq!(state.typing.as_ref(), Some(&id));
    assert_eq!(watched.collect::<Vec<_>>(), [(&id, true)]);
    assert!(state.late.is_none() && !screen(&state).contains("stale;"));
    // The next coordinator finds the worker before its agent has called there.
    let known = state.workers[&id].view.state;
    for found in [WorkerState::Creating, known] {
        state.workers.get_mut(&id).unwrap().view.state = found;
        back(&mut state);
        assert_eq!(state.typing.as_ref(), Some(&id), "{found:?}");
        assert!(
            state
                .watched
                .iter()
                .any(|w| w.id == id && w.write.is_some())
        );
        assert!(state.late.is_none());
    }
    lose(&mut state, Loss::Coordinator);
    // Its own end is another matter.
    let reason = "it went away".to_owned();
    let broken = LiveBody::Broken {
        reason,
        last: false,
    };
    update(&mut state, live(&id, broken));
    assert_eq!(state.typing, None);
    let said = |state: &AppState| state.notice.clone().unwrap().text;
    assert_eq!(said(&state), "the coordinator is gone: keys are ignored");
    // Nothing says so once it is back, and the keys still go nowhere.
    back(&mut state);
    assert_eq!(said(&state), "the coordinator is back: keys are ignored");
    assert_eq!(after(&mut state, 300, key('x')), []);
    let quiet = state.now_ms + QUIET_MS;
    update(&mut state, Msg::Now(quiet));
    assert_eq!(said(&state), "the coordinator is back");
    // Nor when the second had passed before.
    let mut state = typing(120, 40);
    lose(&mut state, Loss::Coordinator);
    let quiet = state.now_ms + QUIET_MS;
    update(&mut state, Msg::Now(quiet));
    assert_eq!(said(&state), "the coordinator is gone");
    back(&mut state);
    assert!(state.notice.is_none() && state.late.is_none());
}

#[test]
fn esc_goes_on_at_once_and_a_second_without_a_key_does_too() {
    let mut state = typing(120, 40);
    lose(&mut state, Loss::Ended);
    assert!(screen(&state).contains("Esc goes on"));
    assert_eq!(after(&mut state, 5, code(KeyCode::Esc)), []);
    assert!(state.late.is_none());
    press(&mut state, "?");
    assert!(state.dialog.is_some(), "the next key is a command");

    let mut state = typing(120, 40);
    lose(&mut state, Loss::Ended);
    press(&mut state, "x");
    assert_eq!(state.next_change_ms(), Some(QUIET_MS));
    // Each key begins the second again, and so does none.
    after(&mut state, QUIET_MS - 1, key('?'));
    assert!(state.dialog.is_none());
    let now = state.now_ms + QUIET_MS - 1;
    update(&mut state, Msg::Now(now));
    assert!(state.late.is_some());
    update(&mut state, Msg::Now(now + 1));
    assert!(state.late.is_none());
    let said = state.notice.clone().unwrap();
    assert_eq!(said.text, "add-search finished (exit 0)");
    press(&mut state, "?");
    assert!(state.dialog.is_some());

    // A loop that was busy tells no time before the key: the key itself is late enough.
    let mut state = typing(120, 40);
    lose(&mut state, Loss::Ended);
    after(&mut state, QUIET_MS, key('?'));
    assert!(state.dialog.is_some());
}

#[test]
fn after_another_writer_esc_and_the_takeover_key_take_over() {
    let mut state = typing(120, 40);
    lose(&mut state, Loss::Taken);
    let hint = state.notice.clone().unwrap().hint.unwrap();
    assert_eq!(hint, "Esc goes on, then T takes over");
    after(&mut state, 5, code(KeyCode::Esc));
    let effects = press(&mut state, "T");
    assert!(
        matches!(&effects[..], [Effect::Watch(t)] if t[0].takeover),
        "{effects:?}"
    );
}

#[test]
fn a_full_screen_session_that_ends_leaves_no_commands_either() {
    for end in [
        FullscreenEnd::Exited(ExitStatus::Code(1)),
        FullscreenEnd::Lost(Failure::new("the coordinator is gone")),
    ] {
        let mut state = state_with(40, 12, workers(2));
        update(&mut state, Msg::FullscreenEnded(end));
        assert_eq!(press(&mut state, "xyaq"), []);
        assert!(state.dialog.is_none());
    }
    let mut state = state_with(40, 12, workers(2));
    update(
        &mut state,
        Msg::FullscreenEnded(FullscreenEnd::Detached { writer: true }),
    );
    press(&mut state, "x");
    assert!(
        state.dialog.is_some(),
        "the user came back by the leave keys"
    );
}

#[test]
fn who_leaves_on_purpose_has_the_list_at_once() {
    let mut state = typing(120, 40);
    update(&mut state, Msg::Leave);
    assert!(state.late.is_none());
    press(&mut state, "?");
    assert!(state.dialog.is_some());
}

#[test]
fn enter_in_the_list_types_whatever_tab_is_shown_and_the_footer_says_so() {
    for tab in ["2", "3", "4"] {
        let mut state = state_with(120, 40, workers(4));
        press(&mut state, tab);
        update(&mut state, code(KeyCode::Esc));
        assert_eq!(state.focus, Focus::List, "{tab}");
        assert_ne!(state.tab, Tab::Terminal);
        assert!(screen(&state).contains("Enter type"), "{}", screen(&state));
        update(&mut state, code(KeyCode::Enter));
        assert_eq!(state.tab, Tab::Terminal, "{tab}");
        assert_eq!(state.typing, state.selected, "{tab}");
        assert!(screen(&state).contains("all other keys go to the worker"));
    }
    // Of one that has ended there is the output.
    let mut state = state_with(120, 40, workers(10));
    state.selected = Some(format!("{:012x}", 6));
    update(&mut state, Msg::Now(NOW));
    assert!(
        screen(&state).contains("Enter output"),
        "{}",
        screen(&state)
    );
}

#[test]
fn what_is_shown_while_keys_are_ignored() {
    for (cols, rows) in [(80, 24), (120, 40)] {
        let mut state = typing(cols, rows);
        lose(&mut state, Loss::Ended);
        insta::assert_snapshot!(format!("late_{cols}x{rows}"), screen(&state));
    }
    let mut state = state_with(40, 12, workers(2));
    update(
        &mut state,
        Msg::FullscreenEnded(FullscreenEnd::Exited(ExitStatus::Code(0))),
    );
    insta::assert_snapshot!("late_40x12", screen(&state));
}

/// What happens around someone who types without looking.
#[derive(Debug, Clone)]
enum Step {
    /// A key, so many milliseconds after the one before.
    Key(KeyEvent, u64),
    Paste(u64),
    Loss(Loss),
    /// Something of no account for the one who types.
    Other(u8),
}

fn a_step() -> impl Strategy<Value = Step> {
    let typed = prop::sample::select(
        "asdf qwer ls -la /x:y;TnxXDdRSt?ozgvm[]12345\r\t"
            .chars()
            .collect::<Vec<_>>(),
    )
    .prop_map(|c| match c {
        '\r' => KeyEvent::new(KeyCode::Enter, KeyModifiers::NONE),
        '\t' => KeyEvent::new(KeyCode::Tab, KeyModifiers::NONE),
        c => KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE),
    });
    let control = prop::sample::select("abcdeklnpqruwz".chars().collect::<Vec<_>>())
        .prop_map(|c| KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL));
    let gap = 0..QUIET_MS;
    prop_oneof![
        12 => (typed, gap.clone()).prop_map(|(key, ms)| Step::Key(key, ms)),
        2 => (control, gap.clone()).prop_map(|(key, ms)| Step::Key(key, ms)),
        1 => gap.prop_map(Step::Paste),
        2 => prop::sample::select(LOSSES.to_vec()).prop_map(Step::Loss),
        2 => any::<u8>().prop_map(Step::Other),
    ]
}

proptest! {
    #![proptest_config(crate::seeds::cases(256))]

    /// Someone types into one worker, with less than a second between the keys and no Esc, and
    /// whatever happens meanwhile: no key has any effect but as input of that worker.
    #[test]
    fn typing_blindly_reaches_one_worker_or_nothing(steps in prop::collection::vec(a_step(), 1..60)) {
        let mut state = AppState::new(Settings::default(), Size { cols: 120, rows: 40 }, NOW);
        update(&mut state, hello(workers(10)));
        update(&mut state, code(KeyCode::Enter));
        let meant = state.typing.clone().unwrap();
        for step in steps {
            let before = (state.selected.clone(), state.tab, state.focus, state.filter.clone());
            let open = state.dialog.is_some();
            let effects = match step {
                // Bytes for the worker that is typed into never come to `update`.
                Step::Key(..) | Step::Paste(..) if state.typing.is_some() => {
                    prop_assert_eq!(state.typing.as_ref(), Some(&meant), "typed into another worker");
                    continue;
                }
                Step::Key(key, ms) => after(&mut state, ms, Msg::Key(key)),
                Step::Paste(ms) => after(&mut state, ms, Msg::Paste("x\ny\n".into())),
                Step::Loss(loss) => {
                    if state.typing.is_some() {
                        lose(&mut state, loss);
                    }
                    continue;
                }
                Step::Other(n) => {
                    let view = worker(u64::from(n % 10), "other", WorkerState::Running, Some(ActivityState::Working));
                    let effects = match n % 4 {
                        0 => after(&mut state, 0, hello(workers(u64::from(n % 12)))),
                        1 => update(&mut state, event(EventBody::Worker { worker: Box::new(view) })),
                        2 => update(&mut state, Msg::Resize(Size { cols: 120, rows: 40 })),
                        _ => update(&mut state, Msg::Focus(n % 8 == 0)),
                    };
                    let acts = effects.iter().any(|e| matches!(e, Effect::Call { .. } | Effect::Quit));
                    prop_assert!(!acts, "{effects:?}");
                    continue;
                }
            };
            prop_assert_eq!(effects, Vec::new());
            let now = (state.selected.clone(), state.tab, state.focus, state.filter.clone());
            prop_assert_eq!(now, before);
            prop_assert_eq!(state.dialog.is_some(), open);
        }
    }
}
