//! Draws the state into a buffer: all of `view` begins here. Never does I/O, reads a clock, or
//! changes the state.

use crate::dashboard::{
    app::{
        focus::{Focus, Tab},
        state::AppState,
    },
    dialogs,
    pages::{
        changes, details, list, logs,
        terminal::{self, tiles_view},
    },
    view::{
        chrome,
        layout::{self, Areas},
        notice_line, pool_bar,
    },
    widgets::{pen::Pen, theme::role::Role},
};
use ratatui::{buffer::Buffer, layout::Position};

/// Draws everything; gives the place of the cursor when a text field or a terminal has it.
pub fn draw(state: &AppState, buf: &mut Buffer) -> Option<Position> {
    let areas = layout::split(state);
    let mut pen = Pen::new(buf, state.theme);
    chrome::header(state, areas.header, &mut pen);
    chrome::banner(state, areas.banner, &mut pen);
    let cursor = if state.tiles {
        tiles_view::draw(state, areas.pane, &mut pen)
    } else {
        pool_bar::draw(state, areas.pools, &mut pen);
        let in_list = list::view::draw(state, areas.list, &mut pen);
        divide(state, &areas, &mut pen);
        in_list.or(pane(state, &areas, &mut pen))
    };
    notice_line::notice(state, areas.notice, &mut pen);
    chrome::footer(state, areas.footer, &mut pen);
    let cursor = match &state.dialog {
        Some(dialog) => dialogs::view::draw(state, dialog, &mut pen),
        None => cursor,
    };
    cursor.filter(|place| pen.area().contains(*place))
}

/// The line between the list and the tab.
fn divide(state: &AppState, areas: &Areas, pen: &mut Pen<'_>) {
    let Some(x) = areas.divider else { return };
    let role = match state.dragging {
        true => Role::Focus,
        false => Role::Border,
    };
    let style = pen.theme.style(role);
    let (corner, line) = (pen.theme.glyph("┬", "+"), pen.theme.glyph("│", "|"));
    pen.cell(x, areas.list.top(), corner, style);
    for y in areas.list.top() + 1..areas.list.bottom() {
        pen.cell(x, y, line, style);
    }
}

/// What the tab shows.
fn pane(state: &AppState, areas: &Areas, pen: &mut Pen<'_>) -> Option<Position> {
    if areas.pane.area() == 0 {
        return None;
    }
    chrome::tabs(state, areas.tabs, pen);
    let focused = state.focus == Focus::Pane;
    match state.tab {
        Tab::Terminal => terminal::view::draw(state, areas.pane, pen),
        Tab::Changes => changes::view::draw(state, &state.changes, focused, areas.pane, pen),
        Tab::Logs => logs::view::draw(state, &state.logs, focused, areas.pane, pen),
        Tab::Details => {
            details::view::draw(state, areas.pane, pen);
            None
        }
    }
}

/// What the tab shows, over a whole buffer.
#[cfg(test)]
pub fn draw_tab(state: &AppState, buf: &mut Buffer) -> Option<Position> {
    let areas = Areas {
        pane: buf.area,
        ..layout::Areas::default()
    };
    let mut pen = Pen::new(buf, state.theme);
    pane(state, &areas, &mut pen)
}

/// What lies over everything, by itself.
#[cfg(test)]
pub fn draw_dialog(state: &AppState, buf: &mut Buffer) -> Option<Position> {
    let mut pen = Pen::new(buf, state.theme);
    dialogs::view::draw(state, state.dialog.as_ref()?, &mut pen)
}
