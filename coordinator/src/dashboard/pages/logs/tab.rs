//! The tab that shows what a session wrote, from its recording: its lines, search and scrolling.
//! Never reads or draws; the lines are assembled by the task that reads them.

use crate::{
    dashboard::{
        app::{
            effect::{Effect, Fetch},
            failure::Failure,
            message::{Fetched, LogLines},
        },
        pages::tab_outcome::TabOutcome,
        widgets::{columns, needle::Needle, text, text_field::TextField},
        workers::worker::Worker,
    },
    model::keys::Action,
};
use ratatui::layout::Rect;
use std::collections::VecDeque;

/// Most lines kept.
pub const MAX_LINES: usize = 20_000;
/// Columns that a step to the right moves.
const STEP: usize = 8;

/// Where the lines come from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LogSource {
    /// The worker has no session.
    #[default]
    None,
    /// Asked for; nothing has come yet.
    Opening,
    /// More may come.
    Open,
    /// The session ended, and this is all.
    Ended,
    /// The stream broke; it is tried again.
    Broken(Failure),
}

/// The tab.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LogsTab {
    /// The worker whose lines these are, its session, and how often that was started again.
    of: Option<(String, Option<String>, u32)>,
    /// Whether a stream was asked for and not ended.
    streaming: bool,
    source: LogSource,
    lines: VecDeque<String>,
    /// Lines that were dropped before the first.
    dropped: usize,
    /// The first line in view while what comes is not followed, counted with the dropped ones.
    top: Option<usize>,
    /// Columns scrolled to the right.
    across: usize,
    /// Whether long lines are broken, not cut.
    wrap: bool,
    /// What is searched for.
    needle: Needle,
    typed: String,
    field: Option<TextField>,
    /// Lines that match, counted with the dropped ones, in order.
    found: VecDeque<usize>,
    /// The match that was gone to last.
    current: Option<usize>,
    /// Columns and rows of the lines.
    size: (u16, u16),
}

impl LogsTab {
    /// Called after every update with the worker shown, or none while the tab cannot be seen or
    /// the coordinator is gone. There is one stream at most.
    pub fn on_shown(&mut self, worker: Option<&Worker>) -> Vec<Effect> {
        let Some(worker) = worker else {
            return self.stop();
        };
        let view = &worker.view;
        let of = (view.id.clone(), view.session.clone(), view.restarts);
        let mut effects = Vec::new();
        if self.of.as_ref() != Some(&of) {
            effects = self.stop();
            *self = Self {
                of: Some(of),
                wrap: self.wrap,
                size: self.size,
                ..Self::default()
            };
        }
        if view.session.is_some() && !self.streaming && self.source != LogSource::Ended {
            self.streaming = true;
            if self.lines.is_empty() {
                self.source = LogSource::Opening;
            }
            // One that begins ends the one before.
            effects = vec![Effect::Fetch(Fetch::Logs {
                worker: Some(view.id.clone()),
            })];
        }
        effects
    }

    fn stop(&mut self) -> Vec<Effect> {
        match std::mem::take(&mut self.streaming) {
            true => vec![Effect::Fetch(Fetch::Logs { worker: None })],
            false => Vec::new(),
        }
    }

    /// Takes in more lines, or why none come.
    pub fn on_fetched(&mut self, fetched: Fetched) -> Vec<Effect> {
        let Fetched::Logs { worker, lines } = fetched else {
            return Vec::new();
        };
        let own = self.of.as_ref().is_some_and(|(id, ..)| *id == worker);
        if !own || !self.streaming {
            return Vec::new();
        }
        match lines {
            Ok(lines) => {
                self.source = match lines.ended {
                    true => LogSource::Ended,
                    false => LogSource::Open,
                };
                self.add(lines);
            }
            Err(failure) => self.source = LogSource::Broken(failure),
        }
        if self.source == LogSource::Ended {
            self.streaming = false;
        }
        Vec::new()
    }

    fn add(&mut self, new: LogLines) {
        let known = self.lines.len();
        let (keep, new) = match new.replace {
            // A stream that was opened again begins with lines that are known.
            usize::MAX => (overlap(&self.lines, &new.lines), new.lines),
            replace => (known.saturating_sub(replace), new.lines),
        };
        self.lines.truncate(keep);
        let first = self.dropped + keep;
        while self.found.back().is_some_and(|line| *line >= first) {
            self.found.pop_back();
        }
        for line in new {
            if !self.needle.is_empty() && self.needle.is_in(&line) {
                self.found.push_back(self.dropped + self.lines.len());
            }
            self.lines.push_back(line);
        }
        while self.lines.len() > MAX_LINES {
            self.lines.pop_front();
            self.dropped += 1;
        }
        while self.found.front().is_some_and(|line| *line < self.dropped) {
            self.found.pop_front();
        }
        self.top = self.top.map(|top| self.in_bounds(top));
    }

