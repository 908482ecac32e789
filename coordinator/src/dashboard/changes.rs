//! The tab that shows what a copy-on-write worker changed. Pure: it asks for what is missing and
//! takes it in; nothing here reads, waits or draws.

mod ask;
mod diff;
mod files;
mod places;
mod words;

use super::{
    dialog::Confirm,
    event::{Effect, Failure, Fetch, Fetched},
    field::Field,
    keymap::Action,
    worker::Worker,
};
use crate::{
    model::{HostPath, Isolation, WorkerState},
    wire::{ChangeCount, Changes, FileDiff},
};
pub use diff::{FileText, Line, Row, Side, Sign};
pub use files::{FileRow, Files, Needle, count};
use ratatui::layout::{Position, Rect};
use std::sync::Arc;

/// Differences kept: how many, and how many bytes.
const KEPT: (usize, usize) = (32, 16 << 20);
/// From this many columns of the tab on, the two versions are side by side.
pub const SIDE_BY_SIDE_FROM: u16 = 140;
/// Columns that a step to the right moves.
const STEP: usize = 8;

/// What came of an action in a tab.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TabOutcome {
    /// To be done.
    pub effects: Vec<Effect>,
    /// Good news.
    pub said: Option<String>,
    /// Why nothing is done.
    pub refused: Option<String>,
    /// To be asked first.
    pub ask: Option<Confirm>,
}

impl TabOutcome {
    fn refuse(why: impl Into<String>) -> Self {
        Self {
            refused: Some(why.into()),
            ..Self::default()
        }
    }

    fn effects(effects: Vec<Effect>) -> Self {
        Self {
            effects,
            ..Self::default()
        }
    }
}

/// What there is to show of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Content {
    /// Not known yet.
    #[default]
    Loading,
    /// It is being made or claimed.
    NotYet,
    /// It writes straight to this project.
    Direct(HostPath),
    /// It has no project.
    NoProject,
    /// The changes.
    List(Files),
    /// They cannot be had.
    Failed(Failure),
}

/// Which side of the tab the keys move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Part {
    /// The files.
    #[default]
    Files,
    /// The difference of the selected one.
    Diff,
}

/// The tab.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ChangesTab {
    /// The worker that all of it is about, by id.
    worker: Option<String>,
    /// Its name.
    name: String,
    /// Whether its session goes on.
    running: bool,
    /// What the coordinator counted when the changes were asked for last.
    counted: Option<(bool, Option<ChangeCount>)>,
    /// Whether the tab was on the screen after the last update.
    visible: bool,
    /// Whether the changes are on their way, and whether they are to be fetched once more then.
    loading: bool,
    again: bool,
    content: Content,
    /// Why the list is not the newest.
    outdated: Option<Failure>,
    part: Part,
    filter: String,
    /// The filter while it is typed.
    field: Option<Field>,
    /// Differences, the last used one last.
    diffs: Vec<Kept>,
    /// The path whose difference is on its way.
    awaited: Option<HostPath>,
    /// Rows and columns that the difference is scrolled.
    scroll: (usize, usize),
    /// The layout that was asked for; by the width until then.
    layout: Option<bool>,
    /// Columns and rows of the tab.
    size: (u16, u16),
}

/// A difference that was fetched.
#[derive(Debug, Clone, PartialEq)]
struct Kept {
    path: HostPath,
    diff: Result<Arc<FileText>, Failure>,
    /// It may have changed since.
    stale: bool,
}

impl ChangesTab {
    /// Called after every update with the worker shown, or none while the tab cannot be seen or
    /// the coordinator is gone; asks for what is missing or stale.
    pub fn follow(&mut self, worker: Option<&Worker>) -> Vec<Effect> {
        let Some(worker) = worker else {
            self.visible = false;
            return Vec::new();
        };
        let view = &worker.view;
        let appeared = !std::mem::replace(&mut self.visible, true);
        if self.worker.as_ref() != Some(&view.id) {
            *self = Self {
                worker: Some(view.id.clone()),
                layout: self.layout,
                size: self.size,
                visible: true,
                ..Self::default()
            };
        }
        self.name.clone_from(&view.name);
        self.running = view.state == WorkerState::Running;
        let nothing = match (view.state, &view.project, view.isolation) {
            (WorkerState::Creating | WorkerState::Claiming, ..) => Some(Content::NotYet),
            (_, Some(project), Isolation::Bind) => Some(Content::Direct(project.clone())),
            (_, None, _) | (_, _, Isolation::None) => Some(Content::NoProject),
            (_, Some(_), Isolation::Overlay) => None,
        };
        if let Some(nothing) = nothing {
            self.content = nothing;
            self.counted = None;
            return Vec::new();
        }
        let counted = Some((view.unapplied, view.changes));
        if appeared || self.counted != counted {
            self.counted = counted;
            return self.fetch();
        }
        self.want_diff()
    }

