//! Palette and help, as snapshots.

use super::fixtures::*;
use crate::{
    dashboard::{
        app::{keys::keymap::Keymap, state::AppState, update},
        dialogs::dialog::Dialog,
    },
    model::keys::Preset,
};
use crossterm::event::KeyCode;

const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (40, 12)];

fn snapshots(name: &str, make: impl Fn(u16, u16) -> AppState) {
    for (cols, rows) in SIZES {
        insta::assert_snapshot!(format!("{name}_{cols}x{rows}"), screen(&make(cols, rows)));
    }
}

fn palette(cols: u16, rows: u16, typed: &str) -> AppState {
    let mut state = state_with(cols, rows, workers(10));
    press(&mut state, ":");
    assert!(matches!(state.dialog, Some(Dialog::Palette(_))));
    press(&mut state, typed);
    state
}

#[test]
fn the_palette_before_anything_is_typed() {
    snapshots("palette", |cols, rows| palette(cols, rows, ""));
}

#[test]
fn the_palette_finds_by_letters_and_says_why_not() {
    snapshots("palette_found", |cols, rows| palette(cols, rows, "sto"));
}

#[test]
fn the_palette_runs_what_is_chosen() {
    let mut state = palette(120, 40, "theme light");
    update::update(&mut state, code(KeyCode::Enter));
    assert_eq!((state.theme.word(), &state.dialog), ("light", &None));
}

#[test]
fn palette_and_help_are_drawn_at_any_size() {
    for (cols, rows) in [(1, 1), (2, 2), (8, 3), (12, 5), (30, 6), (300, 90)] {
        for keys in [":", ":sto", "?", "?/spawn"] {
            let mut state = state_with(cols, rows, workers(10));
            press(&mut state, keys);
            screen(&state);
        }
    }
}

#[test]
fn the_help_of_tmux_searched() {
    snapshots("keys_searched", |cols, rows| {
        let mut state = state_with(cols, rows, workers(10));
        state.keymap = Keymap::new(Preset::Tmux, &[].into()).0;
        press(&mut state, "?/worker");
        state
    });
}
