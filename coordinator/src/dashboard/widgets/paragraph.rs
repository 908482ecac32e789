//! A few lines of text in an area, wrapped.

use crate::dashboard::widgets::{pen::Pen, text, theme::role::Role};
use ratatui::layout::Rect;

/// A few lines in an area.
pub fn paragraph(lines: &[(String, Role)], area: Rect, pen: &mut Pen<'_>) {
    let width = area.width.saturating_sub(2);
    let wrapped = lines.iter().flat_map(|(line, role)| {
        let wrapped = text::wrap(line, usize::from(width));
        wrapped.into_iter().map(move |line| (line, *role))
    });
    let top = area.top() + u16::from(area.height > 4);
    for (y, (line, role)) in (top..area.bottom()).zip(wrapped) {
        pen.put_as(area.x + 1, y, width, &line, role);
    }
}
