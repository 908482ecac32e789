//! Draws the state into a buffer, and nothing else: no I/O, no clock, no change of the state.

mod changes;
pub mod chrome;
mod details;
mod dialogs;
mod diff;
pub mod help;
pub mod layout;
pub mod list;
mod logs;
pub mod pages;
mod palette;
mod pen;
mod pool_bar;
mod spawn;
pub mod terminal;
mod tiles;

use super::state::{Focus, State, Tab};
use crate::dashboard::theme::Role;
use pen::Pen;
use ratatui::{
    buffer::Buffer,
    layout::{Position, Rect},
};

/// Draws everything; gives the place of the cursor when a text field or a terminal has it.
pub fn draw(state: &State, buf: &mut Buffer) -> Option<Position> {
    let areas = layout::split(state);
    let mut pen = Pen::new(buf, state.theme);
    chrome::header(state, areas.header, &mut pen);
    chrome::banner(state, areas.banner, &mut pen);
    let cursor = if state.tiles {
        tiles::draw(state, areas.pane, &mut pen)
    } else {
        pool_bar::draw(state, areas.pools, &mut pen);
        let in_list = list::draw(state, areas.list, &mut pen);
        divide(state, &areas, &mut pen);
        in_list.or(pane(state, &areas, &mut pen))
    };
    chrome::notice(state, areas.notice, &mut pen);
    chrome::footer(state, areas.footer, &mut pen);
    let cursor = match &state.dialog {
        Some(dialog) => dialogs::draw(state, dialog, &mut pen),
        None => cursor,
    };
    cursor.filter(|place| pen.area().contains(*place))
}

/// Whether a search is typed in what the tab shows.
pub fn searching(state: &State) -> bool {
    state.focus == Focus::Pane
        && match state.tab {
            Tab::Terminal => state.searching.is_some(),
            Tab::Changes => state.changes.searching(),
            Tab::Logs => state.logs.searching(),
            Tab::Details => false,
        }
}

/// The line between the list and the tab.
fn divide(state: &State, areas: &layout::Areas, pen: &mut Pen<'_>) {
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
fn pane(state: &State, areas: &layout::Areas, pen: &mut Pen<'_>) -> Option<Position> {
    if areas.pane.area() == 0 {
        return None;
    }
    chrome::tabs(state, areas.tabs, pen);
    let focused = state.focus == Focus::Pane;
    match state.tab {
        Tab::Terminal => terminal::draw(state, areas.pane, pen),
        Tab::Changes => changes::draw(state, &state.changes, focused, areas.pane, pen),
        Tab::Logs => logs::draw(state, &state.logs, focused, areas.pane, pen),
        Tab::Details => {
            details::draw(state, areas.pane, pen);
            None
        }
    }
}

/// What the tab shows, over a whole buffer.
#[cfg(test)]
pub fn draw_tab(state: &State, buf: &mut Buffer) -> Option<Position> {
    let areas = layout::Areas {
        pane: buf.area,
        ..layout::Areas::default()
    };
    let mut pen = Pen::new(buf, state.theme);
    pane(state, &areas, &mut pen)
}

/// What lies over everything, by itself.
#[cfg(test)]
pub fn draw_dialog(state: &State, buf: &mut Buffer) -> Option<Position> {
    let mut pen = Pen::new(buf, state.theme);
    dialogs::draw(state, state.dialog.as_ref()?, &mut pen)
}

/// A list or a text of which a part is shown: where it stands, at the right of a row.
pub fn position(pen: &mut Pen<'_>, row: Rect, said: &str) {
    let width = u16::try_from(crate::dashboard::text::width(said)).unwrap_or(0);
    let x = row.right().saturating_sub(width);
    pen.put_as(x, row.y, width, said, Role::Muted);
}
