//! One file's difference, taken apart for drawing: hunks, numbered lines, which line became which,
//! and the rows of both layouts. Nothing in here is cleaned; the view does that to what it draws.

use super::words;
use crate::{
    dashboard::{
        columns,
        syntax::{self, Inside, Language},
    },
    wire::FileDiff,
};

/// Blocks with more pairs than this are not searched for which line became which: line by line.
const MAX_PAIRS: usize = 144;
/// Lines less alike than this, in hundredths, did not become one another.
const ALIKE: usize = 40;

/// A file's difference.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileText {
    /// In one column.
    pub rows: Vec<Row>,
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
pub enum Row {
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
    Line(Line),
}

/// A line of the old file, the new one, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
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
    /// Takes a difference apart.
    pub fn new(diff: &FileDiff) -> Self {
        let mut reader = Reader {
            file: Self {
                language: Language::of(diff.change.path.as_path()),
                bytes: diff.unified.len(),
                ..Self::default()
            },
            in_hunk: false,
            next: (0, 0),
            inside: (Inside::Code, Inside::Code),
            old_mode: None,
            block: None,
        };
        for line in diff.unified.split_terminator('\n') {
            reader.line(line);
        }
        reader.end_block();
        let mut file = reader.file;
        if file.rows.is_empty() {
            file.note(empty_words(diff));
        }
        if diff.truncated {
            file.note("cut: the file is over 1 MiB".to_owned());
        }
        file.finish();
        file
    }

    /// One remark in place of a difference.
    pub fn remark(text: impl Into<String>) -> Self {
        let mut file = Self::default();
        file.note(text.into());
        file.finish();
        file
    }

    fn note(&mut self, text: String) {
        self.rows.push(Row::Note(text));
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
        let is_hunk = |row: usize| matches!(self.rows.get(row), Some(Row::Hunk { .. }));
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
    pub fn line(&self, row: usize) -> Option<&Line> {
        match self.rows.get(row) {
            Some(Row::Line(line)) => Some(line),
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
            Sign::Removed => words::changed(&line.text, &other.text).map(|(old, _)| old),
            Sign::Added => words::changed(&other.text, &line.text).map(|(_, new)| new),
        };
        found.unwrap_or_default()
    }

    /// Works out what follows from the rows.
    fn finish(&mut self) {
        self.sides = sides(&self.rows);
        let width = |row: &Row| match row {
            Row::Line(line) => columns::width(&line.text),
            Row::Note(text) => columns::width(text),
            Row::Hunk { place, above } => columns::width(place) + columns::width(above) + 1,
        };
        self.width = self.rows.iter().map(width).max().unwrap_or(0);
        let number = |row: &Row| match row {
            Row::Line(line) => line.old.max(line.new).unwrap_or(0),
            _ => 0,
        };
        let largest = self.rows.iter().map(number).max().unwrap_or(0);
        self.digits = largest.to_string().len();
        self.bytes += self.rows.len() * 96;
    }
}

/// Why there is no text.
fn empty_words(diff: &FileDiff) -> String {
    use crate::wire::{ChangeKind, EntryType};
    let change = &diff.change;
    let folder = change.after.or(change.before) == Some(EntryType::Directory);
    let special = change.after == Some(EntryType::Other);
    match (change.kind, folder) {
        _ if change.binary => "a binary file: its content is not shown".to_owned(),
        _ if special => "a FIFO, socket or device: it is listed, and never applied".to_owned(),
        (ChangeKind::Added, true) => "a new folder".to_owned(),
        (ChangeKind::Deleted, true) => "a folder that was deleted".to_owned(),
        (_, true) => "a folder: its content is listed by itself".to_owned(),
        (_, false) => "no line differs".to_owned(),
    }
}

struct Reader {
    file: FileText,
    in_hunk: bool,
    /// Numbers of the next old and new line.
    next: (u32, u32),
    /// What their syntax begins in.
    inside: (Inside, Inside),
    old_mode: Option<String>,
    /// Where a run of removed and added lines began.
    block: Option<usize>,
}

