//! What presets and configured keys promise.

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
    #![proptest_config(crate::seeds::config())]

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