    /// Takes in what was fetched.
    pub fn take(&mut self, fetched: Fetched) -> Vec<Effect> {
        match fetched {
            Fetched::Changes { worker, changes } if self.is_of(&worker) => {
                self.loading = false;
                self.list(changes);
                if std::mem::take(&mut self.again) {
                    return self.fetch();
                }
                self.want_diff()
            }
            Fetched::Diff { worker, path, diff } if self.is_of(&worker) => {
                if self.awaited.as_ref() == Some(&path) {
                    self.awaited = None;
                }
                self.keep(path, diff);
                self.want_diff()
            }
            Fetched::Applied { worker, .. } if self.is_of(&worker) => self.fetch(),
            Fetched::Discarded { worker, left } if self.is_of(&worker) => match left {
                Ok(left) => {
                    self.list(Ok(left));
                    self.want_diff()
                }
                Err(_) => self.fetch(),
            },
            _ => Vec::new(),
        }
    }

    /// Does what a key or the palette asks for; `page` is the height of the tab in rows.
    pub fn act(&mut self, action: Action, page: u16) -> TabOutcome {
        let page = usize::from(page.max(1));
        let half = (page / 2).max(1).cast_signed();
        match action {
            Action::ScrollDown => self.scroll_by(half),
            Action::ScrollUp => self.scroll_by(-half),
            Action::Left if self.scroll.1 == 0 => self.part = Part::Files,
            Action::Left => self.scroll.1 = self.scroll.1.saturating_sub(STEP),
            Action::Right => {
                let widest = self.text().map_or(0, |text| text.width);
                self.scroll.1 = (self.scroll.1 + STEP).min(widest.saturating_sub(STEP));
            }
            Action::SideBySide => self.lay_out(Some(!self.side_by_side())),
            Action::Refresh => return TabOutcome::effects(self.fetch()),
            Action::Enter if self.files().is_some() => {
                self.part = match self.part {
                    Part::Files => Part::Diff,
                    Part::Diff => Part::Files,
                };
            }
            Action::Filter if self.files().is_some() => {
                self.field = Some(Field::new(&self.filter));
            }
            Action::NextMatch => return self.hunk(true),
            Action::PreviousMatch => return self.hunk(false),
            Action::Apply => return self.apply(),
            Action::Discard => return self.discard(),
            action => return self.move_in_part(action, page.cast_signed()),
        }
        TabOutcome::default()
    }

    /// Goes back within the tab; `false` when the way back leads out of it.
    pub fn back(&mut self) -> bool {
        if self.part == Part::Diff {
            self.part = Part::Files;
        } else if !self.filter.is_empty() {
            self.set_filter(String::new());
        } else if let Some(files) = self.files_mut().filter(|files| !files.marked.is_empty()) {
            files.marked.clear();
        } else {
            return false;
        }
        true
    }

    /// Whether the filter is being typed.
    pub fn searching(&self) -> bool {
        self.field.is_some()
    }

    /// The field of the filter while it is typed.
    pub fn text_field(&mut self) -> Option<&mut Field> {
        self.field.as_mut()
    }

    /// The field's text changed.
    pub fn search_changed(&mut self) {
        if let Some(field) = &self.field {
            let typed = field.content();
            self.set_filter(typed);
        }
    }

    /// The field is left: what it says stays, or not.
    pub fn search_ended(&mut self, keep: bool) {
        self.field = None;
        if !keep {
            self.set_filter(String::new());
        }
    }

