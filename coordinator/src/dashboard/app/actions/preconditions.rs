//! Which actions make sense now, and why not. Footer and palette ask before a key is pressed, the
//! keys when it was. Never changes the state.

use crate::{
    dashboard::{
        app::{
            attention,
            focus::{Focus, Tab},
            state::AppState,
        },
        view::{layout, tiling},
        workers::worker::Worker,
    },
    model::{
        WorkerState,
        keys::{Action, Context},
    },
};

/// Whether an action makes sense now.
///
/// # Errors
/// Says why not; an empty text when there is nothing to say.
pub fn check_preconditions(state: &AppState, action: Action) -> Result<(), String> {
    let selected = || {
        state
            .selected_worker()
            .ok_or_else(|| "no worker is selected".to_owned())
    };
    match action {
        Action::Zoom | Action::Takeover | Action::Reply | Action::Shell => {
            live(state)?;
            session(selected()?)
        }
        Action::Enter if state.focus == Focus::List => {
            live(state)?;
            let worker = selected()?;
            match worker.view.state {
                WorkerState::Warm | WorkerState::Creating | WorkerState::Claiming => {
                    session(worker)
                }
                _ => Ok(()),
            }
        }
        Action::Enter => selected().map(drop),
        Action::Stop => {
            live(state)?;
            let key = state.key(Action::Remove);
            any(
                state,
                |w| !w.ended(),
                |name| format!("{name} has ended already; {key} removes it"),
            )
        }
        Action::Remove => {
            live(state)?;
            let key = state.key(Action::Stop);
            any(state, Worker::ended, |name| {
                format!("{name} has not ended; {key} stops it first")
            })
        }
        Action::Restart => {
            live(state)?;
            let ready = |w: &Worker| {
                !matches!(
                    w.view.state,
                    WorkerState::Warm
                        | WorkerState::Creating
                        | WorkerState::Claiming
                        | WorkerState::Stopping
                )
            };
            any(state, ready, |name| {
                format!("{name} has no command to start again")
            })
        }
        Action::Rename => {
            live(state)?;
            match selected()?.view.state {
                WorkerState::Running => Ok(()),
                _ => Err("only a running worker can be renamed".to_owned()),
            }
        }
        Action::StopAll => {
            live(state)?;
            match state.workers.is_empty() {
                true => Err("there are no workers to stop".to_owned()),
                false => Ok(()),
            }
        }
        Action::Apply | Action::Discard => {
            live(state)?;
            // Too many to count can be listed all the same.
            let listed = state.changes.files().is_some_and(|f| !f.rows.is_empty());
            match listed || selected()?.changed() {
                true => Ok(()),
                false => Err("there are no changes to review".to_owned()),
            }
        }
        Action::Spawn => live(state),
        Action::Worker(row) => match state.rows.get(usize::from(row).saturating_sub(1)) {
            Some(_) => Ok(()),
            None => Err(format!("there is no worker in row {row}")),
        },
        Action::PoolUp | Action::PoolDown | Action::PoolPause => {
            live(state)?;
            match state.pools.is_empty() {
                true => Err("there is no pool".to_owned()),
                false => Ok(()),
            }
        }
        Action::NextWaiting => match attention::next_waiting(state, None) {
            Some(_) => Ok(()),
            None => Err("no worker waits for you".to_owned()),
        },
        Action::Tiles if state.tiles => Ok(()),
        Action::Tiles => match (
            tiling::has_tiles(state.size),
            state.workers.values().any(Worker::attachable),
        ) {
            (false, _) => Err("the terminal is too small for several workers".to_owned()),
            (_, false) => Err("no worker has a session to show".to_owned()),
            _ => Ok(()),
        },
        Action::Back => match back(state) {
            true => Ok(()),
            false => Err(String::new()),
        },
        Action::Filter if state.workers.is_empty() => Err("there are no workers".to_owned()),
        Action::Filter | Action::NextMatch | Action::PreviousMatch
            if state.focus == Focus::Pane && state.tab == Tab::Details =>
        {
            Err("there is no search in the details".to_owned())
        }
        Action::Scrollback => {
            let worker = selected()?;
            match state.picture(&worker.view.id) {
                Some(_) if layout::has_pane(state.size) => Ok(()),
                _ => Err("no terminal is shown".to_owned()),
            }
        }
        Action::ShowTerminal
        | Action::ShowChanges
        | Action::ShowLogs
        | Action::ShowDetails
        | Action::NextTab
        | Action::PreviousTab => selected().map(drop),
        _ => Ok(()),
    }
}

/// Whether there is something to go back from, or to clear.
fn back(state: &AppState) -> bool {
    state.focus == Focus::Pane
        || state.tiles
        || !state.filter.is_empty()
        || !state.marked.is_empty()
        || state.notice.is_some()
}

fn live(state: &AppState) -> Result<(), String> {
    match state.is_live() {
        true => Ok(()),
        false => Err("the coordinator is unreachable; wait until it is back".to_owned()),
    }
}

fn session(worker: &Worker) -> Result<(), String> {
    let (name, group) = (&worker.view.name, worker.group().word());
    match worker.attachable() {
        true => Ok(()),
        false => Err(format!(
            "{name} has no running session to attach to: it is {group}"
        )),
    }
}

/// Whether it makes sense for one of the workers an action is for.
fn any(
    state: &AppState,
    sense: impl Fn(&Worker) -> bool,
    wrong: impl Fn(&str) -> String,
) -> Result<(), String> {
    let targets = state.targets();
    if targets.iter().any(|w| sense(w)) {
        return Ok(());
    }
    Err(match targets.as_slice() {
        [] => "no worker is selected".to_owned(),
        [worker] => wrong(&worker.view.name),
        _ => wrong("every marked worker"),
    })
}

/// Whether an action would be heard where the keys are now: one that a tab knows is not heard
/// elsewhere.
///
/// # Errors
/// Says where it would be.
pub fn reachable(state: &AppState, action: Action) -> Result<(), String> {
    let contexts = action.entry().map_or(&[][..], |entry| entry.contexts);
    let anywhere = matches!(
        action,
        Action::Zoom
            | Action::Takeover
            | Action::Reply
            | Action::Rename
            | Action::Spawn
            | Action::Shell
            | Action::Stop
            | Action::Restart
            | Action::Remove
            | Action::StopAll
            | Action::PoolUp
            | Action::PoolDown
            | Action::PoolPause
            | Action::Apply
            | Action::Discard
            | Action::NextWaiting
            | Action::Worker(_)
    );
    let here = state.contexts();
    if anywhere
        || contexts.contains(&Context::Global)
        || contexts.iter().any(|context| here.contains(context))
    {
        return Ok(());
    }
    let places: Vec<String> = contexts
        .iter()
        .map(|context| context.title().to_lowercase())
        .collect();
    Err(format!("only in: {}", places.join(", ")))
}
