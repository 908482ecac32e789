//! Draws the palette: a line to search in, and what matches.

use crate::dashboard::{
    app::state::AppState,
    dialogs::palette::{items::PaletteItem, model::Palette},
    widgets::{pen::Pen, rects, text, theme::role::Role},
};
use ratatui::layout::{Position, Rect};

/// Widest box, in columns.
const WIDTH: u16 = 96;
/// Highest box, in rows.
const HEIGHT: u16 = 22;
/// Columns in front of a row: what is selected, and what cannot be chosen.
const MARKS: u16 = 4;

/// Draws it; gives the cursor's place in the search.
pub fn draw(
    state: &AppState,
    palette: &Palette,
    area: Rect,
    pen: &mut Pen<'_>,
) -> Option<Position> {
    let width = area
        .width
        .saturating_sub(4)
        .clamp(1, WIDTH)
        .max(area.width.min(36));
    let height = area
        .height
        .saturating_sub(2)
        .clamp(1, HEIGHT)
        .max(area.height.min(8));
    let items = palette.items(state);
    let here = palette.selected(items.len());
    let title = match items.len() {
        0 => "Palette, nothing matches".to_owned(),
        count => format!("Palette, {} of {count}", here + 1),
    };
    let inside = pen.frame(rects::centred(area, width, height), &title);
    if inside.height == 0 || inside.width < 8 {
        return None;
    }
    let cursor = query(palette, inside, pen);
    let rows = Rect {
        y: inside.y + 1,
        height: inside.height - 1,
        ..inside
    };
    // The selected row is in view, with the ones after it when there is room.
    let visible = usize::from(rows.height).max(1);
    let first = (here + visible / 2 + 1)
        .saturating_sub(visible)
        .min(items.len().saturating_sub(visible));
    for (y, (place, item)) in (rows.top()..rows.bottom()).zip(items.iter().enumerate().skip(first))
    {
        let row = Rect {
            y,
            height: 1,
            ..rows
        };
        line(item, place == here, row, pen);
    }
    Some(cursor)
}

fn query(palette: &Palette, inside: Rect, pen: &mut Pen<'_>) -> Position {
    let x = pen.put_as(inside.x + 1, inside.y, 2, "> ", Role::Key);
    let room = inside.right().saturating_sub(x + 1);
    let (shown, column) = palette.query.window(usize::from(room));
    if palette.query.is_empty() {
        pen.put_as(x, inside.y, room, "type to search", Role::Muted);
    } else {
        pen.put_as(x, inside.y, room, &shown, Role::Text);
    }
    let column = u16::try_from(column).unwrap_or(u16::MAX);
    Position {
        x: x.saturating_add(column.min(room.saturating_sub(1))),
        y: inside.y,
    }
}

fn line(item: &PaletteItem, selected: bool, row: Rect, pen: &mut Pen<'_>) {
    if selected {
        pen.tint(row, pen.theme.style(Role::Selected));
        pen.put_as(row.x + 1, row.y, 1, pen.theme.glyph("▸", ">"), Role::Key);
    }
    let x = row.x + MARKS;
    let right = row.right().saturating_sub(1);
    let refused = item.refusal.as_deref();
    if refused.is_some() {
        pen.put_as(row.x + 2, row.y, 1, pen.theme.glyph("✗", "x"), Role::Muted);
    }
    let keys = u16::try_from(text::width(&item.keys)).unwrap_or(u16::MAX);
    // Keys are shown whole or not at all, and leave room for the name.
    let keys = if keys > 0 && keys < row.width / 3 {
        keys
    } else {
        0
    };
    let end = right.saturating_sub(if keys > 0 { keys + 2 } else { 0 });
    let room = end.saturating_sub(x);
    let (name, about) = match item.title.split_once(": ") {
        Some((name, about)) => (name, Some(about)),
        None => (item.title.as_str(), None),
    };
    let role = if refused.is_some() {
        Role::Muted
    } else {
        Role::Text
    };
    let mut after = pen.put_as(x, row.y, room, name, role);
    // Why not, in place of what it would do.
    let said = refused.or(about);
    if let Some(said) = said {
        let said = format!(": {said}");
        after = pen.put_as(after, row.y, end.saturating_sub(after), &said, Role::Muted);
    }
    let shown = if refused.is_some() {
        text::width(name)
    } else {
        usize::MAX
    };
    highlight(
        item,
        shown,
        Rect {
            x,
            width: after.saturating_sub(x),
            ..row
        },
        pen,
    );
    if keys > 0 {
        pen.put_as(right - keys, row.y, keys, &item.keys, Role::Key);
    }
}

/// Marks the characters that match, as far as the title is shown.
fn highlight(item: &PaletteItem, shown: usize, area: Rect, pen: &mut Pen<'_>) {
    let style = pen.theme.style(Role::Match);
    let mut column = 0;
    for (place, c) in item.title.chars().enumerate() {
        let width = text::width(c.encode_utf8(&mut [0; 4]));
        let fits =
            column + width < usize::from(area.width) || place + 1 == item.title.chars().count();
        if column >= shown || !fits {
            return;
        }
        if item.matched.contains(&place)
            && let Ok(offset) = u16::try_from(column)
        {
            for part in 0..u16::try_from(width).unwrap_or(0) {
                pen.tint_cell(area.x + offset + part, area.y, style);
            }
        }
        column += width;
    }
}
