//! Help, details, the spawn form and questions, over the list.

use super::{
    layout,
    pages::{self, Line},
    pen::Pen,
};
use crate::dashboard::{
    dialog::{Confirm, Dialog, SpawnField, SpawnForm},
    field::Field,
    state::State,
    text,
    theme::Role,
};
use podbay_protocol::Size;
use ratatui::layout::{Position, Rect};

/// Draws a dialog; gives the cursor's place when a text field has the focus.
pub fn draw(state: &State, dialog: &Dialog, pen: &mut Pen<'_>) -> Option<Position> {
    // The footer below says which keys work here.
    let whole = pen.area();
    let area = Rect {
        height: whole.height.saturating_sub(1).max(1),
        ..whole
    };
    match dialog {
        Dialog::Help(scrolled) => page("Help", &pages::help(state), *scrolled, area, pen),
        Dialog::Details(scrolled) => page("Details", &pages::details(state), *scrolled, area, pen),
        Dialog::Confirm(confirm) => question(confirm, area, pen),
        Dialog::Spawn(form) => return spawn(form, area, pen),
    }
    None
}

fn page(title: &str, lines: &[Line], scrolled: u16, area: Rect, pen: &mut Pen<'_>) {
    let count = u16::try_from(lines.len()).unwrap_or(u16::MAX);
    let size = Size {
        cols: area.width,
        rows: area.height.saturating_add(1),
    };
    let height = count.min(pages::visible(size)).saturating_add(2);
    let first = scrolled.min(pages::last_scroll(size, lines));
    let title = match count > pages::visible(size) {
        true => format!(
            "{title}, {} to {} of {count}",
            first + 1,
            first + height - 2
        ),
        false => title.to_owned(),
    };
    let inside = pen.frame(layout::centred(area, pages::WIDTH, height), &title);
    let terms = lines
        .iter()
        .map(|l| {
            if let Line::Pair(term, _) = l {
                text::width(&text::clean(term))
            } else {
                0
            }
        })
        .max();
    let term_width = u16::try_from(terms.unwrap_or(0))
        .unwrap_or(u16::MAX)
        .min(inside.width / 2);
    let shown = lines.iter().skip(usize::from(first));
    for (y, line) in (inside.top()..inside.bottom()).zip(shown) {
        let (x, width) = (inside.x + 1, inside.width.saturating_sub(2));
        match line {
            Line::Blank => {}
            Line::Heading(heading) => {
                pen.put_as(x, y, width, heading, Role::Heading);
            }
            Line::Pair(term, meaning) => {
                pen.put_as(x, y, term_width, term, Role::Key);
                let left = term_width.saturating_add(2);
                pen.put_as(x + left, y, width.saturating_sub(left), meaning, Role::Text);
            }
        }
    }
}

fn question(confirm: &Confirm, area: Rect, pen: &mut Pen<'_>) {
    let width = area.width.clamp(1, 64);
    let room = usize::from(width.saturating_sub(4)).max(1);
    let lines: Vec<String> = confirm
        .losses
        .iter()
        .flat_map(|l| text::wrap(l, room))
        .collect();
    let height = u16::try_from(lines.len())
        .unwrap_or(u16::MAX)
        .saturating_add(4);
    let inside = pen.frame(layout::centred(area, width, height), &confirm.question);
    let (x, columns) = (inside.x + 1, inside.width.saturating_sub(2));
    // The buttons stay when the text does not fit.
    let text_end = inside.bottom().saturating_sub(1);
    for (y, line) in (inside.top()..text_end).zip(&lines) {
        pen.put_as(x, y, columns, line, Role::Text);
    }
    if inside.height == 0 {
        return;
    }
    let mut x = x;
    for (button, focused) in [
        (confirm.verb, confirm.on_verb),
        ("Cancel", !confirm.on_verb),
    ] {
        let label = match focused {
            true => format!("[> {button} <]"),
            false => format!("[  {button}  ]"),
        };
        let role = if focused { Role::Selected } else { Role::Text };
        x = pen.put_as(x, text_end, inside.right().saturating_sub(x), &label, role);
        x += 2;
    }
}

fn spawn(form: &SpawnForm, area: Rect, pen: &mut Pen<'_>) -> Option<Position> {
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
