//! Draws the state into a buffer, and nothing else: no I/O, no clock, no change of the state.

mod chrome;
mod dialogs;
pub mod layout;
mod list;
pub mod pages;
mod pen;
mod pool_bar;
mod preview;

use super::state::State;
use pen::Pen;
use ratatui::{buffer::Buffer, layout::Position};

/// Draws everything; gives the place of the cursor when a text field has the focus.
pub fn draw(state: &State, buf: &mut Buffer) -> Option<Position> {
    let areas = layout::split(state, buf.area);
    let mut pen = Pen::new(buf, state.theme);
    chrome::header(state, areas.header, &mut pen);
    chrome::banner(state, areas.banner, &mut pen);
    pool_bar::draw(state, areas.pools, &mut pen);
    let cursor = list::draw(state, areas.list, &mut pen);
    preview::draw(state, areas.preview, areas.beside, &mut pen);
    chrome::notice(state, areas.notice, &mut pen);
    chrome::footer(state, areas.footer, &mut pen);
    let cursor = match &state.dialog {
        Some(dialog) => dialogs::draw(state, dialog, &mut pen),
        None => cursor,
    };
    cursor.filter(|place| pen.area().contains(*place))
}