impl Reader {
    fn line(&mut self, line: &str) {
        if let Some((place, above, next)) = hunk(line) {
            self.end_block();
            self.in_hunk = true;
            self.next = next;
            self.inside = (Inside::Code, Inside::Code);
            self.file.rows.push(Row::Hunk {
                place: place.to_owned(),
                above: above.to_owned(),
            });
        } else if self.in_hunk && !line.starts_with("diff --git ") {
            self.content(line);
        } else {
            self.end_block();
            self.in_hunk = false;
            self.header(line);
        }
    }

    fn header(&mut self, line: &str) {
        let kind = |mode: &str| match mode {
            "100644" => None,
            "100755" => Some("executable".to_owned()),
            "120000" => Some("a symbolic link; its text is its target".to_owned()),
            other => Some(format!("mode {other}")),
        };
        let note = if let Some(mode) = line.strip_prefix("old mode ") {
            self.old_mode = Some(mode.to_owned());
            None
        } else if let Some(mode) = line.strip_prefix("new mode ") {
            let old = self.old_mode.take().unwrap_or_default();
            Some(format!("mode {old} to {mode}"))
        } else if let Some(mode) = line.strip_prefix("new file mode ") {
            kind(mode).map(|kind| format!("new: {kind}"))
        } else if let Some(mode) = line.strip_prefix("deleted file mode ") {
            kind(mode).map(|kind| format!("deleted: {kind}"))
        } else if line.starts_with("Binary files ") {
            Some("a binary file: its content is not shown".to_owned())
        } else {
            None
        };
        if let Some(note) = note {
            self.file.note(note);
        }
    }

    fn content(&mut self, line: &str) {
        let mut chars = line.chars();
        let sign = match chars.next() {
            Some('+') => Sign::Added,
            Some('-') => Sign::Removed,
            Some('\\') => {
                // Belongs to the line before; a run of changes goes on.
                self.file.note("no newline at the end".to_owned());
                return;
            }
            _ => Sign::Same,
        };
        let text = chars.as_str().to_owned();
        if sign == Sign::Same {
            self.end_block();
        } else if self.block.is_none() {
            self.block = Some(self.file.rows.len());
        }
        let (old, new) = self.next;
        let (has_old, has_new) = (sign != Sign::Added, sign != Sign::Removed);
        self.next = (
            old.saturating_add(u32::from(has_old)),
            new.saturating_add(u32::from(has_new)),
        );
        let inside = if has_new {
            self.inside.1
        } else {
            self.inside.0
        };
        if let Some(language) = self.file.language {
            if has_old {
                self.inside.0 = syntax::line(language, self.inside.0, &text, |_, _| {});
            }
            if has_new {
                self.inside.1 = syntax::line(language, self.inside.1, &text, |_, _| {});
            }
        }
        self.file.rows.push(Row::Line(Line {
            sign,
            old: has_old.then_some(old),
            new: has_new.then_some(new),
            text,
            pair: None,
            inside,
        }));
    }

    /// Finds which lines of a run of changes became which.
    fn end_block(&mut self) {
        let Some(start) = self.block.take() else {
            return;
        };
        let rows = &mut self.file.rows;
        let of = |wanted: Sign| -> Vec<usize> {
            let block = rows.iter().enumerate().skip(start);
            block
                .filter(|(_, row)| matches!(row, Row::Line(line) if line.sign == wanted))
                .map(|(i, _)| i)
                .collect()
        };
        let (removed, added) = (of(Sign::Removed), of(Sign::Added));
        let text = |i: usize| match rows.get(i) {
            Some(Row::Line(line)) => line.text.as_str(),
            _ => "",
        };
        let pairs = pair(&removed, &added, |a, b| words::alike(text(a), text(b)));
        for (a, b) in pairs {
            let mut ends = [false; 2];
            for ((i, other), end) in [(a, b), (b, a)].into_iter().zip(&mut ends) {
                if let Some(Row::Line(line)) = rows.get_mut(i) {
                    line.pair = Some(other);
                    *end = line.text.ends_with('\r');
                }
            }
            // The same kind of line end on both sides is nothing to show.
            if ends == [true, true] {
                for i in [a, b] {
                    strip_return(rows.get_mut(i));
                }
            }
        }
        for i in removed.into_iter().chain(added) {
            if matches!(rows.get(i), Some(Row::Line(line)) if line.pair.is_none()) {
                strip_return(rows.get_mut(i));
            }
        }
    }
}

