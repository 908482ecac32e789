//! Keys that were typed for a worker and come when it no longer takes them.
//!
//! A person who types looks at the words and not at the footer. When the session ends, changes hands, or
//! is lost, the next keys are still meant for it; as commands of the list they could stop a worker,
//! write to a project, or answer another worker. So they are thrown away until Esc, or until
//! [`QUIET_MS`] have passed without one. Pure, as `update` is.

use super::{
    state::{Level, Notice, State},
    worker::exit_words,
};
use crate::model::WorkerState;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// So long without a key, and the next one is meant as a command. Milliseconds.
pub const QUIET_MS: u64 = 1_000;

/// Keys are thrown away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Late {
    /// Why, for people: `fix-login finished (exit 0)`.
    pub why: String,
    /// Until then, unless a key comes before: Unix milliseconds.
    pub until_ms: u64,
}

/// From now on keys are thrown away. `hint`: what can be done after that.
pub fn begin(state: &mut State, why: String, hint: Option<&str>) {
    let then = hint.map(|hint| format!(", then {hint}"));
    state.notice = Some(Notice {
        level: Level::Info,
        text: format!("{why}: keys are ignored"),
        hint: Some(format!("Esc goes on{}", then.unwrap_or_default())),
        until_ms: None,
    });
    state.begun.clear();
    state.late = Some(Late {
        why,
        until_ms: state.now_ms.saturating_add(QUIET_MS),
    });
}

/// Whether a key is thrown away. Esc is, too, and ends it.
pub fn takes_key(state: &mut State, key: &KeyEvent) -> bool {
    if state.late.is_some() && key.code == KeyCode::Esc && key.modifiers == KeyModifiers::NONE {
        end(state);
        return true;
    }
    takes(state)
}

/// Whether what was typed or pasted is thrown away.
pub fn takes(state: &mut State) -> bool {
    expire(state);
    let until_ms = state.now_ms.saturating_add(QUIET_MS);
    match &mut state.late {
        Some(late) => {
            late.until_ms = until_ms;
            true
        }
        None => false,
    }
}

/// Ends it once it was quiet for long enough.
pub fn expire(state: &mut State) {
    let over = |late: &Late| late.until_ms <= state.now_ms;
    if state.late.as_ref().is_some_and(over) {
        end(state);
    }
}

fn end(state: &mut State) {
    let Some(late) = state.late.take() else {
        return;
    };
    let own = |notice: &Notice| notice.text.starts_with(&late.why) && notice.until_ms.is_none();
    if state.notice.as_ref().is_some_and(own) {
        state.inform(late.why, None);
    }
}

/// Why the worker that was typed into takes no more keys. It may be gone.
pub fn reason(state: &State, id: &str, name: &str) -> String {
    if !state.is_live() {
        return "the coordinator is gone".to_owned();
    }
    let Some(worker) = state.workers.get(id) else {
        return format!("{name} is gone");
    };
    let view = &worker.view;
    match (view.exit, view.state) {
        (Some(exit), _) => format!("{name} {}", exit_words(exit)),
        (None, WorkerState::Exited) => format!("{name} has ended"),
        (None, WorkerState::Lost) => match &view.why {
            Some(why) => format!("{name} is lost: {why}"),
            None => format!("{name} is lost"),
        },
        (None, WorkerState::Stopping) => format!("{name} is being stopped"),
        _ if worker.attachable() => format!("{name} is not shown any more"),
        _ => format!("{name} is {}", worker.group().word()),
    }
}
