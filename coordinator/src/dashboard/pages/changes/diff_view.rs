//! Draws one file's difference, in one column or side by side; only the rows that are in view.

use crate::dashboard::{
    pages::changes::diff::{DiffLine, DiffRow, FileText, Side, Sign},
    widgets::{
        long_line,
        pen::Pen,
        syntax::highlight::{self, Token},
        text,
        theme::{role::Role, scheme::Theme},
    },
};
use ratatui::{
    layout::Rect,
    style::{Modifier, Style},
};
use std::ops::Range;

/// Below this many columns a line has one number, not two.
const TWO_NUMBERS_FROM: u16 = 60;
/// Below this many columns the two versions are never side by side.
const SIDES_FROM: u16 = 50;

/// Draws it, scrolled by rows and columns.
pub fn draw(
    file: &FileText,
    side_by_side: bool,
    (down, across): (usize, usize),
    area: Rect,
    pen: &mut Pen<'_>,
) {
    let down = down.min(file.len(side_by_side).saturating_sub(1));
    let digits = u16::try_from(file.digits).unwrap_or(4);
    if !side_by_side || area.width < SIDES_FROM {
        // The layouts do not agree on rows, only the model's layout is scrolled.
        let down = match side_by_side {
            true => file.translate(down, false),
            false => down,
        };
        for (y, row) in (area.top()..area.bottom()).zip(down..file.rows.len()) {
            let area = Rect {
                y,
                height: 1,
                ..area
            };
            one_column(file, row, digits, across, area, pen);
        }
        return;
    }
    let left = Rect {
        width: (area.width - 1) / 2,
        height: 1,
        ..area
    };
    let right = Rect {
        x: left.right() + 1,
        width: area.width - left.width - 1,
        ..left
    };
    let (line, border) = (pen.theme.glyph("│", "|"), pen.theme.style(Role::Border));
    let sides = file.sides.iter().skip(down);
    for (y, side) in (area.top()..area.bottom()).zip(sides) {
        match *side {
            Side::Whole(row) => {
                let area = Rect {
                    y,
                    height: 1,
                    ..area
                };
                one_column(file, row, digits, across, area, pen);
            }
            Side::Pair(old, new) => {
                half(file, old, true, digits, across, Rect { y, ..left }, pen);
                pen.cell(left.right(), y, line, border);
                half(file, new, false, digits, across, Rect { y, ..right }, pen);
            }
        }
    }
}

fn one_column(
    file: &FileText,
    row: usize,
    digits: u16,
    across: usize,
    area: Rect,
    pen: &mut Pen<'_>,
) {
    match file.rows.get(row) {
        None => {}
        Some(DiffRow::Note(note)) => {
            pen.put_as(
                area.x + 1,
                area.y,
                area.width.saturating_sub(1),
                note,
                Role::Muted,
            );
        }
        Some(DiffRow::Hunk { place, above }) => {
            let x = pen.put_as(area.x, area.y, area.width, place, Role::Hunk);
            let rest = area.right().saturating_sub(x + 1);
            pen.put_as(x + 1, area.y, rest, above, Role::Muted);
        }
        Some(DiffRow::Line(line)) => {
            let numbers = match area.width >= TWO_NUMBERS_FROM {
                true => vec![line.old, line.new],
                false => vec![line.new.or(line.old)],
            };
            let area = gutter(line.sign, &numbers, digits, area, pen);
            content(file, row, line, across, area, pen);
        }
    }
}

fn half(
    file: &FileText,
    row: Option<usize>,
    old: bool,
    digits: u16,
    across: usize,
    area: Rect,
    pen: &mut Pen<'_>,
) {
    let Some((row, line)) = row.and_then(|row| Some((row, file.line(row)?))) else {
        return;
    };
    let number = if old { line.old } else { line.new };
    let area = gutter(line.sign, &[number], digits, area, pen);
    content(file, row, line, across, area, pen);
}

/// Numbers and sign; gives what is left for the text.
fn gutter(sign: Sign, numbers: &[Option<u32>], digits: u16, area: Rect, pen: &mut Pen<'_>) -> Rect {
    let mut x = area.x;
    let room = |x: u16| area.right().saturating_sub(x);
    for number in numbers {
        let shown = number.map_or(String::new(), |n| n.to_string());
        let shown = text::pad_left(&shown, usize::from(digits));
        x = pen.put_as(x, area.y, room(x), &shown, Role::Muted);
        x = pen.put_as(x, area.y, room(x), " ", Role::Muted);
    }
    let (symbol, style) = match sign {
        Sign::Same => (" ", Style::new()),
        Sign::Added => ("+", pen.theme.style(Role::Added)),
        Sign::Removed => ("-", pen.theme.style(Role::Removed)),
    };
    x = pen.put(x, area.y, room(x), symbol, style);
    Rect {
        x,
        width: room(x),
        ..area
    }
}

fn content(
    file: &FileText,
    row: usize,
    line: &DiffLine,
    across: usize,
    area: Rect,
    pen: &mut Pen<'_>,
) {
    let mut tokens: Vec<(Range<usize>, Token)> = Vec::new();
    if let Some(language) = file.language {
        highlight::line(language, line.inside, &line.text, |range, token| {
            tokens.push((range, token));
        });
    }
    let changed = file.changed(row);
    let theme = pen.theme;
    let style = |at: usize| {
        let token = tokens
            .iter()
            .find(|(range, _)| range.contains(&at))
            .map(|(_, token)| *token);
        let style = line_style(theme, line.sign, token);
        match changed.iter().any(|range| range.contains(&at)) {
            true => style.add_modifier(Modifier::REVERSED),
            false => style,
        }
    };
    long_line::draw_line(&line.text, across, style, area, pen);
}

/// What was added or removed is so as a whole; only what stayed has the colours of its language.
fn line_style(theme: Theme, sign: Sign, token: Option<Token>) -> Style {
    let role = match (sign, token) {
        (Sign::Added, _) => Role::Added,
        (Sign::Removed, _) => Role::Removed,
        (Sign::Same, Some(Token::Comment)) => Role::SyntaxComment,
        (Sign::Same, Some(Token::Text)) => Role::SyntaxString,
        (Sign::Same, Some(Token::Number)) => Role::SyntaxNumber,
        (Sign::Same, Some(Token::Keyword)) => Role::SyntaxKeyword,
        (Sign::Same, None) => Role::Text,
    };
    let style = theme.style(role);
    match token {
        Some(Token::Keyword) if sign != Sign::Same => style.add_modifier(Modifier::BOLD),
        Some(Token::Comment) if sign != Sign::Same => style.add_modifier(Modifier::ITALIC),
        _ => style,
    }
}
