//! A search in a screen's lines: what was found, and where the view was.

use std::ops::Range;

use alacritty_terminal::index::Point;
use alacritty_terminal::term::search::{Match, RegexSearch};

use super::model::to_i32;

/// Cells of a row in view: the row, and its columns.
pub type Span = (u16, Range<u16>);

/// A search.
pub(super) struct Finder {
    pub(super) text: String,
    pub(super) regex: RegexSearch,
    /// From the oldest to the newest, as of the last look.
    pub(super) matches: Vec<Match>,
    pub(super) current: Option<Match>,
    /// Whether something may have changed since the last look.
    pub(super) stale: bool,
}

impl Finder {
    /// A search for a text; `None` for an empty one.
    pub(super) fn new(text: String) -> Option<Self> {
        let regex = RegexSearch::new(&literal(&text)).ok()?;
        (!text.is_empty()).then_some(Self {
            text,
            regex,
            matches: Vec::new(),
            current: None,
            stale: true,
        })
    }

    /// What was at a line is `lines` above it now.
    pub(super) fn shifted(&mut self, lines: usize) {
        self.stale = true;
        if let Some(current) = self.current.take() {
            self.current = Some(up(*current.start(), lines)..=up(*current.end(), lines));
        }
    }
}

fn up(point: Point, lines: usize) -> Point {
    Point::new(point.line - to_i32(lines), point.column)
}

/// Where the view is, for telling how far output has moved what is in it.
#[derive(Clone, Copy)]
pub(super) struct ViewPosition {
    pub(super) offset: usize,
    pub(super) history: usize,
}

/// The text as a pattern that matches it and nothing else.
fn literal(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() * 2);
    for c in text.chars() {
        if c.is_ascii_punctuation() {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}
