//! The order of the list: by group, what waits longest first, then as the user asked.

use crate::dashboard::workers::{group::Group, worker::Worker};
use std::cmp::Ordering;

/// The order within a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sort {
    /// By name.
    #[default]
    Name,
    /// The youngest first.
    Age,
    /// What uses most CPU first.
    Cpu,
    /// What uses most memory first.
    Memory,
    /// By project, then name.
    Project,
}

impl Sort {
    /// All of them, in the order in which a key goes through them.
    pub const ALL: [Self; 5] = [
        Self::Name,
        Self::Age,
        Self::Cpu,
        Self::Memory,
        Self::Project,
    ];

    /// The one set by this word.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.word() == word)
    }

    /// The next one, around the end.
    pub fn next(self) -> Self {
        let here = Self::ALL.iter().position(|s| *s == self).unwrap_or(0);
        Self::ALL
            .get((here + 1) % Self::ALL.len())
            .copied()
            .unwrap_or_default()
    }

    /// The word shown and set.
    pub fn word(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Age => "age",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Project => "project",
        }
    }
}

/// The list's order: by group; what waits longest first; else as asked, then by name, so that rows
/// stay put.
pub fn compare(a: &Worker, b: &Worker, sort: Sort) -> Ordering {
    let waiting_since = |w: &Worker| match w.group() {
        Group::NeedsYou => w.view.activity.as_ref().map_or(0, |a| a.since_ms),
        _ => 0,
    };
    let asked = match sort {
        Sort::Name => Ordering::Equal,
        Sort::Age => b.age_from().cmp(&a.age_from()),
        Sort::Cpu => b.cpu_percent.cmp(&a.cpu_percent),
        Sort::Memory => b
            .view
            .readings
            .memory_bytes
            .cmp(&a.view.readings.memory_bytes),
        Sort::Project => a.view.project.cmp(&b.view.project),
    };
    (a.group(), waiting_since(a))
        .cmp(&(b.group(), waiting_since(b)))
        .then(asked)
        .then_with(|| (&a.view.name, &a.view.id).cmp(&(&b.view.name, &b.view.id)))
}
