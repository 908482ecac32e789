//! Which key does what, as crossterm reports keys. Footer, help, palette and the README come from
//! this one table, so they never disagree.

use crate::model::keys::{self, Action, Bindings, Chord, Code, Context, ENTRIES, Found, Preset};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::collections::BTreeMap;

/// The keys in effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keymap {
    preset: Preset,
    bindings: Bindings,
}

/// What a key means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// This is to be done.
    Action(Action),
    /// It begins a sequence: its [`chord`] is to be pending at the next lookup.
    Pending,
    /// Nothing; what was pending is to be forgotten.
    None,
}

/// A part of the help: what keys do in a context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Where.
    pub context: Context,
    /// Keys as they are shown, and what they do.
    pub rows: Vec<(Vec<String>, Action)>,
}

impl Default for Keymap {
    fn default() -> Self {
        Self::new(Preset::Default, &BTreeMap::new()).0
    }
}

impl Keymap {
    /// A preset with `overrides`: an action's name to its keys. What is wrong with these is named
    /// and left out.
    pub fn new(preset: Preset, overrides: &BTreeMap<String, Vec<String>>) -> (Self, Vec<String>) {
        let (bindings, problems) = Bindings::new(preset, overrides);
        let problems = problems.iter().map(ToString::to_string).collect();
        (Self { preset, bindings }, problems)
    }

    /// The preset it was made from.
    pub fn preset(&self) -> Preset {
        self.preset
    }

    /// What a key does after `pending` ones. The first of `contexts` that knows it decides; last
    /// comes [`Context::Global`], which need not be given.
    pub fn lookup(&self, contexts: &[Context], pending: &[Chord], key: KeyEvent) -> Lookup {
        let Some(chord) = chord(key) else {
            return Lookup::None;
        };
        let mut keys = pending.to_vec();
        keys.push(chord);
        match self.bindings.find(contexts, &keys) {
            Found::Action(action) => Lookup::Action(action),
            Found::Begun => Lookup::Pending,
            Found::Nothing => Lookup::None,
        }
    }

    /// The keys of an action in a context, in words; that context's own first.
    pub fn labels(&self, action: Action, context: Context) -> Vec<String> {
        let sequences = self.bindings.sequences(action, context);
        sequences.into_iter().map(|s| keys::label(s)).collect()
    }

    /// The first key of an action in the first of `contexts` that has one; else wherever it has one.
    pub fn label(&self, action: Action, contexts: &[Context]) -> Option<String> {
        contexts
            .iter()
            .chain(&Context::ALL)
            .find_map(|context| self.labels(action, *context).into_iter().next())
    }

    /// For the footer: key, word and action, the most wanted first; help and quit are the last.
    pub fn footer(&self, contexts: &[Context]) -> Vec<(String, &'static str, Action)> {
        let mut shown: Vec<(String, &'static str, Action)> = Vec::new();
        for context in contexts.iter().chain([&Context::Global]) {
            for action in keys::footer(*context) {
                let label = self.labels(*action, *context).into_iter().next();
                // In the list and the tiles leaving has a shorter key than everywhere.
                let near = contexts
                    .iter()
                    .find_map(|c| self.labels(*action, *c).into_iter().next());
                if let Some(key) = near.or(label)
                    && !shown.iter().any(|(_, _, there)| there == action)
                {
                    shown.push((key, action.label(*context), *action));
                }
            }
        }
        shown
    }

    /// For the help: the given contexts first, then what holds everywhere, then the others. Rows
    /// of the list's first ten workers are one.
    pub fn help(&self, contexts: &[Context]) -> Vec<Section> {
        let mut order = contexts.to_vec();
        order.push(Context::Global);
        order.extend(Context::ALL);
        let mut sections: Vec<Section> = Vec::new();
        for context in order {
            if sections.iter().any(|s| s.context == context) {
                continue;
            }
            let rows: Vec<(Vec<String>, Action)> = ENTRIES
                .iter()
                .filter_map(|entry| Some((self.own_labels(entry.action, context)?, entry.action)))
                .collect();
            if !rows.is_empty() {
                sections.push(Section { context, rows });
            }
        }
        sections
    }

    /// The keys that an action has in just this context; none when it has none. For the first
    /// worker, those of the first to the last; for the others none.
    fn own_labels(&self, action: Action, context: Context) -> Option<Vec<String>> {
        let own = |action| -> Vec<String> {
            self.bindings
                .of(action)
                .filter(|b| b.context == context)
                .map(|b| keys::label(&b.sequence))
                .collect()
        };
        let labels = match action {
            Action::Worker(1) => {
                let first = own(action).into_iter().next();
                let last = own(Action::Worker(10)).into_iter().next();
                match (first, last) {
                    (Some(first), Some(last)) => vec![format!("{first} … {last}")],
                    (first, _) => first.into_iter().collect(),
                }
            }
            Action::Worker(_) => Vec::new(),
            _ => own(action),
        };
        (!labels.is_empty()).then_some(labels)
    }
}

/// A sentence about an action, for the help.
pub fn help_text(action: Action) -> &'static str {
    match action {
        Action::Worker(1) => "go to the worker in rows 1 to 10",
        _ => action.help(),
    }
}

