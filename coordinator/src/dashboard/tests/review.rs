//! The changes tab: what it shows in every situation, and that nothing makes it panic.

use super::{changes_fixtures::*, fixtures::*};
use crate::{
    dashboard::{
        app::{
            actions::preconditions::check_preconditions,
            effect::{Effect, Fetch},
            failure::Failure,
            focus::{Focus, Tab},
            message::Fetched,
            state::{AppState, CoordinatorLink},
        },
        view::draw,
    },
    model::{HostPath, Isolation, WorkerState, keys::Action},
    wire::{Change, ChangeKind, Changes, FileDiff},
};
use podbay_protocol::ActivityState;
use proptest::prelude::*;
use ratatui::{Terminal, backend::TestBackend, buffer::Buffer, layout::Rect};

const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (40, 12)];

fn shown(cols: u16, rows: u16) -> AppState {
    let mut view = worker(
        0,
        "fix-login",
        WorkerState::Running,
        Some(ActivityState::Working),
    );
    view.unapplied = true;
    let mut state = state_with(cols, rows, vec![view]);
    state.tab = Tab::Changes;
    state.focus = Focus::Pane;
    follow(&mut state);
    state
}

fn follow(state: &mut AppState) -> Vec<Effect> {
    let area = Rect::new(0, 0, state.size.cols, state.size.rows);
    state.changes.fit(area);
    let worker = state.selected_worker().cloned();
    state.changes.on_shown(worker.as_ref())
}

fn id(state: &AppState) -> String {
    state.selected.clone().unwrap()
}

fn take_changes(state: &mut AppState, changes: Result<Changes, Failure>) -> Vec<Effect> {
    let worker = id(state);
    state
        .changes
        .on_fetched(Fetched::Changes { worker, changes })
}

/// Selects a file by its path and takes its difference in.
fn open(state: &mut AppState, path: &str, unified: &str) {
    let rows = &state.changes.files().unwrap().rows;
    let found = rows.iter().find(|r| r.name == path).unwrap();
    let change = found.change.clone();
    state.changes.perform(Action::First, 10);
    while state.changes.files().unwrap().selected().unwrap().name != path {
        state.changes.perform(Action::Down, 10);
    }
    let diff = FileDiff {
        change: change.clone(),
        unified: unified.into(),
        truncated: false,
    };
    let worker = id(state);
    let path = change.path;
    let diff = Ok(vec![diff]);
    state
        .changes
        .on_fetched(Fetched::Diff { worker, path, diff });
}

fn listed(cols: u16, rows: u16) -> AppState {
    let mut state = shown(cols, rows);
    take_changes(&mut state, Ok(some_changes()));
    open(&mut state, "src/cart.rs", CART);
    state
}

fn tab(state: &AppState) -> String {
    let mut terminal = Terminal::new(TestBackend::new(state.size.cols, state.size.rows)).unwrap();
    terminal
        .draw(|frame| {
            draw::draw_tab(state, frame.buffer_mut());
        })
        .unwrap();
    terminal.backend().to_string()
}

fn snapshots(name: &str, make: impl Fn(u16, u16) -> AppState) {
    for (cols, rows) in SIZES {
        let shown = tab(&make(cols, rows));
        insta::assert_snapshot!(format!("changes_{name}_{cols}x{rows}"), shown);
    }
}

#[test]
fn files_and_the_difference_of_the_selected_one() {
    snapshots("list", listed);
}

#[test]
fn a_wide_tab_shows_both_versions_side_by_side() {
    let state = listed(160, 30);
    insta::assert_snapshot!(tab(&state));
}

#[test]
fn the_difference_has_the_keys_marks_and_a_filter() {
    snapshots("marked", |c, r| {
        let mut state = listed(c, r);
        for action in [Action::First, Action::Mark, Action::Mark, Action::Enter] {
            state.changes.perform(action, 10);
        }
        state.changes.perform(Action::Filter, 10);
        state.changes.text_field().unwrap().insert("s");
        state.changes.search_changed();
        state.changes.search_ended(true);
        state
    });
}

#[test]
fn a_filter_is_typed() {
    snapshots("filtering", |c, r| {
        let mut state = listed(c, r);
        state.changes.perform(Action::Filter, 10);
        state
            .changes
            .text_field()
            .unwrap()
            .insert("nothing has this");
        state.changes.search_changed();
        state
    });
}

#[test]
fn scrolled_to_the_right() {
    snapshots("right", |c, r| {
        let mut state = listed(c, r);
        for action in [Action::Right, Action::Right, Action::NextMatch] {
            state.changes.perform(action, 10);
        }
        state
    });
}

#[test]
fn before_anything_came() {
    snapshots("loading", shown);
}

