//! One row of a line that may be far longer than the screen.

use crate::dashboard::widgets::{columns, pen::Pen, theme::role::Role};
use ratatui::{layout::Rect, style::Style};

/// A line of a file or a log, scrolled by columns, with `…` where it goes on.
pub fn draw_line(
    line: &str,
    across: usize,
    style: impl FnMut(usize) -> Style,
    area: Rect,
    pen: &mut Pen<'_>,
) {
    let (pieces, more) = columns::window(line, across, usize::from(area.width), style);
    for piece in pieces {
        let at = area
            .x
            .saturating_add(u16::try_from(piece.at).unwrap_or(u16::MAX));
        let room = area.right().saturating_sub(at);
        pen.put(at, area.y, room, &piece.text, piece.style);
    }
    if more && area.width > 0 {
        let x = area.right() - 1;
        pen.put_as(x, area.y, 1, pen.theme.glyph("…", ">"), Role::Muted);
    }
}
