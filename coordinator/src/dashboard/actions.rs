//! What actions do, whether they come from a key, the mouse or the palette.

use super::{
    allowed::allowed,
    attention,
    dialog::{Confirm, Dialog, Line, LineFor},
    event::{Act, Effect, ScrollTo},
    field::Field,
    help::Help,
    keymap::{Action, Keymap, Preset},
    losses,
    palette::{Entry, Palette},
    scrollback,
    spawn::SpawnForm,
    state::{Focus, Selecting, State, Tab},
    theme::Theme,
    view::{layout, pages},
    worker::Worker,
};
use crate::model::WorkerName;

/// Does it, or says why not.
pub fn perform(state: &mut State, action: Action, effects: &mut Vec<Effect>) {
    if let Err(why) = allowed(state, action) {
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
        (Focus::Pane, Tab::Changes | Tab::Logs) => in_tab(state, action, effects),
        (Focus::Pane, Tab::Details) => details(state, action),
        (Focus::List, _) => in_list(state, action, effects),
    }
}

/// What means the same wherever the keys are; says whether it was that.
fn everywhere(state: &mut State, action: Action, effects: &mut Vec<Effect>) -> bool {
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
        Action::NextTab => show_tab(state, state.tab.next(), state.focus),
        Action::PreviousTab => show_tab(state, state.tab.previous(), state.focus),
        Action::ShowTerminal => show_tab(state, Tab::Terminal, Focus::List),
        Action::ShowChanges => show_tab(state, Tab::Changes, Focus::Pane),
        Action::ShowLogs => show_tab(state, Tab::Logs, Focus::Pane),
        Action::ShowDetails => show_tab(state, Tab::Details, Focus::Pane),
        Action::NextWaiting => {
            let next = attention::next_waiting(state, state.selected.as_deref());
            if let Some(id) = next {
                go_to(state, id, effects);
                state.tab = Tab::Terminal;
            }
        }
        Action::Tiles => {
            state.tiles = !state.tiles;
            state.focus = Focus::List;
            state.tab = Tab::Terminal;
        }
        Action::Zoom => zoom(state, effects),
        Action::Takeover => {
            state.takeover = true;
            enter(state, effects);
        }
        Action::Reply => line(state, |id, name| LineFor::Reply { id, name }),
        Action::Rename => {
            line(state, |id, name| LineFor::Rename { id, name });
            if let Some(Dialog::Line(line)) = &mut state.dialog
                && let LineFor::Rename { name, .. } = &line.what
            {
                line.field = Field::new(name);
            }
        }
        Action::Spawn => {
            let (form, wanted) = SpawnForm::open(state);
            effects.extend(wanted);
            state.dialog = Some(Dialog::Spawn(Box::new(form)));
        }
        Action::Shell => {
            if let Some((id, name)) = selected(state) {
                act(
                    state,
                    format!("shell in {name}"),
                    Act::Shell { id },
                    effects,
                );
            }
        }
        Action::Stop => ask_stop(state),
        Action::Restart => ask_restart(state),
        Action::Remove => ask_remove(state),
        Action::StopAll => ask_stop_all(state),
        Action::Worker(row) => {
            let id = state.rows.get(usize::from(row).saturating_sub(1)).cloned();
            select(state, id, effects);
        }
        Action::PoolUp | Action::PoolDown => scale(state, action == Action::PoolUp, effects),
        Action::PoolPause => pause(state, effects),
        Action::Apply | Action::Discard if state.tab != Tab::Changes => {
            show_tab(state, Tab::Changes, Focus::Pane);
            state.inform("this is what would be written or dropped", None);
        }
        _ => return false,
    }
    true
}

fn set_theme(state: &mut State, theme: Theme) {
    state.theme = theme;
    let said = format!("theme: {}", theme.word());
    state.inform(said, None);
}

fn show_tab(state: &mut State, tab: Tab, focus: Focus) {
    state.tiles = false;
    state.tab = tab;
    state.focus = focus;
    state.details_scroll = 0;
    // Without room for both, a tab is shown by giving it the keys.
    if !layout::has_pane(state.size) {
        state.focus = Focus::Pane;
    }
    if tab == Tab::Terminal {
        state.focus = Focus::List;
    }
}

