//! The one place where the state changes: `update(state, message) -> effects`. Never does I/O,
//! never reads a clock.

use crate::{
    dashboard::{
        app::{
            attention,
            effect::{Effect, Fetch},
            focus::{Focus, Tab},
            keys::{key_events, late_keys, mouse_events},
            live_terminal::{LiveTerminal, TerminalStream},
            message::{CallDone, Fetched, FullscreenEnd, LiveBody, LiveMsg, Msg},
            state::{AppState, CoordinatorLink},
            subscriptions,
        },
        dialogs::{dialog::Dialog, spawn::form::SpawnForm},
        view::tiling,
        widgets::text,
        workers::worker::{Worker, describe_exit},
    },
    model::keys::Action,
    wire::{ApiEvent, EventBody, WorkerView},
};
use podbay_protocol::Size;

/// Takes in what happened; says what is to be done.
pub fn update(state: &mut AppState, msg: Msg) -> Vec<Effect> {
    let mut effects = Vec::new();
    let typed = state
        .typing_worker()
        .map(|worker| (worker.view.id.clone(), worker.view.name.clone()));
    // The user's own doing: the user looks at the dashboard, and not at the worker.
    let meant = matches!(msg, Msg::Leave | Msg::Mouse(_) | Msg::Key(_));
    let other_writer = matches!(
        &msg,
        Msg::Live(LiveMsg {
            body: LiveBody::Attached { writer: false },
            ..
        })
    );
    match msg {
        Msg::Key(key) => key_events::on_key(state, key, &mut effects),
        Msg::Mouse(event) => mouse_events::on_mouse(state, event, &mut effects),
        Msg::Paste(pasted) => key_events::paste(state, &pasted, &mut effects),
        Msg::Leave => state.typing = None,
        Msg::Focus(focused) => state.host_focus = Some(focused),
        Msg::Resize(size) => resize(state, size),
        Msg::Api(event) => on_event(state, *event, &mut effects),
        Msg::Gone { reason } => gone(state, reason),
        Msg::Now(now_ms) => state.now_ms = now_ms,
        Msg::Live(msg) => on_live(state, msg, &mut effects),
        Msg::Fetched(fetched) => on_fetched(state, *fetched, &mut effects),
        Msg::CallDone { what, done } => call_done(state, &what, done, &mut effects),
        Msg::FullscreenEnded(end) => fullscreen_ended(state, end, &mut effects),
    }
    if state
        .notice
        .as_ref()
        .and_then(|n| n.until_ms)
        .is_some_and(|until| until <= state.now_ms)
    {
        state.notice = None;
    }
    state.arrange();
    drop_invalid(state);
    late_keys::expire(state);
    if let Some((id, name)) = typed.filter(|_| state.typing.is_none() && !meant) {
        if other_writer {
            let hint = format!("{} takes over", state.key(Action::Takeover));
            let why = format!("someone else types into {name}, you are watching");
            late_keys::begin(state, why, Some(&hint));
        } else {
            let why = late_keys::reason(state, &id, &name);
            late_keys::begin(state, why, None);
        }
    }
    subscriptions::subscribe(state, &mut effects);
    effects
}

/// Ends what makes no sense any more.
fn drop_invalid(state: &mut AppState) {
    let typed = state.typing_worker();
    let typable =
        typed.is_some_and(|worker| state.can_be_live(worker)) && state.typing_area().is_some();
    if state.typing.is_some() && !typable {
        state.typing = None;
    }
    if state.typing.is_none() {
        state.takeover = false;
    }
    if state.tiles && !tiling::has_tiles(state.size) {
        state.tiles = false;
    }
    if state.selected_worker().is_none() && state.focus == Focus::Pane {
        state.focus = Focus::List;
    }
    if state.focus == Focus::List || state.tab != Tab::Terminal {
        state.selecting = None;
    }
}

fn resize(state: &mut AppState, size: Size) {
    state.size = size;
    state.dragging = false;
}

fn on_event(state: &mut AppState, event: ApiEvent, effects: &mut Vec<Effect>) {
    state.now_ms = event.at_ms;
    match event.body {
        EventBody::Hello { status, workers } => {
            state.link = CoordinatorLink::Live;
            late_keys::coordinator_back(state);
            state.pools = status
                .pools
                .iter()
                .map(|p| (p.profile.clone(), p.clone()))
                .collect();
            state.status = Some(*status);
            if state.recent.is_empty() {
                effects.push(Effect::Fetch(Fetch::Recent));
            }
            let mut old = std::mem::take(&mut state.workers);
            for view in workers {
                let known = old.remove(&view.id);
                put(state, known, view, event.at_ms);
            }
        }
        EventBody::Worker { worker } => {
            let known = state.workers.remove(&worker.id);
            let before = known.as_ref().map(Worker::group);
            let id = worker.id.clone();
            put(state, known, *worker, event.at_ms);
            attention::changed(state, &id, before, effects);
        }
        EventBody::Removed { id, .. } => {
            state.workers.remove(&id);
        }
        EventBody::Pool { pool } => {
            state.pools.insert(pool.profile.clone(), pool);
        }
        EventBody::Notification { worker, text } => {
            attention::notified(state, &worker, &text, effects);
        }
        EventBody::Engine { reachable, error } => {
            if let Some(status) = &mut state.status {
                status.engine.reachable = reachable;
                status.engine.error = error;
            }
        }
    }
}