    /// Does what a key or the palette asks for; `page` is the height of the tab in rows.
    pub fn perform(&mut self, action: Action, page: u16) -> TabOutcome {
        let page = usize::from(page.max(2)).cast_signed() - 1;
        match action {
            Action::Down => self.scroll_by(1),
            Action::Up => self.scroll_by(-1),
            Action::ScrollDown => self.scroll_by((page / 2).max(1)),
            Action::ScrollUp => self.scroll_by(-(page / 2).max(1)),
            Action::PageDown => self.scroll_by(page),
            Action::PageUp => self.scroll_by(-page),
            Action::First => self.scroll_by(isize::MIN),
            Action::Last => self.top = None,
            Action::Left => self.across = self.across.saturating_sub(STEP),
            Action::Right if !self.wrap => {
                let widest = self.seen().map(|(_, line)| columns::width(line)).max();
                let most = widest.unwrap_or(0).saturating_sub(STEP);
                self.across = (self.across + STEP).min(most.max(self.across));
            }
            Action::Follow => {
                self.top = match self.top {
                    None => Some(self.first()),
                    Some(_) => None,
                };
                let said = match self.top {
                    None => "following what comes",
                    Some(_) => "staying here; what comes is below",
                };
                return TabOutcome {
                    said: Some(said.to_owned()),
                    ..TabOutcome::default()
                };
            }
            Action::SideBySide => {
                self.wrap = !self.wrap;
                self.across = 0;
            }
            Action::Refresh if self.streaming => {
                let worker = self.worker().map(str::to_owned);
                let effects = vec![Effect::Fetch(Fetch::Logs { worker })];
                return TabOutcome {
                    effects,
                    ..TabOutcome::default()
                };
            }
            Action::Filter => self.field = Some(TextField::default()),
            Action::NextMatch => return self.go(true),
            Action::PreviousMatch => return self.go(false),
            Action::Copy => return self.copy(),
            _ => {}
        }
        TabOutcome::default()
    }

    /// Goes back within the tab: forgets the search. `false` when there is none.
    pub fn back(&mut self) -> bool {
        let searched = !self.needle.is_empty();
        self.search(String::new());
        searched
    }

    /// Whether a search is being typed.
    pub fn searching(&self) -> bool {
        self.field.is_some()
    }

    /// The field of the search while it is typed.
    pub fn text_field(&mut self) -> Option<&mut TextField> {
        self.field.as_mut()
    }

    /// The field's text changed: goes to the nearest match above the end of what is seen.
    pub fn search_changed(&mut self) {
        let Some(field) = &self.field else { return };
        self.search(field.content());
        let end = self.first() + usize::from(self.size.1);
        let before = self.found.iter().rev().find(|line| **line < end);
        if let Some(line) = before.or(self.found.front()).copied() {
            self.show(line);
        }
    }

    /// The field is left: the search stays, or not.
    pub fn search_ended(&mut self, keep: bool) {
        self.field = None;
        if !keep {
            self.search(String::new());
        }
    }

    /// The tab has this place on the screen now.
    pub fn fit(&mut self, area: Rect) {
        let height = area.height.saturating_sub(u16::from(area.height > 1));
        self.size = (area.width, height);
        self.top = self.top.map(|top| self.in_bounds(top));
    }

    /// Where the lines come from.
    pub fn source(&self) -> &LogSource {
        &self.source
    }

    /// The worker whose lines these are.
    pub fn worker(&self) -> Option<&str> {
        self.of.as_ref().map(|(id, ..)| id.as_str())
    }

    /// How many lines there are, and how many were dropped before them.
    pub fn count(&self) -> (usize, usize) {
        (self.lines.len(), self.dropped)
    }

    /// Whether what comes is followed; otherwise how many lines are below what is seen.
    pub fn below(&self) -> Option<usize> {
        let top = self.top?;
        let end = top + self.seen().count();
        Some((self.dropped + self.lines.len()).saturating_sub(end))
    }

    /// What is searched for, its field while it is typed, which match is the current one from 1,
    /// and how many lines match.
    pub fn found(&self) -> (&Needle, Option<&TextField>, Option<usize>, usize) {
        let current = self.current.and_then(|line| {
            let place = self.found.iter().position(|l| *l == line)?;
            Some(place + 1)
        });
        (&self.needle, self.field.as_ref(), current, self.found.len())
    }

    /// The line of the current match.
    pub fn current(&self) -> Option<usize> {
        self.current
    }

