//! A preset's keys with what configuration changes of them. Owns what is wrong with that. Never acts.

use super::{
    action::{Action, Context},
    chord::{Chord, Sequence, label, parse_sequence},
    presets::{Preset, Row},
    table::ENTRIES,
};
use crate::model::did_you_mean;
use std::{collections::BTreeMap, fmt};

/// Keys that do something in a context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// What is pressed.
    pub sequence: Sequence,
    /// Where.
    pub context: Context,
    /// What it does.
    pub action: Action,
}

/// All keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bindings(Vec<Binding>);

/// Something that is wrong with configured keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyProblem {
    /// The action, as configuration calls it.
    pub action: String,
    /// Which of its keys, from 0; none when it is not about one.
    pub index: Option<usize>,
    /// What is wrong.
    pub wrong: String,
    /// What would be right.
    pub right: String,
}

impl fmt::Display for KeyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "keys.{}: {}; {}", self.action, self.wrong, self.right)
    }
}

/// What keys come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// This is to be done.
    Action(Action),
    /// They are the beginning of something.
    Begun,
    /// Nothing.
    Nothing,
}

impl Bindings {
    /// A preset's keys, with `overrides` (an action's name to all of its keys) in place of its
    /// own. Of a key that the preset has for the action, the contexts stay; another one is good
    /// wherever the action is. What is wrong is left out and named.
    #[must_use]
    pub fn new(
        preset: Preset,
        overrides: &BTreeMap<String, Vec<String>>,
    ) -> (Self, Vec<KeyProblem>) {
        let usual = of_preset(preset);
        let mut problems = Vec::new();
        let mut changed: Vec<(Action, &[String])> = Vec::new();
        for (name, keys) in overrides {
            match Action::named(name) {
                Some(action) => changed.push((action, keys)),
                None => problems.push(unknown(name)),
            }
        }
        let is_changed = |action: Action| changed.iter().any(|(a, _)| *a == action);
        let (own, mut all): (Vec<_>, Vec<_>) =
            usual.into_iter().partition(|b| is_changed(b.action));
        for (action, keys) in &changed {
            let own: Vec<Binding> = own
                .iter()
                .filter(|b| b.action == *action)
                .cloned()
                .collect();
            let before = all.len();
            for (index, key) in keys.iter().enumerate() {
                if let Err((wrong, right)) = add(&mut all, *action, key, &own) {
                    problems.push(KeyProblem {
                        action: action.name().to_owned(),
                        index: Some(index),
                        wrong,
                        right,
                    });
                }
            }
            if all.len() == before && !keys.is_empty() {
                // Not one of them can be used: better the preset's than none.
                for binding in own {
                    if clash(&all, &binding).is_none() {
                        all.push(binding);
                    }
                }
            }
        }
        let mut all = Self(all);
        if all.of(Action::Quit).next().is_none() && all.of(Action::Palette).next().is_none() {
            problems.push(KeyProblem {
                action: Action::Quit.name().to_owned(),
                index: None,
                wrong: "no key would leave the dashboard, nor open the palette".to_owned(),
                right: "give quit or palette a key; Ctrl-C leaves until then".to_owned(),
            });
            let ctrl_c = Chord::new(super::chord::Code::Char('c'), true, false, false);
            all.0.retain(|b| b.sequence.first() != Some(&ctrl_c));
            all.0.push(Binding {
                sequence: vec![ctrl_c],
                context: Context::Global,
                action: Action::Quit,
            });
        }
        (all, problems)
    }

    /// What `keys` do: the first context that knows them decides, then everywhere.
    #[must_use]
    pub fn find(&self, contexts: &[Context], keys: &[Chord]) -> Found {
        let mut begun = false;
        for context in contexts.iter().chain([&Context::Global]) {
            for binding in self.0.iter().filter(|b| b.context == *context) {
                if binding.sequence == keys {
                    return Found::Action(binding.action);
                }
                begun |= binding.sequence.starts_with(keys);
            }
        }
        if begun && !keys.is_empty() {
            Found::Begun
        } else {
            Found::Nothing
        }
    }