fn put(state: &mut AppState, known: Option<Worker>, view: WorkerView, at_ms: u64) {
    let id = view.id.clone();
    let worker = match known {
        Some(mut known) => {
            known.refresh(view, at_ms);
            known
        }
        None => Worker::new(view, at_ms),
    };
    state.workers.insert(id, worker);
}

fn gone(state: &mut AppState, reason: String) {
    let since_ms = match state.link {
        CoordinatorLink::Gone { since_ms, .. } => since_ms,
        CoordinatorLink::Connecting | CoordinatorLink::Live => state.now_ms,
    };
    state.link = CoordinatorLink::Gone { since_ms, reason };
}

fn on_live(state: &mut AppState, msg: LiveMsg, effects: &mut Vec<Effect>) {
    if !state.watched.iter().any(|w| w.id == msg.worker) {
        return;
    }
    let terminal: &mut LiveTerminal = state.terminals.entry(msg.worker.clone()).or_default();
    match msg.body {
        LiveBody::Attached { writer } => {
            terminal.stream = TerminalStream::Live;
            terminal.writer = writer;
            if !writer && state.typing.as_ref() == Some(&msg.worker) {
                state.typing = None;
            }
        }
        LiveBody::Screen(picture) => terminal.picture = Some(picture),
        LiveBody::Copied(copied) => {
            let lines = copied.lines().count();
            state.inform(format!("copied {lines} lines"), None);
            effects.push(Effect::Clipboard(copied));
        }
        LiveBody::Ended(status) => terminal.stream = TerminalStream::Ended(status),
        LiveBody::Broken { reason, last } => {
            let again = if last { "" } else { "; trying again" };
            terminal.stream = TerminalStream::Broken(format!("{reason}{again}"));
        }
    }
}

fn on_fetched(state: &mut AppState, fetched: Fetched, effects: &mut Vec<Effect>) {
    match fetched {
        Fetched::Logs { .. } => effects.extend(state.logs.on_fetched(fetched)),
        Fetched::Recent(recent) => {
            with_spawn_form(state, |form| form.recent_came(&recent));
            state.recent = recent;
        }
        Fetched::Folders { path, folders } => {
            with_spawn_form(state, |form| form.folders_came(&path, folders));
        }
        fetched => {
            if let Fetched::Applied { result, .. } = &fetched {
                match result {
                    Ok(result) => {
                        let said = describe_applied(result);
                        state.inform(said, None);
                    }
                    Err(failure) => state.fail("apply", failure),
                }
            }
            if let Fetched::Discarded { left, .. } = &fetched {
                match left {
                    Ok(left) => {
                        let more = if left.truncated { "more than " } else { "" };
                        let left = left.entries.len();
                        state.inform(
                            format!("changes dropped; {more}{left} left to review"),
                            None,
                        );
                    }
                    Err(failure) => state.fail("discard", failure),
                }
            }
            effects.extend(state.changes.on_fetched(fetched));
        }
    }
}

fn describe_applied(result: &crate::wire::ApplyResult) -> String {
    let files = match result.applied.len() {
        1 => "1 path".to_owned(),
        n => format!("{n} paths"),
    };
    let conflicts = match result.conflicts.len() {
        0 => String::new(),
        n => format!(", {n} in conflict and not written"),
    };
    format!(
        "{files} written to the project{conflicts}, {}{} left to review",
        if result.left_more { "more than " } else { "" },
        result.left
    )
}

fn call_done(state: &mut AppState, what: &str, done: CallDone, effects: &mut Vec<Effect>) {
    if let Some(place) = state.pending.iter().position(|p| p == what) {
        state.pending.remove(place);
    }
    match done {
        CallDone::Spawned {
            id,
            name,
            cold_reason,
            total_us,
            warnings,
        } => {
            state.select_when_listed = Some(id);
            let took = text::micros(total_us);
            let how = match cold_reason {
                None => "warm".to_owned(),
                Some(why) => format!("cold: {why}"),
            };
            let hint = (!warnings.is_empty()).then(|| warnings.join("; "));
            state.inform(format!("{name} started in {took} ({how})"), hint);
        }
        CallDone::Shell { id, session } => effects.push(Effect::Fullscreen {
            id,
            session: Some(session),
            takeover: false,
        }),
        CallDone::Quiet => {}
        CallDone::Done(sentence) => state.inform(sentence, None),
        CallDone::Failed(error) => state.fail(what, &error),
    }
}

fn fullscreen_ended(state: &mut AppState, end: FullscreenEnd, effects: &mut Vec<Effect>) {
    effects.push(Effect::Redraw);
    match end {
        FullscreenEnd::Detached { writer: true } => {}
        FullscreenEnd::Detached { writer: false } => {
            let takeover = state.key(Action::Takeover);
            state.inform(
                "you watched only: another client is the writer",
                Some(format!("{takeover} takes over")),
            );
        }
        FullscreenEnd::Exited(status) => {
            late_keys::begin(
                state,
                format!("the session {}", describe_exit(status)),
                None,
            );
        }
        FullscreenEnd::Lost(failure) => {
            late_keys::begin(
                state,
                format!("attach: {}", failure.message),
                failure.hint.as_deref(),
            );
        }
    }
}

/// Does something with the spawn form, if it is open.
pub fn with_spawn_form(state: &mut AppState, run: impl FnOnce(&mut SpawnForm)) {
    if let Some(Dialog::Spawn(form)) = &mut state.dialog {
        run(form);
    }
}
