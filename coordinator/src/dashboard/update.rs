//! The one place where the state changes: `update(state, message) -> effects`. Pure: no I/O, no
//! clock.

use super::{
    attention,
    event::{
        ActionDone, AttachEnd, Effect, Failure, Fetch, Fetched, LiveBody, LiveMsg, LiveTarget, Msg,
    },
    keymap::Action,
    keys, late, mouse,
    state::{Focus, Link, LiveTerminal, State, Stream, Tab},
    text,
    view::layout,
    worker::{Worker, exit_words},
};
use crate::wire::{ApiEvent, EventBody, SpawnRequest, WorkerView};
use podbay_protocol::Size;

/// Takes in what happened; says what is to be done.
pub fn update(state: &mut State, msg: Msg) -> Vec<Effect> {
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
        Msg::Key(key) => keys::on_key(state, key, &mut effects),
        Msg::Mouse(event) => mouse::on_mouse(state, event, &mut effects),
        Msg::Paste(pasted) => keys::paste(state, &pasted, &mut effects),
        Msg::Leave => state.typing = None,
        Msg::Focus(focused) => state.outer_focus = Some(focused),
        Msg::Resize(size) => resize(state, size),
        Msg::Api(event) => on_event(state, *event, &mut effects),
        Msg::Gone { reason } => gone(state, reason),
        Msg::Now(now_ms) => state.now_ms = now_ms,
        Msg::Live(msg) => on_live(state, msg, &mut effects),
        Msg::Fetched(fetched) => on_fetched(state, *fetched, &mut effects),
        Msg::ActionDone { what, done } => action_done(state, &what, done, &mut effects),
        Msg::ZoomEnded(end) => zoom_ended(state, end, &mut effects),
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
    settle(state);
    late::expire(state);
    if let Some((id, name)) = typed.filter(|_| state.typing.is_none() && !meant) {
        if other_writer {
            let hint = format!("{} takes over", state.key(Action::Takeover));
            let why = format!("someone else types into {name}, you are watching");
            late::begin(state, why, Some(&hint));
        } else {
            let why = late::reason(state, &id, &name);
            late::begin(state, why, None);
        }
    }
    follow(state, &mut effects);
    effects
}

/// Ends what makes no sense any more.
fn settle(state: &mut State) {
    let typable = state.is_live()
        && state.typing_worker().is_some_and(Worker::attachable)
        && state.typing_area().is_some();
    if state.typing.is_some() && !typable {
        state.typing = None;
    }
    if state.typing.is_none() {
        state.takeover = false;
    }
    if state.tiles && !layout::has_tiles(state.size) {
        state.tiles = false;
    }
    if state.selected_worker().is_none() && state.focus == Focus::Pane {
        state.focus = Focus::List;
    }
    if state.focus == Focus::List || state.tab != Tab::Terminal {
        state.selecting = None;
    }
}