fn strip_return(row: Option<&mut Row>) {
    if let Some(Row::Line(line)) = row
        && line.text.ends_with('\r')
    {
        line.text.pop();
    }
}

/// Which removed line became which added one: in order, each at most once.
fn pair(
    removed: &[usize],
    added: &[usize],
    alike: impl Fn(usize, usize) -> usize,
) -> Vec<(usize, usize)> {
    if removed.len() == added.len() || removed.len().saturating_mul(added.len()) > MAX_PAIRS {
        return removed.iter().copied().zip(added.iter().copied()).collect();
    }
    let mut pairs = Vec::new();
    let mut from = 0;
    for old in removed {
        let candidates = added.iter().enumerate().skip(from);
        let best = candidates
            .map(|(i, new)| (alike(*old, *new), i, *new))
            .filter(|(alike, ..)| *alike >= ALIKE)
            // Of equals, the first.
            .max_by_key(|(alike, i, _)| (*alike, std::cmp::Reverse(*i)));
        if let Some((_, i, new)) = best {
            pairs.push((*old, new));
            from = i + 1;
        }
    }
    pairs
}

/// The rows of both sides.
fn sides(rows: &[Row]) -> Vec<Side> {
    let mut sides = Vec::with_capacity(rows.len());
    let mut at = 0;
    while let Some(row) = rows.get(at) {
        match row {
            Row::Line(line) if line.sign == Sign::Same => {
                sides.push(Side::Pair(Some(at), Some(at)));
                at += 1;
            }
            Row::Line(_) => {
                let block = rows.iter().skip(at);
                let changed = |row: &&Row| match row {
                    Row::Line(line) => line.sign != Sign::Same,
                    // A missing newline is said within a run of changes.
                    Row::Note(_) => true,
                    Row::Hunk { .. } => false,
                };
                let end = at + block.take_while(changed).count();
                block_sides(rows, at..end, &mut sides);
                at = end;
            }
            Row::Note(_) | Row::Hunk { .. } => {
                sides.push(Side::Whole(at));
                at += 1;
            }
        }
    }
    sides
}

fn block_sides(rows: &[Row], block: std::ops::Range<usize>, sides: &mut Vec<Side>) {
    let mut old = Vec::new();
    let mut new = Vec::new();
    let mut notes = Vec::new();
    for i in block {
        match rows.get(i) {
            Some(Row::Line(line)) if line.sign == Sign::Removed => old.push((i, line.pair)),
            Some(Row::Line(_)) => new.push(i),
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

/// `@@ -12,3 +14,4 @@ above`: the place, the rest, and the first numbers.
fn hunk(line: &str) -> Option<(&str, &str, (u32, u32))> {
    let inner = line.strip_prefix("@@ -")?;
    let end = inner.find(" @@")?;
    let numbers = inner.get(..end)?;
    let (old, new) = numbers.split_once(" +")?;
    let first = |side: &str| side.split(',').next()?.parse::<u32>().ok();
    let place = line.get(..end + 7)?;
    let above = line.get(end + 7..)?.trim();
    Some((place, above, (first(old)?, first(new)?)))
}

#[cfg(test)]
#[path = "diff_tests.rs"]
mod tests;
