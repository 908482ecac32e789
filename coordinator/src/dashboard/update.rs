//! The one place where the state changes: `update(state, message) -> effects`. Pure: no I/O, no
//! clock.

use super::{
    event::{ActionDone, AttachEnd, Effect, Failure, LiveBody, LiveMsg, LiveTarget, Msg},
    keys,
    state::{Link, Preview, PreviewStream, State, Worker, exit_words},
    text,
    view::layout,
};
use crate::wire::{ApiEvent, EventBody, SpawnRequest};
use podbay_protocol::Size;

/// Takes in what happened; says what is to be done.
pub fn update(state: &mut State, msg: Msg) -> Vec<Effect> {
    let mut effects = Vec::new();
    match msg {
        Msg::Key(key) => keys::on_key(state, key, &mut effects),
        Msg::Paste(pasted) => keys::paste(state, &pasted),
        Msg::Resize(size) => state.size = size,
        Msg::Api(event) => on_event(state, *event, &mut effects),
        Msg::Gone { reason } => gone(state, reason),
        Msg::Now(now_ms) => state.now_ms = now_ms,
        Msg::Live(msg) => on_live(state, msg),
        Msg::Mouse(_) | Msg::Leave | Msg::Focus(_) | Msg::Fetched(_) => {}
        Msg::ActionDone { what, done } => action_done(state, &what, done),
        Msg::ZoomEnded(end) => attach_ended(state, end, &mut effects),
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
    follow_selection(state, &mut effects);
    effects
}

/// Makes the preview watch the selected worker.
fn follow_selection(state: &mut State, effects: &mut Vec<Effect>) {
    let target = state
        .selected_worker()
        .filter(|w| w.attachable() && state.is_live() && layout::has_preview(state.size))
        .map(|w| LiveTarget {
            id: w.view.id.clone(),
            size: w.view.size.unwrap_or_default(),
            write: None,
            takeover: false,
        });
    let wanted = target.as_ref().map(|t| &t.id);
    if wanted == state.preview.worker.as_ref() {
        return;
    }
    // The last picture of the same worker stays until a new one comes.
    let picture = state.preview.picture.take();
    state.preview = Preview {
        worker: wanted.cloned(),
        picture: picture.filter(|(of, _)| state.selected.as_ref() == Some(of)),
        stream: match wanted {
            Some(_) => PreviewStream::Opening,
            None => PreviewStream::Off,
        },
    };
    effects.push(Effect::Watch(target.into_iter().collect()));
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
            let mut old = std::mem::take(&mut state.workers);
            for view in workers {
                let known = old.remove(&view.id);
                put(state, known, view, event.at_ms);
            }
        }
        EventBody::Worker { worker } => {
            let known = state.workers.remove(&worker.id);
            let size = worker.size;
            let resized = known.as_ref().is_some_and(|k| k.view.size != size);
            if let (true, Some(size)) = (resized, size)
                && state.preview.worker.as_ref() == Some(&worker.id)
            {
                effects.push(Effect::Watch(vec![LiveTarget {
                    id: worker.id.clone(),
                    size,
                    write: None,
                    takeover: false,
                }]));
            }
            put(state, known, *worker, event.at_ms);
        }
        EventBody::Removed { id, .. } => {
            state.workers.remove(&id);
        }
        EventBody::Pool { pool } => {
            state.pools.insert(pool.profile.clone(), pool);
        }
        EventBody::Notification { worker, text } => {
            let said = if text.is_empty() {
                "rang the bell"
            } else {
                &text
            };
            if state.notice.as_ref().is_none_or(|n| n.until_ms.is_some()) {
                let said = format!("{worker}: {said}");
                state.inform(said, None);
            }
        }
        EventBody::Engine { reachable, error } => {
            if let Some(status) = &mut state.status {
                status.engine.reachable = reachable;
                status.engine.error = error;
            }
        }
    }
}

fn put(state: &mut State, known: Option<Worker>, view: crate::wire::WorkerView, at_ms: u64) {
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

fn on_live(state: &mut State, msg: LiveMsg) {
    let preview = &mut state.preview;
    if preview.worker.as_ref() != Some(&msg.worker) {
        return;
    }
    match msg.body {
        LiveBody::Attached { .. } => preview.stream = PreviewStream::Live,
        LiveBody::Screen(picture) => preview.picture = Some((msg.worker, picture)),
        LiveBody::Copied(_) => {}
        LiveBody::Ended(status) => preview.stream = PreviewStream::Ended(status),
        LiveBody::Broken { reason, last } => {
            let again = if last { "" } else { "; trying again" };
            preview.stream = PreviewStream::Broken(format!("{reason}{again}"));
        }
    }
}

fn action_done(state: &mut State, what: &str, done: ActionDone) {
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
        ActionDone::Shell { .. } => {}
        ActionDone::Done(sentence) => state.inform(sentence, None),
        ActionDone::Failed(error) => state.fail(what, &error),
    }
}

fn attach_ended(state: &mut State, end: AttachEnd, effects: &mut Vec<Effect>) {
    effects.push(Effect::Redraw);
    match end {
        AttachEnd::Detached { writer: true } => {}
        AttachEnd::Detached { writer: false } => state.inform(
            "you watched only: another client is the writer",
            Some("t attaches and takes over".to_owned()),
        ),
        AttachEnd::Exited(status) => {
            state.inform(format!("the session {}", exit_words(status)), None)
        }
        AttachEnd::Lost(failure) => state.fail("attach", &failure),
    }
}

/// What stopping a worker is called, while it is under way and when it failed.
pub fn stop_words(name: &str) -> String {
    format!("stop {name}")
}

/// The same for removing.
pub fn remove_words(name: &str) -> String {
    format!("remove {name}")
}

/// The same for spawning.
pub fn spawn_words(request: &SpawnRequest) -> String {
    format!("spawn {}", request.name.as_deref().unwrap_or("a worker"))
}

/// The same for stopping every worker.
pub const STOP_ALL_WORDS: &str = "stop all";

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
