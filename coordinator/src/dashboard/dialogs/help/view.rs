//! Draws the help: one column, or two where the terminal is wide.

use crate::dashboard::{
    app::state::AppState,
    dialogs::help::model::Help,
    widgets::{pen::Pen, rects, text, text_row::TextRow, theme::role::Role},
};
use podbay_protocol::Size;
use ratatui::layout::{Position, Rect};

/// Columns of the box with one column of text.
const NARROW: u16 = 76;
/// Fewest columns of a terminal for two columns of text.
const FOR_TWO: u16 = 110;
/// Most columns of the box with two columns of text.
const WIDE: u16 = 150;
/// Most columns of the keys.
const KEYS: usize = 24;

/// How far it can be scrolled.
pub fn last_scroll(state: &AppState, help: &Help) -> u16 {
    let area = Rect {
        x: 0,
        y: 0,
        width: state.size.cols,
        height: above_footer(state.size),
    };
    let rows = rows(state, help, area.width).0.len();
    u16::try_from(rows)
        .unwrap_or(u16::MAX)
        .saturating_sub(visible(help, area).max(1))
}

fn above_footer(size: Size) -> u16 {
    size.rows.saturating_sub(1).max(1)
}

/// Rows of text that fit into the box: without its frame, and without the search.
fn visible(help: &Help, area: Rect) -> u16 {
    let search = u16::from(has_search(help));
    area.height.saturating_sub(3 + search)
}

fn has_search(help: &Help) -> bool {
    help.searching || !help.query.is_empty()
}

fn box_width(columns: u16) -> u16 {
    match columns {
        FOR_TWO.. => (columns - 4).min(WIDE),
        _ => NARROW.min(columns),
    }
}

/// Columns of one column of text in a terminal of that width, and how many of them there are.
fn columns(of_terminal: u16) -> (u16, u16) {
    let inside = box_width(of_terminal).saturating_sub(4);
    match of_terminal {
        FOR_TWO.. => (inside.saturating_sub(2) / 2, 2),
        _ => (inside, 1),
    }
}

/// A row of the box: what is in each column.
type HelpRow = Vec<TextRow>;

/// All rows, as if the box had no end; and the columns that keys have.
fn rows(state: &AppState, help: &Help, of_terminal: u16) -> (Vec<HelpRow>, u16) {
    let (width, count) = columns(of_terminal);
    let width = usize::from(width);
    let sections = help.sections(state);
    let keys = keys_width(&sections, width);
    let room = width.saturating_sub(keys + 2);
    let sections: Vec<Vec<TextRow>> = sections
        .into_iter()
        .map(|section| wrapped(section, room))
        .collect();
    (flowed(&sections, count), u16::try_from(keys).unwrap_or(0))
}

/// Sections in so many columns.
fn flowed(sections: &[Vec<TextRow>], count: u16) -> Vec<HelpRow> {
    if count == 1 {
        return joined(sections)
            .into_iter()
            .map(|line| vec![line])
            .collect();
    }
    // Cut where the longer column is shortest.
    let lengths = |part: &[Vec<TextRow>]| joined(part).len();
    let cut = (0..=sections.len())
        .min_by_key(|cut| {
            let (left, right) = sections.split_at(*cut);
            lengths(left).max(lengths(right))
        })
        .unwrap_or(0);
    let (left, right) = sections.split_at(cut);
    let (left, right) = (joined(left), joined(right));
    let at = |column: &[TextRow], row: usize| column.get(row).cloned().unwrap_or(TextRow::Blank);
    (0..left.len().max(right.len()))
        .map(|row| vec![at(&left, row), at(&right, row)])
        .collect()
}

/// Sections one after the other, with a blank line between.
fn joined(sections: &[Vec<TextRow>]) -> Vec<TextRow> {
    sections.join(&TextRow::Blank)
}

/// Columns of the keys in a column of text of that width.
fn keys_width(sections: &[Vec<TextRow>], width: usize) -> usize {
    let keys = sections.iter().flatten().map(|line| match line {
        TextRow::Pair(keys, _) => text::width(keys),
        TextRow::Heading(_) | TextRow::Blank => 0,
    });
    keys.max().unwrap_or(0).min(KEYS).min(width * 2 / 5)
}

/// Sentences cut into as many lines as they need.
fn wrapped(section: Vec<TextRow>, room: usize) -> Vec<TextRow> {
    let mut lines = Vec::new();
    for line in section {
        let TextRow::Pair(mut keys, said) = line else {
            lines.push(line);
            continue;
        };
        for part in text::wrap(&said, room) {
            lines.push(TextRow::Pair(std::mem::take(&mut keys), part));
        }
    }
    lines
}

/// Draws it; gives the cursor's place while a search is typed.
pub fn draw(state: &AppState, help: &Help, area: Rect, pen: &mut Pen<'_>) -> Option<Position> {
    let (rows, keys) = rows(state, help, area.width);
    let count = u16::try_from(rows.len()).unwrap_or(u16::MAX);
    let visible = visible(help, area);
    let search = u16::from(has_search(help));
    // The box keeps its size while a search makes the text shorter.
    let height = match search {
        0 => count.min(visible).saturating_add(2),
        _ => area.height.saturating_sub(1),
    };
    let first = help.scrolled.min(count.saturating_sub(visible.max(1)));
    let last = first.saturating_add(visible).min(count);
    let title = match count > visible {
        true => format!("Help, {} to {last} of {count}", first + 1),
        false => "Help".to_owned(),
    };
    let inside = pen.frame(rects::centred(area, box_width(area.width), height), &title);
    let cursor = (search > 0 && inside.height > 0).then(|| query(help, inside, pen));
    let text = Rect {
        x: inside.x + 1,
        y: inside.y + search,
        width: inside.width.saturating_sub(2),
        height: inside.height.saturating_sub(search),
    };
    if rows.is_empty() && text.height > 0 {
        pen.put_as(text.x, text.y, text.width, "nothing matches", Role::Muted);
    }
    let (width, _) = columns(area.width);
    for (y, row) in (text.top()..text.bottom()).zip(rows.iter().skip(usize::from(first))) {
        let mut x = text.x;
        for line in row {
            let room = width.min(text.right().saturating_sub(x));
            draw_line(line, keys, Rect::new(x, y, room, 1), pen);
            x = x.saturating_add(width + 2);
        }
    }
    cursor.filter(|_| help.searching)
}

fn draw_line(line: &TextRow, keys: u16, area: Rect, pen: &mut Pen<'_>) {
    let Rect { x, y, width, .. } = area;
    match line {
        TextRow::Blank => {}
        TextRow::Heading(heading) => {
            pen.put_as(x, y, width, heading, Role::Heading);
        }
        TextRow::Pair(pressed, said) => {
            pen.put_as(x, y, keys.min(width), pressed, Role::Key);
            let left = keys + 2;
            let room = width.saturating_sub(left);
            pen.put_as(x.saturating_add(left), y, room, said, Role::Text);
        }
    }
}

fn query(help: &Help, inside: Rect, pen: &mut Pen<'_>) -> Position {
    let x = pen.put_as(inside.x + 1, inside.y, 2, "/ ", Role::Key);
    let room = inside.right().saturating_sub(x + 1);
    let (shown, column) = help.query.window(usize::from(room));
    pen.put_as(x, inside.y, room, &shown, Role::Text);
    let column = u16::try_from(column).unwrap_or(u16::MAX);
    Position {
        x: x.saturating_add(column.min(room.saturating_sub(1))),
        y: inside.y,
    }
}
