//! Draws a dialog over the list: questions and lines here, the others by their own views.

use crate::dashboard::{
    app::state::AppState,
    dialogs::{
        confirm::Confirm,
        dialog::Dialog,
        help,
        line::{LineDialog, LinePurpose},
        palette, spawn,
    },
    pages::terminal,
    widgets::{pen::Pen, rects, text, theme::role::Role},
};
use ratatui::layout::{Position, Rect};

/// Draws a dialog; gives the cursor's place when a text field has the focus.
pub fn draw(state: &AppState, dialog: &Dialog, pen: &mut Pen<'_>) -> Option<Position> {
    // The footer below says which keys work here.
    let whole = pen.area();
    let area = Rect {
        height: whole.height.saturating_sub(1).max(1),
        ..whole
    };
    match dialog {
        Dialog::Help(open) => return help::view::draw(state, open, area, pen),
        Dialog::Confirm(confirm) => question(confirm, area, pen),
        Dialog::Line(line) => return one_line(state, line, area, pen),
        Dialog::Spawn(form) => return spawn::view::draw(form, area, pen),
        Dialog::Palette(open) => return palette::view::draw(state, open, area, pen),
    }
    None
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
    let inside = pen.frame(rects::centred(area, width, height), &confirm.question);
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

/// Most rows of a worker's screen above an answer.
const PEEK: u16 = 12;

fn one_line(
    state: &AppState,
    line: &LineDialog,
    area: Rect,
    pen: &mut Pen<'_>,
) -> Option<Position> {
    let (title, id) = match &line.what {
        LinePurpose::Reply { id, name } => (format!("Answer {name}"), id),
        LinePurpose::Rename { id, name } => (format!("Rename {name}"), id),
    };
    let peek = matches!(line.what, LinePurpose::Reply { .. });
    let worker = state.workers.get(id);
    let why = worker.map(|w| w.reason()).filter(|r| !r.is_empty() && peek);
    let picture = state.picture(id).filter(|_| peek);
    let shown = picture.map_or(0, |p| {
        let (rows, _) = p.grid.written();
        rows.min(PEEK).min(area.height.saturating_sub(6))
    });
    let rows = 1 + u16::from(why.is_some()) + u16::from(line.error.is_some());
    let between = u16::from(shown > 0);
    let width = if peek { 100 } else { 64 };
    let height = rows + shown + between + 2;
    let inside = pen.frame(rects::centred(area, width, height), &title);
    let mut y = inside.y;
    let columns = inside.width.saturating_sub(2);
    if let Some(why) = why {
        pen.put_as(inside.x + 1, y, columns, &why, Role::Attention);
        y += 1;
    }
    if let (Some(picture), Some(_)) = (picture, worker)
        && shown > 0
    {
        let place = Rect {
            x: inside.x + 1,
            y,
            width: columns,
            height: shown,
        };
        terminal::view::paint(picture, place, true, pen);
        y += shown;
        let rule = Rect {
            y,
            height: 1,
            ..inside
        };
        pen.rule(rule, Role::Border);
        y += 1;
    }
    let x = pen.put_as(inside.x + 1, y, columns, "> ", Role::Key);
    let room = inside.right().saturating_sub(x + 1);
    let (shown, column) = line.field.window(usize::from(room));
    pen.put_as(x, y, room, &shown, Role::Text);
    if let Some(wrong) = &line.error {
        pen.put_as(inside.x + 1, y + 1, columns, wrong, Role::Error);
    }
    Some(Position {
        x: x + u16::try_from(column).unwrap_or(0).min(room),
        y,
    })
}
