//! Cursor motion inside the scroll region, and small steps the handler shares.

use alacritty_terminal::grid::Dimensions;
use alacritty_terminal::index::{Column, Line};
use alacritty_terminal::vte::ansi::NamedPrivateMode;

use super::{Model, to_i32};

impl Model {
    pub(super) fn line(&self) -> i32 {
        self.term.grid().cursor.point.line.0
    }

    pub(super) fn column(&self) -> usize {
        self.term.grid().cursor.point.column.0
    }

    pub(super) fn move_to(&mut self, line: i32, column: usize) {
        let bottom = to_i32(self.term.screen_lines()) - 1;
        let last = self.term.columns() - 1;
        let cursor = &mut self.term.grid_mut().cursor;
        cursor.point.line = Line(line.clamp(0, bottom));
        cursor.point.column = Column(column.min(last));
        cursor.input_needs_wrap = false;
    }

    /// The line `count` below, stopping at the region's last line (if not already past it).
    pub(super) fn below(&self, count: usize) -> i32 {
        let line = self.line();
        let end = if line < self.region.end {
            self.region.end
        } else {
            to_i32(self.term.screen_lines())
        };
        line.saturating_add(to_i32(count)).min(end - 1)
    }

    /// The line `count` above, stopping at the region's first line (if not already past it).
    pub(super) fn above(&self, count: usize) -> i32 {
        let line = self.line();
        let start = if line >= self.region.start {
            self.region.start
        } else {
            0
        };
        line.saturating_sub(to_i32(count)).max(start)
    }

    pub(super) fn split_at_cursor(&mut self, count: usize) {
        let (line, column) = (Line(self.line()), self.column());
        self.split_wide(line, column);
        self.split_wide(line, column.saturating_add(count));
    }
}

impl Model {
    pub(super) fn after_mode(&mut self, mode: NamedPrivateMode) {
        match mode {
            NamedPrivateMode::BlinkingCursor => {
                self.cursor_style = Some(self.term.cursor_style());
            }
            NamedPrivateMode::ColumnMode if self.term.screen_lines() > 1 => {
                self.region = 0..to_i32(self.term.screen_lines());
            }
            _ => {}
        }
    }

    /// REP: the last character again, `count` times.
    pub(crate) fn repeat(&mut self, count: u16) {
        if let Some(c) = self.last_char {
            for _ in 0..count.max(1) {
                self.put(c);
            }
        }
    }
}
