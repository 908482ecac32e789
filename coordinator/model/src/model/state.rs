//! States and modes of workers. Owns their names. Never changes one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the project gets into a worker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// Writes go to the project.
    Bind,
    /// Copy-on-write: review, then apply or discard.
    Overlay,
    /// No project.
    #[default]
    None,
}

impl Isolation {
    /// Every mode, as a form offers them.
    pub const ALL: [Self; 3] = [Self::Bind, Self::Overlay, Self::None];

    /// Whether what a session changes is kept apart from the project, to be reviewed.
    #[must_use]
    pub fn is_reviewed(self) -> bool {
        match self {
            Self::Overlay => true,
            Self::Bind | Self::None => false,
        }
    }

    /// The word used in configuration, flags and output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::Overlay => "overlay",
            Self::None => "none",
        }
    }
}

impl std::str::FromStr for Isolation {
    type Err = String;
    fn from_str(given: &str) -> Result<Self, String> {
        let mode = Self::ALL.into_iter().find(|mode| mode.as_str() == given);
        mode.ok_or_else(|| {
            let [others @ .., last] = Self::ALL.map(Self::as_str);
            let others = others.join(", ");
            format!("no isolation mode {given:?}: use {others} or {last}")
        })
    }
}

/// Where a worker is in its life.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum WorkerState {
    /// The container is being created or started, or its agent has not called yet.
    #[default]
    Creating,
    /// Ready and unclaimed.
    Warm,
    /// Being given to a claim.
    Claiming,
    /// A claimed worker with its session.
    Running,
    /// The session ended and the worker, or its unapplied changes, are kept.
    Exited,
    /// Being stopped or removed.
    Stopping,
    /// Claimed, and its agent or its network is gone; the reason is shown.
    Lost,
    /// Could not be made, or died before it was claimed; the reason is shown.
    Failed,
}

impl WorkerState {
    /// The word used in output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Warm => "warm",
            Self::Claiming => "claiming",
            Self::Running => "running",
            Self::Exited => "exited",
            Self::Stopping => "stopping",
            Self::Lost => "lost",
            Self::Failed => "failed",
        }
    }
}
