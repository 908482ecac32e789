//! The groups of the list: which one a worker is in, its word, marker and colour.

use crate::{dashboard::widgets::theme::role::Role, model::WorkerState, wire::WorkerView};
use podbay_protocol::ActivityState;

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
    /// Its program is stopped by a signal, and goes on when somebody types.
    Stopped,
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
            Self::Stopped => "stopped",
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
            Self::Stopped => ("‖", "="),
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
            Self::Stopped | Self::Running => Role::Text,
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
            Some(ActivityState::Stopped) => Group::Stopped,
            Some(ActivityState::Unknown) | None => Group::Running,
        },
    }
}
