//! The last lines of an output as cells that can still change; no terminal is here that would break
//! a line, and each row that a full-screen program addresses becomes one.

use crate::dashboard::app::message::LogLines;
use std::collections::VecDeque;
use unicode_width::UnicodeWidthChar;

/// Last lines that can still be changed: no terminal has more rows.
const ROWS: usize = 200;
/// Longest line, in columns; what is longer goes on in the next one.
pub const COLUMNS: usize = 8192;
/// Combining characters kept on one cell.
const COMBINING: usize = 4;

/// A cell: a character and what combines with it. The second cell of a wide character is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogCell {
    c: Option<char>,
    with: String,
}

const BLANK: LogCell = LogCell {
    c: Some(' '),
    with: String::new(),
};

/// The lines, and the cursor in them.
pub struct Page {
    /// The lines that can still change.
    pub(super) lines: VecDeque<Vec<LogCell>>,
    /// Lines before these.
    pub(super) base: usize,
    /// The cursor: a place in `lines`, and a column.
    pub(super) row: usize,
    pub(super) column: usize,
    pub(super) saved: (usize, usize),
    /// The row that a full-screen program addressed last.
    pub(super) addressed: Option<u16>,
    /// The first changed line, counted from the beginning.
    pub(super) dirty: usize,
    /// Lines given away.
    pub(super) sent: usize,
    /// Changed lines that cannot change any more.
    pub(super) frozen: Vec<String>,
    /// The last printed character, for its repetition.
    pub(super) last: Option<char>,
}

impl Default for Page {
    fn default() -> Self {
        Self {
            lines: [Vec::new()].into(),
            base: 0,
            row: 0,
            column: 0,
            saved: (0, 0),
            addressed: None,
            dirty: 0,
            sent: 0,
            frozen: Vec::new(),
            last: None,
        }
    }
}

impl Page {
    pub(super) fn drain(&mut self, fresh: bool) -> LogLines {
        // The line that the next output begins is none yet.
        let blank = self.lines.back().is_none_or(|line| line.is_empty());
        let total = self.base + self.lines.len() - usize::from(blank);
        let start = self.dirty.min(self.sent);
        let replace = match fresh {
            true => usize::MAX,
            false => self.sent - start,
        };
        let mut lines = std::mem::take(&mut self.frozen);
        let known = (start + lines.len()).saturating_sub(self.base);
        let count = total.saturating_sub(self.base);
        lines.extend(self.lines.iter().take(count).skip(known).map(|l| text(l)));
        self.sent = total;
        self.dirty = total;
        LogLines {
            replace,
            lines,
            ended: false,
        }
    }

    fn touch(&mut self, row: usize) {
        self.dirty = self.dirty.min(self.base + row);
    }

    fn line(&mut self) -> Option<&mut Vec<LogCell>> {
        self.touch(self.row);
        self.lines.get_mut(self.row)
    }

    /// A new line below the last one.
    fn append(&mut self) {
        self.touch(self.lines.len());
        self.lines.push_back(Vec::new());
        if self.lines.len() > ROWS
            && let Some(line) = self.lines.pop_front()
        {
            if self.base >= self.dirty.min(self.sent) {
                self.frozen.push(text(&line));
            }
            self.base += 1;
            self.row = self.row.saturating_sub(1);
            self.saved.0 = self.saved.0.saturating_sub(1);
        }
    }

    pub(super) fn new_line(&mut self) {
        if self.row + 1 >= self.lines.len() {
            self.append();
        }
        self.row = (self.row + 1).min(self.lines.len().saturating_sub(1));
        self.column = 0;
    }

    pub(super) fn go_below(&mut self) {
        self.row = self.lines.len().saturating_sub(1);
        self.column = 0;
        if self.lines.back().is_some_and(|line| !line.is_empty()) {
            self.new_line();
        }
    }