fn in_list(state: &mut State, action: Action, effects: &mut Vec<Effect>) {
    let page = isize::from(layout::list_page(state).cast_signed()).max(1);
    match action {
        Action::Down => step(state, (0, 1), effects),
        Action::Up => step(state, (0, -1), effects),
        Action::Left => step(state, (-1, 0), effects),
        Action::Right => step(state, (1, 0), effects),
        Action::PageDown => move_by(state, page),
        Action::PageUp => move_by(state, -page),
        Action::First => move_by(state, isize::MIN),
        Action::Last => move_by(state, isize::MAX),
        Action::Enter => enter(state, effects),
        Action::Back => back(state),
        Action::Filter => state.filtering = true,
        Action::Sort => {
            state.sort = state.sort.next();
            state.inform(format!("sorted by {}", state.sort.word()), None);
        }
        Action::Mark => {
            if let Some((id, _)) = selected(state) {
                if !state.marked.remove(&id) {
                    state.marked.insert(id);
                }
                move_by(state, 1);
            }
        }
        Action::MarkAll => {
            let all = state.rows.iter().all(|id| state.marked.contains(id));
            state.marked = match all {
                true => [].into(),
                false => state.rows.iter().cloned().collect(),
            };
        }
        Action::Scrollback => {
            state.tab = Tab::Terminal;
            state.focus = Focus::Pane;
            state.selecting = Some(Selecting {
                from: None,
                at: scrollback::cursor(state),
            });
        }
        Action::ScrollDown => scroll_pane(state, false, effects),
        Action::ScrollUp => scroll_pane(state, true, effects),
        _ => {}
    }
}

/// One step in the list, or among the tiles.
fn step(state: &mut State, (across, down): (isize, isize), effects: &mut Vec<Effect>) {
    if !state.tiles {
        return move_by(state, across.saturating_add(down));
    }
    let next = layout::neighbour(state, across, down);
    if next.is_some() {
        select(state, next, effects);
    }
}

/// Moves the selection in the list.
pub fn move_by(state: &mut State, by: isize) {
    let last = state.rows.len().saturating_sub(1);
    let here = state.selected_row().unwrap_or(0);
    let row = here.saturating_add_signed(by).min(last);
    state.selected = state.rows.get(row).cloned();
    state.details_scroll = 0;
}

/// Selects a worker.
pub fn select(state: &mut State, id: Option<String>, effects: &mut Vec<Effect>) {
    if state.selected != id {
        scrollback::leave(state, effects);
        state.details_scroll = 0;
        state.selected = id;
    }
}

/// Selects a worker in the list; a filter must not hide it.
fn go_to(state: &mut State, id: String, effects: &mut Vec<Effect>) {
    if !state.rows.contains(&id) {
        state.filter.clear();
    }
    select(state, Some(id), effects);
    state.focus = Focus::List;
}

fn back(state: &mut State) {
    if state.tiles {
        state.tiles = false;
    } else if !state.filter.is_empty() {
        state.filter.clear();
    } else {
        state.marked.clear();
    }
}

/// Types into the selected worker, whatever tab was shown: who presses Enter in the list goes on
/// typing, and what is typed must not become commands of a tab.
pub fn enter(state: &mut State, effects: &mut Vec<Effect>) {
    let Some(worker) = state.selected_worker() else {
        return;
    };
    let (id, attachable) = (worker.view.id.clone(), worker.attachable());
    if !attachable {
        // Nothing to type into; what there is to see is its output.
        return show_tab(state, Tab::Logs, Focus::Pane);
    }
    state.tab = Tab::Terminal;
    if state.is_shown(&id) {
        scrollback::leave(state, effects);
        state.typing = Some(id);
        state.focus = Focus::List;
    } else {
        zoom(state, effects);
    }
}

fn zoom(state: &mut State, effects: &mut Vec<Effect>) {
    if let Some((id, _)) = selected(state) {
        scrollback::leave(state, effects);
        effects.push(Effect::Zoom {
            id,
            session: None,
            takeover: std::mem::take(&mut state.takeover),
        });
    }
}

fn selected(state: &State) -> Option<(String, String)> {
    state
        .selected_worker()
        .map(|w| (w.view.id.clone(), w.view.name.clone()))
}

