//! What the mouse does: select, scroll, drag the divider, press what looks like a button. The part
//! of `update` for it; never draws.

use crate::{
    dashboard::{
        app::{
            actions::{perform, selection, tabs},
            effect::{Effect, ScrollTo},
            focus::{Focus, Selecting, Tab},
            state::AppState,
        },
        dialogs::dialog::Dialog,
        pages::{list, terminal},
        view::{chrome, layout, tiling},
    },
    model::keys::Action,
};
use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Position;

/// Takes a mouse event.
pub fn on_mouse(state: &mut AppState, event: MouseEvent, effects: &mut Vec<Effect>) {
    let at = Position {
        x: event.column,
        y: event.row,
    };
    match (&mut state.dialog, event.kind) {
        (Some(Dialog::Help(help)), MouseEventKind::ScrollDown | MouseEventKind::ScrollUp) => {
            let rows = if event.kind == MouseEventKind::ScrollDown {
                3
            } else {
                -3
            };
            let mut scrolled = help.clone();
            scrolled.scroll(state, rows);
            state.dialog = Some(Dialog::Help(scrolled));
            return;
        }
        // A dialog is answered with keys; a press next to it changes nothing.
        (Some(_), _) => return,
        (None, _) => {}
    }
    match event.kind {
        MouseEventKind::ScrollDown => wheel(state, at, false, effects),
        MouseEventKind::ScrollUp => wheel(state, at, true, effects),
        MouseEventKind::Down(MouseButton::Left) => press(state, at, effects),
        MouseEventKind::Drag(MouseButton::Left) => drag(state, at, effects),
        MouseEventKind::Up(MouseButton::Left) => release(state, effects),
        _ => {}
    }
}

fn wheel(state: &mut AppState, at: Position, up: bool, effects: &mut Vec<Effect>) {
    let areas = layout::split(state);
    if state.tiles {
        if let Some((id, _)) = tiling::tile_at(state, at) {
            let to = ScrollTo::Lines(if up { 3 } else { -3 });
            effects.push(Effect::Scroll { id, to });
        }
    } else if areas.list.contains(at) {
        selection::move_by(state, if up { -1 } else { 1 });
    } else if areas.pane.contains(at) {
        tabs::scroll_pane(state, up, effects);
    }
}

fn press(state: &mut AppState, at: Position, effects: &mut Vec<Effect>) {
    let areas = layout::split(state);
    state.notice = None;
    if state.tiles {
        if let Some((id, _)) = tiling::tile_at(state, at) {
            let again = state.selected.as_ref() == Some(&id);
            if state.typing.as_ref() != Some(&id) {
                state.typing = None;
            }
            selection::select(state, Some(id), effects);
            if again && state.typing.is_none() {
                selection::enter(state, effects);
            }
        }
        return;
    }
    if areas.divider == Some(at.x) && areas.pane.height > 0 && areas.list.y <= at.y {
        state.dragging = true;
        return;
    }
    if let Some(action) = chrome::footer_at(state, areas.footer, at) {
        return perform::perform(state, action, effects);
    }
    if areas.tabs.contains(at) {
        if let Some(tab) = chrome::tab_at(state, areas.tabs, at) {
            let action = match tab {
                Tab::Terminal => Action::ShowTerminal,
                Tab::Changes => Action::ShowChanges,
                Tab::Logs => Action::ShowLogs,
                Tab::Details => Action::ShowDetails,
            };
            perform::perform(state, action, effects);
        }
    } else if areas.list.contains(at) {
        state.typing = None;
        if let Some(id) = list::view::worker_at(state, areas.list, at) {
            selection::select(state, Some(id), effects);
        }
        state.focus = Focus::List;
    } else if areas.pane.contains(at) && state.typing.is_none() {
        if state.tab == Tab::Terminal {
            if let Some((id, from)) = in_terminal(state, at) {
                // A drag selects; a press alone types.
                state.selecting = Some(Selecting {
                    from: Some(from),
                    at: from,
                });
                state.focus = Focus::Pane;
                effects.push(Effect::Scroll {
                    id,
                    to: ScrollTo::Select(None),
                });
            }
        } else {
            state.focus = Focus::Pane;
            if state.tab == Tab::Changes {
                effects.extend(state.changes.press(areas.pane, at));
            }
        }
    }
}

/// The selected worker and the place in its terminal.
fn in_terminal(state: &AppState, at: Position) -> Option<(String, (u16, u16))> {
    let id = state.selected.clone()?;
    let area = state.terminal_area(&id)?;
    let x = at.x.clamp(area.left(), area.right().saturating_sub(1));
    let y = at.y.clamp(area.top(), area.bottom().saturating_sub(1));
    let (left, first) = state.picture(&id).map_or((0, 0), |picture| {
        terminal::view::origin(picture, area, state.selecting.map(|s| s.at))
    });
    Some((id, (x - area.x + left, y - area.y + first)))
}

fn drag(state: &mut AppState, at: Position, effects: &mut Vec<Effect>) {
    if state.dragging {
        state.divider = Some(at.x);
        return;
    }
    let Some(mut selecting) = state.selecting else {
        return;
    };
    if let (Some(from), Some((id, to))) = (selecting.from, in_terminal(state, at)) {
        selecting.at = to;
        state.selecting = Some(selecting);
        effects.push(Effect::Scroll {
            id,
            to: ScrollTo::Select(Some((from, to))),
        });
    }
}

fn release(state: &mut AppState, effects: &mut Vec<Effect>) {
    state.dragging = false;
    let Some(selecting) = state.selecting.filter(|s| s.from.is_some()) else {
        return;
    };
    if state.focus != Focus::Pane || state.tab != Tab::Terminal {
        return;
    }
    let Some(id) = state.selected.clone() else {
        return;
    };
    if selecting.from == Some(selecting.at) {
        // Pressed and let go at one place: the user wants in.
        state.selecting = None;
        state.focus = Focus::List;
        selection::enter(state, effects);
    } else {
        effects.push(Effect::Scroll {
            id,
            to: ScrollTo::Copy,
        });
    }
}
