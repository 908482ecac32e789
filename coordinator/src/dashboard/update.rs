//! The one place where the state changes: `update(state, message) -> effects`. Pure: no I/O, no
//! clock.

use super::{
    dialog::{Confirm, Confirmed, Dialog, SpawnForm},
    event::{ActionDone, AttachEnd, Effect, Failure, Msg, PreviewBody, PreviewMsg, PreviewTarget},
    keymap::{self, Action},
    losses,
    state::{Link, Preview, PreviewStream, State, Worker, exit_words},
    text,
    view::{layout, pages},
};
use crate::wire::{ApiEvent, EventBody, SpawnRequest};
use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use podbay_protocol::Size;

/// Takes in what happened; says what is to be done.
pub fn update(state: &mut State, msg: Msg) -> Vec<Effect> {
    let mut effects = Vec::new();
    match msg {
        Msg::Key(key) => on_key(state, key, &mut effects),
        Msg::Paste(pasted) => paste(state, &pasted),
        Msg::Resize(size) => state.size = size,
        Msg::Api(event) => on_event(state, *event, &mut effects),
        Msg::Gone { reason } => gone(state, reason),
        Msg::Now(now_ms) => state.now_ms = now_ms,
        Msg::Preview(msg) => on_preview(state, msg),
        Msg::ActionDone { what, done } => action_done(state, &what, done),
        Msg::AttachEnded(end) => attach_ended(state, end, &mut effects),
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
        .map(|w| PreviewTarget {
            id: w.view.id.clone(),
            size: w.view.size.unwrap_or_default(),
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
    effects.push(Effect::Preview(target));
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
                effects.push(Effect::PreviewSize(size));
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

fn on_preview(state: &mut State, msg: PreviewMsg) {
    let preview = &mut state.preview;
    if preview.worker.as_ref() != Some(&msg.worker) {
        return;
    }
    match msg.body {
        PreviewBody::Attached => preview.stream = PreviewStream::Live,
        PreviewBody::Screen(grid) => preview.picture = Some((msg.worker, grid)),
        PreviewBody::Ended(status) => preview.stream = PreviewStream::Ended(status),
        PreviewBody::Broken { reason, last } => {
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

fn paste(state: &mut State, pasted: &str) {
    match &mut state.dialog {
        Some(Dialog::Spawn(form)) => {
            if let Some(field) = form.text_field() {
                field.insert(pasted);
            }
        }
        None if state.filtering => {
            state
                .filter
                .extend(pasted.chars().filter(|c| !c.is_control()).take(100));
        }
        _ => {}
    }
}

fn on_key(state: &mut State, key: KeyEvent, effects: &mut Vec<Effect>) {
    if key.kind == KeyEventKind::Release {
        return;
    }
    let ctrl_c = key.code == KeyCode::Char('c') && key.modifiers == KeyModifiers::CONTROL;
    match keymap::lookup(key) {
        Some(Action::Suspend) => return effects.push(Effect::Suspend),
        Some(Action::Redraw) => return effects.push(Effect::Redraw),
        _ => {}
    }
    match state.dialog.take() {
        Some(_) if ctrl_c => {}
        Some(Dialog::Help(lines)) => {
            let last = pages::last_scroll(state.size, &pages::help(state));
            state.dialog = scroll(key, lines, last).map(Dialog::Help);
        }
        Some(Dialog::Details(lines)) => {
            let last = pages::last_scroll(state.size, &pages::details(state));
            state.dialog = scroll(key, lines, last).map(Dialog::Details);
        }
        Some(Dialog::Confirm(confirm)) => confirm_key(state, confirm, key, effects),
        Some(Dialog::Spawn(form)) => spawn_key(state, form, key, effects),
        None if state.filtering => filter_key(state, key),
        None => {
            if let Some(action) = keymap::lookup(key) {
                list_action(state, action, effects);
            }
        }
    }
}

/// Lines scrolled after a key in a text dialog; `None` closes it.
fn scroll(key: KeyEvent, lines: u16, last: u16) -> Option<u16> {
    match keymap::lookup(key) {
        Some(Action::Down) => Some(lines.saturating_add(1)),
        Some(Action::Up) => Some(lines.saturating_sub(1)),
        Some(Action::PageDown) => Some(lines.saturating_add(10)),
        Some(Action::PageUp) => Some(lines.saturating_sub(10)),
        Some(Action::First) => Some(0),
        Some(Action::Last) => Some(last),
        _ => match key.code {
            KeyCode::Esc | KeyCode::Enter | KeyCode::Char('q' | '?' | 's') | KeyCode::F(1) => None,
            _ => Some(lines),
        },
    }
    .map(|lines| lines.min(last))
}

fn filter_key(state: &mut State, key: KeyEvent) {
    match key.code {
        KeyCode::Esc => {
            state.filter.clear();
            state.filtering = false;
        }
        KeyCode::Enter => state.filtering = false,
        KeyCode::Backspace => {
            state.filter.pop();
        }
        KeyCode::Char('u') if key.modifiers == KeyModifiers::CONTROL => state.filter.clear(),
        KeyCode::Char('c') if key.modifiers == KeyModifiers::CONTROL => state.filtering = false,
        KeyCode::Char(c) if !key.modifiers.contains(KeyModifiers::CONTROL) => state.filter.push(c),
        KeyCode::Down => move_by(state, 1),
        KeyCode::Up => move_by(state, -1),
        _ => {}
    }
}

fn confirm_key(state: &mut State, mut confirm: Confirm, key: KeyEvent, effects: &mut Vec<Effect>) {
    let yes = match key.code {
        KeyCode::Char('y' | 'Y') => true,
        KeyCode::Enter => confirm.on_verb,
        KeyCode::Left
        | KeyCode::Right
        | KeyCode::Tab
        | KeyCode::BackTab
        | KeyCode::Char('h' | 'l') => {
            confirm.on_verb = !confirm.on_verb;
            state.dialog = Some(Dialog::Confirm(confirm));
            return;
        }
        KeyCode::Esc | KeyCode::Char('n' | 'N' | 'q') => false,
        _ => {
            state.dialog = Some(Dialog::Confirm(confirm));
            return;
        }
    };
    if !yes {
        return;
    }
    if !state.is_live() {
        return state.refuse("not done: the coordinator is unreachable");
    }
    let (what, effect) = match confirm.what {
        Confirmed::Stop { id, name } => (stop_words(&name), Effect::Stop { id, name }),
        Confirmed::Remove { id, name } => (remove_words(&name), Effect::Remove { id, name }),
        Confirmed::StopAll => (STOP_ALL_WORDS.to_owned(), Effect::StopAll),
    };
    state.pending.push(what);
    effects.push(effect);
}

fn spawn_key(
    state: &mut State,
    mut form: Box<SpawnForm>,
    key: KeyEvent,
    effects: &mut Vec<Effect>,
) {
    match key.code {
        KeyCode::Esc => {
            state.spawn_memory = form.memory();
            return;
        }
        KeyCode::Enter => match form.request(state.size) {
            Ok(request) if state.is_live() => {
                state.spawn_memory = form.memory();
                let name = request
                    .name
                    .clone()
                    .unwrap_or_else(|| "a worker".to_owned());
                state.pending.push(format!("spawning {name}"));
                effects.push(Effect::Spawn(Box::new(request)));
                return;
            }
            Ok(_) => {
                form.error = Some((form.focus, "the coordinator is unreachable".to_owned()));
            }
            Err((field, wrong)) => {
                form.focus = field;
                form.error = Some((field, wrong));
            }
        },
        KeyCode::Tab | KeyCode::Down => form.move_focus(true),
        KeyCode::BackTab | KeyCode::Up => form.move_focus(false),
        _ => {
            form.error = None;
            match form.text_field() {
                Some(field) => {
                    field.key(key);
                }
                None => match key.code {
                    KeyCode::Right | KeyCode::Char(' ' | 'l') => form.cycle(true),
                    KeyCode::Left | KeyCode::Char('h') => form.cycle(false),
                    _ => {}
                },
            }
        }
    }
    state.dialog = Some(Dialog::Spawn(form));
}

fn move_by(state: &mut State, by: isize) {
    let last = state.rows.len().saturating_sub(1);
    let here = state.selected_row().unwrap_or(0);
    let row = here.saturating_add_signed(by).min(last);
    state.selected = state.rows.get(row).cloned();
}

fn list_action(state: &mut State, action: Action, effects: &mut Vec<Effect>) {
    if let Err(why) = keymap::allowed(state, action) {
        if !why.is_empty() {
            state.refuse(why);
        }
        return;
    }
    // A key answers the last message, unless it only moves.
    let page = isize::from(layout::list_page(state.size).cast_signed()).max(1);
    match action {
        Action::Down => return move_by(state, 1),
        Action::Up => return move_by(state, -1),
        Action::PageDown => return move_by(state, page),
        Action::PageUp => return move_by(state, -page),
        Action::First => return move_by(state, isize::MIN),
        Action::Last => return move_by(state, isize::MAX),
        _ => state.notice = None,
    }
    let selected = state
        .selected_worker()
        .map(|w| (w.view.id.clone(), w.view.name.clone()));
    match (action, selected) {
        (Action::Attach | Action::Takeover, Some((id, _))) => effects.push(Effect::Attach {
            id,
            takeover: action == Action::Takeover,
        }),
        (Action::Stop, Some((id, name))) => {
            let losses = state.selected_worker().map(|w| losses::of_stop(state, w));
            ask(
                state,
                Confirm {
                    question: format!("Stop {name}?"),
                    losses: losses.unwrap_or_default(),
                    verb: "Stop",
                    what: Confirmed::Stop { id, name },
                    on_verb: false,
                },
            );
        }
        (Action::Remove, Some((id, name))) => {
            let losses = state.selected_worker().map(losses::of_remove);
            ask(
                state,
                Confirm {
                    question: format!("Remove {name}?"),
                    losses: losses.unwrap_or_default(),
                    verb: "Remove",
                    what: Confirmed::Remove { id, name },
                    on_verb: false,
                },
            );
        }
        (Action::StopAll, _) => {
            let losses = losses::of_stop_all(state);
            ask(
                state,
                Confirm {
                    question: format!("Stop all {} workers?", state.workers.len()),
                    losses,
                    verb: "Stop all",
                    what: Confirmed::StopAll,
                    on_verb: false,
                },
            );
        }
        (Action::Spawn, _) => {
            let profiles = state.pools.keys().cloned().collect();
            let form = SpawnForm::new(&state.spawn_memory, profiles);
            state.dialog = Some(Dialog::Spawn(Box::new(form)));
        }
        (Action::Details, _) => state.dialog = Some(Dialog::Details(0)),
        (Action::Help, _) => state.dialog = Some(Dialog::Help(0)),
        (Action::Filter, _) => state.filtering = true,
        (Action::ClearFilter, _) => state.filter.clear(),
        (Action::Quit, _) => effects.push(Effect::Quit),
        _ => {}
    }
}

fn ask(state: &mut State, confirm: Confirm) {
    state.dialog = Some(Dialog::Confirm(confirm));
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
