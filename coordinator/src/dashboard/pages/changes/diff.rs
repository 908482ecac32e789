//! One file's difference as rows of both layouts: numbered lines, hunks, which line became which.
//! Never cleans a text; the view does that to what it draws.

use crate::dashboard::{
    pages::changes::changed_words,
    widgets::{
        columns,
        syntax::{highlight::Inside, language::Language},
    },
};

/// A file's difference.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileText {
    /// In one column.
    pub rows: Vec<DiffRow>,
    /// Side by side.
    pub sides: Vec<Side>,
    /// The language, when it is known.
    pub language: Option<Language>,
    /// Columns of the widest line.
    pub width: usize,
    /// Digits of the largest line number.
    pub digits: usize,
    /// Bytes it takes, about.
    pub bytes: usize,
}

/// A row of one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiffRow {
    /// A remark: a mode, binary, cut.
    Note(String),
    /// Where a hunk begins.
    Hunk {
        /// Its place in the old and the new file: `@@ -1,3 +1,4 @@`.
        place: String,
        /// What git found above it, as the function's name.
        above: String,
    },
    /// A line.
    Line(DiffLine),
}

/// A line of the old file, the new one, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiffLine {
    /// What happened to it.
    pub sign: Sign,
    /// Its number in the old file.
    pub old: Option<u32>,
    /// Its number in the new file.
    pub new: Option<u32>,
    /// The text, without its end.
    pub text: String,
    /// The row of the line it was before, or became.
    pub pair: Option<usize>,
    /// What its syntax begins in.
    pub inside: Inside,
}

/// What happened to a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// Nothing.
    Same,
    /// It came.
    Added,
    /// It went.
    Removed,
}

/// A row side by side: places in `rows`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Over both sides.
    Whole(usize),
    /// Old at the left, new at the right.
    Pair(Option<usize>, Option<usize>),
}

impl FileText {
    /// One remark in place of a difference.
    pub fn remark(text: impl Into<String>) -> Self {
        let mut file = Self::default();
        file.note(text.into());
        file.finish();
        file
    }

    pub(super) fn note(&mut self, text: String) {
        self.rows.push(DiffRow::Note(text));
    }

    /// Rows of a layout.
    pub fn len(&self, side_by_side: bool) -> usize {
        match side_by_side {
            true => self.sides.len(),
            false => self.rows.len(),
        }
    }

    /// Places of the hunks in a layout, in order.
    pub fn hunks(&self, side_by_side: bool) -> Vec<usize> {
        let is_hunk = |row: usize| matches!(self.rows.get(row), Some(DiffRow::Hunk { .. }));
        match side_by_side {
            true => (0..self.sides.len())
                .filter(|i| matches!(self.sides.get(*i), Some(Side::Whole(row)) if is_hunk(*row)))
                .collect(),
            false => (0..self.rows.len()).filter(|i| is_hunk(*i)).collect(),
        }
    }

    /// Where the row of one layout is in the other.
    pub fn translate(&self, at: usize, to_side_by_side: bool) -> usize {
        let first = |side: &Side| match side {
            Side::Whole(row) => Some(*row),
            Side::Pair(old, new) => (*old).into_iter().chain(*new).min(),
        };
        let last = |side: &Side| match side {
            Side::Whole(row) => Some(*row),
            Side::Pair(old, new) => (*old).into_iter().chain(*new).max(),
        };
        match to_side_by_side {
            true => {
                let holds = |s: &Side| first(s) <= Some(at) && last(s) >= Some(at);
                self.sides.iter().position(holds).unwrap_or(0)
            }
            false => self.sides.get(at).and_then(first).unwrap_or(0),
        }
    }

    /// A line, when the row is one.
    pub fn line(&self, row: usize) -> Option<&DiffLine> {
        match self.rows.get(row) {
            Some(DiffRow::Line(line)) => Some(line),
            _ => None,
        }
    }

    /// The ranges of bytes of a line that changed within it; empty when all of it did.
    pub fn changed(&self, row: usize) -> Vec<std::ops::Range<usize>> {
        let Some(line) = self.line(row) else {
            return Vec::new();
        };
        let Some(other) = line.pair.and_then(|pair| self.line(pair)) else {
            return Vec::new();
        };
        let found = match line.sign {
            Sign::Same => None,
            Sign::Removed => changed_words::changed(&line.text, &other.text).map(|(old, _)| old),
            Sign::Added => changed_words::changed(&other.text, &line.text).map(|(_, new)| new),
        };
        found.unwrap_or_default()
    }

    /// Works out what follows from the rows.
    pub(super) fn finish(&mut self) {
        self.sides = sides(&self.rows);
        let width = |row: &DiffRow| match row {
            DiffRow::Line(line) => columns::width(&line.text),
            DiffRow::Note(text) => columns::width(text),
            DiffRow::Hunk { place, above } => columns::width(place) + columns::width(above) + 1,
        };
        self.width = self.rows.iter().map(width).max().unwrap_or(0);
        let number = |row: &DiffRow| match row {
            DiffRow::Line(line) => line.old.max(line.new).unwrap_or(0),
            _ => 0,
        };
        let largest = self.rows.iter().map(number).max().unwrap_or(0);
        self.digits = largest.to_string().len();
        self.bytes += self.rows.len() * 96;
    }
}

/// The rows of both sides.
fn sides(rows: &[DiffRow]) -> Vec<Side> {
    let mut sides = Vec::with_capacity(rows.len());
    let mut at = 0;
    while let Some(row) = rows.get(at) {
        match row {
            DiffRow::Line(line) if line.sign == Sign::Same => {
                sides.push(Side::Pair(Some(at), Some(at)));
                at += 1;
            }
            DiffRow::Line(_) => {
                let block = rows.iter().skip(at);
                let changed = |row: &&DiffRow| match row {
                    DiffRow::Line(line) => line.sign != Sign::Same,
                    // A missing newline is said within a run of changes.
                    DiffRow::Note(_) => true,
                    DiffRow::Hunk { .. } => false,
                };
                let end = at + block.take_while(changed).count();
                block_sides(rows, at..end, &mut sides);
                at = end;
            }
            DiffRow::Note(_) | DiffRow::Hunk { .. } => {
                sides.push(Side::Whole(at));
                at += 1;
            }
        }
    }
    sides
}

fn block_sides(rows: &[DiffRow], block: std::ops::Range<usize>, sides: &mut Vec<Side>) {
    let mut old = Vec::new();
    let mut new = Vec::new();
    let mut notes = Vec::new();
    for i in block {
        match rows.get(i) {
            Some(DiffRow::Line(line)) if line.sign == Sign::Removed => old.push((i, line.pair)),
            Some(DiffRow::Line(_)) => new.push(i),
            _ => notes.push(i),
        }
    }
    let mut new = new.into_iter().peekable();
    for (i, pair) in old {
        if let Some(pair) = pair {
            // What came before the line's partner stands alone.
            while let Some(alone) = new.next_if(|n| *n < pair) {
                sides.push(Side::Pair(None, Some(alone)));
            }
            new.next_if_eq(&pair);
        }
        sides.push(Side::Pair(Some(i), pair));
    }
    sides.extend(new.map(|n| Side::Pair(None, Some(n))));
    sides.extend(notes.into_iter().map(Side::Whole));
}

#[cfg(test)]
#[path = "diff_tests.rs"]
mod tests;
