//! Tiles, the scrollback and the mouse: what a user does in the terminals.

use super::fixtures::*;
use crate::dashboard::{
    app::{
        effect::{Effect, ScrollTo},
        focus::{Focus, Tab},
        message::{LiveBody, Msg},
        state::AppState,
        update::update,
    },
    pages::terminal::{grid::Grid, picture::Picture},
};
use crossterm::event::{KeyCode, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use std::sync::Arc;

fn mouse(state: &mut AppState, kind: MouseEventKind, column: u16, row: u16) -> Vec<Effect> {
    let event = MouseEvent {
        kind,
        column,
        row,
        modifiers: KeyModifiers::NONE,
    };
    update(state, Msg::Mouse(event))
}

#[test]
fn tiles_show_the_sessions_and_the_arrows_move_among_them() {
    let mut state = state_with(200, 60, workers(10));
    press(&mut state, "t");
    assert!(state.tiles);
    let watched: Vec<String> = state.watched.iter().map(|t| t.id.clone()).collect();
    assert_eq!(watched.len(), 6, "those with a session");
    let before = state.selected.clone();
    update(&mut state, code(KeyCode::Right));
    assert_ne!(state.selected, before);
    assert!(watched.contains(state.selected.as_ref().unwrap()));
    let effects = update(&mut state, code(KeyCode::Enter));
    assert!(
        matches!(&effects[..], [Effect::Watch(t)] if t.iter().filter(|t| t.write.is_some()).count() == 1)
    );
    update(&mut state, Msg::Leave);
    update(&mut state, code(KeyCode::Esc));
    assert!(!state.tiles);
}

#[test]
fn the_scrollback_is_searched_selected_and_copied() {
    let mut state = state_with(120, 40, workers(2));
    let watched = state.watched[0].id.clone();
    live(&mut state, &watched, LiveBody::Attached { writer: false });
    let picture = Picture {
        grid: Grid::new(70, 36),
        history: 100,
        ..Picture::default()
    };
    live(&mut state, &watched, LiveBody::Screen(Arc::new(picture)));
    press(&mut state, "[");
    assert_eq!(state.focus, Focus::Pane);
    let scrolled = |effects: Vec<Effect>| match effects.into_iter().next() {
        Some(Effect::Scroll { to, .. }) => to,
        other => panic!("{other:?}"),
    };
    assert!(matches!(
        scrolled(update(&mut state, code(KeyCode::PageUp))),
        ScrollTo::Lines(30..)
    ));
    press(&mut state, "/");
    assert_eq!(
        scrolled(press(&mut state, "e")),
        ScrollTo::Search("e".into())
    );
    update(&mut state, code(KeyCode::Enter));
    assert_eq!(
        scrolled(press(&mut state, "n")),
        ScrollTo::Next { older: true }
    );
    press(&mut state, "vl");
    assert_eq!(scrolled(press(&mut state, "y")), ScrollTo::Copy);
    let effects = live(&mut state, &watched, LiveBody::Copied("text".into()));
    assert_eq!(effects, [Effect::Clipboard("text".into())]);
    assert_eq!(state.focus, Focus::List);
}

#[test]
fn the_mouse_selects_scrolls_drags_the_divider_and_presses_the_footer() {
    let mut state = state_with(120, 40, workers(6));
    let before = state.selected.clone();
    mouse(&mut state, MouseEventKind::Down(MouseButton::Left), 5, 8);
    assert_ne!(state.selected, before);
    mouse(&mut state, MouseEventKind::ScrollDown, 5, 8);
    let divider = 120 * 2 / 5;
    mouse(
        &mut state,
        MouseEventKind::Down(MouseButton::Left),
        divider,
        10,
    );
    mouse(&mut state, MouseEventKind::Drag(MouseButton::Left), 40, 10);
    mouse(&mut state, MouseEventKind::Up(MouseButton::Left), 40, 10);
    assert_eq!(state.divider, Some(40));
    // The tab's name, then the pane.
    mouse(&mut state, MouseEventKind::Down(MouseButton::Left), 56, 2);
    assert_eq!(state.tab, Tab::Changes);
}

#[test]
fn a_press_into_the_terminal_types_and_a_drag_copies() {
    let mut state = state_with(120, 40, workers(2));
    let watched = state.watched[0].id.clone();
    live(&mut state, &watched, LiveBody::Attached { writer: false });
    live(&mut state, &watched, LiveBody::Screen(Arc::default()));
    mouse(&mut state, MouseEventKind::Down(MouseButton::Left), 80, 10);
    mouse(&mut state, MouseEventKind::Drag(MouseButton::Left), 90, 10);
    let effects = mouse(&mut state, MouseEventKind::Up(MouseButton::Left), 90, 10);
    assert!(matches!(
        &effects[..],
        [Effect::Scroll {
            to: ScrollTo::Copy,
            ..
        }]
    ));
    update(&mut state, code(KeyCode::Esc));
    mouse(&mut state, MouseEventKind::Down(MouseButton::Left), 80, 10);
    mouse(&mut state, MouseEventKind::Up(MouseButton::Left), 80, 10);
    assert_eq!(state.typing, Some(watched));
}
