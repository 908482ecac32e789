//! Lines of files and logs by columns: tabs widened, controls escaped, any part of a long line.
//! Unlike [`text::clean`] it keeps where in the line each piece came from, for colours and matches.

use crate::dashboard::widgets::text;
use std::{borrow::Cow, ops::Range};
use unicode_width::UnicodeWidthChar;

/// Columns between tab stops.
const TAB: usize = 4;

/// A character as it is shown, with what combines with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glyph<'a> {
    /// Its bytes in the line.
    pub bytes: Range<usize>,
    /// Its first column in the line.
    pub column: usize,
    /// The columns it takes.
    pub width: usize,
    /// What is shown for it.
    pub shown: Cow<'a, str>,
}

/// A line's characters, from left to right.
pub fn glyphs(line: &str) -> Glyphs<'_> {
    Glyphs {
        line,
        at: 0,
        column: 0,
    }
}

/// See [`glyphs`].
#[derive(Debug, Clone)]
pub struct Glyphs<'a> {
    line: &'a str,
    at: usize,
    column: usize,
}

impl<'a> Iterator for Glyphs<'a> {
    type Item = Glyph<'a>;

    fn next(&mut self) -> Option<Glyph<'a>> {
        loop {
            let rest = self.line.get(self.at..)?;
            let first = rest.chars().next()?;
            let start = self.at;
            let mut end = start + first.len_utf8();
            if matches!(first, ' '..='~') && !follows(rest) {
                let glyph = Glyph {
                    bytes: start..end,
                    column: self.column,
                    width: 1,
                    shown: Cow::Borrowed(self.line.get(start..end)?),
                };
                self.at = end;
                self.column += 1;
                return Some(glyph);
            }
            let shown: Cow<'a, str> = match first {
                '\t' => Cow::Owned(" ".repeat(TAB - self.column % TAB)),
                '\r' | '\n' => Cow::Owned(first.escape_default().collect()),
                _ => {
                    let after = rest.get(first.len_utf8()..).unwrap_or_default();
                    // What has no width of its own belongs to what is before it.
                    let with = after.chars().take_while(|c| c.width() == Some(0));
                    end += with.map(char::len_utf8).sum::<usize>();
                    Cow::Owned(text::clean(self.line.get(start..end)?))
                }
            };
            self.at = end;
            let width = text::width(&shown);
            if width == 0 {
                continue;
            }
            let column = self.column;
            self.column += width;
            return Some(Glyph {
                bytes: start..end,
                column,
                width,
                shown,
            });
        }
    }
}

/// Whether something without width follows the first character.
fn follows(rest: &str) -> bool {
    match rest.as_bytes().get(1) {
        None | Some(0..=0x7f) => false,
        Some(_) => rest.chars().nth(1).is_some_and(|c| c.width() == Some(0)),
    }
}

/// Columns a line takes.
pub fn width(line: &str) -> usize {
    if line.bytes().all(|b| matches!(b, b' '..=b'~')) {
        return line.len();
    }
    glyphs(line).last().map_or(0, |g| g.column + g.width)
}

/// A piece of a line to draw: where, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinePiece<S> {
    /// Columns from the left edge of the window.
    pub at: usize,
    /// Cleaned text.
    pub text: String,
    /// How it looks.
    pub style: S,
}

