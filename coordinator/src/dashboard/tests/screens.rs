//! Whole screens, as snapshots.

use super::fixtures::*;
use crate::wire::*;
use crate::{
    dashboard::{
        app::{
            message::{CallDone, LiveBody, LiveMsg, Msg},
            state::AppState,
            update::update,
        },
        pages::terminal::{
            grid::{Grid, GridCell},
            picture::Picture,
        },
        view::draw,
        widgets::theme::scheme::Scheme,
    },
    model::WorkerState,
};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use podbay_protocol::Size;
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Color, Style},
};
use std::sync::Arc;

const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (40, 12)];

fn snapshots(name: &str, make: impl Fn(u16, u16) -> AppState) {
    for (cols, rows) in SIZES {
        insta::assert_snapshot!(format!("{name}_{cols}x{rows}"), screen(&make(cols, rows)));
    }
}

/// The selected worker's screen, live.
fn with_preview(mut state: AppState) -> AppState {
    let Some(id) = state.watched.first().map(|t| t.id.clone()) else {
        return state;
    };
    let mut grid = Grid::new(80, 24);
    let lines = [
        "● I'll run the tests before changing anything.",
        "",
        "  Bash(cargo test)",
        "  ⎿  test result: ok. 42 passed; 0 failed",
        "",
        "● 日本語のコメントも直します。",
        "",
        "╭──────────────────────────────────────────╮",
        "│ >                                        │",
        "╰──────────────────────────────────────────╯",
    ];
    for (row, line) in (0..).zip(lines) {
        let mut col = 0;
        for c in line.chars() {
            let wide = unicode_width::UnicodeWidthChar::width(c) == Some(2);
            let style = Style::new().fg(Color::Indexed(2));
            grid.set(
                row,
                col,
                GridCell {
                    symbol: c.to_string().into(),
                    style,
                },
            );
            col += if wide { 2 } else { 1 };
        }
    }
    for row in 0..24 {
        for col in 0..80 {
            if grid.get(row, col).is_some_and(|c| c.symbol.is_empty())
                && !(col > 0
                    && grid.get(row, col - 1).is_some_and(|c| {
                        unicode_width::UnicodeWidthStr::width(c.symbol.as_str()) == 2
                    }))
            {
                grid.set(
                    row,
                    col,
                    GridCell {
                        symbol: " ".into(),
                        style: Style::new(),
                    },
                );
            }
        }
    }
    grid.cursor = Some((8, 4));
    for body in [
        LiveBody::Attached { writer: false },
        LiveBody::Screen(Arc::new(Picture {
            grid,
            ..Picture::default()
        })),
    ] {
        let worker = id.clone();
        update(&mut state, Msg::Live(LiveMsg { worker, body }));
    }
    state
}

#[test]
fn nobody_yet() {
    snapshots("empty", |c, r| state_with(c, r, vec![]));
}

#[test]
fn before_the_first_event() {
    snapshots("connecting", state);
}

#[test]
fn one_worker_and_its_screen() {
    snapshots("one", |c, r| with_preview(state_with(c, r, workers(1))));
}

#[test]
fn ten_workers_in_every_state() {
    snapshots("ten", |c, r| with_preview(state_with(c, r, workers(10))));
}

#[test]
fn fifty_workers_scrolled() {
    snapshots("fifty", |c, r| {
        let mut state = state_with(c, r, workers(50));
        press(&mut state, "jjjjjjjjjjjjjjjjjjjjjjjj");
        with_preview(state)
    });
}

#[test]
fn a_wide_terminal_shows_every_column() {
    let state = with_preview(state_with(200, 60, workers(12)));
    insta::assert_snapshot!(screen(&state));
}

#[test]
fn a_pool_that_fails_says_why() {
    snapshots("failing_pool", |c, r| {
        let mut state = state_with(c, r, workers(3));
        let mut failing = pool();
        failing.warm = 0;
        failing.creating = 1;
        failing.last_failure = Some(PoolFailure {
            reason: "no space left on device: /var/lib/docker".into(),
            at_ms: NOW - 180_000,
            in_a_row: 5,
            retry_in_ms: Some(8_000),
        });
        update(&mut state, event(EventBody::Pool { pool: failing }));
        state
    });
}