    /// The tab has this place on the screen now.
    pub fn fit(&mut self, area: Rect) {
        let before = self.side_by_side();
        self.size = (area.width, area.height);
        self.translate(before);
        self.scroll_by(0);
    }

    /// The mouse pressed a place of the tab that has this area.
    pub fn press(&mut self, area: Rect, at: Position) -> Vec<Effect> {
        let places = self.places(area);
        if places.diff.contains(at) || places.title.contains(at) {
            self.part = Part::Diff;
        } else if places.files.contains(at) {
            self.part = Part::Files;
            let row = usize::from(at.y - places.files.y);
            self.selecting(|files| {
                let place = files.first(usize::from(places.files.height)) + row;
                if place < files.shown.len() {
                    files.at = place;
                }
            });
        }
        self.want_diff()
    }

    /// What there is to show.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// Whether newer changes are on their way.
    pub fn loading(&self) -> bool {
        self.loading
    }

    /// Why the list is not the newest.
    pub fn outdated(&self) -> Option<&Failure> {
        self.outdated.as_ref()
    }

    /// The worker it is about.
    pub fn worker(&self) -> Option<&str> {
        self.worker.as_deref()
    }

    /// What the keys move.
    pub fn part(&self) -> Part {
        self.part
    }

    /// The filter, and its field while it is typed.
    pub fn filter(&self) -> (&str, Option<&Field>) {
        (&self.filter, self.field.as_ref())
    }

    /// Rows and columns that the difference is scrolled.
    pub fn scroll(&self) -> (usize, usize) {
        self.scroll
    }

    /// Whether the two versions are to be side by side.
    pub fn side_by_side(&self) -> bool {
        self.layout.unwrap_or(self.size.0 >= SIDE_BY_SIDE_FROM)
    }

    /// The difference of the selected file, once it is there.
    pub fn diff(&self) -> Option<&Result<Arc<FileText>, Failure>> {
        let path = &self.files()?.selected()?.change.path;
        let kept = self.diffs.iter().find(|kept| kept.path == *path)?;
        Some(&kept.diff)
    }

    /// The list, when there is one.
    pub fn files(&self) -> Option<&Files> {
        match &self.content {
            Content::List(files) => Some(files),
            _ => None,
        }
    }

    fn files_mut(&mut self) -> Option<&mut Files> {
        match &mut self.content {
            Content::List(files) => Some(files),
            _ => None,
        }
    }

    fn text(&self) -> Option<&FileText> {
        self.diff()?.as_ref().ok().map(Arc::as_ref)
    }

    fn is_of(&self, worker: &str) -> bool {
        self.worker.as_deref() == Some(worker)
    }

    fn fetch(&mut self) -> Vec<Effect> {
        let Some(worker) = self.worker.clone() else {
            return Vec::new();
        };
        if self.loading {
            self.again = true;
            return Vec::new();
        }
        self.loading = true;
        vec![Effect::Fetch(Fetch::Changes { worker })]
    }

    /// Asks for the difference of the selected file unless it is there.
    fn want_diff(&mut self) -> Vec<Effect> {
        let (Some(worker), Some(path)) = (
            self.worker.clone(),
            self.files()
                .and_then(Files::selected)
                .map(|row| row.change.path.clone()),
        ) else {
            return Vec::new();
        };
        let there = self.diffs.iter().any(|k| k.path == path && !k.stale);
        if there || !self.visible || self.awaited.is_some() {
            // What is on its way comes first: who runs through the list asks for little.
            return Vec::new();
        }
        self.awaited = Some(path.clone());
        vec![Effect::Fetch(Fetch::Diff { worker, path })]
    }

    fn list(&mut self, changes: Result<Changes, Failure>) {
        let before = match std::mem::take(&mut self.content) {
            Content::List(files) => Some(files),
            _ => None,
        };
        if changes.is_ok() {
            self.diffs.iter_mut().for_each(|kept| kept.stale = true);
        }
        let selected = |files: &Files| files.selected().map(|row| row.change.path.clone());
        let path = before.as_ref().and_then(selected);
        match changes {
            Ok(changes) => {
                let files = Files::new(changes, &self.filter, before);
                if selected(&files) != path {
                    self.scroll = (0, 0);
                }
                if files.rows.is_empty() {
                    self.part = Part::Files;
                }
                self.outdated = None;
                self.content = Content::List(files);
            }
            Err(failure) => match before {
                // What is known is better than nothing.
                Some(files) => {
                    self.content = Content::List(files);
                    self.outdated = Some(failure);
                }
                None => self.content = Content::Failed(failure),
            },
        }
    }