#[test]
fn nothing_changed_yet() {
    snapshots("none", |c, r| {
        let mut state = shown(c, r);
        let changes = Changes {
            entries: vec![],
            ..some_changes()
        };
        take_changes(&mut state, Ok(changes));
        state
    });
}

#[test]
fn a_worker_that_writes_straight_to_the_project() {
    snapshots("direct", |c, r| {
        let mut view = worker(0, "direct", WorkerState::Running, None);
        view.isolation = Isolation::Bind;
        view.project = Some(HostPath::new("/home/me/my shop"));
        let mut state = state_with(c, r, vec![view]);
        state.tab = Tab::Changes;
        assert_eq!(follow(&mut state), []);
        state
    });
}

#[test]
fn a_failure_says_what_to_do() {
    snapshots("failed", |c, r| {
        let mut state = shown(c, r);
        let failure = Failure {
            message: "there are more than 200000; discard generated folders first".into(),
            hint: Some("podbay discard fix-login target".into()),
        };
        take_changes(&mut state, Err(failure));
        state
    });
}

#[test]
fn while_the_coordinator_is_gone_what_is_known_stays() {
    snapshots("gone", |c, r| {
        let mut state = listed(c, r);
        state.link = CoordinatorLink::Gone {
            since_ms: NOW,
            reason: "gone".into(),
        };
        state.changes.on_shown(None);
        state
    });
}

#[test]
fn every_size_can_be_drawn() {
    for cols in [0, 1, 2, 5, 9, 23, 24, 40, 59, 60, 89, 90, 139, 140, 250] {
        for rows in [0, 1, 2, 3, 4, 6, 7, 8, 20] {
            for part in [false, true] {
                for scrolled in [0, 3] {
                    let mut state = listed(cols, rows);
                    if part {
                        state.changes.perform(Action::Enter, 1);
                    }
                    for _ in 0..scrolled {
                        state.changes.perform(Action::Right, 1);
                        state.changes.perform(Action::ScrollDown, 1);
                    }
                    let mut buf = Buffer::empty(Rect::new(0, 0, cols, rows));
                    draw::draw_tab(&state, &mut buf);
                }
            }
        }
    }
}

#[test]
fn ten_thousand_files_are_drawn_as_quickly_as_ten() {
    let entries = (0..10_000)
        .map(|n| change(&format!("target/debug/f{n:05}.d"), ChangeKind::Added, 1, 0))
        .collect();
    let mut state = shown(120, 40);
    let project = HostPath::new("/home/me/shop");
    take_changes(
        &mut state,
        Ok(Changes {
            project,
            entries,
            truncated: false,
            project_missing: false,
        }),
    );
    let started = std::time::Instant::now();
    for _ in 0..200 {
        state.changes.perform(Action::PageDown, 30);
        follow(&mut state);
        tab(&state);
    }
    // A debug build on a busy machine; the point is that it is not seconds a frame.
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
    assert!(tab(&state).contains("f06000.d"));
}

#[test]
fn only_the_selected_file_is_asked_for_and_once() {
    let mut state = shown(120, 40);
    let effects = take_changes(&mut state, Ok(some_changes()));
    let [Effect::Fetch(Fetch::Diff { path, .. })] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(path.to_string(), "assets/logo.png");
    assert_eq!(state.changes.perform(Action::Down, 10).effects, []);
    assert_eq!(follow(&mut state), []);
    let worker = id(&state);
    let diff = Err(Failure::new("gone"));
    let path = path.clone();
    let effects = state
        .changes
        .on_fetched(Fetched::Diff { worker, path, diff });
    assert!(
        matches!(&effects[..], [Effect::Fetch(Fetch::Diff { path, .. })]
        if path.to_string() == "docs/old.md")
    );
}

fn an_action() -> impl Strategy<Value = Action> {
    use Action as A;
    prop::sample::select(vec![
        A::Down,
        A::Up,
        A::Left,
        A::Right,
        A::PageDown,
        A::PageUp,
        A::First,
        A::Last,
        A::Enter,
        A::Apply,
        A::Discard,
        A::Mark,
        A::MarkAll,
        A::Filter,
        A::NextMatch,
        A::PreviousMatch,
        A::ScrollDown,
        A::ScrollUp,
        A::SideBySide,
        A::Refresh,
        A::Copy,
        A::Follow,
    ])
}

fn some_entries() -> impl Strategy<Value = Changes> {
    let path = "[ab]/[a-c]|[a-d]|\\PC{1,4}";
    let entry = (path, 0u8..4, any::<bool>(), 0u64..9);
    prop::collection::vec(entry, 0..8).prop_map(|entries| {
        let mut entries: Vec<Change> = entries
            .into_iter()
            .map(|(path, kind, conflict, lines)| {
                let kind = match kind {
                    0 => ChangeKind::Added,
                    1 => ChangeKind::Modified,
                    2 => ChangeKind::Deleted,
                    _ => ChangeKind::TypeChanged,
                };
                let mut change = change(&path, kind, lines, lines);
                change.conflict = conflict;
                change
            })
            .collect();
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        entries.dedup_by(|a, b| a.path == b.path);
        Changes {
            project: HostPath::new("/p"),
            entries,
            truncated: false,
            project_missing: false,
        }
    })
}

