//! Looking back: scrolling, searching and selecting in what a screen holds.

use alacritty_terminal::grid::{Dimensions, Scroll};
use alacritty_terminal::index::{Column, Direction, Line, Point, Side};
use alacritty_terminal::selection::{Selection, SelectionType};
use alacritty_terminal::term::search::{Match, RegexIter};

use super::finder::{Finder, Span, ViewPosition};
use super::model::to_i32;
use super::{Screen, to_u16};

/// Most matches that are counted.
const MAX_MATCHES: usize = 10_000;
/// Longest text that is searched for, in characters.
const MAX_TEXT: usize = 200;

impl Screen {
    /// Lines that the view is above the live rows.
    pub fn offset(&self) -> usize {
        self.emulator.model.term.grid().display_offset()
    }

    /// To the oldest line.
    pub fn scroll_to_top(&mut self) {
        self.emulator.model.term.scroll_display(Scroll::Top);
    }

    pub(super) fn view_position(&self) -> ViewPosition {
        ViewPosition {
            offset: self.offset(),
            history: self.history_len(),
        }
    }

    /// Tells the search how far output has moved what it had found.
    pub(super) fn moved_since(&mut self, before: ViewPosition) {
        let after = self.view_position();
        if let Some(finder) = &mut self.finder {
            finder.shifted(match before.offset {
                0 => after.history.saturating_sub(before.history),
                offset => after.offset.saturating_sub(offset),
            });
        }
    }

    /// Looks for a text in all lines, upwards from what is in view, and shows where it is. Case
    /// counts only when the text has an upper-case letter. Lines that were broken at the screen's
    /// edge are whole. An empty text ends the search.
    pub fn search(&mut self, text: &str) {
        let text: String = text.chars().take(MAX_TEXT).collect();
        self.finder = None;
        let Some(finder) = Finder::new(text) else {
            return;
        };
        self.finder = Some(finder);
        self.look_again();
        let bottom = self.bottom_in_view();
        if let Some(finder) = &mut self.finder {
            let in_view = finder.matches.iter().rfind(|m| m.start().line <= bottom);
            finder.current = in_view.or(finder.matches.last()).cloned();
        }
        self.show_current();
    }

    /// The text that is searched for.
    pub fn searched(&self) -> Option<&str> {
        self.finder.as_ref().map(|finder| finder.text.as_str())
    }

    /// Goes to the next match, upwards when `older`, and around at the end.
    pub fn search_next(&mut self, older: bool) {
        self.look_again();
        let Some(finder) = &mut self.finder else {
            return;
        };
        let found = &finder.matches;
        let next = match (&finder.current, older) {
            (None, _) => found.last(),
            (Some(here), true) => found
                .iter()
                .rfind(|m| m.start() < here.start())
                .or(found.last()),
            (Some(here), false) => found
                .iter()
                .find(|m| m.start() > here.start())
                .or(found.first()),
        };
        finder.current = next.cloned();
        self.show_current();
    }

    /// Whether the matches are to be counted again; see [`Self::look_again`].
    pub fn search_is_stale(&self) -> bool {
        self.finder.as_ref().is_some_and(|finder| finder.stale)
    }

    /// Counts the matches again after output. This reads every line.
    pub fn look_again(&mut self) {
        let Some(finder) = self.finder.as_mut().filter(|finder| finder.stale) else {
            return;
        };
        let term = &self.emulator.model.term;
        let start = Point::new(term.topmost_line(), Column(0));
        let end = Point::new(term.bottommost_line(), term.last_column());
        finder.matches = RegexIter::new(start, end, Direction::Right, term, &mut finder.regex)
            .take(MAX_MATCHES)
            .collect();
        finder.stale = false;
        if let Some(here) = &finder.current {
            let same = |m: &&Match| m.start() <= here.start();
            let found = &finder.matches;
            finder.current = found.iter().rfind(same).or(found.first()).cloned();
        }
    }

    /// The current match, counted from the oldest and from 1, and how many there were at the last
    /// look; `None` while nothing is searched.
    pub fn found_at(&self) -> Option<(usize, usize)> {
        let finder = self.finder.as_ref()?;
        let here = finder.current.as_ref();
        let before = here.map(|here| {
            finder
                .matches
                .partition_point(|m| m.start() <= here.start())
        });
        Some((before.unwrap_or(0), finder.matches.len()))
    }

