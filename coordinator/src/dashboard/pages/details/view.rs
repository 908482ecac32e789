//! Draws the details of the selected worker and of the coordinator.

use crate::dashboard::{
    app::state::AppState,
    pages::details,
    widgets::{pen::Pen, text_row::TextRow, theme::role::Role},
};
use ratatui::layout::Rect;

/// Draws the part of them that fits.
pub fn draw(state: &AppState, area: Rect, pen: &mut Pen<'_>) {
    let lines = details::text::wrapped_details(state, area.width);
    let count = u16::try_from(lines.len()).unwrap_or(u16::MAX);
    let first = state
        .details_scroll
        .min(count.saturating_sub(area.height.max(1)));
    for (y, line) in (area.top()..area.bottom()).zip(lines.iter().skip(usize::from(first))) {
        let row = Rect {
            x: area.x + 1,
            y,
            width: area.width.saturating_sub(2),
            height: 1,
        };
        match line {
            TextRow::Heading(heading) => {
                pen.put_as(row.x, y, row.width, heading, Role::Heading);
            }
            TextRow::Pair(term, meaning) => {
                let columns = details::text::TERM.min(row.width / 3);
                pen.put_as(row.x, y, columns, term, Role::Muted);
                let x = row.x + columns + 1;
                let room = row.right().saturating_sub(x);
                pen.put_as(x, y, room, meaning, Role::Text);
            }
            TextRow::Blank => {}
        }
    }
    if count > area.height {
        let last = (first + area.height).min(count);
        let row = Rect {
            y: area.bottom().saturating_sub(1),
            height: 1,
            ..area
        };
        pen.put_right(row, &format!(" {}-{last} of {count} ", first + 1));
    }
}
