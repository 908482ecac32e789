//! Draws the logs: a session's output, line by line.

use crate::dashboard::{
    app::state::AppState,
    pages::logs::tab::{LogSource, LogsTab},
    widgets::{
        columns, long_line::draw_line, paragraph::paragraph, pen::Pen, text::count,
        theme::role::Role,
    },
};
use ratatui::{
    layout::{Position, Rect},
    style::Modifier,
};

/// Draws the tab; gives the cursor's place while a search is typed.
pub fn draw(
    state: &AppState,
    tab: &LogsTab,
    _focused: bool,
    area: Rect,
    pen: &mut Pen<'_>,
) -> Option<Position> {
    let mut rest = area;
    let mut cursor = None;
    if tab.worker() != state.selected.as_deref() {
        paragraph(&[("Loading.".to_owned(), Role::Muted)], area, pen);
        return None;
    }
    if area.height > 1 {
        cursor = summary(tab, Rect { height: 1, ..area }, pen);
        rest.y += 1;
        rest.height -= 1;
    }
    if tab.count().0 == 0 {
        paragraph(&nothing(tab.source()), rest, pen);
    } else {
        lines(tab, rest, pen);
    }
    if !state.is_live() {
        pen.tint(area, pen.theme.style(Role::Stale));
    }
    cursor
}

/// Why there are no lines.
fn nothing(source: &LogSource) -> Vec<(String, Role)> {
    let (said, role) = match source {
        LogSource::None => ("It has no session yet.", Role::Muted),
        LogSource::Opening => ("Loading.", Role::Muted),
        LogSource::Open => ("Nothing written yet.", Role::Text),
        LogSource::Ended => ("Its session ended without a word.", Role::Text),
        LogSource::Broken(failure) => {
            let mut lines = vec![(format!("No output: {}", failure.message), Role::Error)];
            lines.extend(failure.hint.clone().map(|hint| (hint, Role::Text)));
            return lines;
        }
    };
    vec![(said.to_owned(), role)]
}

fn summary(tab: &LogsTab, area: Rect, pen: &mut Pen<'_>) -> Option<Position> {
    let (needle, field, current, found) = tab.found();
    let matches = match (current, found) {
        (_, 0) => "no match".to_owned(),
        (Some(at), found) => format!("{at} of {found}"),
        (None, found) => format!("{found} lines match"),
    };
    if let Some(field) = field {
        let room = area.width.saturating_sub(20);
        pen.put_as(area.x, area.y, area.width, " /", Role::Key);
        let (shown, column) = field.window(usize::from(room));
        pen.put_as(area.x + 2, area.y, room, &shown, Role::Text);
        if !needle.is_empty() {
            pen.put_right(area, &matches);
        }
        let column = u16::try_from(column).unwrap_or(u16::MAX);
        let x = area.x.saturating_add(2).saturating_add(column);
        return Some(Position {
            x: x.min(area.right().saturating_sub(1)),
            y: area.y,
        });
    }
    let (lines, dropped) = tab.count();
    if lines == 0 {
        return None;
    }
    let mut pieces = Vec::new();
    match tab.source() {
        LogSource::Broken(failure) => {
            let said = format!("broken off: {}", failure.message);
            pieces.push(pen.piece(said, Role::Warning));
        }
        LogSource::Ended => pieces.push(pen.piece("ended", Role::Muted)),
        _ => {}
    }
    match tab.below() {
        None if *tab.source() == LogSource::Ended => {}
        None => pieces.push(pen.piece("following", Role::Working)),
        Some(below) => {
            let said = format!("staying, {} below", count(below, "line"));
            pieces.push(pen.piece(said, Role::Warning));
        }
    }
    if !needle.is_empty() {
        pieces.push(pen.piece(matches, Role::Key));
    }
    let all = match dropped {
        0 => count(lines, "line"),
        _ => format!("the last {}", count(lines, "line")),
    };
    pieces.push(pen.piece(all, Role::Muted));
    let (across, wrap) = tab.across();
    if wrap {
        pieces.push(pen.piece("wrapped", Role::Muted));
    } else if across > 0 {
        pieces.push(pen.piece(format!("from column {}", across + 1), Role::Muted));
    }
    let line = Rect {
        x: area.x + 1,
        width: area.width.saturating_sub(1),
        ..area
    };
    pen.pieces(line, &pieces, 6);
    None
}

fn lines(tab: &LogsTab, area: Rect, pen: &mut Pen<'_>) {
    let (needle, ..) = tab.found();
    let (across, wrap) = tab.across();
    let (text, matched) = (pen.theme.style(Role::Text), pen.theme.style(Role::Match));
    let here = matched.add_modifier(Modifier::BOLD | Modifier::UNDERLINED);
    let row_at = |y| Rect {
        y,
        height: 1,
        ..area
    };
    let mut y = area.top();
    for (number, line) in tab.seen() {
        let places = needle.places(line);
        let matched = match tab.current() == Some(number) {
            true => here,
            false => matched,
        };
        let style = |at: usize| match places.iter().any(|place| place.contains(&at)) {
            true => matched,
            false => text,
        };
        if !wrap {
            if y >= area.bottom() {
                return;
            }
            draw_line(line, across, style, row_at(y), pen);
            y += 1;
            continue;
        }
        for row in 0..tab.rows(line) {
            if y >= area.bottom() {
                return;
            }
            let first = row * usize::from(area.width);
            wrapped(line, first, style, row_at(y), pen);
            y += 1;
        }
    }
}

/// One row of a line that is broken: no `…` at its end.
fn wrapped(
    line: &str,
    first: usize,
    style: impl FnMut(usize) -> ratatui::style::Style,
    area: Rect,
    pen: &mut Pen<'_>,
) {
    let width = usize::from(area.width);
    let (pieces, _) = columns::window(line, first, width, style);
    for piece in pieces {
        let at = u16::try_from(piece.at).unwrap_or(u16::MAX);
        let x = area.x.saturating_add(at);
        let room = area.right().saturating_sub(x);
        pen.put(x, area.y, room, &piece.text, piece.style);
    }
}
