//! What has to be live or fetched for what is shown now; called after every update. Owns the
//! comparison with what was asked for before; never asks twice for the same.

use crate::dashboard::{
    app::{
        effect::{Effect, LiveTarget},
        focus::Tab,
        live_terminal::TerminalStream,
        state::AppState,
    },
    dialogs::{
        dialog::Dialog,
        line::{LineDialog, LinePurpose},
    },
    view::{layout, tiling},
};
use podbay_protocol::Size;

/// Makes live what is shown, and fetches what the tab needs.
pub fn subscribe(state: &mut AppState, effects: &mut Vec<Effect>) {
    let wanted = wanted(state);
    if wanted != state.watched {
        for target in &wanted {
            let terminal = state.terminals.entry(target.id.clone()).or_default();
            let known = state.watched.iter().any(|w| w.id == target.id);
            if !known {
                terminal.stream = TerminalStream::Opening;
                terminal.writer = false;
            }
        }
        for (id, terminal) in &mut state.terminals {
            if !wanted.iter().any(|w| w.id == *id) && terminal.stream != TerminalStream::Off {
                if !matches!(terminal.stream, TerminalStream::Ended(_)) {
                    terminal.stream = TerminalStream::Off;
                }
                terminal.writer = false;
            }
        }
        state.watched.clone_from(&wanted);
        effects.push(Effect::Watch(wanted));
    }
    let workers = &state.workers;
    state.terminals.retain(|id, _| workers.contains_key(id));

    let pane = layout::split(state).pane;
    state.changes.fit(pane);
    state.logs.fit(pane);
    let shown = state.is_live() && !state.tiles && pane.height > 0;
    let (changes, logs) = (state.tab == Tab::Changes, state.tab == Tab::Logs);
    let selected = state.selected.as_ref().filter(|_| shown);
    let selected = selected.and_then(|id| state.workers.get(id));
    effects.extend(state.changes.on_shown(selected.filter(|_| changes)));
    effects.extend(state.logs.on_shown(selected.filter(|_| logs)));
}

/// The terminals to be live now.
fn wanted(state: &AppState) -> Vec<LiveTarget> {
    let mut ids: Vec<&String> = match state.tiles {
        true => tiling::tiled(state).into_iter().map(|(id, _)| id).collect(),
        false => state
            .selected
            .iter()
            .filter(|id| state.is_shown(id))
            .collect(),
    };
    // What is answered without leaving the list is looked at as well.
    if let Some(id) = peeked(state)
        && !ids.contains(&id)
    {
        ids.push(id);
    }
    ids.into_iter()
        .filter_map(|id| state.workers.get(id))
        // Without a coordinator nothing can be attached to; what is attached goes on.
        .filter(|w| state.can_be_live(w))
        .map(|w| {
            let typed = state.typing.as_ref() == Some(&w.view.id);
            let area = typed.then(|| state.typing_area()).flatten();
            LiveTarget {
                id: w.view.id.clone(),
                size: w.view.size.unwrap_or_default(),
                write: area.map(|a| Size {
                    cols: a.width,
                    rows: a.height,
                }),
                takeover: typed && state.takeover,
            }
        })
        .collect()
}

/// The worker that is answered without leaving the list.
fn peeked(state: &AppState) -> Option<&String> {
    match &state.dialog {
        Some(Dialog::Line(LineDialog {
            what: LinePurpose::Reply { id, .. },
            ..
        })) => Some(id),
        _ => None,
    }
}
