//! The message line: the last message, or what is under way.

use crate::dashboard::{
    app::{notice::NoticeLevel, state::AppState},
    widgets::{pen::Pen, text, theme::role::Role},
};
use ratatui::layout::Rect;

/// Most lines that a message gets.
const NOTICE_LINES: usize = 3;

/// The last message with what can be done, or what is under way, cut into lines.
pub fn notice_lines(state: &AppState, width: u16) -> Vec<(String, Role)> {
    let columns = usize::from(inset(Rect::new(0, 0, width, 1)).width);
    let (said, role) = match &state.notice {
        Some(notice) => {
            let (mark, role) = match notice.level {
                NoticeLevel::Info => ("", Role::Done),
                NoticeLevel::Error => ("error: ", Role::Error),
            };
            let hint = notice
                .hint
                .as_ref()
                .map(|h| format!(" ({h})"))
                .unwrap_or_default();
            (format!("{mark}{}{hint}", notice.text), role)
        }
        None if under_way(state).is_empty() => return Vec::new(),
        None => (format!("{}…", under_way(state)), Role::Working),
    };
    let mut lines = text::wrap(&said, columns);
    if lines.len() > NOTICE_LINES {
        // The rest goes into the last line, where it is cut with a mark.
        let rest = lines.split_off(NOTICE_LINES - 1).join(" ");
        lines.push(rest);
    }
    lines.into_iter().map(|line| (line, role)).collect()
}

/// What is under way, in words.
fn under_way(state: &AppState) -> String {
    let named = state.pending.iter().filter(|what| !what.is_empty());
    named.map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// Draws the message.
pub fn notice(state: &AppState, area: Rect, pen: &mut Pen<'_>) {
    let lines = notice_lines(state, area.width);
    let area = inset(area);
    for (y, (line, role)) in (area.top()..area.bottom()).zip(lines) {
        pen.put_as(area.x, y, area.width, &line, role);
    }
}

/// Without the first and last column, where there is room for that.
pub fn inset(area: Rect) -> Rect {
    match area.width {
        0..4 => area,
        _ => Rect {
            x: area.x + 1,
            width: area.width - 2,
            ..area
        },
    }
}