/// Makes live what is shown, and fetches what the tab needs.
fn follow(state: &mut State, effects: &mut Vec<Effect>) {
    let wanted = wanted(state);
    if wanted != state.watched {
        for target in &wanted {
            let terminal = state.terminals.entry(target.id.clone()).or_default();
            let known = state.watched.iter().any(|w| w.id == target.id);
            if !known {
                terminal.stream = Stream::Opening;
                terminal.writer = false;
            }
        }
        for (id, terminal) in &mut state.terminals {
            if !wanted.iter().any(|w| w.id == *id) && terminal.stream != Stream::Off {
                if !matches!(terminal.stream, Stream::Ended(_)) {
                    terminal.stream = Stream::Off;
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
    effects.extend(state.changes.follow(selected.filter(|_| changes)));
    effects.extend(state.logs.follow(selected.filter(|_| logs)));
}

/// The terminals to be live now.
fn wanted(state: &State) -> Vec<LiveTarget> {
    if !state.is_live() {
        return Vec::new();
    }
    let mut ids: Vec<&String> = match state.tiles {
        true => layout::tiled(state).into_iter().map(|(id, _)| id).collect(),
        false => state
            .selected
            .iter()
            .filter(|id| state.is_shown(id))
            .collect(),
    };
    // What is answered without leaving the list is looked at as well.
    if let Some(id) = keys::peeked(state)
        && !ids.contains(&id)
    {
        ids.push(id);
    }
    ids.into_iter()
        .filter_map(|id| state.workers.get(id))
        .filter(|w| w.attachable())
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

fn resize(state: &mut State, size: Size) {
    state.size = size;
    state.dragging = false;
}

fn on_event(state: &mut State, event: ApiEvent, effects: &mut Vec<Effect>) {
    state.now_ms = event.at_ms;
    match event.body {
        EventBody::Hello { status, workers } => {
            state.link = Link::Live;
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

fn put(state: &mut State, known: Option<Worker>, view: WorkerView, at_ms: u64) {
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

fn gone(state: &mut State, reason: String) {
    let since_ms = match state.link {
        Link::Gone { since_ms, .. } => since_ms,
        Link::Connecting | Link::Live => state.now_ms,
    };
    state.link = Link::Gone { since_ms, reason };
}

fn on_live(state: &mut State, msg: LiveMsg, effects: &mut Vec<Effect>) {
    if !state.watched.iter().any(|w| w.id == msg.worker) {
        return;
    }
    let terminal: &mut LiveTerminal = state.terminals.entry(msg.worker.clone()).or_default();
    match msg.body {
        LiveBody::Attached { writer } => {
            terminal.stream = Stream::Live;
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
        LiveBody::Ended(status) => terminal.stream = Stream::Ended(status),
        LiveBody::Broken { reason, last } => {
            let again = if last { "" } else { "; trying again" };
            terminal.stream = Stream::Broken(format!("{reason}{again}"));
        }
    }
}

fn on_fetched(state: &mut State, fetched: Fetched, effects: &mut Vec<Effect>) {
    match fetched {
        Fetched::Logs { .. } => effects.extend(state.logs.take(fetched)),
        Fetched::Recent(recent) => {
            keys::with_spawn_form(state, |form| form.recent_came(&recent));
            state.recent = recent;
        }
        Fetched::Folders { path, folders } => {
            keys::with_spawn_form(state, |form| form.folders_came(&path, folders));
        }
        fetched => {
            if let Fetched::Applied { result, .. } = &fetched {
                match result {
                    Ok(result) => {
                        let said = applied_words(result);
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
            effects.extend(state.changes.take(fetched));
        }
    }
}

fn applied_words(result: &crate::wire::ApplyResult) -> String {
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

fn action_done(state: &mut State, what: &str, done: ActionDone, effects: &mut Vec<Effect>) {
    if let Some(place) = state.pending.iter().position(|p| p == what) {
        state.pending.remove(place);
    }
    match done {
        ActionDone::Spawned {
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
        ActionDone::Shell { id, session } => effects.push(Effect::Zoom {
            id,
            session: Some(session),
            takeover: false,
        }),
        ActionDone::Quiet => {}
        ActionDone::Done(sentence) => state.inform(sentence, None),
        ActionDone::Failed(error) => state.fail(what, &error),
    }
}

fn zoom_ended(state: &mut State, end: AttachEnd, effects: &mut Vec<Effect>) {
    effects.push(Effect::Redraw);
    match end {
        AttachEnd::Detached { writer: true } => {}
        AttachEnd::Detached { writer: false } => {
            let takeover = state.key(Action::Takeover);
            state.inform(
                "you watched only: another client is the writer",
                Some(format!("{takeover} takes over")),
            );
        }
        AttachEnd::Exited(status) => {
            late::begin(state, format!("the session {}", exit_words(status)), None);
        }
        AttachEnd::Lost(failure) => {
            late::begin(
                state,
                format!("attach: {}", failure.message),
                failure.hint.as_deref(),
            );
        }
    }
}

/// What spawning is called, while it is under way and when it failed.
pub fn spawn_words(request: &SpawnRequest) -> String {
    format!("spawn {}", request.name.as_deref().unwrap_or("a worker"))
}

/// The first size of a state, before the terminal said anything.
pub const FALLBACK_SIZE: Size = Size { cols: 80, rows: 24 };

/// A failure of a call, with its hint.
impl From<crate::client::ClientError> for Failure {
    fn from(error: crate::client::ClientError) -> Self {
        Self {
            message: error.to_string(),
            hint: error.hint(),
        }
    }
}