    pub(super) fn put(&mut self, c: char) {
        let Some(width) = c.width() else { return };
        if width == 0 {
            return self.combine(c);
        }
        if self.column + width > COLUMNS {
            self.new_line();
        }
        self.last = Some(c);
        let column = self.column;
        self.column += width;
        let Some(line) = self.line() else { return };
        if line.len() < column + width {
            line.resize(column + width, BLANK);
        }
        split_wide(line, column);
        split_wide(line, column + width);
        for (i, cell) in line.iter_mut().skip(column).take(width).enumerate() {
            *cell = LogCell {
                c: (i == 0).then_some(c),
                with: String::new(),
            };
        }
    }

    fn combine(&mut self, c: char) {
        let Some(mut column) = self.column.checked_sub(1) else {
            return;
        };
        let Some(line) = self.line() else { return };
        if line.get(column).is_some_and(|cell| cell.c.is_none()) {
            column = column.saturating_sub(1);
        }
        if let Some(cell) = line.get_mut(column)
            && cell.with.chars().count() < COMBINING
        {
            cell.with.push(c);
        }
    }

    /// Blanks columns of the line; what is blank at its end goes.
    pub(super) fn erase(&mut self, from: usize, to: usize) {
        let Some(line) = self.line() else { return };
        split_wide(line, from);
        split_wide(line, to);
        let end = to.min(line.len());
        for cell in line.iter_mut().take(end).skip(from) {
            *cell = BLANK;
        }
        if to >= line.len() {
            line.truncate(from);
        }
    }

    pub(super) fn erase_display(&mut self, what: u16) {
        match what {
            0 => {
                self.erase(self.column, usize::MAX);
                let below = self.row + 1;
                if below < self.lines.len() {
                    self.touch(below);
                    self.lines.truncate(below);
                }
            }
            1 => self.erase(0, self.column + 1),
            // What a cleared screen showed was output all the same.
            _ => self.go_below(),
        }
    }

    /// A row of a screen that is not here: another one than before is a new line.
    pub(super) fn address(&mut self, row: u16, column: u16) {
        if self.addressed != Some(row) {
            self.addressed = Some(row);
            self.go_below();
        }
        self.go_to(column);
    }

    pub(super) fn go_to(&mut self, column: u16) {
        self.column = usize::from(column.max(1) - 1);
    }

    pub(super) fn insert_cells(&mut self, count: usize) {
        let column = self.column;
        let Some(line) = self.line() else { return };
        if column < line.len() {
            split_wide(line, column);
            let count = count.min(COLUMNS.saturating_sub(line.len()));
            line.splice(column..column, std::iter::repeat_n(BLANK, count));
        }
    }

    pub(super) fn delete_cells(&mut self, count: usize) {
        let column = self.column;
        let Some(line) = self.line() else { return };
        if column < line.len() {
            let end = column.saturating_add(count).min(line.len());
            split_wide(line, column);
            split_wide(line, end);
            line.drain(column..end);
        }
    }

    pub(super) fn insert_lines(&mut self, count: usize) {
        self.touch(self.row);
        for _ in 0..count.min(ROWS.saturating_sub(self.lines.len())) {
            self.lines.insert(self.row, Vec::new());
        }
    }

    pub(super) fn delete_lines(&mut self, count: usize) {
        self.touch(self.row);
        let end = self.row.saturating_add(count).min(self.lines.len());
        self.lines.drain(self.row..end);
        if self.lines.len() <= self.row {
            self.lines.push_back(Vec::new());
            self.row = self.lines.len() - 1;
        }
    }

    pub(super) fn restore(&mut self) {
        let (row, column) = self.saved;
        self.row = row.min(self.lines.len().saturating_sub(1));
        self.column = column;
        self.addressed = None;
    }
}

/// Half of a wide character is a blank.
fn split_wide(line: &mut [LogCell], column: usize) {
    let second = line.get(column).is_some_and(|cell| cell.c.is_none());
    if second && let Some(before) = column.checked_sub(1) {
        for cell in line.iter_mut().skip(before).take(2) {
            *cell = BLANK;
        }
    }
}

fn text(line: &[LogCell]) -> String {
    let mut out = String::with_capacity(line.len());
    for cell in line {
        out.extend(cell.c);
        out.push_str(&cell.with);
    }
    out.truncate(out.trim_end_matches(' ').len());
    out
}
