//! What keys do: the part of `update` that answers the user's typing. Pure, as `update` is.

use super::{
    actions,
    dialog::{Confirm, Dialog, Line, LineFor},
    event::{Act, Effect},
    field::Field,
    help::Help,
    keymap::{self, Lookup},
    late,
    palette::{self, Palette},
    scrollback,
    spawn::{FormKey, SpawnForm},
    state::{Focus, State, Tab},
    update::spawn_words,
};
use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// Takes pasted text: into a text field, or nowhere.
pub fn paste(state: &mut State, pasted: &str, effects: &mut Vec<Effect>) {
    if late::takes(state) {
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
fn text_field(state: &mut State) -> Option<&mut Field> {
    match (state.focus, state.tab) {
        (Focus::Pane, Tab::Terminal) => state.searching.as_mut(),
        (Focus::Pane, Tab::Changes) => state.changes.text_field(),
        (Focus::Pane, Tab::Logs) => state.logs.text_field(),
        _ => None,
    }
}

/// The worker that is answered without leaving the list.
pub fn peeked(state: &State) -> Option<&String> {
    match &state.dialog {
        Some(Dialog::Line(Line {
            what: LineFor::Reply { id, .. },
            ..
        })) => Some(id),
        _ => None,
    }
}

/// Does something with the spawn form, if it is open.
pub fn with_spawn_form(state: &mut State, run: impl FnOnce(&mut SpawnForm)) {
    if let Some(Dialog::Spawn(form)) = &mut state.dialog {
        run(form);
    }
}

/// Takes a key: for the dialog that is open, a text field, or what the keymap says.
pub fn on_key(state: &mut State, key: KeyEvent, effects: &mut Vec<Effect>) {
    if key.kind == KeyEventKind::Release || late::takes_key(state, &key) {
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
            actions::perform(state, action, effects);
        }
        Lookup::Pending => state.begun.extend(keymap::chord(key)),
        Lookup::None => state.begun.clear(),
    }
}

/// Whoever presses a key has seen what is shown.
fn seen(state: &mut State, effects: &mut Vec<Effect>) {
    let done = state
        .selected_worker()
        .filter(|w| w.group() == super::order::Group::Done && state.is_shown(&w.view.id))
        .map(|w| w.view.id.clone());
    if let Some(id) = done
        && state.is_live()
    {
        effects.push(Effect::Act {
            what: String::new(),
            act: Act::Seen { id },
        });
    }
}

fn help_key(state: &mut State, mut help: Help, key: KeyEvent) {
    let stays = help.key(state, key);
    state.dialog = stays.then_some(Dialog::Help(help));
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
        KeyCode::Down => actions::move_by(state, 1),
        KeyCode::Up => actions::move_by(state, -1),
        _ => {}
    }
}

/// A key while a search is typed in the pane: Enter keeps it, Esc forgets it.
fn search_key(state: &mut State, key: KeyEvent, effects: &mut Vec<Effect>) {
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
            actions::search_changed(state);
        }
        (_, Some(keep)) => actions::search_ended(state, keep),
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
    actions::act(state, confirm.what, confirm.act, effects);
}

fn spawn_key(
    state: &mut State,
    mut form: Box<SpawnForm>,
    key: KeyEvent,
    effects: &mut Vec<Effect>,
) {
    let size = super::view::layout::new_terminal(state);
    match form.key(key, size) {
        FormKey::Stay(more) => {
            effects.extend(more);
            state.dialog = Some(Dialog::Spawn(form));
        }
        FormKey::Cancel => state.spawn_memory = form.memory(),
        FormKey::Spawn(request) if state.is_live() => {
            state.spawn_memory = form.memory();
            effects.push(Effect::Remember(form.memory()));
            let act = Act::Spawn(request);
            let Act::Spawn(request) = &act else { return };
            let what = spawn_words(request);
            actions::act(state, what, act, effects);
        }
        FormKey::Spawn(_) => {
            form.refuse("the coordinator is unreachable; wait until it is back");
            state.dialog = Some(Dialog::Spawn(form));
        }
    }
}

fn line_key(state: &mut State, mut line: Line, key: KeyEvent, effects: &mut Vec<Effect>) {
    match key.code {
        KeyCode::Esc => {}
        KeyCode::Enter => {
            let content = line.field.content();
            let done = match state.is_live() {
                true => actions::line_entered(state, &line.what, content, effects),
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

fn palette_key(state: &mut State, mut palette: Palette, key: KeyEvent, effects: &mut Vec<Effect>) {
    match palette.key(state, key) {
        palette::Outcome::Stay => state.dialog = Some(Dialog::Palette(palette)),
        palette::Outcome::Close => {}
        palette::Outcome::Run(entry) => actions::run_entry(state, entry, effects),
    }
}
