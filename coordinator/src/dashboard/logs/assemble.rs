//! Recorded output as lines of text.
//!
//! A recording holds the bytes that a program sent to a terminal. Its last lines are kept as cells
//! that carriage returns, erasures and cursor movements change, so that of a progress bar there is
//! one line in the end. Colours go, and no escape sequence is in any line. A line is as long as the
//! program wrote it: there is no terminal here that would break it. Full-screen programs address
//! rows of a screen that is not here; each row they write becomes a line.

use crate::dashboard::event::LogLines;
use alacritty_terminal::vte::{Params, Parser, Perform};
use std::collections::VecDeque;
use unicode_width::UnicodeWidthChar;

/// Last lines that can still be changed: no terminal has more rows.
const ROWS: usize = 200;
/// Longest line, in columns; what is longer goes on in the next one.
const COLUMNS: usize = 8192;
/// Columns between tab stops of a terminal.
const TAB: usize = 8;
/// Combining characters kept on one cell.
const COMBINING: usize = 4;

/// Puts lines together from bytes.
#[derive(Default)]
pub struct Assembler {
    parser: Parser,
    page: Page,
    /// The beginning of a character whose rest has not come.
    held: Vec<u8>,
}

impl std::fmt::Debug for Assembler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Assembler").finish_non_exhaustive()
    }
}

impl Assembler {
    /// Reads the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        // The parser loses what follows a character that comes in two pieces.
        self.held.extend_from_slice(bytes);
        let rest = self.held.len() - unfinished(&self.held);
        let rest = self.held.split_off(rest);
        self.parser.advance(&mut self.page, &self.held);
        self.held = rest;
    }

    /// What changed since the last call; nothing when nothing did. With `fresh` all of it replaces
    /// whatever was known before.
    pub fn take(&mut self, fresh: bool) -> LogLines {
        self.page.take(fresh)
    }
}

/// How many bytes at the end begin a UTF-8 character and do not end it.
fn unfinished(bytes: &[u8]) -> usize {
    let mut last = bytes.iter().rev().take(3).enumerate();
    let lead = last.find(|(_, byte)| **byte & 0xc0 != 0x80);
    let length = |lead: u8| match lead {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => 1,
    };
    match lead {
        Some((after, lead)) if length(*lead) > after + 1 => after + 1,
        _ => 0,
    }
}

/// A cell: a character and what combines with it. The second cell of a wide character is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cell {
    c: Option<char>,
    with: String,
}

const BLANK: Cell = Cell {
    c: Some(' '),
    with: String::new(),
};