fn line(state: &mut State, what: impl FnOnce(String, String) -> LineFor) {
    if let Some((id, name)) = selected(state) {
        state.dialog = Some(Dialog::Line(Line {
            what: what(id, name),
            field: Field::default(),
            error: None,
        }));
    }
}

/// Takes a line that was entered.
///
/// # Errors
/// Says what is wrong with it.
pub fn line_entered(
    state: &mut State,
    what: &LineFor,
    content: String,
    effects: &mut Vec<Effect>,
) -> Result<(), String> {
    match what {
        LineFor::Reply { id, name } => {
            let call = Act::Reply {
                id: id.clone(),
                name: name.clone(),
                line: content,
            };
            act(state, format!("answer {name}"), call, effects);
        }
        LineFor::Rename { id, name } => {
            let new = content.trim();
            if new == name {
                return Ok(());
            }
            WorkerName::new(new).map_err(|wrong| wrong.to_string())?;
            if state.workers.values().any(|w| w.view.name == new) {
                return Err(format!("there is a worker named {new} already"));
            }
            let call = Act::Rename {
                id: id.clone(),
                name: new.to_owned(),
            };
            act(state, format!("rename {name}"), call, effects);
        }
    }
    Ok(())
}

/// Begins a call; it is shown as under way until its end comes.
pub fn act(state: &mut State, what: String, act: Act, effects: &mut Vec<Effect>) {
    state.pending.push(what.clone());
    effects.push(Effect::Act { what, act });
}

/// Runs what was chosen in the palette.
pub fn run_entry(state: &mut State, entry: Entry, effects: &mut Vec<Effect>) {
    match entry {
        Entry::Action(action) => perform(state, action, effects),
        Entry::Worker(id) => go_to(state, id, effects),
        Entry::Theme(theme) => set_theme(state, theme),
        Entry::Keymap(preset) => set_keymap(state, preset),
    }
}

fn set_keymap(state: &mut State, preset: Preset) {
    let (keymap, problems) = Keymap::new(preset, &state.settings.keys);
    state.keymap = keymap;
    match problems.is_empty() {
        true => state.inform(format!("keys: {}", preset.as_str()), None),
        false => state.refuse(problems.join("; ")),
    }
}

// What asks first.

fn named<'a>(workers: impl Iterator<Item = &'a Worker>) -> Vec<(String, String)> {
    workers
        .map(|w| (w.view.id.clone(), w.view.name.clone()))
        .collect()
}

fn ask(
    state: &mut State,
    verb: &'static str,
    workers: &[(String, String)],
    losses: Vec<String>,
    act: Act,
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
        act,
        on_verb: false,
    }));
}

fn ask_stop(state: &mut State) {
    let workers = named(state.targets().into_iter().filter(|w| !w.ended()));
    let lost = losses::of_stop(state, &workers);
    let act = Act::Stop(workers.clone());
    ask(state, "Stop", &workers, lost, act);
}

fn ask_restart(state: &mut State) {
    let workers = named(state.targets().into_iter());
    let lost = losses::of_restart(state, &workers);
    let act = Act::Restart(workers.clone());
    ask(state, "Restart", &workers, lost, act);
}

fn ask_remove(state: &mut State) {
    let workers = named(state.targets().into_iter().filter(|w| w.ended()));
    let lost = losses::of_remove(state, &workers);
    let act = Act::Remove(workers.clone());
    ask(state, "Remove", &workers, lost, act);
}

fn ask_stop_all(state: &mut State) {
    let losses = losses::of_stop_all(state);
    state.dialog = Some(Dialog::Confirm(Confirm {
        question: format!("Stop all {} workers?", state.workers.len()),
        losses,
        verb: "Stop all",
        what: "stop all".to_owned(),
        act: Act::StopAll,
        on_verb: false,
    }));
}

// The pool.

/// The pool that pool keys are for: the selected worker's, or the only one, or the first.
pub fn pool_of(state: &State) -> Option<&crate::wire::PoolView> {
    let profile = state.selected_worker().map(|w| &w.view.profile);
    profile
        .and_then(|p| state.pools.get(p))
        .or_else(|| state.pools.values().next())
}

