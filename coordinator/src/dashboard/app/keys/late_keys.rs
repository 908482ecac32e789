//! Keys typed for a worker that no longer takes them: as commands of the list they could stop a
//! worker or write to a project. So they are dropped until Esc, or until [`QUIET_MS`] have passed
//! without one.

use crate::{
    dashboard::{
        app::{
            focus::LateKeys,
            notice::{Notice, NoticeLevel},
            state::AppState,
        },
        workers::worker::describe_exit,
    },
    model::WorkerState,
};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// So long without a key, and the next one is meant as a command. Milliseconds.
pub const QUIET_MS: u64 = 1_000;
/// Why nothing is typed while there is no coordinator.
const COORDINATOR_GONE: &str = "the coordinator is gone";

/// From now on keys are thrown away. `hint`: what can be done after that.
pub fn begin(state: &mut AppState, why: String, hint: Option<&str>) {
    let then = hint.map(|hint| format!(", then {hint}"));
    state.notice = Some(Notice {
        level: NoticeLevel::Info,
        text: format!("{why}: keys are ignored"),
        hint: Some(format!("Esc goes on{}", then.unwrap_or_default())),
        until_ms: None,
    });
    state.begun.clear();
    state.late = Some(LateKeys {
        why,
        until_ms: state.now_ms.saturating_add(QUIET_MS),
    });
}

/// Whether a key is thrown away. Esc is, too, and ends it.
pub fn swallows_key(state: &mut AppState, key: &KeyEvent) -> bool {
    if state.late.is_some() && key.code == KeyCode::Esc && key.modifiers == KeyModifiers::NONE {
        end(state);
        return true;
    }
    swallows(state)
}

/// Whether what was typed or pasted is thrown away.
pub fn swallows(state: &mut AppState) -> bool {
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
pub fn expire(state: &mut AppState) {
    let over = |late: &LateKeys| late.until_ms <= state.now_ms;
    if state.late.as_ref().is_some_and(over) {
        end(state);
    }
}

fn end(state: &mut AppState) {
    let Some(late) = state.late.take() else {
        return;
    };
    let own = |notice: &Notice| notice.text.starts_with(&late.why) && notice.until_ms.is_none();
    if state.notice.as_ref().is_some_and(own) {
        state.inform(late.why, None);
    }
}

/// There is a coordinator again: nothing says any longer that there is none.
pub fn coordinator_back(state: &mut AppState) {
    if state
        .late
        .as_ref()
        .is_some_and(|l| l.why == COORDINATOR_GONE)
    {
        begin(state, "the coordinator is back".to_owned(), None);
    } else if state
        .notice
        .as_ref()
        .is_some_and(|n| n.text == COORDINATOR_GONE)
    {
        state.notice = None;
    }
}

/// Why the worker that was typed into takes no more keys. It may be gone.
pub fn reason(state: &AppState, id: &str, name: &str) -> String {
    if !state.is_live() {
        return COORDINATOR_GONE.to_owned();
    }
    let Some(worker) = state.workers.get(id) else {
        return format!("{name} is gone");
    };
    let view = &worker.view;
    match (view.exit, view.state) {
        (Some(exit), _) => format!("{name} {}", describe_exit(exit)),
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