struct Page {
    /// The lines that can still change.
    lines: VecDeque<Vec<Cell>>,
    /// Lines before these.
    base: usize,
    /// The cursor: a place in `lines`, and a column.
    row: usize,
    column: usize,
    saved: (usize, usize),
    /// The row that a full-screen program addressed last.
    addressed: Option<u16>,
    /// The first changed line, counted from the beginning.
    dirty: usize,
    /// Lines given away.
    sent: usize,
    /// Changed lines that cannot change any more.
    frozen: Vec<String>,
    /// The last printed character, for its repetition.
    last: Option<char>,
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
    fn take(&mut self, fresh: bool) -> LogLines {
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

    fn line(&mut self) -> Option<&mut Vec<Cell>> {
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

    fn new_line(&mut self) {
        if self.row + 1 >= self.lines.len() {
            self.append();
        }
        self.row = (self.row + 1).min(self.lines.len().saturating_sub(1));
        self.column = 0;
    }

    fn go_below(&mut self) {
        self.row = self.lines.len().saturating_sub(1);
        self.column = 0;
        if self.lines.back().is_some_and(|line| !line.is_empty()) {
            self.new_line();
        }
    }

    fn put(&mut self, c: char) {
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
            *cell = Cell {
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
    fn erase(&mut self, from: usize, to: usize) {
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

    fn erase_display(&mut self, what: u16) {
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
    fn address(&mut self, row: u16, column: u16) {
        if self.addressed != Some(row) {
            self.addressed = Some(row);
            self.go_below();
        }
        self.go_to(column);
    }

    fn go_to(&mut self, column: u16) {
        self.column = usize::from(column.max(1) - 1);
    }

    fn insert_cells(&mut self, count: usize) {
        let column = self.column;
        let Some(line) = self.line() else { return };
        if column < line.len() {
            split_wide(line, column);
            let count = count.min(COLUMNS.saturating_sub(line.len()));
            line.splice(column..column, std::iter::repeat_n(BLANK, count));
        }
    }

    fn delete_cells(&mut self, count: usize) {
        let column = self.column;
        let Some(line) = self.line() else { return };
        if column < line.len() {
            let end = column.saturating_add(count).min(line.len());
            split_wide(line, column);
            split_wide(line, end);
            line.drain(column..end);
        }
    }

    fn insert_lines(&mut self, count: usize) {
        self.touch(self.row);
        for _ in 0..count.min(ROWS.saturating_sub(self.lines.len())) {
            self.lines.insert(self.row, Vec::new());
        }
    }

    fn delete_lines(&mut self, count: usize) {
        self.touch(self.row);
        let end = self.row.saturating_add(count).min(self.lines.len());
        self.lines.drain(self.row..end);
        if self.lines.len() <= self.row {
            self.lines.push_back(Vec::new());
            self.row = self.lines.len() - 1;
        }
    }
}

/// Half of a wide character is a blank.
fn split_wide(line: &mut [Cell], column: usize) {
    let second = line.get(column).is_some_and(|cell| cell.c.is_none());
    if second && let Some(before) = column.checked_sub(1) {
        for cell in line.iter_mut().skip(before).take(2) {
            *cell = BLANK;
        }
    }
}

fn text(line: &[Cell]) -> String {
    let mut out = String::with_capacity(line.len());
    for cell in line {
        out.extend(cell.c);
        out.push_str(&cell.with);
    }
    out.truncate(out.trim_end_matches(' ').len());
    out
}

impl Perform for Page {
    fn print(&mut self, c: char) {
        self.put(c);
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            0x08 => self.column = self.column.saturating_sub(1),
            0x09 => self.column = ((self.column / TAB + 1) * TAB).min(COLUMNS),
            // The terminal's driver sends CR before LF; a pipe has no driver.
            0x0a..=0x0c => self.new_line(),
            0x0d => self.column = 0,
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], ignore: bool, action: char) {
        if ignore || !intermediates.is_empty() {
            if intermediates == b"?" && matches!(action, 'h' | 'l') {
                let screen = params.iter().any(|p| matches!(p, [47 | 1047 | 1049]));
                if screen {
                    self.addressed = None;
                    self.go_below();
                }
            }
            return;
        }
        let mut params = params.iter().map(|p| p.first().copied().unwrap_or(0));
        let first = params.next().unwrap_or(0);
        let second = params.next().unwrap_or(0);
        let count = usize::from(first.max(1));
        let last_row = self.lines.len().saturating_sub(1);
        match action {
            'A' | 'F' => self.row = self.row.saturating_sub(count),
            'B' | 'E' | 'e' => self.row = self.row.saturating_add(count).min(last_row),
            'C' | 'a' => self.column = self.column.saturating_add(count).min(COLUMNS),
            'D' => self.column = self.column.saturating_sub(count),
            'G' | '`' => self.go_to(first),
            'H' | 'f' => self.address(first.max(1), second),
            'd' => {
                let column = u16::try_from(self.column + 1).unwrap_or(u16::MAX);
                self.address(first.max(1), column);
            }
            'J' => self.erase_display(first),
            'K' => match first {
                0 => self.erase(self.column, usize::MAX),
                1 => self.erase(0, self.column + 1),
                _ => self.erase(0, usize::MAX),
            },
            'X' => self.erase(self.column, self.column + count),
            'P' => self.delete_cells(count),
            '@' => self.insert_cells(count),
            'L' => self.insert_lines(count),
            'M' => self.delete_lines(count),
            'b' => {
                if let Some(c) = self.last {
                    (0..count.min(COLUMNS)).for_each(|_| self.put(c));
                }
            }
            's' => self.saved = (self.row, self.column),
            'u' => self.restore(),
            _ => {}
        }
        if matches!(action, 'E' | 'F') {
            self.column = 0;
        }
    }

    fn esc_dispatch(&mut self, intermediates: &[u8], _ignore: bool, byte: u8) {
        match (intermediates, byte) {
            ([], b'7') => self.saved = (self.row, self.column),
            ([], b'8') => self.restore(),
            ([], b'D' | b'E') => self.new_line(),
            ([], b'M') => self.row = self.row.saturating_sub(1),
            ([], b'c') => self.go_below(),
            _ => {}
        }
    }
}

impl Page {
    fn restore(&mut self) {
        let (row, column) = self.saved;
        self.row = row.min(self.lines.len().saturating_sub(1));
        self.column = column;
        self.addressed = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(bytes: &str) -> Vec<String> {
        let mut assembler = Assembler::default();
        assembler.push(bytes.as_bytes());
        assembler.take(true).lines
    }

    #[test]
    fn plain_lines_with_and_without_an_end() {
        assert_eq!(lines("one\r\ntwo\nthree"), ["one", "two", "three"]);
        assert_eq!(lines("one\r\n\r\n"), ["one", ""]);
        assert_eq!(lines(""), [""; 0]);
        assert_eq!(lines("a\tb"), ["a       b"]);
    }

    #[test]
    fn of_a_progress_bar_the_last_state_is_left() {
        assert_eq!(lines("10%\r50%\r100% done\r\nnext"), ["100% done", "next"]);
        assert_eq!(lines("working...\r\x1b[Kok\n"), ["ok"]);
        assert_eq!(lines("12\x08\x08345\n"), ["345"]);
        assert_eq!(lines("ab\x1b[2Dxy\x1b[1Gz"), ["zy"]);
    }

    #[test]
    fn lines_that_are_drawn_anew_are_there_once() {
        let frames = "one 1%\r\ntwo 1%\r\n\x1b[2A\x1b[2Kone 9%\r\n\x1b[2Ktwo 9%\r\nend";
        assert_eq!(lines(frames), ["one 9%", "two 9%", "end"]);
        // As Ink draws: erase upwards, then write.
        let ink = "a\r\nb\r\nc\x1b[2K\x1b[1A\x1b[2K\x1b[1A\x1b[2K\x1b[Gx\r\ny";
        assert_eq!(lines(ink), ["x", "y"]);
        assert_eq!(lines("a\r\nb\r\nc\x1b[2A\x1b[0Jz"), ["az"]);
    }

    #[test]
    fn no_sequence_is_in_a_line() {
        let coloured =
            "\x1b[1;31mred\x1b[m \x1b]0;title\x07\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\";
        assert_eq!(lines(coloured), ["red link"]);
        assert_eq!(lines("\x1bPq data\x1b\\a\x1b(Bb\x1b=c\x1b[?25lc"), ["abcc"]);
        assert_eq!(lines("half \x1b[3"), ["half"]);
    }

    #[test]
    fn wide_and_combining_characters_keep_their_places() {
        assert_eq!(lines("日本\x1b[3Gx"), ["日x"]);
        assert_eq!(lines("日本\x1b[2Gx"), [" x本"]);
        assert_eq!(lines("e\u{301}f\re"), ["ef"]);
    }

    #[test]
    fn a_full_screen_program_gives_a_line_for_each_row_it_writes() {
        let screen = "before\r\n\x1b[?1049h\x1b[2J\x1b[1;1Htop\x1b[5;3Hmiddle\x1b[?1049lafter";
        assert_eq!(lines(screen), ["before", "top", "  middle", "after"]);
    }

    #[test]
    fn a_cleared_screen_is_output_all_the_same() {
        assert_eq!(lines("a\r\nb\x1b[H\x1b[2J\x1b[3Jc"), ["a", "b", "c"]);
    }

    #[test]
    fn a_part_of_a_line_is_replaced_by_the_whole() {
        let mut assembler = Assembler::default();
        let mut take = |bytes: &str| {
            assembler.push(bytes.as_bytes());
            let taken = assembler.take(false);
            (taken.replace, taken.lines)
        };
        assert_eq!(take("on"), (0, vec!["on".into()]));
        assert_eq!(take("e\r\nt"), (1, vec!["one".into(), "t".into()]));
        assert_eq!(take(""), (0, vec![]));
        assert_eq!(take("wo\r\n"), (1, vec!["two".into()]));
        assert_eq!(take("\r\nx"), (0, vec!["".into(), "x".into()]));
        assert_eq!(take("\r\x1b[K"), (1, vec![]));
    }

    #[test]
    fn a_line_without_an_end_is_broken_somewhere() {
        let lines = lines(&"x".repeat(3 * COLUMNS + 1));
        assert_eq!(lines.len(), 4);
    }

    fn output() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => "[a-z世\u{301} ]{1,9}",
            3 => prop::sample::select(vec!["\r\n", "\n", "\r", "\t", "\x08"]).prop_map(str::to_owned),
            4 => (0u16..9, prop::sample::select("ABCDEFGJKXP@LMbsudfeH".chars().collect::<Vec<_>>()))
                .prop_map(|(n, action)| format!("\x1b[{n}{action}")),
            1 => prop::sample::select(vec!["\x1b7", "\x1b8", "\x1bM", "\x1bc", "\x1b[?1049h"])
                .prop_map(str::to_owned),
            1 => (1usize..300).prop_map(|n| "line\r\n".repeat(n)),
            1 => "\\PC{0,9}|.{0,9}",
        ]
    }

    proptest! {
        #[test]
        fn what_is_given_bit_by_bit_comes_to_the_same(
            pieces in prop::collection::vec(output(), 0..40), cut in 1usize..7
        ) {
            let all = pieces.concat();
            let whole = lines(&all);
            let mut assembler = Assembler::default();
            let mut known: Vec<String> = Vec::new();
            for chunk in all.as_bytes().chunks(cut) {
                assembler.push(chunk);
                let taken = assembler.take(false);
                prop_assert!(taken.replace <= known.len());
                known.truncate(known.len() - taken.replace);
                known.extend(taken.lines);
            }
            prop_assert_eq!(&known, &whole);
            prop_assert!(!known.iter().any(|l| l.chars().any(char::is_control)));
        }
    }
}
