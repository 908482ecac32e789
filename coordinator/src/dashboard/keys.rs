//! What keys do: the part of `update` that answers the user. Pure, as `update` is.

use super::{
    dialog::{Confirm, Confirmed, Dialog, SpawnForm},
    event::{Act, Effect},
    keymap::{self, Action},
    losses,
    state::State,
    update::{STOP_ALL_WORDS, remove_words, spawn_words, stop_words},
    view::{layout, pages},
};
use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// Takes pasted text: into a text field, or nowhere.
pub fn paste(state: &mut State, pasted: &str) {
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

/// Takes a key: for the dialog that is open, the filter, or the list.
pub fn on_key(state: &mut State, key: KeyEvent, effects: &mut Vec<Effect>) {
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
    let (what, act) = match confirm.what {
        Confirmed::Stop { id, name } => (stop_words(&name), Act::Stop(vec![(id, name)])),
        Confirmed::Remove { id, name } => (remove_words(&name), Act::Remove(vec![(id, name)])),
        Confirmed::StopAll => (STOP_ALL_WORDS.to_owned(), Act::StopAll),
    };
    state.pending.push(what.clone());
    effects.push(Effect::Act { what, act });
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
                state.pending.push(spawn_words(&request));
                effects.push(Effect::Act {
                    what: spawn_words(&request),
                    act: Act::Spawn(Box::new(request)),
                });
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
        (Action::Zoom | Action::Takeover, Some((id, _))) => effects.push(Effect::Zoom {
            id,
            session: None,
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
        (Action::ShowDetails, _) => state.dialog = Some(Dialog::Details(0)),
        (Action::Help, _) => state.dialog = Some(Dialog::Help(0)),
        (Action::Filter, _) => state.filtering = true,
        (Action::Back, _) => state.filter.clear(),
        (Action::Quit, _) => effects.push(Effect::Quit),
        _ => {}
    }
}

fn ask(state: &mut State, confirm: Confirm) {
    state.dialog = Some(Dialog::Confirm(confirm));
}
