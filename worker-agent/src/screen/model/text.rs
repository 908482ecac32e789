//! The shortcut for text: runs of printable ASCII go straight into the grid.
//!
//! It does exactly what feeding the same characters through the crate would do; whatever is not plain
//! takes the crate's own path, one character at a time.

use alacritty_terminal::grid::Dimensions;
use alacritty_terminal::index::Column;
use alacritty_terminal::term::TermMode;
use alacritty_terminal::term::cell::{Cell, Flags};
use alacritty_terminal::vte::ansi::{CharsetIndex, Handler};
use unicode_width::UnicodeWidthChar;

use super::{Model, to_i32};

/// Most combining characters kept on one cell.
const MAX_COMBINING: usize = 16;

impl Model {
    /// Text between sequences: characters and C0 controls.
    pub(crate) fn text(&mut self, mut bytes: &[u8]) {
        while let Some(&first) = bytes.first() {
            let plain = |byte: &u8| matches!(byte, 0x20..=0x7e);
            if plain(&first) {
                let end = bytes
                    .iter()
                    .position(|byte| !plain(byte))
                    .unwrap_or(bytes.len());
                let (run, rest) = bytes.split_at(end);
                self.ascii(run);
                bytes = rest;
            } else if first < 0x80 {
                self.control(first);
                bytes = bytes.get(1..).unwrap_or_default();
            } else {
                let end = bytes.iter().position(u8::is_ascii).unwrap_or(bytes.len());
                let (run, rest) = bytes.split_at(end);
                self.characters(run);
                bytes = rest;
            }
        }
    }

    /// A C0 control.
    pub(crate) fn control(&mut self, byte: u8) {
        match byte {
            0x07 => self.bell(),
            0x08 => self.backspace(),
            0x09 => self.put_tab(1),
            0x0a..=0x0c => self.linefeed(),
            0x0d => self.carriage_return(),
            0x0e => self.set_active_charset(CharsetIndex::G1),
            0x0f => self.set_active_charset(CharsetIndex::G0),
            _ => {}
        }
    }

    /// Characters beyond ASCII; what is not UTF-8 becomes U+FFFD, a lone C1 byte nothing.
    fn characters(&mut self, bytes: &[u8]) {
        for chunk in bytes.utf8_chunks() {
            for c in chunk.valid().chars() {
                self.input(c);
            }
            match chunk.invalid() {
                [] | [0x80..=0x9f] => {}
                _ => self.input(char::REPLACEMENT_CHARACTER),
            }
        }
    }

    fn ascii(&mut self, mut run: &[u8]) {
        if self.has(TermMode::INSERT) || self.draws_lines() {
            for &byte in run {
                self.input(char::from(byte));
            }
            return;
        }
        self.last_char = run.last().map(|&byte| char::from(byte));
        let columns = self.term.columns();
        while let Some(&first) = run.first() {
            let done = self.fill(run, columns);
            if done == 0 {
                self.term.input(char::from(first));
            }
            run = run.get(done.max(1)..).unwrap_or_default();
        }
    }

    /// Writes as much of `run` as is plain on the cursor's row; returns how much.
    fn fill(&mut self, run: &[u8], columns: usize) -> usize {
        let grid = self.term.grid_mut();
        if grid.cursor.input_needs_wrap {
            return 0;
        }
        let point = grid.cursor.point;
        let column = point.column.0;
        let end = columns.min(column + run.len());
        let (fg, bg, flags) = (
            grid.cursor.template.fg,
            grid.cursor.template.bg,
            grid.cursor.template.flags,
        );
        let extra = grid.cursor.template.extra.clone();
        let cells = &mut grid[point.line][point.column..Column(end)];
        let mut done = 0;
        for (cell, &byte) in cells.iter_mut().zip(run) {
            if cell
                .flags
                .intersects(Flags::WIDE_CHAR | Flags::WIDE_CHAR_SPACER)
            {
                break;
            }
            cell.c = char::from(byte);
            cell.fg = fg;
            cell.bg = bg;
            cell.flags = flags;
            if cell.extra.is_some() || extra.is_some() {
                cell.extra.clone_from(&extra);
            }
            done += 1;
        }
        if column + done == columns {
            grid.cursor.point.column = Column(columns - 1);
            grid.cursor.input_needs_wrap = true;
        } else {
            grid.cursor.point.column = Column(column + done);
        }
        done
    }

    /// One character through the crate, with the guards it lacks.
    pub(super) fn put(&mut self, c: char) {
        let Some(width) = c.width() else { return };
        self.last_char = Some(c);
        if width == 0 {
            if self.combining_at_cursor() >= MAX_COMBINING {
                return;
            }
        } else if self.has(TermMode::INSERT) {
            self.make_room(width);
        }
        self.term.input(c);
    }

    /// Readies the row for an insertion: the crate rotates the cells that fall
    /// off the right edge to the cursor and would act on their marks there.
    fn make_room(&mut self, width: usize) {
        let cursor = &self.term.grid().cursor;
        let (mut line, mut column) = (cursor.point.line, cursor.point.column.0);
        if cursor.input_needs_wrap && self.has(TermMode::LINE_WRAP) {
            column = 0;
            if line.0 + 1 == self.region.end {
                return; // The row that scrolls in is blank.
            }
            line.0 = (line.0 + 1).min(to_i32(self.term.screen_lines()) - 1);
        }
        self.split_wide(line, column);
        let columns = self.term.columns();
        if column + width < columns {
            self.split_wide(line, columns - width);
            let row = &mut self.term.grid_mut()[line];
            row[Column(columns - width)..].fill(Cell::default());
        }
    }

    /// How many combining characters the cell before the cursor already has.
    fn combining_at_cursor(&self) -> usize {
        let grid = self.term.grid();
        let row = &grid[grid.cursor.point.line];
        let mut column = grid.cursor.point.column.0;
        if !grid.cursor.input_needs_wrap {
            column = column.saturating_sub(1);
        }
        if row[Column(column)].flags.contains(Flags::WIDE_CHAR_SPACER) {
            column = column.saturating_sub(1);
        }
        row[Column(column)].zerowidth().map_or(0, <[char]>::len)
    }
}