    /// Columns scrolled, and whether long lines are broken.
    pub fn across(&self) -> (usize, bool) {
        (self.across, self.wrap)
    }

    /// The lines that are seen, each with its number counted from 0 with the dropped ones.
    pub fn seen(&self) -> impl Iterator<Item = (usize, &str)> {
        let first = self.first();
        let height = usize::from(self.size.1);
        let lines = self.lines.iter().skip(first - self.dropped);
        let mut used = 0;
        (first..)
            .zip(lines)
            .map(|(number, line)| (number, line.as_str()))
            .take_while(move |(_, line)| {
                let room = used < height;
                used += self.rows(line);
                room
            })
    }

    /// Rows that a line takes.
    pub fn rows(&self, line: &str) -> usize {
        match self.wrap {
            true => columns::width(line)
                .div_ceil(usize::from(self.size.0.max(1)))
                .max(1),
            false => 1,
        }
    }

    /// The first line that is seen.
    pub(super) fn first(&self) -> usize {
        self.top.unwrap_or_else(|| self.last_top())
    }

    /// The first line of the last page.
    fn last_top(&self) -> usize {
        let height = usize::from(self.size.1).max(1);
        let mut used = 0;
        let fit = self.lines.iter().rev().take_while(|line| {
            used += self.rows(line);
            used <= height
        });
        // The last line is seen even when it alone is too long.
        let fit = fit.count().max(1);
        self.dropped + self.lines.len().saturating_sub(fit)
    }

    fn in_bounds(&self, top: usize) -> usize {
        top.clamp(self.dropped, self.last_top().max(self.dropped))
    }

    pub(super) fn scroll_by(&mut self, by: isize) {
        let last = self.last_top();
        let top = self.first().saturating_add_signed(by).max(self.dropped);
        // At the end what comes is followed again.
        self.top = (top < last).then_some(top);
    }

    fn show(&mut self, line: usize) {
        self.current = Some(line);
        let first = self.first();
        let seen = self.seen().any(|(number, _)| number == line);
        let third = usize::from(self.size.1) / 3;
        self.top = Some(match seen {
            true => first,
            false => self.in_bounds(line.saturating_sub(third)),
        });
    }

    fn search(&mut self, typed: String) {
        self.needle = Needle::new(&typed);
        self.typed = typed;
        self.current = None;
        self.found = match self.needle.is_empty() {
            true => VecDeque::new(),
            false => (self.dropped..)
                .zip(&self.lines)
                .filter(|(_, line)| self.needle.is_in(line))
                .map(|(number, _)| number)
                .collect(),
        };
    }

    /// To the next match below the current one, or above; around the ends.
    fn go(&mut self, down: bool) -> TabOutcome {
        if self.needle.is_empty() {
            return TabOutcome {
                refused: Some("nothing is searched for yet".to_owned()),
                ..TabOutcome::default()
            };
        }
        let here = self.current.unwrap_or_else(|| self.first());
        let next = match down {
            true => self
                .found
                .iter()
                .find(|l| **l > here)
                .or(self.found.front()),
            false => self
                .found
                .iter()
                .rev()
                .find(|l| **l < here)
                .or(self.found.back()),
        };
        match next.copied() {
            Some(line) => self.show(line),
            None => {
                return TabOutcome {
                    refused: Some(format!("no line has {}", self.typed)),
                    ..TabOutcome::default()
                };
            }
        }
        TabOutcome::default()
    }

    fn copy(&mut self) -> TabOutcome {
        let lines: Vec<&str> = self.seen().map(|(_, line)| line).collect();
        if lines.is_empty() {
            return TabOutcome {
                refused: Some("there are no lines to copy".to_owned()),
                ..TabOutcome::default()
            };
        }
        TabOutcome {
            said: Some(format!("copied {}", text::count(lines.len(), "line"))),
            effects: vec![Effect::Clipboard(format!("{}\n", lines.join("\n")))],
            ..TabOutcome::default()
        }
    }
}

/// How many of the known lines stay before those of a stream that was opened again: all that are
/// before its first one. None when it has nothing in common with them.
fn overlap(known: &VecDeque<String>, new: &[String]) -> usize {
    // The last line may have been a part of what it is now.
    let whole = known.len().saturating_sub(1);
    let same = |at: &usize| {
        let rest = known.iter().take(whole).skip(*at);
        whole - at <= new.len() && rest.zip(new).all(|(known, new)| known == new)
    };
    match new.is_empty() || whole == 0 {
        true => 0,
        false => (0..whole).find(same).unwrap_or(0),
    }
}

#[cfg(test)]
#[path = "tab_tests.rs"]
mod tests;