fn scale(state: &mut State, up: bool, effects: &mut Vec<Effect>) {
    let Some(pool) = pool_of(state) else {
        return;
    };
    let min = match up {
        true => pool.min_warm.saturating_add(1),
        false => pool.min_warm.saturating_sub(1),
    };
    let profile = pool.profile.clone();
    let call = Act::Scale {
        max: pool.max_warm.max(min),
        profile: profile.clone(),
        min,
    };
    act(state, format!("scale {profile}"), call, effects);
}

fn pause(state: &mut State, effects: &mut Vec<Effect>) {
    let Some(pool) = pool_of(state) else {
        return;
    };
    let (profile, paused) = (pool.profile.clone(), !pool.paused);
    let word = if paused { "pause" } else { "resume" };
    let what = format!("{word} refilling {profile}");
    act(state, what, Act::Pause { profile, paused }, effects);
}

// The pane.

/// Gives the keys back to the list, which is all there is where a tab has no room beside it.
fn to_list(state: &mut State) {
    state.focus = Focus::List;
    if !layout::has_pane(state.size) {
        state.tab = Tab::Terminal;
    }
}

fn in_tab(state: &mut State, action: Action, effects: &mut Vec<Effect>) {
    if action == Action::Back && !state.tab_back() {
        return to_list(state);
    }
    let page = layout::pane_page(state);
    let outcome = match state.tab {
        Tab::Changes => state.changes.act(action, page),
        _ => state.logs.act(action, page),
    };
    take_outcome(state, outcome, effects);
}

fn take_outcome(state: &mut State, outcome: super::changes::TabOutcome, effects: &mut Vec<Effect>) {
    for effect in outcome.effects {
        match effect {
            Effect::Act { what, act: call } => act(state, what, call, effects),
            effect => effects.push(effect),
        }
    }
    if let Some(said) = outcome.said {
        state.inform(said, None);
    }
    if let Some(why) = outcome.refused {
        state.refuse(why);
    }
    if let Some(confirm) = outcome.ask {
        state.dialog = Some(Dialog::Confirm(confirm));
    }
}

/// The text of a tab's search changed.
pub fn search_changed(state: &mut State) {
    match state.tab {
        Tab::Changes => state.changes.search_changed(),
        Tab::Logs => state.logs.search_changed(),
        Tab::Terminal | Tab::Details => {}
    }
}

/// A tab's search ended; kept, or forgotten.
pub fn search_ended(state: &mut State, keep: bool) {
    match state.tab {
        Tab::Changes => state.changes.search_ended(keep),
        Tab::Logs => state.logs.search_ended(keep),
        Tab::Terminal | Tab::Details => {}
    }
}

fn details(state: &mut State, action: Action) {
    match action {
        Action::Back | Action::Left => to_list(state),
        action => {
            let last = pages::last_details(state);
            state.details_scroll = scrolled(state.details_scroll, action, last);
        }
    }
}

/// Lines scrolled after a movement.
pub fn scrolled(lines: u16, action: Action, last: u16) -> u16 {
    match action {
        Action::Down | Action::ScrollDown => lines.saturating_add(1),
        Action::Up | Action::ScrollUp => lines.saturating_sub(1),
        Action::PageDown => lines.saturating_add(10),
        Action::PageUp => lines.saturating_sub(10),
        Action::First => 0,
        Action::Last => last,
        _ => lines,
    }
    .min(last)
}

/// Scrolls what is right of the list without leaving the list.
pub fn scroll_pane(state: &mut State, up: bool, effects: &mut Vec<Effect>) {
    let action = match up {
        true => Action::ScrollUp,
        false => Action::ScrollDown,
    };
    match state.tab {
        Tab::Terminal => {
            if let Some(id) = state.selected.clone() {
                let to = ScrollTo::Lines(if up { 3 } else { -3 });
                effects.push(Effect::Scroll { id, to });
            }
        }
        Tab::Details => {
            let last = pages::last_details(state);
            state.details_scroll = scrolled(state.details_scroll, action, last);
        }
        Tab::Changes | Tab::Logs => {
            for _ in 0..3 {
                let outcome = match state.tab {
                    Tab::Changes => state.changes.act(action, 3),
                    _ => state.logs.act(action, 3),
                };
                take_outcome(state, outcome, effects);
            }
        }
    }
}