    fn keep(&mut self, path: HostPath, diff: Result<Vec<FileDiff>, Failure>) {
        let diff = diff.map(|diffs| {
            let own = diffs.iter().find(|diff| diff.change.path == path);
            Arc::new(own.map_or_else(
                || FileText::remark("this file has no changes any more"),
                FileText::new,
            ))
        });
        self.diffs.retain(|kept| kept.path != path);
        let stale = false;
        self.diffs.push(Kept { path, diff, stale });
        let size = |kept: &Kept| kept.diff.as_ref().map_or(0, |text| text.bytes);
        let mut bytes: usize = self.diffs.iter().map(size).sum();
        while self.diffs.len() > KEPT.0 || bytes > KEPT.1 && self.diffs.len() > 1 {
            bytes -= size(&self.diffs.remove(0));
        }
        self.scroll_by(0);
    }

    fn set_filter(&mut self, filter: String) {
        self.filter = filter;
        let filter = self.filter.clone();
        self.selecting(|files| files.filter(&filter));
    }

    /// Changes the list; another selected file is seen from its beginning.
    fn selecting(&mut self, change: impl FnOnce(&mut Files)) {
        let Some(files) = self.files_mut() else {
            return;
        };
        let selected = |files: &Files| files.selected().map(|row| row.change.path.clone());
        let before = selected(files);
        change(files);
        if selected(files) != before {
            self.scroll = (0, 0);
        }
    }

    fn move_in_part(&mut self, action: Action, page: isize) -> TabOutcome {
        let by = match action {
            Action::Down => 1,
            Action::Up => -1,
            Action::PageDown => page,
            Action::PageUp => -page,
            Action::First => isize::MIN,
            Action::Last => isize::MAX,
            Action::Mark => {
                self.selecting(Files::mark);
                0
            }
            Action::MarkAll => {
                self.selecting(Files::mark_all);
                0
            }
            _ => 0,
        };
        match self.part {
            Part::Files if by != 0 => self.selecting(|files| files.move_by(by)),
            Part::Diff if by != 0 => self.scroll_by(by),
            _ => {}
        }
        TabOutcome::effects(self.want_diff())
    }

    fn scroll_by(&mut self, by: isize) {
        let side_by_side = self.side_by_side();
        let rows = self.text().map_or(0, |text| text.len(side_by_side));
        let (width, height) = self.size;
        let seen = self.places(Rect::new(0, 0, width, height)).diff.height;
        let last = rows.saturating_sub(usize::from(seen).max(1));
        self.scroll.0 = self.scroll.0.saturating_add_signed(by).min(last);
    }

    fn lay_out(&mut self, layout: Option<bool>) {
        let before = self.side_by_side();
        self.layout = layout;
        self.translate(before);
    }

    fn translate(&mut self, before: bool) {
        let after = self.side_by_side();
        if before != after
            && let Some(text) = self.text()
        {
            self.scroll.0 = text.translate(self.scroll.0, after);
        }
    }

    /// To the next or previous hunk; past the last one to the next file.
    fn hunk(&mut self, forward: bool) -> TabOutcome {
        let side_by_side = self.side_by_side();
        let hunks = self.text().map_or(Vec::new(), |t| t.hunks(side_by_side));
        let here = self.scroll.0;
        let next = match forward {
            true => hunks.into_iter().find(|row| *row > here),
            false => hunks.into_iter().rfind(|row| *row < here),
        };
        let before = self.scroll.0;
        self.scroll.0 = next.unwrap_or(before);
        self.scroll_by(0);
        match next {
            // At the end all that is left is in view already.
            Some(_) if self.scroll.0 != before => {}
            _ => {
                let by = if forward { 1 } else { -1 };
                self.selecting(|files| files.move_by(by));
            }
        }
        TabOutcome::effects(self.want_diff())
    }
}

#[cfg(test)]
#[path = "changes/tests.rs"]
mod tests;
