//! The help: every key, the ones that work where it was opened first. It scrolls, and shows only
//! what matches a search. Pure, as the other dialogs are.

use super::{
    actions,
    field::Field,
    keymap::{self, Action, Context, Lookup},
    order::Group,
    state::State,
    view::{help as view, pages::Line},
};
use crossterm::event::{KeyCode, KeyEvent};

/// The help that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Help {
    /// Rows scrolled.
    pub scrolled: u16,
    /// What is searched; empty: everything is shown.
    pub query: Field,
    /// Whether keys go to the search.
    pub searching: bool,
    contexts: &'static [Context],
}

impl Help {
    /// Opened where these keys work.
    pub fn new(contexts: &'static [Context]) -> Self {
        Self {
            scrolled: 0,
            query: Field::default(),
            searching: false,
            contexts,
        }
    }

    /// Scrolls by rows; down when positive.
    pub fn scroll(&mut self, state: &State, rows: i16) {
        let last = view::last_scroll(state, self);
        self.scrolled = self.scrolled.saturating_add_signed(rows).min(last);
    }

    /// Takes a key; says whether the help stays open.
    pub fn key(&mut self, state: &State, key: KeyEvent) -> bool {
        if self.searching {
            match key.code {
                KeyCode::Esc => {
                    self.query = Field::default();
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
                self.query = Field::default();
                self.scrolled = 0;
            }
            Lookup::Action(Action::Back | Action::Quit | Action::Help) => return false,
            Lookup::Action(action) => {
                let last = view::last_scroll(state, self);
                self.scrolled = actions::scrolled(self.scrolled, action, last);
            }
            Lookup::Pending | Lookup::None if key.code == KeyCode::Enter => return false,
            Lookup::Pending | Lookup::None => {}
        }
        true
    }

    /// Its parts, each with its heading; only what matches the search.
    pub fn sections(&self, state: &State) -> Vec<Vec<Line>> {
        let query = self.query.content().to_lowercase();
        let fits = |line: &Line| match line {
            Line::Pair(term, meaning) => {
                let text = format!("{term} {meaning}").to_lowercase();
                query.split_whitespace().all(|word| text.contains(word))
            }
            Line::Heading(_) | Line::Blank => false,
        };
        let all = self.everything(state);
        all.into_iter()
            .filter_map(|(heading, mut lines)| {
                lines.retain(&fits);
                (!lines.is_empty()).then(|| {
                    lines.insert(0, Line::Heading(heading));
                    lines
                })
            })
            .collect()
    }

    fn everything(&self, state: &State) -> Vec<(String, Vec<Line>)> {
        let mut parts: Vec<(String, Vec<Line>)> = state
            .keymap
            .help(self.contexts)
            .into_iter()
            .map(|section| {
                let rows = section.rows.into_iter();
                let rows = rows.map(|(keys, action)| {
                    let said = keymap::help_text(action);
                    Line::Pair(keys.join(", "), said.to_owned())
                });
                (section.context.title().to_owned(), rows.collect())
            })
            .collect();
        let leave = state.settings.leave_label();
        let typing = "back to the dashboard; all other keys go to the worker";
        parts.push((
            "While you type into a worker".to_owned(),
            vec![Line::Pair(leave, typing.to_owned())],
        ));
        let states = [
            (Group::NeedsYou, "it waits for you"),
            (Group::Problem, "it failed, was lost, or reports an error"),
            (Group::Working, "busy"),
            (Group::Done, "finished something nobody has looked at"),
            (Group::Idle, "finished and seen"),
            (Group::Running, "running; what it does is not known"),
            (Group::Starting, "being created or claimed"),
            (Group::Ended, "its session ended"),
            (Group::Warm, "ready to be claimed"),
            (Group::Stopping, "going away"),
        ]
        .map(|(group, meaning)| {
            let (unicode, ascii) = group.marker();
            let marker = state.theme.glyph(unicode, ascii);
            Line::Pair(format!("{marker} {}", group.word()), meaning.to_owned())
        });
        parts.push(("States".to_owned(), states.into()));
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::{
        keymap::{Keymap, Preset},
        tests::fixtures::{state_with, workers},
    };
    use crossterm::event::KeyModifiers;

    fn press(help: &mut Help, state: &State, code: KeyCode) -> bool {
        help.key(state, KeyEvent::new(code, KeyModifiers::NONE))
    }

    fn headings(help: &Help, state: &State) -> Vec<String> {
        let sections = help.sections(state);
        let first = sections.iter().map(|section| &section[0]);
        first
            .map(|line| match line {
                Line::Heading(heading) => heading.clone(),
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
        let spawn = Line::Pair("n, w".to_owned(), "spawn a worker".to_owned());
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
        let spawn = Line::Pair("Ctrl-B c".to_owned(), "spawn a worker".to_owned());
        assert!(sections[0].contains(&spawn));
    }
}
