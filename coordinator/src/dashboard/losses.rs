//! What stopping or removing a worker would lose, in sentences for the question before it.

use super::state::{State, Worker};
use crate::model::{Isolation, WorkerState};

/// What a stop of this worker ends and keeps.
pub fn of_stop(state: &State, worker: &Worker) -> Vec<String> {
    let view = &worker.view;
    let mut lines = Vec::new();
    match view.state {
        WorkerState::Warm | WorkerState::Creating => {
            lines.push("Nobody uses it; the pool makes another.".to_owned());
        }
        _ => {
            let command = match view.argv.is_empty() {
                true => "its command".to_owned(),
                false => view.argv.join(" "),
            };
            lines.push(format!(
                "Ends the session running {command} ({}).",
                worker.group().word()
            ));
        }
    }
    match state.other_clients(worker) {
        0 => {}
        1 => lines.push("1 attached client is cut off.".to_owned()),
        n => lines.push(format!("{n} attached clients are cut off.")),
    }
    if view.isolation == Isolation::Overlay && view.project.is_some() {
        lines.push(match view.unapplied {
            true => "Unapplied changes are kept for review.".to_owned(),
            false => "There are no unapplied changes.".to_owned(),
        });
    }
    lines
}

/// What removing this ended worker loses.
pub fn of_remove(worker: &Worker) -> Vec<String> {
    let view = &worker.view;
    let mut lines = vec!["Its record and its recording are deleted.".to_owned()];
    if view.unapplied {
        let project = view
            .project
            .as_ref()
            .map(|p| format!(" to {p}"))
            .unwrap_or_default();
        lines.insert(0, format!("UNAPPLIED CHANGES{project} are lost for good."));
        lines.push(format!("Review them first: podbay diff {}", view.name));
    }
    lines
}

/// What stopping every worker ends.
pub fn of_stop_all(state: &State) -> Vec<String> {
    let all = || state.workers.values();
    let sessions = all().filter(|w| w.attachable()).count();
    let clients: u32 = all().map(|w| state.other_clients(w)).sum();
    let unapplied = all().filter(|w| w.view.unapplied).count();
    let mut lines = vec![format!("Running sessions that end: {sessions}.")];
    if clients > 0 {
        lines.push(format!("Attached clients cut off: {clients}."));
    }
    if unapplied > 0 {
        lines.push(format!(
            "Workers with unapplied changes, kept for review: {unapplied}."
        ));
    }
    if !state.filter.is_empty() {
        lines.push("The filter does not matter: workers not listed stop too.".to_owned());
    }
    lines
}