    /// The keys of an action, in any context.
    pub fn of(&self, action: Action) -> impl Iterator<Item = &Binding> {
        self.0.iter().filter(move |b| b.action == action)
    }

    /// Sequences that do this in a context, that context's own first.
    #[must_use]
    pub fn sequences(&self, action: Action, context: Context) -> Vec<&Sequence> {
        let of = |wanted: Context| {
            self.of(action)
                .filter(move |b| b.context == wanted)
                .map(|b| &b.sequence)
        };
        let mut found: Vec<&Sequence> = of(context).collect();
        if context != Context::Global {
            found.extend(of(Context::Global));
        }
        found
    }
}

fn of_preset(preset: Preset) -> Vec<Binding> {
    let each = |(action, contexts, keys): &'static Row| {
        keys.iter().flat_map(move |key| {
            // Every key of a preset is one: a test says so.
            let sequence = parse_sequence(key).unwrap_or_default();
            contexts.iter().map(move |context| Binding {
                sequence: sequence.clone(),
                context: *context,
                action: *action,
            })
        })
    };
    preset.rows().flat_map(each).collect()
}

/// Adds a configured key of an action; `own` are the preset's for it.
fn add(
    all: &mut Vec<Binding>,
    action: Action,
    key: &str,
    own: &[Binding],
) -> Result<(), (String, String)> {
    let sequence = parse_sequence(key).map_err(|refused| (refused.wrong, refused.right))?;
    let mut contexts: Vec<Context> = own
        .iter()
        .filter(|b| b.sequence == sequence)
        .map(|b| b.context)
        .collect();
    if contexts.is_empty() {
        let entry = action.entry();
        contexts.extend(entry.map_or(&[][..], |entry| entry.contexts));
    }
    let mut found = Vec::new();
    for context in contexts {
        let binding = Binding {
            sequence: sequence.clone(),
            context,
            action,
        };
        if let Some(other) = clash(all, &binding) {
            return Err(named(&binding, other));
        }
        if !all.contains(&binding) {
            found.push(binding);
        }
    }
    all.extend(found);
    Ok(())
}

/// A binding that cannot be there together with `new`.
fn clash<'a>(all: &'a [Binding], new: &Binding) -> Option<&'a Binding> {
    all.iter().find(|old| {
        let same_place = old.context == new.context
            || old.context == Context::Global
            || new.context == Context::Global;
        let same_keys = old.sequence == new.sequence;
        let one_begins_the_other =
            old.sequence.starts_with(&new.sequence) || new.sequence.starts_with(&old.sequence);
        same_place && one_begins_the_other && !(same_keys && old.action == new.action)
    })
}

/// Both sides of a clash.
fn named(new: &Binding, old: &Binding) -> (String, String) {
    let (keys, other) = (label(&new.sequence), old.action.name());
    let place = match old.context {
        Context::Global => "everywhere".to_owned(),
        context => format!("in: {}", context.title().to_lowercase()),
    };
    let wrong = if old.sequence == new.sequence {
        format!("{keys} is {other} already ({place})")
    } else {
        format!(
            "{keys} and {}, which is {other} ({place}), begin alike",
            label(&old.sequence)
        )
    };
    (
        wrong,
        format!(
            "use another key, or give {other} other keys than {}",
            label(&old.sequence)
        ),
    )
}

fn unknown(name: &str) -> KeyProblem {
    let names = ENTRIES.iter().map(|entry| entry.name);
    let right = match did_you_mean(name, names) {
        Some(meant) => format!("did you mean {meant:?}?"),
        None => "the names are in the README, under Keys".to_owned(),
    };
    KeyProblem {
        action: name.chars().take(40).collect(),
        index: None,
        wrong: "no such action".to_owned(),
        right,
    }
}

#[cfg(test)]
mod tests;