    /// Every match in view, and of them the current one.
    pub fn found(&mut self) -> (Vec<Span>, Vec<Span>) {
        let (top, bottom) = (self.top_in_view(), self.bottom_in_view());
        let Some(finder) = &mut self.finder else {
            return (Vec::new(), Vec::new());
        };
        let term = &self.emulator.model.term;
        let last = term.last_column();
        // A match may begin above.
        let start = term.line_search_left(Point::new(top, Column(0)));
        let end = Point::new(bottom, last);
        let all: Vec<Match> = RegexIter::new(start, end, Direction::Right, term, &mut finder.regex)
            .take(MAX_MATCHES)
            .collect();
        let current = finder.current.clone();
        let spans = |matches: &[Match]| {
            matches
                .iter()
                .flat_map(|m| self.spans(*m.start(), *m.end()))
                .collect()
        };
        (spans(&all), spans(current.as_slice()))
    }

    /// Selects from one cell in view to another, both included: columns and rows. What is selected
    /// stays so when the view moves; giving the same first cell again moves the other end alone,
    /// also when the view has moved since.
    pub fn select(&mut self, cells: Option<((u16, u16), (u16, u16))>) {
        let Some((from, to)) = cells else {
            self.emulator.model.term.selection = None;
            self.selecting = None;
            return;
        };
        let to = self.point(to);
        let begun = self.emulator.model.term.selection.take();
        let mut selection = match begun {
            Some(selection) if self.selecting == Some(from) => selection,
            _ => Selection::new(SelectionType::Simple, self.point(from), Side::Left),
        };
        selection.update(to, Side::Left);
        selection.include_all();
        self.selecting = Some(from);
        self.emulator.model.term.selection = Some(selection);
    }

    /// The selected cells in view.
    pub fn selected(&self) -> Vec<Span> {
        let term = &self.emulator.model.term;
        let range = term.selection.as_ref().and_then(|s| s.to_range(term));
        range.map_or_else(Vec::new, |range| self.spans(range.start, range.end))
    }

    /// The selected text, or what is in view when nothing is selected: without blanks at the ends
    /// of lines, and with lines whole that were broken at the screen's edge.
    pub fn copy(&self) -> String {
        let term = &self.emulator.model.term;
        let selected = term.selection_to_string();
        let text = selected.unwrap_or_else(|| {
            let start = Point::new(self.top_in_view(), Column(0));
            let end = Point::new(self.bottom_in_view(), term.last_column());
            let text = term.bounds_to_string(start, end);
            text.trim_end_matches('\n').to_owned()
        });
        let lines: Vec<&str> = text.split('\n').map(str::trim_end).collect();
        lines.join("\n")
    }

    fn point(&self, (column, row): (u16, u16)) -> Point {
        let size = self.emulator.model.size();
        let row = usize::from(row).min(size.lines - 1);
        let column = usize::from(column).min(size.columns - 1);
        Point::new(self.top_in_view() + to_i32(row), Column(column))
    }

    fn top_in_view(&self) -> Line {
        Line(-to_i32(self.offset()))
    }

    fn bottom_in_view(&self) -> Line {
        self.top_in_view() + to_i32(self.emulator.model.size().lines) - 1
    }

    /// The part of a range of cells that is in view.
    fn spans(&self, start: Point, end: Point) -> Vec<Span> {
        let (top, bottom) = (self.top_in_view(), self.bottom_in_view());
        let columns = self.emulator.model.size().columns;
        let (first, last) = (start.line.max(top), end.line.min(bottom));
        (first.0..=last.0)
            .map(|line| {
                let from = if line == start.line.0 {
                    start.column.0
                } else {
                    0
                };
                let to = match line == end.line.0 {
                    // A wide character counts whole.
                    true => (end.column.0 + 1).min(columns),
                    false => columns,
                };
                let row = usize::try_from(line - top.0).unwrap_or(0);
                (to_u16(row), to_u16(from)..to_u16(to))
            })
            .collect()
    }

    fn show_current(&mut self) {
        let Some(line) = self
            .finder
            .as_ref()
            .and_then(|finder| finder.current.as_ref())
            .map(|here| here.start().line)
        else {
            return;
        };
        if line < self.top_in_view() || line > self.bottom_in_view() {
            // In the middle, where what is around it can be seen.
            let middle = to_i32(self.emulator.model.size().lines / 2);
            let offset = (middle - line.0).max(0);
            self.scroll(offset - to_i32(self.offset()));
        }
    }
}
