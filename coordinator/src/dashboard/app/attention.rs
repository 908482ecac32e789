//! Who needs the user: what is said in the dashboard, and through the host terminal when the user
//! looks elsewhere. Never repeats what the user has in view.

use crate::{
    config::Notifications,
    dashboard::{
        app::{effect::Effect, state::AppState},
        workers::{group::Group, sort, worker::Worker},
    },
    model::keys::Action,
};

/// A worker changed; `before` is the group it was in.
pub fn changed(state: &mut AppState, id: &str, before: Option<Group>, effects: &mut Vec<Effect>) {
    let Some(worker) = state.workers.get(id) else {
        return;
    };
    let now = worker.group();
    // What is new to this dashboard is not news.
    if before.is_none_or(|before| before == now) {
        return;
    }
    let said = match now {
        Group::NeedsYou => "needs you",
        Group::Problem => "has a problem",
        Group::Done => "is done",
        _ => return,
    };
    let (name, reason) = (worker.view.name.clone(), worker.reason());
    let text = match reason.is_empty() {
        true => said.to_owned(),
        false => format!("{said}: {reason}"),
    };
    if looked_at(state, id) {
        return;
    }
    notify(state, &name, &text, effects);
    if now == Group::NeedsYou {
        let key = state.key(Action::NextWaiting);
        say(
            state,
            format!("{name} {text}"),
            Some(format!("{key} goes there")),
        );
    }
}

/// A session rang the bell or sent a notification; the worker is given by name.
pub fn notified(state: &mut AppState, name: &str, text: &str, effects: &mut Vec<Effect>) {
    let said = match text {
        "" => "rang the bell",
        text => text,
    };
    let id = state
        .workers
        .values()
        .find(|w| w.view.name == name)
        .map(|w| w.view.id.clone());
    if id.is_some_and(|id| looked_at(state, &id)) {
        return;
    }
    notify(state, name, said, effects);
    say(state, format!("{name}: {said}"), None);
}

/// Whether the user has this worker before their eyes.
fn looked_at(state: &AppState, id: &str) -> bool {
    let typed = state.typing.as_deref() == Some(id);
    match state.host_focus {
        Some(true) => typed || state.is_shown(id),
        Some(false) => false,
        None => typed,
    }
}

fn notify(state: &AppState, name: &str, text: &str, effects: &mut Vec<Effect>) {
    // With the focus, the line below says it.
    if state.settings.notifications != Notifications::Off && state.host_focus != Some(true) {
        effects.push(Effect::Notify {
            title: name.to_owned(),
            text: text.to_owned(),
        });
    }
}

/// Says it below the list, unless a failure stands there.
fn say(state: &mut AppState, text: String, hint: Option<String>) {
    if state.notice.as_ref().is_none_or(|n| n.until_ms.is_some()) {
        state.inform(text, hint);
    }
}

/// The next worker that waits, after the one given and around the end; in the list's order, also
/// when the filter hides it.
pub fn next_waiting(state: &AppState, after: Option<&str>) -> Option<String> {
    let mut waiting: Vec<&Worker> = state
        .workers
        .values()
        .filter(|w| w.group() == Group::NeedsYou)
        .collect();
    waiting.sort_by(|a, b| sort::compare(a, b, state.sort));
    let here = after.and_then(|id| waiting.iter().position(|w| w.view.id == id));
    let next = here.map_or(0, |here| (here + 1) % waiting.len().max(1));
    waiting.get(next).map(|w| w.view.id.clone())
}
