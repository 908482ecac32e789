//! The palette: every action by name, and what else can be gone to or chosen. Pure; the keys run
//! what it gives back.

use super::{
    allowed::{allowed, reachable},
    field::Field,
    fuzzy,
    keymap::{Action, Context, Preset},
    state::State,
    text,
    theme::{Scheme, Theme},
};
use crate::model::keys::ENTRIES;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// Rows that PgUp and PgDn go.
const PAGE: usize = 10;
/// What a match in the name counts more than one in the sentence about it.
const IN_NAME: i64 = 100;

/// The palette.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Palette {
    /// What is searched.
    pub query: Field,
    /// The row, among those that match.
    selected: usize,
}

/// Something that can be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// To be done.
    Action(Action),
    /// To be selected, by id.
    Worker(String),
    /// To be used.
    Theme(Theme),
    /// To be used.
    Keymap(Preset),
}

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What it is.
    pub entry: Entry,
    /// Its text, cleaned: `stop: stop the worker or the marked ones`.
    pub title: String,
    /// Characters of the title that match.
    pub matched: Vec<usize>,
    /// Its keys where the keys are now, for people; may be empty.
    pub keys: String,
    /// Why it cannot be chosen now.
    pub refusal: Option<String>,
}

/// What a key came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It stays open.
    Stay,
    /// It is closed.
    Close,
    /// It is closed, and this is to be done.
    Run(Entry),
}

impl Palette {
    /// What matches, the best first; in the table's order while nothing is searched.
    pub fn items(&self, state: &State) -> Vec<Item> {
        let query = self.query.content();
        let mut found: Vec<(i64, Item)> = everything(state)
            .filter_map(|mut item| {
                let (score, matched) = matched(&query, &item)?;
                item.matched = matched;
                Some((score, item))
            })
            .collect();
        if query.trim().is_empty() {
            // What only moves, and what cannot be done now, is out of the way, but there.
            found.sort_by_key(|(_, item)| (item.refusal.is_some(), item.moves()));
        } else {
            found.sort_by_key(|(score, item)| (std::cmp::Reverse(*score), item.refusal.is_some()));
        }
        found.into_iter().map(|(_, item)| item).collect()
    }

    /// The selected row among so many.
    pub fn selected(&self, count: usize) -> usize {
        self.selected.min(count.saturating_sub(1))
    }

