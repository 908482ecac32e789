//! What stopping, restarting or removing workers would lose, in sentences for the question before
//! it. Never changes the state.

use crate::{
    dashboard::{app::state::AppState, widgets::text, workers::worker::Worker},
    model::WorkerState,
};

/// Of several workers, at most so many are described.
const MAX_DESCRIBED: usize = 4;

fn each(
    state: &AppState,
    workers: &[(String, String)],
    one: impl Fn(&Worker) -> Vec<String>,
) -> Vec<String> {
    let found: Vec<&Worker> = workers
        .iter()
        .filter_map(|(id, _)| state.workers.get(id))
        .collect();
    match found.as_slice() {
        [worker] => one(worker),
        several => {
            let mut lines: Vec<String> = several
                .iter()
                .take(MAX_DESCRIBED)
                .map(|w| format!("{}: {}", w.view.name, one(w).join(" ")))
                .collect();
            let more = several.len().saturating_sub(MAX_DESCRIBED);
            if more > 0 {
                lines.push(format!("… and {more} more"));
            }
            lines
        }
    }
}

/// What a stop of these workers ends and keeps.
pub fn of_stop(state: &AppState, workers: &[(String, String)]) -> Vec<String> {
    each(state, workers, |worker| {
        let view = &worker.view;
        let mut lines = Vec::new();
        if matches!(view.state, WorkerState::Warm | WorkerState::Creating) {
            lines.push("Nobody uses it; the pool makes another.".to_owned());
        } else {
            lines.push(session(worker, "Ends"));
        }
        lines.extend(clients(state, worker));
        if view.isolation.is_reviewed() && view.project.is_some() {
            lines.push(match worker.changed() {
                true => format!("{} kept for review.", unapplied(worker)),
                false => "There are no unapplied changes.".to_owned(),
            });
        }
        lines
    })
}

/// What a restart of these workers ends and keeps.
pub fn of_restart(state: &AppState, workers: &[(String, String)]) -> Vec<String> {
    each(state, workers, |worker| {
        if worker.ended() {
            return vec!["Its command is started again in a new worker.".to_owned()];
        }
        let mut lines = vec![session(worker, "Ends and starts again")];
        lines.extend(clients(state, worker));
        if worker.changed() {
            lines.push("Unapplied changes stay.".to_owned());
        }
        lines
    })
}

/// What removing these ended workers loses.
pub fn of_remove(state: &AppState, workers: &[(String, String)]) -> Vec<String> {
    each(state, workers, |worker| {
        let view = &worker.view;
        let mut lines = vec!["Its record and its recording are deleted.".to_owned()];
        if view.unapplied {
            let project = view
                .project
                .as_ref()
                .map(|p| format!(" to {p}"))
                .unwrap_or_default();
            lines.insert(0, format!("UNAPPLIED CHANGES{project} are lost for good."));
            lines.push("d shows them first.".to_owned());
        }
        lines
    })
}

/// What stopping every worker ends.
pub fn of_stop_all(state: &AppState) -> Vec<String> {
    let all = || state.workers.values();
    let sessions = all().filter(|w| w.attachable()).count();
    let clients: u32 = all().map(|w| state.other_clients(w)).sum();
    let unapplied = all().filter(|w| w.changed()).count();
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

fn session(worker: &Worker, verb: &str) -> String {
    let command = match worker.view.argv.is_empty() {
        true => "its command".to_owned(),
        false => worker.view.argv.join(" "),
    };
    format!(
        "{verb} the session running {command} ({}).",
        worker.group().word()
    )
}

fn clients(state: &AppState, worker: &Worker) -> Option<String> {
    match state.other_clients(worker) {
        0 => None,
        1 => Some("1 attached client is cut off.".to_owned()),
        n => Some(format!("{n} attached clients are cut off.")),
    }
}

fn unapplied(worker: &Worker) -> String {
    match &worker.view.changes {
        Some(count) => format!(
            "Unapplied changes ({}, +{} -{}) are",
            text::count(count.files, "file"),
            count.added,
            count.removed
        ),
        None => "Unapplied changes are".to_owned(),
    }
}
