//! What the palette offers: every action by name, workers, themes and keymaps; the best match
//! first. Never does any of it.

use crate::{
    dashboard::{
        app::{
            actions::preconditions::{check_preconditions, reachable},
            state::AppState,
        },
        dialogs::palette::model::Palette,
        widgets::{
            fuzzy, text,
            theme::scheme::{Scheme, Theme},
        },
    },
    model::keys::{Action, Context, ENTRIES, Preset},
};

/// What a match in the name counts more than one in the sentence about it.
const IN_NAME: i64 = 100;

/// Something that can be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PaletteChoice {
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
pub struct PaletteItem {
    /// What it is.
    pub entry: PaletteChoice,
    /// Its text, cleaned: `stop: stop the worker or the marked ones`.
    pub title: String,
    /// Characters of the title that match.
    pub matched: Vec<usize>,
    /// Its keys where the keys are now, in words; may be empty.
    pub keys: String,
    /// Why it cannot be chosen now.
    pub refusal: Option<String>,
}

impl PaletteItem {
    /// Whether it only moves.
    fn moves(&self) -> bool {
        matches!(self.entry, PaletteChoice::Action(action) if action.moves())
    }
}

impl Palette {
    /// What matches, the best first; in the table's order while nothing is searched.
    pub fn items(&self, state: &AppState) -> Vec<PaletteItem> {
        let query = self.query.content();
        let mut found: Vec<(i64, PaletteItem)> = everything(state)
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
}

/// Letters of the name in their order, or whole words of the sentence: letters would be found in
/// nearly every sentence.
fn matched(query: &str, item: &PaletteItem) -> Option<(i64, Vec<usize>)> {
    let name = match item.entry {
        PaletteChoice::Action(_) => item.title.split(": ").next().unwrap_or_default(),
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

fn everything(state: &AppState) -> impl Iterator<Item = PaletteItem> {
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
            PaletteChoice::Worker(worker.view.id.clone()),
            format!("go to worker {name}"),
            refusal,
        )
    });
    let themes = Scheme::ALL.into_iter().map(move |scheme| {
        let theme = state.theme.with(scheme);
        let refusal = (theme == state.theme).then(|| "it is in use".to_owned());
        item(
            PaletteChoice::Theme(theme),
            format!("theme: {}", theme.word()),
            refusal,
        )
    });
    let keymaps = Preset::ALL.into_iter().map(move |preset| {
        let in_use = preset == state.keymap.preset();
        let refusal = in_use.then(|| "it is in use".to_owned());
        item(
            PaletteChoice::Keymap(preset),
            format!("keymap: {}", preset.as_str()),
            refusal,
        )
    });
    actions.chain(workers).chain(themes).chain(keymaps)
}

fn action(state: &AppState, action: Action) -> PaletteItem {
    let name = action.name().replace('_', " ");
    let contexts = state.contexts();
    let near = contexts.first().copied().unwrap_or(Context::Global);
    let keys = state.keymap.labels(action, near).join(", ");
    let refusal = reachable(state, action)
        .and_then(|()| check_preconditions(state, action))
        .err();
    let refusal = refusal.map(|why| match why.is_empty() {
        true => "there is nothing to do".to_owned(),
        false => why,
    });
    let mut item = item(
        PaletteChoice::Action(action),
        format!("{name}: {}", action.help()),
        refusal,
    );
    item.keys = keys;
    item
}

fn item(entry: PaletteChoice, title: String, refusal: Option<String>) -> PaletteItem {
    PaletteItem {
        entry,
        title,
        matched: Vec::new(),
        keys: String::new(),
        refusal,
    }
}
