//! What keys do in the palette. Never does what was chosen: that is given back.

use crate::dashboard::{
    app::state::AppState,
    dialogs::palette::{items::PaletteChoice, model::Palette},
};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// Rows that PgUp and PgDn go.
const PAGE: usize = 10;

/// What a key did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PaletteOutcome {
    /// It stays open.
    Stay,
    /// It is closed.
    Close,
    /// It is closed, and this is to be done.
    Run(PaletteChoice),
}

impl Palette {
    /// Takes a key.
    pub fn key(&mut self, state: &AppState, key: KeyEvent) -> PaletteOutcome {
        let items = self.items(state);
        let last = items.len().saturating_sub(1);
        let here = self.selected(items.len());
        let ctrl = |c| key.code == KeyCode::Char(c) && key.modifiers == KeyModifiers::CONTROL;
        match key.code {
            KeyCode::Esc => return PaletteOutcome::Close,
            KeyCode::Enter => {
                return match items.into_iter().nth(here) {
                    Some(item) if item.refusal.is_none() => PaletteOutcome::Run(item.entry),
                    _ => PaletteOutcome::Stay,
                };
            }
            KeyCode::Down | KeyCode::Tab => self.selected = if here == last { 0 } else { here + 1 },
            KeyCode::Up | KeyCode::BackTab => {
                self.selected = here.checked_sub(1).unwrap_or(last);
            }
            _ if ctrl('n') => self.selected = (here + 1).min(last),
            _ if ctrl('p') => self.selected = here.saturating_sub(1),
            KeyCode::PageDown => self.selected = here.saturating_add(PAGE).min(last),
            KeyCode::PageUp => self.selected = here.saturating_sub(PAGE),
            _ => {
                let before = self.query.content();
                self.query.key(key);
                if self.query.content() != before {
                    self.selected = 0;
                }
            }
        }
        PaletteOutcome::Stay
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::tests::fixtures::{state_with, workers};
    use crate::{
        dashboard::{
            app::keys::keymap::Keymap, dialogs::palette::items::PaletteItem,
            widgets::theme::scheme::Scheme,
        },
        model::keys::{Action, ENTRIES, Preset},
    };

    fn typed(state: &AppState, text: &str) -> Palette {
        let mut palette = Palette::default();
        for c in text.chars() {
            assert_eq!(
                press(&mut palette, state, KeyCode::Char(c)),
                PaletteOutcome::Stay
            );
        }
        palette
    }

    fn press(palette: &mut Palette, state: &AppState, code: KeyCode) -> PaletteOutcome {
        palette.key(state, KeyEvent::new(code, KeyModifiers::NONE))
    }

    pub(super) fn first(state: &AppState, text: &str) -> PaletteItem {
        typed(state, text).items(state).into_iter().next().unwrap()
    }

    #[test]
    fn every_action_is_there_and_every_worker_theme_and_keymap() {
        let state = state_with(120, 40, workers(10));
        let items = Palette::default().items(&state);
        let actions = ENTRIES.len() - 11;
        let others = 10 + Scheme::ALL.len() + Preset::ALL.len();
        assert_eq!(items.len(), actions + others);
        let refused = items
            .iter()
            .position(|item| item.refusal.is_some())
            .unwrap();
        let rest = &items[refused..];
        assert!(
            rest.iter().all(|item| item.refusal.is_some()),
            "refused ones come last"
        );
    }

    #[test]
    fn a_few_letters_find_it() {
        let state = state_with(120, 40, workers(10));
        for (letters, entry) in [
            ("spawn", PaletteChoice::Action(Action::Spawn)),
            ("zoom", PaletteChoice::Action(Action::Zoom)),
            ("stopall", PaletteChoice::Action(Action::StopAll)),
            ("next wait", PaletteChoice::Action(Action::NextWaiting)),
            ("tmux", PaletteChoice::Keymap(Preset::Tmux)),
            (
                "light",
                PaletteChoice::Theme(state.theme.with(Scheme::Light)),
            ),
            ("quit", PaletteChoice::Action(Action::Quit)),
        ] {
            assert_eq!(first(&state, letters).entry, entry, "{letters}");
        }
        let item = first(&state, "gow docs");
        assert!(matches!(item.entry, PaletteChoice::Worker(_)), "{item:?}");
        assert_eq!(item.title, "go to worker docs");
    }

    #[test]
    fn keys_are_those_of_the_keymap_in_force() {
        let mut state = state_with(120, 40, workers(2));
        assert_eq!(first(&state, "spawn").keys, "n, w");
        state.keymap = Keymap::new(Preset::Tmux, &[].into()).0;
        assert_eq!(first(&state, "spawn").keys, "Ctrl-B c");
    }

    #[test]
    fn enter_runs_what_can_be_done_and_only_that() {
        let state = state_with(120, 40, workers(1));
        let mut palette = typed(&state, "spawn");
        let outcome = press(&mut palette, &state, KeyCode::Enter);
        assert_eq!(
            outcome,
            PaletteOutcome::Run(PaletteChoice::Action(Action::Spawn))
        );
        let mut palette = typed(&state, "remove");
        let item = palette.items(&state).into_iter().next().unwrap();
        assert!(item.refusal.unwrap().contains("has not ended"));
        assert_eq!(
            press(&mut palette, &state, KeyCode::Enter),
            PaletteOutcome::Stay
        );
        let mut palette = typed(&state, "follow");
        let item = palette.items(&state).into_iter().next().unwrap();
        assert_eq!(item.refusal.as_deref(), Some("only in: logs"));
        assert_eq!(
            press(&mut palette, &state, KeyCode::Esc),
            PaletteOutcome::Close
        );
    }

    #[test]
    fn the_selection_goes_around_and_back_to_the_best_when_typing() {
        let state = state_with(120, 40, workers(3));
        let mut palette = Palette::default();
        let count = palette.items(&state).len();
        press(&mut palette, &state, KeyCode::Up);
        assert_eq!(palette.selected(count), count - 1);
        press(&mut palette, &state, KeyCode::Down);
        assert_eq!(palette.selected(count), 0);
        press(&mut palette, &state, KeyCode::PageDown);
        assert_eq!(palette.selected(count), PAGE);
        press(&mut palette, &state, KeyCode::Char('s'));
        assert_eq!(palette.selected(count), 0);
        let mut nothing = typed(&state, "qqqqzz");
        assert!(nothing.items(&state).is_empty());
        assert_eq!(
            press(&mut nothing, &state, KeyCode::Down),
            PaletteOutcome::Stay
        );
        assert_eq!(
            press(&mut nothing, &state, KeyCode::Enter),
            PaletteOutcome::Stay
        );
    }
}
