//! The spawn form.

use super::{layout, pen::Pen};
use crate::dashboard::{
    field::Field,
    spawn::{SpawnField, SpawnForm},
    text,
    theme::Role,
};
use ratatui::layout::{Position, Rect};

/// Draws it.
pub fn draw(form: &SpawnForm, area: Rect, pen: &mut Pen<'_>) -> Option<Position> {
    let fields = SpawnField::ALL;
    let inside = pen.frame(layout::centred(area, 76, 10), "Spawn a worker");
    let mut cursor = None;
    let label_width = 11;
    let (x, right) = (inside.x + 1, inside.right().saturating_sub(1));
    let room = right.saturating_sub(x + label_width);
    for (y, field) in (inside.top()..inside.bottom()).zip(fields) {
        let focused = form.focus == field;
        let role = if focused { Role::Key } else { Role::Text };
        let mark = if focused { "> " } else { "  " };
        let label = format!("{mark}{}", field.label());
        pen.put_as(x, y, label_width, &label, role);
        let x = x + label_width + 1;
        let room = room.saturating_sub(1);
        match field {
            SpawnField::Project | SpawnField::Name | SpawnField::Command => {
                let (text, empty) = text_of(form, field);
                let place = text_field(
                    text,
                    empty,
                    Rect {
                        x,
                        y,
                        width: room,
                        height: 1,
                    },
                    pen,
                );
                if focused {
                    cursor = Some(place);
                }
            }
            SpawnField::Profile => {
                let value = form.profile.as_deref().unwrap_or("default");
                choice(
                    value,
                    focused,
                    Rect {
                        x,
                        y,
                        width: room,
                        height: 1,
                    },
                    pen,
                );
            }
            SpawnField::Isolation => {
                let value = form.isolation.map_or("profile's default", |i| i.as_str());
                choice(
                    value,
                    focused,
                    Rect {
                        x,
                        y,
                        width: room,
                        height: 1,
                    },
                    pen,
                );
            }
        }
    }
    let (said, role) = match (&form.error, form.focus) {
        (Some((field, wrong)), _) => (format!("{}: {wrong}", field.label()), Role::Error),
        (None, SpawnField::Project) => (
            "A folder on the engine's host; empty for no project.".to_owned(),
            Role::Muted,
        ),
        (None, SpawnField::Name) => ("Empty: a name is made up.".to_owned(), Role::Muted),
        (None, SpawnField::Profile) => (
            "What the worker is made of: image, limits, command.".to_owned(),
            Role::Muted,
        ),
        (None, SpawnField::Isolation) => (
            "bind: writes go to the project. overlay: review, then apply. none: no project."
                .to_owned(),
            Role::Muted,
        ),
        (None, SpawnField::Command) => (
            "Program and arguments, quoted as in a shell.".to_owned(),
            Role::Muted,
        ),
    };
    let lines = text::wrap(&said, usize::from(right.saturating_sub(x)));
    let top = inside.top() + u16::try_from(fields.len()).unwrap_or(5) + 1;
    for (y, line) in (top..inside.bottom()).zip(lines) {
        pen.put_as(x, y, right.saturating_sub(x), &line, role);
    }
    cursor.filter(|place| place.y < inside.bottom())
}

/// A text field of the form, and what is shown in its place when it is empty.
fn text_of(form: &SpawnForm, field: SpawnField) -> (&Field, &'static str) {
    match field {
        SpawnField::Project => (&form.project, "none"),
        SpawnField::Command => (&form.command, "profile's default"),
        _ => (&form.name, "made up"),
    }
}

fn text_field(field: &Field, empty: &str, area: Rect, pen: &mut Pen<'_>) -> Position {
    let (shown, column) = field.window(usize::from(area.width));
    if field.is_empty() {
        pen.put_as(area.x, area.y, area.width, empty, Role::Muted);
    } else {
        pen.put_as(area.x, area.y, area.width, &shown, Role::Text);
    }
    let column = u16::try_from(column)
        .unwrap_or(u16::MAX)
        .min(area.width.saturating_sub(1));
    Position {
        x: area.x.saturating_add(column),
        y: area.y,
    }
}

fn choice(value: &str, focused: bool, area: Rect, pen: &mut Pen<'_>) {
    let shown = match focused {
        true => format!("< {value} >"),
        false => value.to_owned(),
    };
    pen.put_as(area.x, area.y, area.width, &shown, Role::Text);
}