#[test]
fn the_coordinator_is_gone() {
    snapshots("gone", |c, r| {
        let mut state = with_preview(state_with(c, r, workers(6)));
        let reason = "cannot reach the coordinator through /var/lib/podbay/run/podbay.sock";
        // Relayed by the coordinator, a terminal goes with it.
        if let Some(worker) = state.watched.first().map(|t| t.id.clone()) {
            let (reason, last) = (reason.to_owned(), false);
            let body = LiveBody::Broken { reason, last };
            update(&mut state, Msg::Live(LiveMsg { worker, body }));
        }
        let reason = reason.to_owned();
        update(&mut state, Msg::Gone { reason });
        update(&mut state, Msg::Now(NOW + 125_000));
        state
    });
}

#[test]
fn names_that_lie_and_names_that_are_wide() {
    snapshots("hostile", |c, r| {
        let mut views = workers(2);
        views[0].name = "a-name-that-goes-on-and-on-until-nobody-can-read-it-any-more-63".into();
        views[0].title = "\u{1b}]0;owned\u{7} \u{202e}txt.exe \u{1f468}\u{200d}\u{1f469}".into();
        views[0].state = WorkerState::Running;
        views[1].name = "日本語の名前とても長い名前".into();
        views[1].activity.as_mut().unwrap().why = "許可 \u{9b}2J を待っています\nline two".into();
        views[1].title = "タイトル \u{1b}[31m".into();
        with_preview(state_with(c, r, views))
    });
}

#[test]
fn help() {
    snapshots("help", |c, r| {
        let mut state = state_with(c, r, workers(3));
        press(&mut state, "?");
        state
    });
}

#[test]
fn details() {
    snapshots("details", |c, r| {
        let mut state = state_with(c, r, workers(3));
        press(&mut state, "s");
        state
    });
}

#[test]
fn spawn_form_with_an_error() {
    snapshots("spawn", |c, r| {
        let mut state = state_with(c, r, workers(3));
        press(&mut state, "n");
        let clear = KeyEvent::new(KeyCode::Char('u'), KeyModifiers::CONTROL);
        update(&mut state, Msg::Key(clear));
        press(&mut state, "shop");
        update(&mut state, code(KeyCode::Enter));
        state
    });
}

#[test]
fn a_stop_says_what_is_lost() {
    snapshots("confirm", |c, r| {
        let mut views = workers(2);
        views[1].clients = 2;
        let mut state = state_with(c, r, views);
        press(&mut state, "x");
        state
    });
}

#[test]
fn a_failed_action_says_why_and_what_to_do() {
    snapshots("failed_action", |c, r| {
        let mut state = state_with(c, r, workers(3));
        let error = ApiError::new(
            ErrorKind::Refused,
            "the path policy refuses /etc: system folder",
        )
        .hint("give a folder inside of workspace.roots");
        let done = CallDone::Failed(error.into());
        update(
            &mut state,
            Msg::CallDone {
                what: "spawn fix".into(),
                done,
            },
        );
        state
    });
}

#[test]
fn every_size_can_be_drawn_in_every_situation() {
    let situations: [fn(&mut AppState); 6] = [
        |_| {},
        |s| drop(press(s, "?")),
        |s| drop(press(s, "s")),
        |s| drop(press(s, "n")),
        |s| drop(press(s, "x")),
        |s| {
            drop(update(
                s,
                Msg::Gone {
                    reason: "gone".into(),
                },
            ))
        },
    ];
    for cols in [0, 1, 2, 3, 5, 10, 20, 39, 59, 60, 99, 100, 250] {
        for rows in [0, 1, 2, 3, 4, 5, 8, 13, 14, 20, 50] {
            for situation in situations {
                let mut state = with_preview(state_with(cols, rows, workers(12)));
                situation(&mut state);
                state.size = Size { cols, rows };
                let mut buf = Buffer::empty(Rect::new(0, 0, cols, rows));
                if let Some(cursor) = draw::draw(&state, &mut buf) {
                    assert!(
                        cursor.x < cols && cursor.y < rows,
                        "{cols}×{rows} {cursor:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn without_colour_every_state_has_its_word() {
    let mut state = state_with(120, 40, workers(10));
    state.theme = state.theme.with(Scheme::None);
    let mut buf = Buffer::empty(Rect::new(0, 0, 120, 40));
    draw::draw(&state, &mut buf);
    let coloured = |c: Color| c != Color::Reset;
    assert!(
        !buf.content
            .iter()
            .any(|cell| coloured(cell.fg) || coloured(cell.bg))
    );
    let shown = screen(&state);
    for word in [
        "needs you",
        "problem",
        "working",
        "done",
        "idle",
        "running",
        "warm",
        "ended",
    ] {
        assert!(shown.contains(word), "{word}");
    }
}
