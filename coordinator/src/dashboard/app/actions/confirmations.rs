//! Actions that ask first: stop, restart, remove, stop all. Never does any of them itself.

use crate::dashboard::{
    app::{actions::data_loss_warnings, effect::Call, state::AppState},
    dialogs::{confirm::Confirm, dialog::Dialog},
    workers::worker::Worker,
};

fn named<'a>(workers: impl Iterator<Item = &'a Worker>) -> Vec<(String, String)> {
    workers
        .map(|w| (w.view.id.clone(), w.view.name.clone()))
        .collect()
}

fn ask(
    state: &mut AppState,
    verb: &'static str,
    workers: &[(String, String)],
    losses: Vec<String>,
    call: Call,
) {
    let whom = match workers {
        [(_, name)] => name.clone(),
        _ => format!("{} workers", workers.len()),
    };
    state.dialog = Some(Dialog::Confirm(Confirm {
        question: format!("{verb} {whom}?"),
        losses,
        verb,
        what: format!("{} {whom}", verb.to_lowercase()),
        call,
        on_verb: false,
    }));
}

/// Asks whether the marked workers, or the selected one, are to be stopped.
pub fn ask_stop(state: &mut AppState) {
    let workers = named(state.targets().into_iter().filter(|w| !w.ended()));
    let lost = data_loss_warnings::of_stop(state, &workers);
    let call = Call::Stop(workers.clone());
    ask(state, "Stop", &workers, lost, call);
}

/// Asks whether they are to be restarted.
pub fn ask_restart(state: &mut AppState) {
    let workers = named(state.targets().into_iter());
    let lost = data_loss_warnings::of_restart(state, &workers);
    let call = Call::Restart(workers.clone());
    ask(state, "Restart", &workers, lost, call);
}

/// Asks whether those that ended are to be removed.
pub fn ask_remove(state: &mut AppState) {
    let workers = named(state.targets().into_iter().filter(|w| w.ended()));
    let lost = data_loss_warnings::of_remove(state, &workers);
    let call = Call::Remove(workers.clone());
    ask(state, "Remove", &workers, lost, call);
}

/// Asks whether all workers are to be stopped, listed or not.
pub fn ask_stop_all(state: &mut AppState) {
    let losses = data_loss_warnings::of_stop_all(state);
    state.dialog = Some(Dialog::Confirm(Confirm {
        question: format!("Stop all {} workers?", state.workers.len()),
        losses,
        verb: "Stop all",
        what: "stop all".to_owned(),
        call: Call::StopAll,
        on_verb: false,
    }));
}
