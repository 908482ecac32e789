//! The list of changed files: what is listed, filtered, selected and marked.

use crate::{
    dashboard::widgets::{needle::Needle, text::count},
    model::HostPath,
    wire::{Change, ChangeKind, Changes, EntryType},
};
use std::collections::BTreeSet;

/// A listed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRow {
    /// The change.
    pub change: Change,
    /// The path as text, escaped; a folder's ends with `/`.
    pub name: String,
}

/// The list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The project on the engine's host.
    pub project: HostPath,
    /// All of it, sorted by path.
    pub rows: Vec<FileRow>,
    /// Places in `rows` of what the filter lets through.
    pub shown: Vec<usize>,
    /// Place in `shown` of the selected one.
    pub at: usize,
    /// The marked paths.
    pub marked: BTreeSet<HostPath>,
    /// Of all rows.
    pub totals: Totals,
    /// There are more than are listed.
    pub truncated: bool,
    /// The project's folder is gone or is another one.
    pub project_missing: bool,
}

impl Files {
    /// The list of changes; selection and marks are taken over from the list before, by path.
    pub fn new(changes: Changes, filter: &str, before: Option<Self>) -> Self {
        let rows = fold(changes.entries);
        let totals = Totals::of(rows.iter().map(|row| &row.change));
        let mut files = Self {
            project: changes.project,
            rows,
            shown: Vec::new(),
            at: 0,
            marked: BTreeSet::new(),
            totals,
            truncated: changes.truncated,
            project_missing: changes.project_missing,
        };
        files.shown = files.matching(filter);
        if let Some(before) = before {
            files.at = before.at;
            if let Some(row) = before.selected() {
                files.at = files.place_of(&row.change.path).unwrap_or(before.at);
            }
            if !before.marked.is_empty() {
                let there: BTreeSet<&HostPath> =
                    files.rows.iter().map(|row| &row.change.path).collect();
                files.marked = before
                    .marked
                    .into_iter()
                    .filter(|path| there.contains(path))
                    .collect();
            }
        }
        files.at = files.at.min(files.shown.len().saturating_sub(1));
        files
    }

    /// The selected file.
    pub fn selected(&self) -> Option<&FileRow> {
        self.row(self.at)
    }

    /// The first place that is seen in so many rows: the selected one is among them.
    pub fn first(&self, height: usize) -> usize {
        let last = self.shown.len().saturating_sub(height);
        self.at.saturating_sub(height / 2).min(last)
    }

    /// The file at this place of the list.
    pub fn row(&self, at: usize) -> Option<&FileRow> {
        self.shown.get(at).and_then(|i| self.rows.get(*i))
    }

    /// Filters again; the selection stays on its file while that is listed.
    pub fn filter(&mut self, filter: &str) {
        let path = self.selected().map(|row| row.change.path.clone());
        self.shown = self.matching(filter);
        self.at = path
            .and_then(|path| self.place_of(&path))
            .unwrap_or(self.at)
            .min(self.shown.len().saturating_sub(1));
    }

    /// Moves the selection.
    pub fn move_by(&mut self, by: isize) {
        let last = self.shown.len().saturating_sub(1);
        self.at = self.at.saturating_add_signed(by).min(last);
    }

    /// Marks the selected file, or takes its mark away, and goes on to the next.
    pub fn mark(&mut self) {
        if let Some(path) = self.selected().map(|row| row.change.path.clone()) {
            if !self.marked.remove(&path) {
                self.marked.insert(path);
            }
            self.move_by(1);
        }
    }

    /// Marks all that is listed; takes these marks away when all have them.
    pub fn mark_all(&mut self) {
        let listed: Vec<HostPath> = self
            .shown
            .iter()
            .filter_map(|i| self.rows.get(*i))
            .map(|row| row.change.path.clone())
            .collect();
        let all = listed.iter().all(|path| self.marked.contains(path));
        for path in listed {
            match all {
                true => self.marked.remove(&path),
                false => self.marked.insert(path),
            };
        }
    }

