//! What the logs tab shows.

use super::fixtures::*;
use crate::{
    dashboard::{
        app::{
            failure::Failure,
            focus::{Focus, Tab},
            message::{Fetched, LogLines},
            state::{AppState, CoordinatorLink},
        },
        view::draw,
        widgets::theme::role::Role,
    },
    model::{WorkerState, keys::Action},
};
use ratatui::{Terminal, backend::TestBackend, buffer::Buffer, layout::Rect};

const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (40, 12)];

fn shown(cols: u16, rows: u16) -> AppState {
    let view = worker(0, "fix-login", WorkerState::Running, None);
    let mut state = state_with(cols, rows, vec![view]);
    state.tab = Tab::Logs;
    state.focus = Focus::Pane;
    state.logs.fit(Rect::new(0, 0, cols, rows));
    let worker = state.selected_worker().cloned();
    state.logs.on_shown(worker.as_ref());
    state
}

fn take(state: &mut AppState, lines: Result<LogLines, Failure>) {
    let worker = state.selected.clone().unwrap();
    state.logs.on_fetched(Fetched::Logs { worker, lines });
}

fn with_lines(cols: u16, rows: u16) -> AppState {
    let mut state = shown(cols, rows);
    let lines = (1..=60)
        .map(|n| match n % 10 {
            0 => format!("test result: FAILED. {n} passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.{n}s"),
            5 => "   日本語\tand tabs".to_owned(),
            7 => String::new(),
            _ => format!("test case_{n} ... ok"),
        })
        .collect();
    let lines = LogLines {
        replace: usize::MAX,
        lines,
        ended: false,
    };
    take(&mut state, Ok(lines));
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
        insta::assert_snapshot!(format!("logs_{name}_{cols}x{rows}"), shown);
    }
}

fn search(state: &mut AppState, text: &str, keep: Option<bool>) {
    state.logs.perform(Action::Filter, 10);
    state.logs.text_field().unwrap().insert(text);
    state.logs.search_changed();
    if let Some(keep) = keep {
        state.logs.search_ended(keep);
    }
}

#[test]
fn what_comes_is_followed() {
    snapshots("following", with_lines);
}

#[test]
fn before_anything_came() {
    snapshots("loading", shown);
}

#[test]
fn scrolled_up_with_matches() {
    snapshots("found", |c, r| {
        let mut state = with_lines(c, r);
        search(&mut state, "failed.", Some(true));
        state.logs.perform(Action::PreviousMatch, 10);
        state.logs.perform(Action::Right, 10);
        state
    });
}

#[test]
fn a_search_is_typed() {
    snapshots("searching", |c, r| {
        let mut state = with_lines(c, r);
        search(&mut state, "nowhere", None);
        state
    });
}

#[test]
fn long_lines_are_broken_when_asked_for() {
    snapshots("wrapped", |c, r| {
        let mut state = with_lines(c, r);
        state.logs.perform(Action::SideBySide, 10);
        state
    });
}

#[test]
fn a_broken_stream_and_a_coordinator_that_is_gone() {
    snapshots("broken", |c, r| {
        let mut state = with_lines(c, r);
        take(
            &mut state,
            Err(Failure::new("cannot reach the coordinator")),
        );
        state.link = CoordinatorLink::Gone {
            since_ms: NOW,
            reason: "gone".into(),
        };
        state
    });
}

#[test]
fn nothing_can_be_had() {
    snapshots("failed", |c, r| {
        let mut state = shown(c, r);
        let failure = Failure {
            message: "the recording cannot be read: no such file".into(),
            hint: Some("see the coordinator's log".into()),
        };
        take(&mut state, Err(failure));
        state
    });
}

#[test]
fn matches_are_marked() {
    let mut state = with_lines(80, 24);
    search(&mut state, "failed.", Some(true));
    let mut buf = Buffer::empty(Rect::new(0, 0, 80, 24));
    draw::draw_tab(&state, &mut buf);
    let role = Role::Match;
    let style = state.theme.style(role);
    let marked = buf.content.iter().filter(|cell| {
        style.bg.is_some_and(|bg| cell.bg == bg)
            || cell.modifier.contains(style.add_modifier) && !style.add_modifier.is_empty()
    });
    let text: String = marked.map(|cell| cell.symbol()).collect();
    assert_eq!(text, "FAILED.".repeat(text.len() / 7));
    assert!(text.len() >= 14, "{text}");
}

#[test]
fn every_size_can_be_drawn() {
    for cols in [0, 1, 2, 5, 20, 40, 80, 200] {
        for rows in [0, 1, 2, 3, 5, 20] {
            for wrap in [false, true] {
                let mut state = with_lines(cols, rows);
                if wrap {
                    state.logs.perform(Action::SideBySide, 1);
                }
                let mut buf = Buffer::empty(Rect::new(0, 0, cols, rows));
                draw::draw_tab(&state, &mut buf);
            }
        }
    }
}
