//! Who gets a key or pasted text: a dialog, a text field, or the keymap. Decides that alone; what
//! an action then does is in `actions`.

use crate::dashboard::{
    app::{
        actions::{line_dialogs, pending_call, perform, selection, tabs},
        effect::{Call, Effect},
        focus::{Focus, Tab},
        keys::{
            keymap::{self, Lookup},
            late_keys,
        },
        state::AppState,
    },
    dialogs::{
        confirm::Confirm,
        dialog::Dialog,
        help::model::Help,
        line::LineDialog,
        palette::{keys::PaletteOutcome, model::Palette},
        spawn::{
            form::{FormKey, SpawnForm},
            request::describe_spawn,
        },
    },
    pages::terminal::scrollback,
    view::layout,
    widgets::text_field::TextField,
    workers::group::Group,
};
use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// Takes pasted text: into a text field, or nowhere.
pub fn paste(state: &mut AppState, pasted: &str, effects: &mut Vec<Effect>) {
    if late_keys::swallows(state) {
        return;
    }
    match &mut state.dialog {
        Some(Dialog::Spawn(form)) => effects.extend(form.paste(pasted)),
        Some(Dialog::Line(line)) => line.field.insert(pasted),
        Some(Dialog::Palette(palette)) => palette.query.insert(pasted),
        Some(Dialog::Help(help)) if help.searching => help.query.insert(pasted),
        Some(Dialog::Help(_) | Dialog::Confirm(_)) => {}
        None if state.filtering => {
            state
                .filter
                .extend(pasted.chars().filter(|c| !c.is_control()).take(100));
        }
        None => {
            if let Some(field) = text_field(state) {
                field.insert(pasted);
            }
        }
    }
}

/// The search field that is open in the pane, if one is.
fn text_field(state: &mut AppState) -> Option<&mut TextField> {
    match (state.focus, state.tab) {
        (Focus::Pane, Tab::Terminal) => state.searching.as_mut(),
        (Focus::Pane, Tab::Changes) => state.changes.text_field(),
        (Focus::Pane, Tab::Logs) => state.logs.text_field(),
        _ => None,
    }
}

/// Takes a key: for the dialog that is open, a text field, or what the keymap says.
pub fn on_key(state: &mut AppState, key: KeyEvent, effects: &mut Vec<Effect>) {
    if key.kind == KeyEventKind::Release || late_keys::swallows_key(state, &key) {
        return;
    }
    let ctrl = |c| key.code == KeyCode::Char(c) && key.modifiers == KeyModifiers::CONTROL;
    if ctrl('z') {
        return effects.push(Effect::Suspend);
    }
    match state.dialog.take() {
        Some(_) if ctrl('c') => return,
        Some(Dialog::Help(help)) => return help_key(state, help, key),
        Some(Dialog::Confirm(confirm)) => return confirm_key(state, confirm, key, effects),
        Some(Dialog::Spawn(form)) => return spawn_key(state, form, key, effects),
        Some(Dialog::Line(line)) => return line_key(state, line, key, effects),
        Some(Dialog::Palette(palette)) => return palette_key(state, palette, key, effects),
        None => {}
    }
    if state.filtering {
        return filter_key(state, key);
    }
    if text_field(state).is_some() {
        return search_key(state, key, effects);
    }
    seen(state, effects);
    match state.keymap.lookup(state.contexts(), &state.begun, key) {
        Lookup::Action(action) => {
            state.begun.clear();
            perform::perform(state, action, effects);
        }
        Lookup::Pending => state.begun.extend(keymap::chord(key)),
        Lookup::None => state.begun.clear(),
    }
}

/// Whoever presses a key has seen what is shown.
fn seen(state: &mut AppState, effects: &mut Vec<Effect>) {
    let done = state
        .selected_worker()
        .filter(|w| w.group() == Group::Done && state.is_shown(&w.view.id))
        .map(|w| w.view.id.clone());
    if let Some(id) = done
        && state.is_live()
    {
        effects.push(Effect::Call {
            what: String::new(),
            call: Call::Seen { id },
        });
    }
}

fn help_key(state: &mut AppState, mut help: Help, key: KeyEvent) {
    let stays = help.key(state, key);
    state.dialog = stays.then_some(Dialog::Help(help));
}

fn filter_key(state: &mut AppState, key: KeyEvent) {
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
        KeyCode::Down => selection::move_by(state, 1),
        KeyCode::Up => selection::move_by(state, -1),
        _ => {}
    }
}

/// A key while a search is typed in the pane: Enter keeps it, Esc forgets it.
fn search_key(state: &mut AppState, key: KeyEvent, effects: &mut Vec<Effect>) {
    let ended = match key.code {
        KeyCode::Enter => Some(true),
        KeyCode::Esc => Some(false),
        KeyCode::Char('c') if key.modifiers == KeyModifiers::CONTROL => Some(false),
        _ => None,
    };
    match (state.tab, ended) {
        (Tab::Terminal, ended) => scrollback::search_typed(state, key, ended, effects),
        (_, None) => {
            if let Some(field) = text_field(state) {
                field.key(key);
            }
            tabs::search_changed(state);
        }
        (_, Some(keep)) => tabs::search_ended(state, keep),
    }
}

fn confirm_key(
    state: &mut AppState,
    mut confirm: Confirm,
    key: KeyEvent,
    effects: &mut Vec<Effect>,
) {
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
    pending_call::begin(state, confirm.what, confirm.call, effects);
}

fn spawn_key(
    state: &mut AppState,
    mut form: Box<SpawnForm>,
    key: KeyEvent,
    effects: &mut Vec<Effect>,
) {
    let size = layout::new_terminal(state);
    match form.key(key, size) {
        FormKey::Stay(more) => {
            effects.extend(more);
            state.dialog = Some(Dialog::Spawn(form));
        }
        FormKey::Cancel => state.spawn_memory = form.memory(),
        FormKey::Spawn(request) if state.is_live() => {
            state.spawn_memory = form.memory();
            effects.push(Effect::Remember(form.memory()));
            let call = Call::Spawn(request);
            let Call::Spawn(request) = &call else { return };
            let what = describe_spawn(request);
            pending_call::begin(state, what, call, effects);
        }
        FormKey::Spawn(_) => {
            form.refuse("the coordinator is unreachable; wait until it is back");
            state.dialog = Some(Dialog::Spawn(form));
        }
    }
}

fn line_key(state: &mut AppState, mut line: LineDialog, key: KeyEvent, effects: &mut Vec<Effect>) {
    match key.code {
        KeyCode::Esc => {}
        KeyCode::Enter => {
            let content = line.field.content();
            let done = match state.is_live() {
                true => line_dialogs::line_entered(state, &line.what, content, effects),
                false => Err("the coordinator is unreachable; wait until it is back".to_owned()),
            };
            if let Err(wrong) = done {
                line.error = Some(wrong);
                state.dialog = Some(Dialog::Line(line));
            }
        }
        _ => {
            line.error = None;
            line.field.key(key);
            state.dialog = Some(Dialog::Line(line));
        }
    }
}

fn palette_key(
    state: &mut AppState,
    mut palette: Palette,
    key: KeyEvent,
    effects: &mut Vec<Effect>,
) {
    match palette.key(state, key) {
        PaletteOutcome::Stay => state.dialog = Some(Dialog::Palette(palette)),
        PaletteOutcome::Close => {}
        PaletteOutcome::Run(entry) => perform::run_choice(state, entry, effects),
    }
}
