//! The groups of the list and the order within: what needs you comes first.

use super::{theme::Role, worker::Worker};
use crate::{model::WorkerState, wire::WorkerView};
use podbay_protocol::ActivityState;
use std::cmp::Ordering;

/// Groups of the list, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// It waits for you.
    NeedsYou,
    /// It failed, was lost, or says that something is wrong.
    Problem,
    /// Busy.
    Working,
    /// Finished something that nobody has looked at.
    Done,
    /// Finished and seen.
    Idle,
    /// Running, and nothing is known about what it does.
    Running,
    /// On its way.
    Starting,
    /// The session ended.
    Ended,
    /// Ready to be claimed.
    Warm,
    /// Going away.
    Stopping,
}

impl Group {
    /// The word shown, at most nine columns.
    pub fn word(self) -> &'static str {
        match self {
            Self::NeedsYou => "needs you",
            Self::Problem => "problem",
            Self::Working => "working",
            Self::Done => "done",
            Self::Idle => "idle",
            Self::Running => "running",
            Self::Starting => "starting",
            Self::Ended => "ended",
            Self::Warm => "warm",
            Self::Stopping => "stopping",
        }
    }

    /// The marker, one column: Unicode and ASCII.
    pub fn marker(self) -> (&'static str, &'static str) {
        match self {
            Self::NeedsYou => ("▶", ">"),
            Self::Problem => ("✗", "x"),
            Self::Working => ("●", "*"),
            Self::Done => ("✓", "+"),
            Self::Idle => ("○", "o"),
            Self::Running => ("?", "?"),
            Self::Starting => ("◌", "~"),
            Self::Ended => ("■", "#"),
            Self::Warm => ("◇", "-"),
            Self::Stopping => ("◁", "<"),
        }
    }

    /// How it looks.
    pub fn role(self) -> Role {
        match self {
            Self::NeedsYou => Role::Attention,
            Self::Problem => Role::Error,
            Self::Working => Role::Working,
            Self::Done => Role::Done,
            Self::Idle => Role::Idle,
            Self::Running => Role::Text,
            Self::Warm => Role::Warm,
            Self::Starting | Self::Ended | Self::Stopping => Role::Muted,
        }
    }
}

/// The group a worker belongs to.
pub fn group(view: &WorkerView) -> Group {
    match view.state {
        WorkerState::Creating | WorkerState::Claiming => Group::Starting,
        WorkerState::Warm => Group::Warm,
        WorkerState::Exited => Group::Ended,
        WorkerState::Stopping => Group::Stopping,
        WorkerState::Lost | WorkerState::Failed => Group::Problem,
        WorkerState::Running => match view.activity.as_ref().map(|a| a.state) {
            Some(ActivityState::Waiting) => Group::NeedsYou,
            Some(ActivityState::Error) => Group::Problem,
            Some(ActivityState::Working) => Group::Working,
            Some(ActivityState::Done) => Group::Done,
            Some(ActivityState::Idle) => Group::Idle,
            Some(ActivityState::Unknown) | None => Group::Running,
        },
    }
}

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
