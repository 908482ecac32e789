//! A preset's keys with what configuration changes of them, and what is wrong with that.

use super::{
    Action, Chord, Context, ENTRIES, Preset, Sequence, label, parse_sequence, presets::Row,
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
            let ctrl_c = Chord::new(super::Code::Char('c'), true, false, false);
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
mod tests {
    use super::{super::footer, *};
    use proptest::prelude::*;

    fn overridden(preset: Preset, given: &[(&str, &[&str])]) -> (Bindings, Vec<String>) {
        let given = given
            .iter()
            .map(|(name, keys)| {
                let keys = keys.iter().map(|k| (*k).to_owned()).collect();
                ((*name).to_owned(), keys)
            })
            .collect();
        let (bindings, problems) = Bindings::new(preset, &given);
        (bindings, problems.iter().map(ToString::to_string).collect())
    }

    fn find(bindings: &Bindings, context: Context, keys: &str) -> Found {
        bindings.find(&[context], &parse_sequence(keys).unwrap())
    }

    #[test]
    fn no_preset_has_a_key_that_means_two_things() {
        for preset in Preset::ALL {
            let all = of_preset(preset);
            for (place, binding) in all.iter().enumerate() {
                assert!(!binding.sequence.is_empty(), "{preset:?}: {binding:?}");
                let others = &all[..place];
                assert_eq!(clash(others, binding), None, "{preset:?}: {binding:?}");
                assert!(!others.contains(binding), "{preset:?}: twice {binding:?}");
            }
        }
    }

    #[test]
    fn every_action_can_be_reached_by_key_or_palette_in_every_preset() {
        let palette_only = [Action::NextTheme, Action::ToggleNotifications];
        for preset in Preset::ALL {
            let (bindings, problems) = overridden(preset, &[]);
            assert!(problems.is_empty());
            for context in Context::ALL {
                for action in [Action::Palette, Action::Help, Action::Quit] {
                    let keys = bindings.sequences(action, context);
                    assert!(!keys.is_empty(), "{preset:?} {context:?} {action:?}");
                }
            }
            for entry in ENTRIES {
                let reached = bindings.of(entry.action).next().is_some();
                let expected = !palette_only.contains(&entry.action);
                assert_eq!(reached, expected, "{preset:?}: {}", entry.name);
                for context in entry.contexts {
                    let keys = bindings.sequences(entry.action, *context);
                    assert!(
                        !expected || !keys.is_empty(),
                        "{preset:?} {context:?} {}",
                        entry.name
                    );
                }
            }
        }
    }

    #[test]
    fn presets_bind_actions_only_where_they_are_good() {
        for preset in Preset::ALL {
            for binding in of_preset(preset) {
                let good = binding.action.entry().unwrap().contexts;
                let fits = good.contains(&Context::Global) || good.contains(&binding.context);
                assert!(fits, "{preset:?}: {binding:?}");
            }
        }
    }

    #[test]
    fn the_table_names_every_action_once_and_the_footer_only_what_it_can_show() {
        for (place, entry) in ENTRIES.iter().enumerate() {
            assert!(
                !entry.help.is_empty() && entry.help.len() <= 60,
                "{}",
                entry.name
            );
            assert!(
                ENTRIES[..place]
                    .iter()
                    .all(|e| e.name != entry.name && e.action != entry.action),
                "{}",
                entry.name
            );
        }
        for context in Context::ALL {
            for action in footer(context) {
                assert!(!action.label(context).is_empty(), "{context:?} {action:?}");
            }
        }
    }

    #[test]
    fn a_configured_key_takes_the_place_of_the_presets() {
        let (bindings, problems) = overridden(Preset::Default, &[("stop", &["ctrl-x", "K"])]);
        assert_eq!(problems, [""; 0]);
        assert_eq!(
            find(&bindings, Context::List, "K"),
            Found::Action(Action::Stop)
        );
        assert_eq!(
            find(&bindings, Context::Tiles, "ctrl-x"),
            Found::Action(Action::Stop)
        );
        assert_eq!(find(&bindings, Context::List, "x"), Found::Nothing);
        assert_eq!(find(&bindings, Context::Logs, "K"), Found::Nothing);
    }

    #[test]
    fn two_actions_can_change_keys_and_an_empty_list_takes_them_away() {
        let (bindings, problems) = overridden(
            Preset::Default,
            &[("stop", &["n"]), ("spawn", &["x"]), ("sort", &[])],
        );
        assert_eq!(problems, [""; 0]);
        assert_eq!(
            find(&bindings, Context::List, "n"),
            Found::Action(Action::Stop)
        );
        assert_eq!(
            find(&bindings, Context::List, "x"),
            Found::Action(Action::Spawn)
        );
        assert_eq!(find(&bindings, Context::List, "o"), Found::Nothing);
    }

    #[test]
    fn a_key_that_the_preset_has_stays_where_it_was_good() {
        let (bindings, problems) =
            overridden(Preset::Default, &[("show_logs", &["l"]), ("quit", &["q"])]);
        assert_eq!(problems, [""; 0]);
        assert_eq!(
            find(&bindings, Context::List, "l"),
            Found::Action(Action::ShowLogs)
        );
        assert_eq!(
            find(&bindings, Context::Scroll, "l"),
            Found::Action(Action::Right)
        );
        assert_eq!(
            find(&bindings, Context::Scroll, "q"),
            Found::Action(Action::Back)
        );
    }

    #[test]
    fn what_is_wrong_is_named_and_the_rest_is_used() {
        let (bindings, problems) = overridden(
            Preset::Default,
            &[
                ("spwan", &["x"]),
                ("zoom", &["hyper-z", "Z"]),
                ("spawn", &["x"]),
                ("palette", &["d"]),
                ("sort", &["ctrl-b"]),
                ("shell", &["ctrl-b s"]),
            ],
        );
        let all = problems.join("\n");
        for part in [
            "keys.spwan: no such action; did you mean \"spawn\"?",
            "keys.zoom: \"hyper-z\" is not a key",
            "keys.spawn: x is stop already (in: list of workers)",
            "keys.palette: d is show_changes already",
            "begin alike",
        ] {
            assert!(all.contains(part), "{part}\n{all}");
        }
        assert_eq!(problems.len(), 5, "{all}");
        assert_eq!(
            find(&bindings, Context::List, "Z"),
            Found::Action(Action::Zoom)
        );
        assert_eq!(
            find(&bindings, Context::List, "n"),
            Found::Action(Action::Spawn)
        );
        assert_eq!(
            find(&bindings, Context::List, "x"),
            Found::Action(Action::Stop)
        );
        assert_eq!(
            find(&bindings, Context::Logs, ":"),
            Found::Action(Action::Palette)
        );
    }

    #[test]
    fn nobody_is_locked_in() {
        let (bindings, problems) = overridden(Preset::Default, &[("quit", &[]), ("palette", &[])]);
        assert!(problems[0].contains("leave the dashboard"), "{problems:?}");
        assert_eq!(
            find(&bindings, Context::Logs, "ctrl-c"),
            Found::Action(Action::Quit)
        );
    }

    #[test]
    fn a_prefix_waits_for_the_second_key() {
        let (bindings, _) = overridden(Preset::Tmux, &[]);
        assert_eq!(find(&bindings, Context::List, "ctrl-b"), Found::Begun);
        assert_eq!(
            find(&bindings, Context::List, "ctrl-b c"),
            Found::Action(Action::Spawn)
        );
        assert_eq!(
            find(&bindings, Context::Logs, "ctrl-b d"),
            Found::Action(Action::Quit)
        );
        assert_eq!(find(&bindings, Context::List, "ctrl-b j"), Found::Nothing);
        assert_eq!(
            find(&bindings, Context::List, "q"),
            Found::Action(Action::Quit)
        );
    }

    proptest! {
        #[test]
        fn whatever_is_configured_no_key_means_two_things(
            given in prop::collection::btree_map(
                prop::sample::select(ENTRIES.iter().map(|e| e.name.to_owned()).collect::<Vec<_>>()),
                prop::collection::vec("(ctrl-b )?([a-zA-Z?/]|tab|ctrl-b|enter|space)", 0..3),
                0..6,
            ),
            preset in prop::sample::select(Preset::ALL.to_vec()),
        ) {
            let (Bindings(all), _) = Bindings::new(preset, &given);
            for (place, binding) in all.iter().enumerate() {
                prop_assert_eq!(clash(&all[..place], binding), None);
            }
            prop_assert!(all.iter().any(|b| matches!(b.action, Action::Quit | Action::Palette)));
        }
    }
}
