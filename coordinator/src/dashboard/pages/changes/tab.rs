//! The tab that shows what a copy-on-write worker changed: what it knows, and what it asks for.
//! Never reads, waits or draws.

use crate::{
    dashboard::{
        app::{
            effect::{Effect, Fetch},
            failure::Failure,
            message::Fetched,
        },
        pages::changes::{diff::FileText, files::Files},
        widgets::text_field::TextField,
        workers::worker::Worker,
    },
    model::{HostPath, Isolation, WorkerState},
    wire::{ChangeCount, Changes, FileDiff},
};
use std::sync::Arc;

/// Differences kept: how many, and how many bytes.
const KEPT: (usize, usize) = (32, 16 << 20);
/// From this many columns of the tab on, the two versions are side by side.
pub const SIDE_BY_SIDE_FROM: u16 = 140;

/// What there is to show of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ChangesContent {
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
pub enum ChangesPart {
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
    pub(super) worker: Option<String>,
    /// Its name.
    pub(super) name: String,
    /// Whether its session goes on.
    pub(super) running: bool,
    /// What the coordinator counted when the changes were asked for last.
    pub(super) counted: Option<(bool, Option<ChangeCount>)>,
    /// Whether the tab was on the screen after the last update.
    pub(super) visible: bool,
    /// Whether the changes are on their way, and whether they are to be fetched once more then.
    pub(super) loading: bool,
    pub(super) again: bool,
    pub(super) content: ChangesContent,
    /// Why the list is not the newest.
    pub(super) outdated: Option<Failure>,
    pub(super) part: ChangesPart,
    pub(super) filter: String,
    /// The filter while it is typed.
    pub(super) field: Option<TextField>,
    /// Differences, the last used one last.
    pub(super) diffs: Vec<CachedDiff>,
    /// The path whose difference is on its way.
    pub(super) awaited: Option<HostPath>,
    /// Rows and columns that the difference is scrolled.
    pub(super) scroll: (usize, usize),
    /// The layout that was asked for; by the width until then.
    pub(super) layout: Option<bool>,
    /// Columns and rows of the tab.
    pub(super) size: (u16, u16),
}

/// A difference that was fetched.
#[derive(Debug, Clone, PartialEq)]
pub struct CachedDiff {
    path: HostPath,
    diff: Result<Arc<FileText>, Failure>,
    /// It may have changed since.
    stale: bool,
}

impl ChangesTab {
    /// Called after every update with the worker shown, or none while the tab cannot be seen or
    /// the coordinator is gone; asks for what is missing or stale.
    pub fn on_shown(&mut self, worker: Option<&Worker>) -> Vec<Effect> {
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
            (WorkerState::Creating | WorkerState::Claiming, ..) => Some(ChangesContent::NotYet),
            (_, Some(project), Isolation::Bind) => Some(ChangesContent::Direct(project.clone())),
            (_, None, _) | (_, _, Isolation::None) => Some(ChangesContent::NoProject),
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
    pub fn on_fetched(&mut self, fetched: Fetched) -> Vec<Effect> {
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

    /// What there is to show.
    pub fn content(&self) -> &ChangesContent {
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
    pub fn part(&self) -> ChangesPart {
        self.part
    }

    /// The filter, and its field while it is typed.
    pub fn filter(&self) -> (&str, Option<&TextField>) {
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
            ChangesContent::List(files) => Some(files),
            _ => None,
        }
    }

    pub(super) fn files_mut(&mut self) -> Option<&mut Files> {
        match &mut self.content {
            ChangesContent::List(files) => Some(files),
            _ => None,
        }
    }

    pub(super) fn text(&self) -> Option<&FileText> {
        self.diff()?.as_ref().ok().map(Arc::as_ref)
    }

    fn is_of(&self, worker: &str) -> bool {
        self.worker.as_deref() == Some(worker)
    }

    pub(super) fn fetch(&mut self) -> Vec<Effect> {
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
    pub(super) fn want_diff(&mut self) -> Vec<Effect> {
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
            ChangesContent::List(files) => Some(files),
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
                    self.part = ChangesPart::Files;
                }
                self.outdated = None;
                self.content = ChangesContent::List(files);
            }
            Err(failure) => match before {
                // What is known is better than nothing.
                Some(files) => {
                    self.content = ChangesContent::List(files);
                    self.outdated = Some(failure);
                }
                None => self.content = ChangesContent::Failed(failure),
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
        self.diffs.push(CachedDiff { path, diff, stale });
        let size = |kept: &CachedDiff| kept.diff.as_ref().map_or(0, |text| text.bytes);
        let mut bytes: usize = self.diffs.iter().map(size).sum();
        while self.diffs.len() > KEPT.0 || bytes > KEPT.1 && self.diffs.len() > 1 {
            bytes -= size(&self.diffs.remove(0));
        }
        self.scroll_by(0);
    }
}

#[cfg(test)]
#[path = "tab_tests.rs"]
mod tests;
