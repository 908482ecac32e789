//! Draws the spawn form.

use crate::dashboard::{
    dialogs::spawn::{
        fields::{Offer, SpawnField},
        form::SpawnForm,
    },
    widgets::{columns, pen::Pen, rects, text, text_field::TextField, theme::role::Role},
};
use ratatui::layout::{Position, Rect};

/// Columns of the box, of a label, and rows of advice.
const WIDTH: u16 = 76;
const LABEL: u16 = 14;
const ADVICE: u16 = 2;
/// Most rows of the list under the project.
const LISTED: u16 = 8;

/// Draws it; gives the cursor's place when a text field has the focus.
pub fn draw(form: &SpawnForm, area: Rect, pen: &mut Pen<'_>) -> Option<Position> {
    let fields = u16::try_from(SpawnField::ALL.len()).unwrap_or(u16::MAX);
    let wanted = fields.saturating_add(ADVICE + 3);
    let inside = pen.frame(rects::centred(area, WIDTH, wanted), "Spawn a worker");
    if inside.area() == 0 {
        return None;
    }
    let (x, width) = (inside.x + 1, inside.width.saturating_sub(2));
    // The field with the focus and what is said about it stay when not all fits.
    let advice = if inside.height > 4 {
        ADVICE
    } else {
        u16::from(inside.height > 1)
    };
    let gap = u16::from(inside.height > fields + advice);
    let rows = inside.height - advice - gap;
    let focus = SpawnField::ALL.iter().position(|f| *f == form.focus);
    let focus = u16::try_from(focus.unwrap_or(0)).unwrap_or(0);
    let first = focus
        .saturating_sub(rows / 2)
        .min(fields.saturating_sub(rows));
    let shown = SpawnField::ALL.into_iter().skip(usize::from(first));
    let mut cursor = None;
    for (y, field) in (inside.top()..inside.top() + rows).zip(shown) {
        let row = Rect {
            x,
            y,
            width,
            height: 1,
        };
        cursor = cursor.or(field_row(form, field, row, pen));
    }
    let (wrong, said) = form.advice();
    let role = if wrong { Role::Error } else { Role::Muted };
    let lines = text::wrap(&said, usize::from(width));
    let top = inside.top() + rows + gap;
    for (y, line) in (top..inside.bottom()).zip(lines) {
        pen.put_as(x, y, width, &line, role);
    }
    if form.focus == SpawnField::Project {
        let below = Rect {
            x: x + LABEL.min(width),
            y: inside.top() + focus.saturating_sub(first) + 1,
            width: width.saturating_sub(LABEL),
            height: 0,
        };
        list(form, below, area.bottom(), pen);
    }
    cursor.filter(|place| inside.contains(*place))
}

fn field_row(
    form: &SpawnForm,
    field: SpawnField,
    area: Rect,
    pen: &mut Pen<'_>,
) -> Option<Position> {
    let focused = form.focus == field;
    let failed = form.error.as_ref().is_some_and(|(at, _)| *at == field);
    let role = match (failed, focused) {
        (true, _) => Role::Error,
        (false, true) => Role::Key,
        (false, false) => Role::Text,
    };
    let mark = match (failed, focused) {
        (true, _) => "! ",
        (false, true) => "> ",
        (false, false) => "  ",
    };
    let label = format!("{mark}{}", field.label());
    pen.put_as(area.x, area.y, LABEL.min(area.width), &label, role);
    let area = Rect {
        x: area.x + LABEL.min(area.width),
        width: area.width.saturating_sub(LABEL),
        ..area
    };
    if let Some(value) = form.text_of(field) {
        let place = text_field(value, field.empty(), area, pen);
        return focused.then_some(place);
    }
    let (value, more) = match field {
        SpawnField::Profile => (
            form.profile.clone().unwrap_or_else(|| "default".to_owned()),
            form.offer().map(offer_words),
        ),
        SpawnField::Isolation => (
            form.isolation
                .map_or("the profile's", |i| i.as_str())
                .to_owned(),
            None,
        ),
        _ => {
            let mark = if form.keep { "x" } else { " " };
            let said = format!("[{mark}] keep the worker");
            pen.put_as(area.x, area.y, area.width, &said, Role::Text);
            return None;
        }
    };
    let shown = match focused {
        true => format!("< {value} >"),
        false => value,
    };
    let x = pen.put_as(area.x, area.y, area.width, &shown, Role::Text);
    if let Some((more, role)) = more {
        let room = area.right().saturating_sub(x + 2);
        pen.put_as(x + 2, area.y, room, &more, role);
    }
    None
}

/// Whether it will be there immediately.
fn offer_words(offer: &Offer) -> (String, Role) {
    let held = offer.held.map_or(String::new(), |held| format!(", {held}"));
    match offer.warm {
        0 => (
            format!("none warm{held}: starts cold, {}", offer.image),
            Role::Warning,
        ),
        warm => (format!("{warm} warm{held}, {}", offer.image), Role::Warm),
    }
}

fn text_field(field: &TextField, empty: &str, area: Rect, pen: &mut Pen<'_>) -> Position {
    let (shown, column) = field.window(usize::from(area.width));
    if field.is_empty() {
        pen.put_as(area.x, area.y, area.width, empty, Role::Muted);
    } else {
        pen.put_as(area.x, area.y, area.width, &shown, Role::Text);
    }
    let column = u16::try_from(column).unwrap_or(u16::MAX);
    Position {
        x: area
            .x
            .saturating_add(column.min(area.width.saturating_sub(1))),
        y: area.y,
    }
}

/// The list under the project, over what is below it.
fn list(form: &SpawnForm, below: Rect, bottom: u16, pen: &mut Pen<'_>) {
    let list = form.completion.list();
    let room = bottom.saturating_sub(below.y);
    let height = u16::try_from(list.len())
        .unwrap_or(u16::MAX)
        .min(LISTED)
        .min(room);
    if height == 0 || below.width < 8 {
        return;
    }
    let area = Rect { height, ..below };
    pen.clear(area);
    let chosen = form.completion.place();
    let rows = usize::from(height);
    let last = list.len().saturating_sub(rows);
    let first = chosen.unwrap_or(0).saturating_sub(rows / 2).min(last);
    let seen = list.iter().enumerate().skip(first);
    for (y, (i, candidate)) in (area.top()..area.bottom()).zip(seen) {
        let kind = if candidate.recent { "recent" } else { "" };
        let width = area.width.saturating_sub(9);
        let path = columns::fit_path(&candidate.path, usize::from(width));
        let selected = chosen == Some(i);
        let bar = pen.theme.glyph("▏", "|");
        let mark = if selected { ">" } else { bar };
        pen.put_as(area.x, y, 1, mark, Role::Key);
        pen.put_as(area.x + 1, y, width, &path, Role::Text);
        pen.put_as(area.right().saturating_sub(7), y, 6, kind, Role::Muted);
        if selected {
            let row = Rect {
                y,
                height: 1,
                ..area
            };
            pen.tint(row, pen.theme.style(Role::Selected));
        }
    }
    let hidden = list.len().saturating_sub(rows);
    if hidden > 0 && area.bottom() < bottom {
        let said = format!("{}{hidden} more", pen.theme.glyph("▏", "|"));
        let row = Rect {
            y: area.bottom(),
            height: 1,
            ..area
        };
        pen.clear(row);
        pen.put_as(area.x, area.bottom(), area.width, &said, Role::Muted);
    }
}