/// What of a line is seen through a window that begins at the column `first` and is `columns` wide,
/// in pieces of one style each; and whether more is at the right. `style` is asked for each
/// character by the place of its first byte.
pub fn window<S: PartialEq + Copy>(
    line: &str,
    first: usize,
    columns: usize,
    mut style: impl FnMut(usize) -> S,
) -> (Vec<LinePiece<S>>, bool) {
    let mut pieces: Vec<LinePiece<S>> = Vec::new();
    let mut end = 0;
    for glyph in glyphs(line) {
        if glyph.column + glyph.width <= first {
            continue;
        }
        let mut shown = glyph.shown;
        // A character that is cut by an edge leaves blanks, or its part when it is an escape.
        let skipped = first.saturating_sub(glyph.column);
        if skipped > 0 {
            let left = glyph.width - skipped;
            shown = match shown.is_ascii() {
                true => Cow::Owned(shown.get(skipped..).unwrap_or_default().to_owned()),
                false => Cow::Owned(" ".repeat(left)),
            };
        }
        let at = glyph.column.max(first) - first;
        let width = glyph.width - skipped;
        if at + width > columns {
            if shown.is_ascii() && at < columns {
                let part = shown.get(..columns - at).unwrap_or_default().to_owned();
                add(&mut pieces, end, at, &part, style(glyph.bytes.start));
            }
            return (pieces, true);
        }
        add(&mut pieces, end, at, &shown, style(glyph.bytes.start));
        end = at + width;
    }
    (pieces, false)
}

fn add<S: PartialEq>(pieces: &mut Vec<LinePiece<S>>, end: usize, at: usize, text: &str, style: S) {
    match pieces.last_mut() {
        Some(last) if last.style == style && end == at => last.text.push_str(text),
        _ => pieces.push(LinePiece {
            at,
            text: text.to_owned(),
            style,
        }),
    }
}

/// The end of a path that fits into `columns`, with `…` for what was left out at its front.
pub fn fit_path(path: &str, columns: usize) -> String {
    let path = text::clean(path);
    let all = text::width(&path);
    if all <= columns {
        return path;
    }
    let mut left = all;
    let mut rest = path.chars();
    while left + 1 > columns {
        match rest.next() {
            Some(c) => left -= c.width().unwrap_or(0),
            None => break,
        }
    }
    match columns {
        0 => String::new(),
        _ => format!("…{}", rest.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seen(line: &str, first: usize, columns: usize) -> String {
        let (pieces, _) = window(line, first, columns, |_| ());
        let mut out = String::new();
        for piece in pieces {
            while text::width(&out) < piece.at {
                out.push(' ');
            }
            out.push_str(&piece.text);
        }
        out
    }

    #[test]
    fn tabs_end_at_stops_and_wide_characters_take_two() {
        assert_eq!(seen("a\tb", 0, 20), "a   b");
        assert_eq!(seen("日本\tb", 0, 20), "日本    b");
        assert_eq!(width("日本\tb"), 9);
        assert_eq!(seen("日本語", 1, 4), " 本");
        assert_eq!(seen("日本語", 2, 3), "本");
    }

    #[test]
    fn any_part_of_a_long_line_can_be_seen() {
        let line = "x".repeat(100_000) + "end";
        assert_eq!(seen(&line, 99_999, 10), "xend");
        assert_eq!(seen("abc", 5, 10), "");
    }

    #[test]
    fn controls_never_get_through() {
        assert_eq!(seen("a\x1b[2Jb\r", 0, 40), "a\\u{1b}[2Jb\\r");
        assert_eq!(seen("e\u{301}x", 0, 9), "e\u{301}x");
    }

    #[test]
    fn of_a_path_the_end_stays() {
        assert_eq!(fit_path("src/a/b.rs", 20), "src/a/b.rs");
        assert_eq!(fit_path("src/a/b.rs", 7), "…a/b.rs");
        assert_eq!(fit_path("日本語", 4), "…語");
        assert_eq!(fit_path("abc", 0), "");
    }

    proptest! {
        #![proptest_config(crate::seeds::config())]

        #[test]
        fn a_window_is_never_wider_and_the_whole_is_in_it(
            line in "\\PC{0,20}|[a-z\t日\u{301}\u{7}]{0,30}", first in 0usize..30, columns in 0usize..30
        ) {
            let shown = seen(&line, first, columns);
            prop_assert!(text::width(&shown) <= columns, "{shown:?}");
            prop_assert!(!shown.chars().any(char::is_control));
            let all = width(&line);
            let (_, more) = window(&line, first, columns, |_| ());
            prop_assert_eq!(more, all > first + columns);
            let path = fit_path(&line, columns);
            prop_assert!(text::width(&path) <= columns);
        }
    }
}