    /// Takes a key.
    pub fn key(&mut self, state: &State, key: KeyEvent) -> Outcome {
        let items = self.items(state);
        let last = items.len().saturating_sub(1);
        let here = self.selected(items.len());
        let ctrl = |c| key.code == KeyCode::Char(c) && key.modifiers == KeyModifiers::CONTROL;
        match key.code {
            KeyCode::Esc => return Outcome::Close,
            KeyCode::Enter => {
                return match items.into_iter().nth(here) {
                    Some(item) if item.refusal.is_none() => Outcome::Run(item.entry),
                    _ => Outcome::Stay,
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
        Outcome::Stay
    }
}

/// Letters of the name in their order, or whole words of the sentence: letters would be found in
/// nearly every sentence.
fn matched(query: &str, item: &Item) -> Option<(i64, Vec<usize>)> {
    let name = match item.entry {
        Entry::Action(_) => item.title.split(": ").next().unwrap_or_default(),
        _ => item.title.as_str(),
    };
    if let Some((score, places)) = fuzzy::score(query, name) {
        return Some((score + IN_NAME, places));
    }
    let title = item.title.to_lowercase();
    let lower = query.to_lowercase();
    let all = lower.split_whitespace().all(|word| title.contains(word));
    all.then(|| fuzzy::score(query, &item.title).unwrap_or_default())
}

impl Item {
    /// Whether it only moves.
    fn moves(&self) -> bool {
        matches!(self.entry, Entry::Action(action) if action.moves())
    }
}

fn everything(state: &State) -> impl Iterator<Item = Item> {
    let actions = ENTRIES.iter().filter_map(move |entry| {
        // Workers are there by their names; the palette is open already.
        let elsewhere = matches!(entry.action, Action::Worker(_) | Action::Palette);
        (!elsewhere).then(|| action(state, entry.action))
    });
    let workers = state.workers.values().map(move |worker| {
        let name = text::clean(&worker.view.name);
        let refusal = state
            .selected
            .as_ref()
            .filter(|id| **id == worker.view.id)
            .map(|_| "it is selected".to_owned());
        item(
            Entry::Worker(worker.view.id.clone()),
            format!("go to worker {name}"),
            refusal,
        )
    });
    let themes = Scheme::ALL.into_iter().map(move |scheme| {
        let theme = state.theme.with(scheme);
        let refusal = (theme == state.theme).then(|| "it is in use".to_owned());
        item(
            Entry::Theme(theme),
            format!("theme: {}", theme.word()),
            refusal,
        )
    });
    let keymaps = Preset::ALL.into_iter().map(move |preset| {
        let in_use = preset == state.keymap.preset();
        let refusal = in_use.then(|| "it is in use".to_owned());
        item(
            Entry::Keymap(preset),
            format!("keymap: {}", preset.as_str()),
            refusal,
        )
    });
    actions.chain(workers).chain(themes).chain(keymaps)
}

fn action(state: &State, action: Action) -> Item {
    let name = action.name().replace('_', " ");
    let contexts = state.contexts();
    let near = contexts.first().copied().unwrap_or(Context::Global);
    let keys = state.keymap.labels(action, near).join(", ");
    let refusal = reachable(state, action)
        .and_then(|()| allowed(state, action))
        .err();
    let refusal = refusal.map(|why| match why.is_empty() {
        true => "there is nothing to do".to_owned(),
        false => why,
    });
    let mut item = item(
        Entry::Action(action),
        format!("{name}: {}", action.help()),
        refusal,
    );
    item.keys = keys;
    item
}

fn item(entry: Entry, title: String, refusal: Option<String>) -> Item {
    Item {
        entry,
        title,
        matched: Vec::new(),
        keys: String::new(),
        refusal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::tests::fixtures::{state_with, workers};

    fn typed(state: &State, text: &str) -> Palette {
        let mut palette = Palette::default();
        for c in text.chars() {
            assert_eq!(press(&mut palette, state, KeyCode::Char(c)), Outcome::Stay);
        }
        palette
    }

    fn press(palette: &mut Palette, state: &State, code: KeyCode) -> Outcome {
        palette.key(state, KeyEvent::new(code, KeyModifiers::NONE))
    }

    fn first(state: &State, text: &str) -> Item {
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
            ("spawn", Entry::Action(Action::Spawn)),
            ("zoom", Entry::Action(Action::Zoom)),
            ("stopall", Entry::Action(Action::StopAll)),
            ("next wait", Entry::Action(Action::NextWaiting)),
            ("tmux", Entry::Keymap(Preset::Tmux)),
            ("light", Entry::Theme(state.theme.with(Scheme::Light))),
            ("quit", Entry::Action(Action::Quit)),
        ] {
            assert_eq!(first(&state, letters).entry, entry, "{letters}");
        }
        let item = first(&state, "gow docs");
        assert!(matches!(item.entry, Entry::Worker(_)), "{item:?}");
        assert_eq!(item.title, "go to worker docs");
    }

    #[test]
    fn keys_are_those_of_the_keymap_in_force() {
        let mut state = state_with(120, 40, workers(2));
        assert_eq!(first(&state, "spawn").keys, "n, w");
        state.keymap = crate::dashboard::keymap::Keymap::new(Preset::Tmux, &[].into()).0;
        assert_eq!(first(&state, "spawn").keys, "Ctrl-B c");
    }

    #[test]
    fn enter_runs_what_can_be_done_and_only_that() {
        let state = state_with(120, 40, workers(1));
        let mut palette = typed(&state, "spawn");
        let outcome = press(&mut palette, &state, KeyCode::Enter);
        assert_eq!(outcome, Outcome::Run(Entry::Action(Action::Spawn)));
        let mut palette = typed(&state, "remove");
        let item = palette.items(&state).into_iter().next().unwrap();
        assert!(item.refusal.unwrap().contains("has not ended"));
        assert_eq!(press(&mut palette, &state, KeyCode::Enter), Outcome::Stay);
        let mut palette = typed(&state, "follow");
        let item = palette.items(&state).into_iter().next().unwrap();
        assert_eq!(item.refusal.as_deref(), Some("only in: logs"));
        assert_eq!(press(&mut palette, &state, KeyCode::Esc), Outcome::Close);
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
        assert_eq!(press(&mut nothing, &state, KeyCode::Down), Outcome::Stay);
        assert_eq!(press(&mut nothing, &state, KeyCode::Enter), Outcome::Stay);
    }
}
