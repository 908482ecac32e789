//! The README's table of keys is what the keymap says. `UPDATE_README=1` writes it anew.

use coordinator::model::keys::{Action, Bindings, Context, ENTRIES, Entry, Preset, label};
use std::{collections::BTreeMap, path::Path};

const BEGIN: &str = "<!-- keys:begin -->\n";
const END: &str = "<!-- keys:end -->";

/// The keys of an action in any context, for Markdown.
fn keys(bindings: &Bindings, action: Action) -> String {
    let mut shown: Vec<String> = Vec::new();
    for binding in bindings.of(action) {
        let key = format!("`{}`", label(&binding.sequence));
        if !shown.contains(&key) {
            shown.push(key);
        }
    }
    shown.join(" ")
}

fn places(entry: &Entry) -> String {
    let word = |context: &Context| match context {
        Context::Global => "everywhere",
        Context::List => "list",
        Context::Scroll => "scrollback",
        Context::Changes => "changes",
        Context::Logs => "logs",
        Context::Page => "details, help",
        Context::Tiles => "tiles",
    };
    let words: Vec<&str> = entry.contexts.iter().map(word).collect();
    words.join(", ")
}

fn table() -> String {
    let presets = Preset::ALL.map(|preset| Bindings::new(preset, &BTreeMap::new()).0);
    let mut out = String::from("| action | does | where |");
    for preset in Preset::ALL {
        out.push_str(&format!(" `{}` |", preset.as_str()));
    }
    out.push_str("\n|---|---|---|---|---|---|\n");
    for entry in ENTRIES {
        let (name, does) = match entry.action {
            Action::Worker(1) => (
                "`worker_1` … `worker_10`".to_owned(),
                "go to the worker in that row",
            ),
            Action::Worker(_) => continue,
            _ => (format!("`{}`", entry.name), entry.help),
        };
        out.push_str(&format!("| {name} | {does} | {} |", places(entry)));
        for bindings in &presets {
            let mut keys_here = keys(bindings, entry.action);
            if entry.action == Action::Worker(1) {
                let last = keys(bindings, Action::Worker(10));
                keys_here = format!("{keys_here} … {last}");
            }
            if keys_here.is_empty() {
                keys_here = "palette".to_owned();
            }
            out.push_str(&format!(" {keys_here} |"));
        }
        out.push('\n');
    }
    out
}

#[test]
fn the_readme_shows_the_keys_there_are() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let mut text = std::fs::read_to_string(&path).unwrap();
    let begin = text.find(BEGIN).expect("README.md has keys:begin") + BEGIN.len();
    let end = text.find(END).expect("README.md has keys:end");
    let right = table();
    if std::env::var_os("UPDATE_README").is_some() {
        text.replace_range(begin..end, &right);
        std::fs::write(&path, &text).unwrap();
    }
    let end = text.find(END).unwrap();
    assert!(
        text[begin..end] == right,
        "README.md shows other keys. Run with UPDATE_README=1, or put this between the markers:\n{right}"
    );
}
