//! Writing into a buffer without ever leaving it.

use crate::dashboard::widgets::{
    text,
    theme::{role::Role, scheme::Theme},
};
use ratatui::{
    buffer::Buffer,
    layout::{Position, Rect},
    style::Style,
};

/// A buffer and a theme.
pub struct Pen<'a> {
    buf: &'a mut Buffer,
    /// How roles look.
    pub theme: Theme,
}

/// A piece of a line.
pub struct StyledText {
    /// Cleaned when it is written.
    pub text: String,
    /// How it looks.
    pub style: Style,
}

impl<'a> Pen<'a> {
    /// On this buffer.
    pub fn new(buf: &'a mut Buffer, theme: Theme) -> Self {
        Self { buf, theme }
    }

    /// The whole area.
    pub fn area(&self) -> Rect {
        self.buf.area
    }

    /// Writes text that is cleaned and cut to `columns`; gives the column after it.
    pub fn put(&mut self, x: u16, y: u16, columns: u16, text: &str, style: Style) -> u16 {
        let area = self.buf.area;
        if x >= area.right() || y < area.top() || y >= area.bottom() || columns == 0 {
            return x;
        }
        let columns = usize::from(columns.min(area.right() - x));
        self.buf
            .set_stringn(x, y, text::fit(text, columns), columns, style)
            .0
    }

    /// As [`Self::put`], in a role.
    pub fn put_as(&mut self, x: u16, y: u16, columns: u16, text: &str, role: Role) -> u16 {
        self.put(x, y, columns, text, self.theme.style(role))
    }

    /// Writes at the right end of a row, such as where in a list or a text one is.
    pub fn put_right(&mut self, row: Rect, said: &str) {
        let width = u16::try_from(text::width(said)).unwrap_or(0);
        let x = row.right().saturating_sub(width);
        self.put_as(x, row.y, width, said, Role::Muted);
    }

    /// Sets one cell as it is, when it is inside of the buffer.
    pub fn cell(&mut self, x: u16, y: u16, symbol: &str, style: Style) {
        if let Some(cell) = self.buf.cell_mut(Position { x, y }) {
            cell.reset();
            cell.set_symbol(symbol).set_style(style);
        }
    }

    /// Lays a style over one cell.
    pub fn tint_cell(&mut self, x: u16, y: u16, style: Style) {
        if let Some(cell) = self.buf.cell_mut(Position { x, y }) {
            cell.set_style(style);
        }
    }

    /// Lays a style over what is there.
    pub fn tint(&mut self, area: Rect, style: Style) {
        self.buf.set_style(area.intersection(self.buf.area), style);
    }

    /// Blanks an area.
    pub fn clear(&mut self, area: Rect) {
        for position in area.intersection(self.buf.area).positions() {
            if let Some(cell) = self.buf.cell_mut(position) {
                cell.reset();
            }
        }
    }

    /// A horizontal line over the first row of an area.
    pub fn rule(&mut self, area: Rect, role: Role) {
        let (glyph, style) = (self.theme.glyph("─", "-"), self.theme.style(role));
        if area.height > 0 {
            for x in area.left()..area.right() {
                self.cell(x, area.top(), glyph, style);
            }
        }
    }

    /// A box around an area, blank inside, with a title; gives what is inside.
    pub fn frame(&mut self, area: Rect, title: &str) -> Rect {
        let area = area.intersection(self.buf.area);
        self.clear(area);
        if let Some(x) = area.left().checked_sub(1) {
            // Half of a wide character would be under the frame.
            for y in area.top()..area.bottom() {
                if let Some(cell) = self.buf.cell_mut(Position { x, y })
                    && text::symbol_width(cell.symbol()) > 1
                {
                    cell.reset();
                }
            }
        }
        if area.width < 2 || area.height < 2 {
            return Rect::default();
        }
        self.outline(area, Role::Focus);
        let title = format!(" {title} ");
        self.put_as(
            area.left() + 2,
            area.top(),
            area.width.saturating_sub(4),
            &title,
            Role::Heading,
        );
        Rect {
            x: area.x + 1,
            y: area.y + 1,
            width: area.width - 2,
            height: area.height - 2,
        }
    }

    /// Lines around an area; what is inside stays.
    pub fn outline(&mut self, area: Rect, role: Role) {
        let area = area.intersection(self.buf.area);
        if area.width < 2 || area.height < 2 {
            return;
        }
        let style = self.theme.style(role);
        let (right, bottom) = (area.right() - 1, area.bottom() - 1);
        let glyph = |unicode, ascii| self.theme.glyph(unicode, ascii);
        let (horizontal, vertical) = (glyph("─", "-"), glyph("│", "|"));
        let corners = [
            glyph("╭", "+"),
            glyph("╮", "+"),
            glyph("╰", "+"),
            glyph("╯", "+"),
        ];
        for x in area.left()..=right {
            self.cell(x, area.top(), horizontal, style);
            self.cell(x, bottom, horizontal, style);
        }
        for y in area.top()..=bottom {
            self.cell(area.left(), y, vertical, style);
            self.cell(right, y, vertical, style);
        }
        let places = [
            (area.left(), area.top()),
            (right, area.top()),
            (area.left(), bottom),
            (right, bottom),
        ];
        for ((x, y), corner) in places.into_iter().zip(corners) {
            self.cell(x, y, corner, style);
        }
    }

    /// A text piece in a role.
    pub fn piece(&self, text: impl Into<String>, role: Role) -> StyledText {
        StyledText {
            text: text.into(),
            style: self.theme.style(role),
        }
    }

    /// Writes pieces in a row with a separator, as many as fit; one that does not fit is cut when
    /// at least `shortest` columns of it can be shown, else it and the rest are left out.
    pub fn pieces(&mut self, area: Rect, pieces: &[StyledText], shortest: usize) -> u16 {
        let separator = self.theme.glyph(" · ", " | ");
        let mut x = area.left();
        if area.height == 0 {
            return x;
        }
        for (i, piece) in pieces.iter().enumerate() {
            let gap: u16 = if i == 0 { 0 } else { 3 };
            let room = area.right().saturating_sub(x).saturating_sub(gap);
            let wanted = text::width(&text::clean(&piece.text));
            if usize::from(room) < wanted.min(shortest.max(1)) {
                break;
            }
            if i > 0 {
                x = self.put_as(x, area.top(), 3, separator, Role::Muted);
            }
            x = self.put(x, area.top(), room, &piece.text, piece.style);
        }
        x
    }
}
