//! Actions of the list: moving, marking, selecting, entering a worker, full screen.

use crate::{
    dashboard::{
        app::{
            actions::tabs,
            effect::Effect,
            focus::{Focus, Selecting, Tab},
            state::AppState,
        },
        pages::terminal::scrollback,
        view::{layout, tiling},
    },
    model::keys::Action,
};

/// Does what an action means in the list.
pub fn in_list(state: &mut AppState, action: Action, effects: &mut Vec<Effect>) {
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
        Action::ScrollDown => tabs::scroll_pane(state, false, effects),
        Action::ScrollUp => tabs::scroll_pane(state, true, effects),
        _ => {}
    }
}

/// One step in the list, or among the tiles.
fn step(state: &mut AppState, (across, down): (isize, isize), effects: &mut Vec<Effect>) {
    if !state.tiles {
        return move_by(state, across.saturating_add(down));
    }
    let next = tiling::neighbour(state, across, down);
    if next.is_some() {
        select(state, next, effects);
    }
}

/// Moves the selection in the list.
pub fn move_by(state: &mut AppState, by: isize) {
    let last = state.rows.len().saturating_sub(1);
    let here = state.selected_row().unwrap_or(0);
    let row = here.saturating_add_signed(by).min(last);
    state.selected = state.rows.get(row).cloned();
    state.details_scroll = 0;
}

/// Selects a worker.
pub fn select(state: &mut AppState, id: Option<String>, effects: &mut Vec<Effect>) {
    if state.selected != id {
        scrollback::leave(state, effects);
        state.details_scroll = 0;
        state.selected = id;
    }
}

/// Selects a worker in the list; a filter must not hide it.
pub fn go_to(state: &mut AppState, id: String, effects: &mut Vec<Effect>) {
    if !state.rows.contains(&id) {
        state.filter.clear();
    }
    select(state, Some(id), effects);
    state.focus = Focus::List;
}

fn back(state: &mut AppState) {
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
pub fn enter(state: &mut AppState, effects: &mut Vec<Effect>) {
    let Some(worker) = state.selected_worker() else {
        return;
    };
    let (id, attachable) = (worker.view.id.clone(), worker.attachable());
    if !attachable {
        // Nothing to type into; what there is to see is its output.
        return tabs::show_tab(state, Tab::Logs, Focus::Pane);
    }
    state.tab = Tab::Terminal;
    if state.is_shown(&id) {
        scrollback::leave(state, effects);
        state.typing = Some(id);
        state.focus = Focus::List;
    } else {
        fullscreen(state, effects);
    }
}

/// Hands the terminal to the selected worker.
pub fn fullscreen(state: &mut AppState, effects: &mut Vec<Effect>) {
    if let Some((id, _)) = selected(state) {
        scrollback::leave(state, effects);
        effects.push(Effect::Fullscreen {
            id,
            session: None,
            takeover: std::mem::take(&mut state.takeover),
        });
    }
}

/// Id and name of the selected worker.
pub fn selected(state: &AppState) -> Option<(String, String)> {
    state
        .selected_worker()
        .map(|w| (w.view.id.clone(), w.view.name.clone()))
}
