//! What keys do in the help. Pure.

use crate::{
    dashboard::{
        app::{keys::keymap::Lookup, state::AppState},
        dialogs::help::{self, model::Help},
        widgets::{scrolling, text_field::TextField},
    },
    model::keys::{Action, Context},
};
use crossterm::event::{KeyCode, KeyEvent};

impl Help {
    /// Scrolls by rows; down when positive.
    pub fn scroll(&mut self, state: &AppState, rows: i16) {
        let last = help::view::last_scroll(state, self);
        self.scrolled = self.scrolled.saturating_add_signed(rows).min(last);
    }

    /// Takes a key; says whether the help stays open.
    pub fn key(&mut self, state: &AppState, key: KeyEvent) -> bool {
        if self.searching {
            match key.code {
                KeyCode::Esc => {
                    self.query = TextField::default();
                    self.searching = false;
                }
                KeyCode::Enter => self.searching = false,
                KeyCode::Down => self.scroll(state, 1),
                KeyCode::Up => self.scroll(state, -1),
                _ => {
                    self.query.key(key);
                    self.scrolled = 0;
                }
            }
            return true;
        }
        match state.keymap.lookup(&[Context::Page], &[], key) {
            Lookup::Action(Action::Filter) => self.searching = true,
            Lookup::Action(Action::Back) if !self.query.is_empty() => {
                self.query = TextField::default();
                self.scrolled = 0;
            }
            Lookup::Action(Action::Back | Action::Quit | Action::Help) => return false,
            Lookup::Action(action) => {
                let last = help::view::last_scroll(state, self);
                self.scrolled = scrolling::scrolled(self.scrolled, action, last);
            }
            Lookup::Pending | Lookup::None if key.code == KeyCode::Enter => return false,
            Lookup::Pending | Lookup::None => {}
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::widgets::text_row::TextRow;
    use crate::{
        dashboard::{
            app::keys::keymap::Keymap,
            tests::fixtures::{state_with, workers},
        },
        model::keys::Preset,
    };
    use crossterm::event::KeyModifiers;

    fn press(help: &mut Help, state: &AppState, code: KeyCode) -> bool {
        help.key(state, KeyEvent::new(code, KeyModifiers::NONE))
    }

    fn headings(help: &Help, state: &AppState) -> Vec<String> {
        let sections = help.sections(state);
        let first = sections.iter().map(|section| &section[0]);
        first
            .map(|line| match line {
                TextRow::Heading(heading) => heading.clone(),
                other => panic!("{other:?} is no heading"),
            })
            .collect()
    }

    #[test]
    fn what_works_here_comes_first() {
        let state = state_with(80, 24, workers(3));
        let help = Help::new(&[Context::Logs, Context::Global]);
        let headings = headings(&help, &state);
        assert_eq!(headings[..2], ["Logs", "Everywhere"]);
        assert_eq!(headings.last().unwrap(), "States");
    }

    #[test]
    fn a_search_leaves_only_what_matches() {
        let state = state_with(80, 24, workers(3));
        let mut help = Help::new(&[Context::List, Context::Global]);
        assert!(press(&mut help, &state, KeyCode::Char('/')));
        for c in "SPAWN".chars() {
            assert!(press(&mut help, &state, KeyCode::Char(c)));
        }
        let found = help.sections(&state);
        let spawn = TextRow::Pair("n, w".to_owned(), "spawn a worker".to_owned());
        assert!(
            found.iter().all(|section| section[1..] == [spawn.clone()]),
            "{found:?}"
        );
        assert!(press(&mut help, &state, KeyCode::Enter));
        assert!(
            press(&mut help, &state, KeyCode::Esc),
            "ends the search first"
        );
        assert!(!press(&mut help, &state, KeyCode::Esc));
    }

    #[test]
    fn it_scrolls_as_far_as_there_is_something() {
        let state = state_with(80, 24, workers(3));
        let mut help = Help::new(&[Context::List, Context::Global]);
        press(&mut help, &state, KeyCode::Char('G'));
        let last = help.scrolled;
        assert!(last > 40, "{last}");
        press(&mut help, &state, KeyCode::Down);
        assert_eq!(help.scrolled, last);
        press(&mut help, &state, KeyCode::Home);
        assert_eq!(help.scrolled, 0);
        help.scroll(&state, i16::MAX);
        assert_eq!(help.scrolled, last);
        assert!(!press(&mut help, &state, KeyCode::Char('q')));
    }

    #[test]
    fn it_shows_the_keys_of_the_keymap_in_force() {
        let mut state = state_with(80, 24, workers(3));
        state.keymap = Keymap::new(Preset::Tmux, &[].into()).0;
        let sections = Help::new(&[Context::List, Context::Global]).sections(&state);
        let spawn = TextRow::Pair("Ctrl-B c".to_owned(), "spawn a worker".to_owned());
        assert!(sections[0].contains(&spawn));
    }
}
