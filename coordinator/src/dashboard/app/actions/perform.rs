//! Entry to every action, from a key, the mouse or the palette: checks its preconditions, does what
//! means the same everywhere, and leaves the rest to the list or the tab.

use crate::{
    dashboard::{
        app::{
            actions::{
                confirmations, line_dialogs, pending_call, pools,
                preconditions::check_preconditions, selection, tabs,
            },
            attention,
            effect::{Call, Effect},
            focus::{Focus, Tab},
            keys::keymap::Keymap,
            state::AppState,
        },
        dialogs::{
            dialog::Dialog,
            help::model::Help,
            line::LinePurpose,
            palette::{items::PaletteChoice, model::Palette},
            spawn::form::SpawnForm,
        },
        pages::terminal::scrollback,
        widgets::{text_field::TextField, theme::scheme::Theme},
    },
    model::keys::{Action, Preset},
};

/// Does it, or says why not.
pub fn perform(state: &mut AppState, action: Action, effects: &mut Vec<Effect>) {
    if let Err(why) = check_preconditions(state, action) {
        if !why.is_empty() {
            state.refuse(why);
        }
        return;
    }
    // A key answers the last message, unless it only moves.
    if !action.moves() {
        state.notice = None;
    }
    if everywhere(state, action, effects) {
        return;
    }
    match (state.focus, state.tab) {
        (Focus::Pane, Tab::Terminal) => scrollback::perform(state, action, effects),
        (Focus::Pane, Tab::Changes | Tab::Logs) => tabs::in_tab(state, action, effects),
        (Focus::Pane, Tab::Details) => tabs::details(state, action),
        (Focus::List, _) => selection::in_list(state, action, effects),
    }
}

/// What means the same wherever the keys are; says whether it was that.
fn everywhere(state: &mut AppState, action: Action, effects: &mut Vec<Effect>) -> bool {
    match action {
        Action::Quit => effects.push(Effect::Quit),
        Action::Suspend => effects.push(Effect::Suspend),
        Action::Redraw => effects.push(Effect::Redraw),
        Action::Help => state.dialog = Some(Dialog::Help(Help::new(state.contexts()))),
        Action::Palette => state.dialog = Some(Dialog::Palette(Palette::default())),
        Action::NextTheme => set_theme(state, state.theme.next()),
        Action::ToggleMouse => {
            state.mouse = !state.mouse;
            let said = match state.mouse {
                true => "the mouse is the dashboard's",
                false => "the mouse is your terminal's: select text with it",
            };
            state.inform(said, None);
        }
        Action::ToggleNotifications => {
            state.settings.notifications = state.settings.notifications.next();
            let said = format!("notifications: {}", state.settings.notifications.as_str());
            state.inform(said, None);
        }
        Action::NextTab => tabs::show_tab(state, state.tab.next(), state.focus),
        Action::PreviousTab => tabs::show_tab(state, state.tab.previous(), state.focus),
        Action::ShowTerminal => tabs::show_tab(state, Tab::Terminal, Focus::List),
        Action::ShowChanges => tabs::show_tab(state, Tab::Changes, Focus::Pane),
        Action::ShowLogs => tabs::show_tab(state, Tab::Logs, Focus::Pane),
        Action::ShowDetails => tabs::show_tab(state, Tab::Details, Focus::Pane),
        Action::NextWaiting => {
            let next = attention::next_waiting(state, state.selected.as_deref());
            if let Some(id) = next {
                selection::go_to(state, id, effects);
                state.tab = Tab::Terminal;
            }
        }
        Action::Tiles => {
            state.tiles = !state.tiles;
            state.focus = Focus::List;
            state.tab = Tab::Terminal;
        }
        Action::Zoom => selection::fullscreen(state, effects),
        Action::Takeover => {
            state.takeover = true;
            selection::enter(state, effects);
        }
        Action::Reply => line_dialogs::open(state, |id, name| LinePurpose::Reply { id, name }),
        Action::Rename => {
            line_dialogs::open(state, |id, name| LinePurpose::Rename { id, name });
            if let Some(Dialog::Line(line)) = &mut state.dialog
                && let LinePurpose::Rename { name, .. } = &line.what
            {
                line.field = TextField::new(name);
            }
        }
        Action::Spawn => {
            let (form, wanted) = SpawnForm::open(state);
            effects.extend(wanted);
            state.dialog = Some(Dialog::Spawn(Box::new(form)));
        }
        Action::Shell => {
            if let Some((id, name)) = selection::selected(state) {
                pending_call::begin(
                    state,
                    format!("shell in {name}"),
                    Call::Shell { id },
                    effects,
                );
            }
        }
        Action::Stop => confirmations::ask_stop(state),
        Action::Restart => confirmations::ask_restart(state),
        Action::Remove => confirmations::ask_remove(state),
        Action::StopAll => confirmations::ask_stop_all(state),
        Action::Worker(row) => {
            let id = state.rows.get(usize::from(row).saturating_sub(1)).cloned();
            selection::select(state, id, effects);
        }
        Action::PoolUp | Action::PoolDown => pools::scale(state, action == Action::PoolUp, effects),
        Action::PoolPause => pools::pause(state, effects),
        Action::Apply | Action::Discard if state.tab != Tab::Changes => {
            tabs::show_tab(state, Tab::Changes, Focus::Pane);
            state.inform("this is what would be written or dropped", None);
        }
        _ => return false,
    }
    true
}

fn set_theme(state: &mut AppState, theme: Theme) {
    state.theme = theme;
    let said = format!("theme: {}", theme.word());
    state.inform(said, None);
}

fn set_keymap(state: &mut AppState, preset: Preset) {
    let (keymap, problems) = Keymap::new(preset, &state.settings.keys);
    state.keymap = keymap;
    match problems.is_empty() {
        true => state.inform(format!("keys: {}", preset.as_str()), None),
        false => state.refuse(problems.join("; ")),
    }
}

/// Runs what was chosen in the palette.
pub fn run_choice(state: &mut AppState, entry: PaletteChoice, effects: &mut Vec<Effect>) {
    match entry {
        PaletteChoice::Action(action) => perform(state, action, effects),
        PaletteChoice::Worker(id) => selection::go_to(state, id, effects),
        PaletteChoice::Theme(theme) => set_theme(state, theme),
        PaletteChoice::Keymap(preset) => set_keymap(state, preset),
    }
}