    /// What an action is for: the marked files; without marks what is listed.
    pub fn targets(&self) -> Targets<'_> {
        let marked = !self.marked.is_empty();
        let rows: Vec<&FileRow> = match marked {
            true => self
                .rows
                .iter()
                .filter(|row| self.marked.contains(&row.change.path))
                .collect(),
            false => self
                .shown
                .iter()
                .filter_map(|i| self.rows.get(*i))
                .collect(),
        };
        Targets {
            all: rows.len() == self.rows.len() && !self.truncated,
            more: self.truncated && !marked && rows.len() == self.rows.len(),
            marked,
            rows,
        }
    }

    fn matching(&self, filter: &str) -> Vec<usize> {
        let needle = Needle::new(filter);
        let rows = self.rows.iter().enumerate();
        rows.filter(|(_, row)| needle.is_in(&row.name))
            .map(|(i, _)| i)
            .collect()
    }

    fn place_of(&self, path: &HostPath) -> Option<usize> {
        self.shown.iter().position(|i| {
            let row = self.rows.get(*i);
            row.is_some_and(|row| row.change.path == *path)
        })
    }
}

/// What an apply or a discard is for.
#[derive(Debug, Clone)]
pub struct Targets<'a> {
    /// The files.
    pub rows: Vec<&'a FileRow>,
    /// Whether these are all there are.
    pub all: bool,
    /// Whether these are marked ones.
    pub marked: bool,
    /// Nothing was chosen, and there is more than is listed.
    pub more: bool,
}

impl Targets<'_> {
    /// Paths for the coordinator: none for everything.
    pub fn paths(&self) -> Vec<HostPath> {
        match self.all || self.more {
            true => Vec::new(),
            false => self
                .rows
                .iter()
                .map(|row| row.change.path.clone())
                .collect(),
        }
    }

    /// What they come to.
    pub fn totals(&self) -> Totals {
        Totals::of(self.rows.iter().map(|row| &row.change))
    }
}

/// What several files come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Files, and folders that are listed by themselves.
    pub files: usize,
    /// Lines added.
    pub added: u64,
    /// Lines removed.
    pub removed: u64,
    /// Of them in conflict with the project.
    pub conflicts: usize,
}

impl Totals {
    fn of<'a>(changes: impl Iterator<Item = &'a Change>) -> Self {
        let mut totals = Self::default();
        for change in changes {
            totals.files += 1;
            totals.added = totals.added.saturating_add(change.added.unwrap_or(0));
            totals.removed = totals.removed.saturating_add(change.removed.unwrap_or(0));
            totals.conflicts += usize::from(change.conflict);
        }
        totals
    }

    /// `3 files (+10 -4)`.
    pub fn describe(self) -> String {
        let files = count(self.files, "file");
        match (self.added, self.removed) {
            (0, 0) => files,
            (added, removed) => format!("{files} (+{added} -{removed})"),
        }
    }
}

/// Leaves folders out that only are there because of what is listed in them.
fn fold(entries: Vec<Change>) -> Vec<FileRow> {
    let mut rows: Vec<FileRow> = Vec::with_capacity(entries.len());
    for change in entries {
        if let Some(above) = rows.last()
            && folds(&above.change)
            && change.path.as_path() != above.change.path.as_path()
            && change
                .path
                .as_path()
                .starts_with(above.change.path.as_path())
        {
            rows.pop();
        }
        let folder = change.after.or(change.before) == Some(EntryType::Directory);
        let end = if folder { "/" } else { "" };
        let name = format!("{}{end}", change.path);
        rows.push(FileRow { change, name });
    }
    rows
}

/// A folder of which there is nothing to say but that it came or went.
fn folds(change: &Change) -> bool {
    let folder = |side: Option<EntryType>| side.is_none_or(|side| side == EntryType::Directory);
    folder(change.before)
        && folder(change.after)
        && change.mode.is_none()
        && !change.conflict
        && change.kind != ChangeKind::TypeChanged
}
