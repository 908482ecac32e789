//! Which key does what. The footer and the help are made from this table, so they cannot lie.

mod action;

use super::state::State;
pub use action::Action;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// A line of the table.
#[derive(Debug, Clone, Copy)]
pub struct Binding {
    /// What it does.
    pub action: Action,
    /// The keys, the one shown in the footer first.
    pub keys: &'static [Key],
    /// One word for the footer; empty: help only.
    pub label: &'static str,
    /// A sentence for the help.
    pub help: &'static str,
}

/// A key as the table writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// A plain key.
    Plain(KeyCode),
    /// With Ctrl.
    Ctrl(char),
}

use Key::{Ctrl, Plain};

const fn ch(c: char) -> Key {
    Plain(KeyCode::Char(c))
}

/// The table, in the order of the footer.
pub const BINDINGS: &[Binding] = &[
    bind(
        Action::Zoom,
        &[Plain(KeyCode::Enter)],
        "attach",
        "attach full screen",
    ),
    bind(
        Action::Spawn,
        &[ch('n'), ch('w')],
        "spawn",
        "spawn a worker",
    ),
    bind(
        Action::Stop,
        &[ch('x')],
        "stop",
        "stop the worker, after a question",
    ),
    bind(
        Action::Remove,
        &[ch('D')],
        "remove",
        "remove a worker that has ended",
    ),
    bind(
        Action::ShowDetails,
        &[ch('s')],
        "details",
        "all about the worker and the coordinator",
    ),
    bind(
        Action::Back,
        &[Plain(KeyCode::Esc)],
        "clear",
        "clear filter and messages",
    ),
    bind(
        Action::Filter,
        &[ch('/')],
        "filter",
        "filter by name, state, profile, project, title",
    ),
    bind(
        Action::Help,
        &[ch('?'), Plain(KeyCode::F(1))],
        "help",
        "show these keys",
    ),
    bind(
        Action::Quit,
        &[ch('q'), Ctrl('c')],
        "quit",
        "leave the dashboard; workers run on",
    ),
    bind(
        Action::Takeover,
        &[ch('t')],
        "",
        "attach and take over from another client",
    ),
    bind(
        Action::StopAll,
        &[ch('S')],
        "",
        "stop every worker, after a question",
    ),
    bind(
        Action::Down,
        &[ch('j'), Plain(KeyCode::Down)],
        "",
        "next worker",
    ),
    bind(
        Action::Up,
        &[ch('k'), Plain(KeyCode::Up)],
        "",
        "previous worker",
    ),
    bind(
        Action::PageDown,
        &[Plain(KeyCode::PageDown), Ctrl('d')],
        "",
        "a page down",
    ),
    bind(
        Action::PageUp,
        &[Plain(KeyCode::PageUp), Ctrl('u')],
        "",
        "a page up",
    ),
    bind(
        Action::First,
        &[ch('g'), Plain(KeyCode::Home)],
        "",
        "first worker",
    ),
    bind(
        Action::Last,
        &[ch('G'), Plain(KeyCode::End)],
        "",
        "last worker",
    ),
    bind(Action::Redraw, &[Ctrl('l')], "", "draw the screen anew"),
    bind(
        Action::Suspend,
        &[Ctrl('z')],
        "",
        "back to the shell until fg",
    ),
];

const fn bind(
    action: Action,
    keys: &'static [Key],
    label: &'static str,
    help: &'static str,
) -> Binding {
    Binding {
        action,
        keys,
        label,
        help,
    }
}

/// The action of a key.
pub fn lookup(key: KeyEvent) -> Option<Action> {
    BINDINGS
        .iter()
        .find(|b| b.keys.iter().any(|k| k.is(key)))
        .map(|b| b.action)
}

impl Key {
    /// Whether the event is this key. Shift is part of a character already.
    pub fn is(self, key: KeyEvent) -> bool {
        let modifiers = key.modifiers - KeyModifiers::SHIFT;
        match self {
            Plain(code) => key.code == code && modifiers.is_empty(),
            Ctrl(c) => key.code == KeyCode::Char(c) && modifiers == KeyModifiers::CONTROL,
        }
    }

    /// For people.
    pub fn label(self) -> String {
        match self {
            Plain(KeyCode::Char(c)) => c.to_string(),
            Plain(KeyCode::Enter) => "Enter".to_owned(),
            Plain(KeyCode::Esc) => "Esc".to_owned(),
            Plain(KeyCode::Up) => "Up".to_owned(),
            Plain(KeyCode::Down) => "Down".to_owned(),
            Plain(KeyCode::PageUp) => "PgUp".to_owned(),
            Plain(KeyCode::PageDown) => "PgDn".to_owned(),
            Plain(KeyCode::Home) => "Home".to_owned(),
            Plain(KeyCode::End) => "End".to_owned(),
            Plain(KeyCode::F(n)) => format!("F{n}"),
            Plain(other) => other.to_string(),
            Ctrl(c) => format!("Ctrl-{}", c.to_uppercase()),
        }
    }
}

/// Whether an action makes sense now.
///
/// # Errors
/// Says why not.
pub fn allowed(state: &State, action: Action) -> Result<(), String> {
    let live = || match state.is_live() {
        true => Ok(()),
        false => Err("the coordinator is unreachable; wait until it is back".to_owned()),
    };
    let selected = || {
        state
            .selected_worker()
            .ok_or_else(|| "no worker is selected".to_owned())
    };
    match action {
        Action::Zoom | Action::Takeover => {
            live()?;
            let worker = selected()?;
            let (name, group) = (&worker.view.name, worker.group().word());
            match worker.attachable() {
                true => Ok(()),
                false => Err(format!(
                    "{name} has no running session to attach to: it is {group}"
                )),
            }
        }
        Action::Stop => {
            live()?;
            let worker = selected()?;
            match worker.ended() {
                true => Err(format!(
                    "{} has ended already; D removes it",
                    worker.view.name
                )),
                false => Ok(()),
            }
        }
        Action::Remove => {
            live()?;
            let worker = selected()?;
            match worker.ended() {
                true => Ok(()),
                false => Err(format!(
                    "{} has not ended; x stops it first",
                    worker.view.name
                )),
            }
        }
        Action::StopAll => {
            live()?;
            match state.workers.is_empty() {
                true => Err("there are no workers to stop".to_owned()),
                false => Ok(()),
            }
        }
        Action::Spawn => live(),
        Action::Back => match state.filter.is_empty() && state.notice.is_none() {
            true => Err(String::new()),
            false => Ok(()),
        },
        Action::Filter if state.workers.is_empty() => Err("there are no workers".to_owned()),
        _ => Ok(()),
    }
}

/// Key and label of what makes sense now, for the footer.
pub fn footer(state: &State) -> impl Iterator<Item = (String, &'static str)> {
    BINDINGS
        .iter()
        .filter(|b| !b.label.is_empty() && allowed(state, b.action).is_ok())
        .filter_map(|b| b.keys.first().map(|k| (k.label(), b.label)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_means_two_things() {
        let keys: Vec<Key> = BINDINGS.iter().flat_map(|b| b.keys).copied().collect();
        for (i, key) in keys.iter().enumerate() {
            assert!(!keys[..i].contains(key), "{}", key.label());
        }
    }

    #[test]
    fn shift_is_part_of_the_letter() {
        let shifted = KeyEvent::new(KeyCode::Char('S'), KeyModifiers::SHIFT);
        assert_eq!(lookup(shifted), Some(Action::StopAll));
        let alt = KeyEvent::new(KeyCode::Char('s'), KeyModifiers::ALT);
        assert_eq!(lookup(alt), None);
    }
}