/// What a key event is as a chord; none when no key can be named so.
pub fn chord(key: KeyEvent) -> Option<Chord> {
    let has = |modifier| key.modifiers.contains(modifier);
    let mut shift = has(KeyModifiers::SHIFT);
    let code = match key.code {
        KeyCode::Char(c) => Code::Char(c),
        KeyCode::Enter => Code::Enter,
        KeyCode::Esc => Code::Esc,
        KeyCode::Tab => Code::Tab,
        KeyCode::BackTab => {
            shift = true;
            Code::Tab
        }
        KeyCode::Backspace => Code::Backspace,
        KeyCode::Delete => Code::Delete,
        KeyCode::Insert => Code::Insert,
        KeyCode::Up => Code::Up,
        KeyCode::Down => Code::Down,
        KeyCode::Left => Code::Left,
        KeyCode::Right => Code::Right,
        KeyCode::Home => Code::Home,
        KeyCode::End => Code::End,
        KeyCode::PageUp => Code::PageUp,
        KeyCode::PageDown => Code::PageDown,
        KeyCode::F(n) => Code::F(n),
        _ => return None,
    };
    let beyond = KeyModifiers::SUPER | KeyModifiers::HYPER | KeyModifiers::META;
    if key.modifiers.intersects(beyond) {
        return None;
    }
    Some(Chord::new(
        code,
        has(KeyModifiers::CONTROL),
        has(KeyModifiers::ALT),
        shift,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(code: KeyCode, modifiers: KeyModifiers) -> KeyEvent {
        KeyEvent::new(code, modifiers)
    }

    fn tmux() -> Keymap {
        Keymap::new(Preset::Tmux, &BTreeMap::new()).0
    }

    #[test]
    fn shift_is_part_of_the_letter() {
        let map = Keymap::default();
        let list = [Context::List];
        for modifiers in [KeyModifiers::SHIFT, KeyModifiers::NONE] {
            let found = map.lookup(&list, &[], key(KeyCode::Char('S'), modifiers));
            assert_eq!(found, Lookup::Action(Action::StopAll));
        }
        let found = map.lookup(&list, &[], key(KeyCode::Char('s'), KeyModifiers::ALT));
        assert_eq!(found, Lookup::None);
    }

    #[test]
    fn keys_are_known_however_the_terminal_sends_them() {
        let map = Keymap::default();
        for (code, modifiers, action) in [
            (KeyCode::BackTab, KeyModifiers::SHIFT, Action::PreviousTab),
            (KeyCode::BackTab, KeyModifiers::NONE, Action::PreviousTab),
            (KeyCode::Tab, KeyModifiers::NONE, Action::NextTab),
            (KeyCode::Char('K'), KeyModifiers::CONTROL, Action::Palette),
            (KeyCode::Down, KeyModifiers::SHIFT, Action::ScrollDown),
            (KeyCode::Down, KeyModifiers::NONE, Action::Down),
            (KeyCode::Char('3'), KeyModifiers::ALT, Action::Worker(3)),
            (KeyCode::Char(' '), KeyModifiers::NONE, Action::Mark),
        ] {
            let found = map.lookup(&[Context::List], &[], key(code, modifiers));
            assert_eq!(found, Lookup::Action(action), "{code:?}");
        }
        let overrides = [("redraw".to_owned(), vec!["ctrl-\\".to_owned()])].into();
        let (map, _) = Keymap::new(Preset::Default, &overrides);
        let found = map.lookup(&[], &[], key(KeyCode::Char('4'), KeyModifiers::CONTROL));
        assert_eq!(found, Lookup::Action(Action::Redraw), "Ctrl-\\ is sent so");
    }

    #[test]
    fn the_nearest_context_decides() {
        let map = Keymap::default();
        let q = key(KeyCode::Char('q'), KeyModifiers::NONE);
        for (context, action) in [
            (Context::List, Action::Quit),
            (Context::Scroll, Action::Back),
            (Context::Changes, Action::Back),
            (Context::Logs, Action::Back),
            (Context::Page, Action::Back),
        ] {
            assert_eq!(map.lookup(&[context], &[], q), Lookup::Action(action));
        }
        let n = key(KeyCode::Char('n'), KeyModifiers::NONE);
        let found = map.lookup(&[Context::Scroll, Context::List], &[], n);
        assert_eq!(found, Lookup::Action(Action::NextMatch));
    }

    #[test]
    fn a_prefix_is_pending_until_its_key_comes() {
        let map = tmux();
        let prefix = key(KeyCode::Char('b'), KeyModifiers::CONTROL);
        assert_eq!(map.lookup(&[Context::List], &[], prefix), Lookup::Pending);
        let pending: Vec<Chord> = chord(prefix).into_iter().collect();
        let c = key(KeyCode::Char('c'), KeyModifiers::NONE);
        let found = map.lookup(&[Context::List], &pending, c);
        assert_eq!(found, Lookup::Action(Action::Spawn));
        let found = map.lookup(&[Context::List], &pending, prefix);
        assert_eq!(found, Lookup::None);
        let found = map.lookup(&[Context::List], &[], c);
        assert_eq!(found, Lookup::None);
    }

    #[test]
    fn labels_are_for_people_and_the_nearest_key_comes_first() {
        let map = Keymap::default();
        let labels = |action, context| map.labels(action, context).join(", ");
        assert_eq!(labels(Action::ShowChanges, Context::List), "d, 2");
        assert_eq!(labels(Action::ShowChanges, Context::Logs), "2");
        assert_eq!(labels(Action::Palette, Context::List), ":, Ctrl-K");
        assert_eq!(labels(Action::PreviousTab, Context::List), "Shift-Tab");
        assert_eq!(tmux().labels(Action::Spawn, Context::List), ["Ctrl-B c"]);
        assert_eq!(map.label(Action::Apply, &[Context::List]).unwrap(), "a");
    }

    #[test]
    fn the_footer_ends_with_help_and_quit() {
        for preset in Preset::ALL {
            let (map, _) = Keymap::new(preset, &BTreeMap::new());
            for context in Context::ALL {
                let footer = map.footer(&[context]);
                let last: Vec<Action> = footer.iter().rev().take(2).map(|(.., a)| *a).collect();
                assert_eq!(last, [Action::Quit, Action::Help], "{context:?}");
                for (place, (key, label, action)) in footer.iter().enumerate() {
                    assert!(!key.is_empty() && !label.is_empty(), "{action:?}");
                    let again = footer[..place].iter().any(|(k, ..)| k == key);
                    assert!(!again, "{preset:?} {context:?}: {key} twice");
                }
            }
        }
        let footer = Keymap::default().footer(&[Context::List]);
        assert_eq!(footer[0], ("Enter".to_owned(), "type", Action::Enter));
        assert_eq!(footer.last().unwrap().0, "q");
    }

    #[test]
    fn the_help_begins_with_where_one_is_and_has_every_key() {
        let help = Keymap::default().help(&[Context::Logs]);
        let order: Vec<Context> = help.iter().map(|s| s.context).collect();
        assert_eq!(order[..2], [Context::Logs, Context::Global]);
        assert_eq!(order.len(), Context::ALL.len());
        let rows: Vec<Action> = help
            .iter()
            .flat_map(|s| s.rows.iter().map(|r| r.1))
            .collect();
        for entry in ENTRIES {
            let shown = rows.contains(&entry.action)
                || matches!(
                    entry.action,
                    Action::Worker(2..) | Action::NextTheme | Action::ToggleNotifications
                );
            assert!(shown, "{}", entry.name);
        }
    }
}
