//! What the spawn form shows.

use super::fixtures::*;
use crate::dashboard::{
    app::{
        message::{Fetched, Msg},
        state::AppState,
        update::update,
    },
    view::draw,
};
use crossterm::event::KeyCode;
use ratatui::{buffer::Buffer, layout::Rect};

const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (40, 12)];

/// The form, without what it lies over.
fn form(state: &AppState) -> String {
    let mut buf = Buffer::empty(Rect::new(0, 0, state.size.cols, state.size.rows));
    draw::draw_dialog(state, &mut buf);
    let row = |y| -> String {
        (0..state.size.cols)
            .map(|x| buf.cell((x, y)).unwrap().symbol())
            .collect()
    };
    let rows: Vec<String> = (0..state.size.rows).map(row).collect();
    rows.join("\n")
}

fn opened(cols: u16, rows: u16) -> AppState {
    let mut state = state_with(cols, rows, workers(2));
    press(&mut state, "n");
    let recent = ["/home/me/shop", "/home/me/blog", "/srv/日本語"];
    let recent = recent.map(str::to_owned).to_vec();
    update(&mut state, Msg::Fetched(Box::new(Fetched::Recent(recent))));
    state
}

fn snapshots(name: &str, make: impl Fn(u16, u16) -> AppState) {
    for (cols, rows) in SIZES {
        let shown = form(&make(cols, rows));
        insta::assert_snapshot!(format!("spawn_{name}_{cols}x{rows}"), shown);
    }
}

fn tab_to(state: &mut AppState, times: usize) {
    for _ in 0..times {
        update(state, code(KeyCode::Tab));
    }
}

#[test]
fn opened_for_the_project_of_the_selected_worker() {
    snapshots("open", opened);
}

#[test]
fn a_path_is_completed() {
    snapshots("completing", |c, r| {
        let mut state = opened(c, r);
        for _ in 0..4 {
            update(&mut state, code(KeyCode::Backspace));
        }
        let folders = (0..12).map(|n| format!("/home/me/project-{n}")).collect();
        let path = "/home/me/".to_owned();
        let folders = Ok(folders);
        let fetched = Fetched::Folders { path, folders };
        update(&mut state, Msg::Fetched(Box::new(fetched)));
        update(&mut state, code(KeyCode::Down));
        update(&mut state, code(KeyCode::Down));
        state
    });
}

#[test]
fn the_projects_of_late_are_a_key_away() {
    snapshots("recent", |c, r| {
        let mut state = opened(c, r);
        update(&mut state, code(KeyCode::Down));
        state
    });
}

#[test]
fn a_profile_says_how_many_are_warm() {
    snapshots("profile", |c, r| {
        let mut state = opened(c, r);
        tab_to(&mut state, 2);
        update(&mut state, code(KeyCode::Right));
        state
    });
}

#[test]
fn a_wrong_limit_is_marked() {
    snapshots("wrong", |c, r| {
        let mut state = opened(c, r);
        tab_to(&mut state, 6);
        press(&mut state, "lots");
        update(&mut state, code(KeyCode::Enter));
        state
    });
}

#[test]
fn every_size_can_be_drawn_at_every_field() {
    for cols in [0, 1, 2, 3, 8, 14, 20, 39, 60, 76, 90] {
        for rows in [0, 1, 2, 3, 4, 5, 6, 8, 12, 16, 30] {
            for field in 0..10 {
                let mut state = opened(cols, rows);
                if field == 0 {
                    update(&mut state, code(KeyCode::Down));
                }
                tab_to(&mut state, field);
                state.size = podbay_protocol::Size { cols, rows };
                let mut buf = Buffer::empty(Rect::new(0, 0, cols, rows));
                if let Some(cursor) = draw::draw_dialog(&state, &mut buf) {
                    assert!(cursor.x < cols && cursor.y < rows, "{cols}×{rows}");
                }
            }
        }
    }
}