#[derive(Debug, Clone)]
enum Step {
    Do(Action, u16),
    Type(String, bool),
    Back,
    Changes(Result<Changes, String>),
    Diff(String),
    Size(u16, u16),
    Follow(bool, u64),
}

fn a_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (an_action(), 0u16..50).prop_map(|(action, page)| Step::Do(action, page)),
        1 => ("[a-c]{0,2}", any::<bool>()).prop_map(|(text, keep)| Step::Type(text, keep)),
        1 => Just(Step::Back),
        3 => some_entries().prop_map(|c| Step::Changes(Ok(c))),
        1 => Just(Step::Changes(Err("no".into()))),
        3 => "(@@ -1 \\+1 @@\n([-+ ][a-c{\t]{0,9}\n){0,9}){0,3}".prop_map(Step::Diff),
        1 => (0u16..200, 0u16..50).prop_map(|(c, r)| Step::Size(c, r)),
        2 => (any::<bool>(), 0u64..3).prop_map(|(there, n)| Step::Follow(there, n)),
    ]
}

proptest! {
    #![proptest_config(crate::seeds::cases(96))]

    #[test]
    fn whatever_comes_the_selection_is_a_listed_file(steps in prop::collection::vec(a_step(), 0..40)) {
        let mut state = shown(100, 30);
        let mut awaited: Option<HostPath> = None;
        for step in steps {
            let worker = id(&state);
            let tab = &mut state.changes;
            let effects = match step {
                Step::Do(action, page) => tab.perform(action, page).effects,
                Step::Type(text, keep) => {
                    if let Some(field) = tab.text_field() {
                        field.insert(&text);
                        tab.search_changed();
                        tab.search_ended(keep);
                    }
                    vec![]
                }
                Step::Back => {
                    tab.back();
                    vec![]
                }
                Step::Changes(changes) => {
                    let changes = changes.map_err(Failure::new);
                    tab.on_fetched(Fetched::Changes { worker, changes })
                }
                Step::Diff(unified) => match awaited.take() {
                    Some(path) => {
                        let change = change(&path.to_string(), ChangeKind::Modified, 1, 1);
                        let diff = Ok(vec![FileDiff { change, unified, truncated: false }]);
                        tab.on_fetched(Fetched::Diff { worker, path, diff })
                    }
                    None => vec![],
                },
                Step::Size(cols, rows) => {
                    state.size = podbay_protocol::Size { cols, rows };
                    follow(&mut state)
                }
                Step::Follow(false, _) => tab.on_shown(None),
                Step::Follow(true, n) => {
                    let mut worker = state.workers.values().next().unwrap().clone();
                    worker.view.changes = Some(crate::wire::ChangeCount { files: n, added: 0, removed: 0 });
                    state.changes.on_shown(Some(&worker))
                }
            };
            for effect in effects {
                match effect {
                    Effect::Fetch(Fetch::Diff { path, .. }) => {
                        prop_assert_eq!(&awaited, &None, "one at a time");
                        let selected = state.changes.files().unwrap().selected();
                        prop_assert_eq!(Some(&path), selected.map(|r| &r.change.path));
                        awaited = Some(path);
                    }
                    Effect::Fetch(Fetch::Changes { .. }) | Effect::Call { .. } => {}
                    other => prop_assert!(false, "{:?}", other),
                }
            }
            if let Some(files) = state.changes.files() {
                prop_assert_eq!(files.selected().is_none(), files.shown.is_empty());
                for path in &files.marked {
                    prop_assert!(files.rows.iter().any(|r| r.change.path == *path));
                }
            }
            let mut buf = Buffer::empty(Rect::new(0, 0, state.size.cols, state.size.rows));
            draw::draw_tab(&state, &mut buf);
        }
    }
}

#[test]
fn what_is_listed_can_be_applied_though_it_was_too_much_to_count() {
    let mut state = shown(120, 40);
    let id = id(&state);
    let view = &mut state.workers.get_mut(&id).unwrap().view;
    (view.unapplied, view.changes) = (false, None);
    assert!(check_preconditions(&state, Action::Discard).is_err());
    let mut changes = some_changes();
    changes.truncated = true;
    take_changes(&mut state, Ok(changes));
    for action in [Action::Apply, Action::Discard] {
        assert_eq!(check_preconditions(&state, action), Ok(()));
    }
}
