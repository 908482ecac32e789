//! What happens to the dashboard ([`Msg`]) and what it wants done ([`Effect`]). Everything that
//! comes in, from any side, becomes a `Msg`; nothing else changes the state.

use super::grid::Grid;
use crate::wire::{ApiError, ApiEvent, SpawnRequest};
use crossterm::event::KeyEvent;
use podbay_protocol::{ExitStatus, Size};
use std::sync::Arc;

/// Something happened.
#[derive(Debug, Clone)]
pub enum Msg {
    /// A key was pressed.
    Key(KeyEvent),
    /// Text was pasted.
    Paste(String),
    /// The terminal has this size.
    Resize(Size),
    /// An event of the coordinator.
    Api(Box<ApiEvent>),
    /// The event stream broke, or could not be opened.
    Gone {
        /// Why.
        reason: String,
    },
    /// It is this time now: Unix milliseconds on the coordinator's clock.
    Now(u64),
    /// From the preview.
    Preview(PreviewMsg),
    /// An action ended.
    ActionDone {
        /// What was tried, as in [`super::state::State::pending`]: `stop fix-login`.
        what: String,
        /// What it came to.
        done: ActionDone,
    },
    /// The full-screen attach ended.
    AttachEnded(AttachEnd),
}

/// From the task that watches the selected worker.
#[derive(Debug, Clone)]
pub struct PreviewMsg {
    /// The worker's id; a message about another than the one shown is stale.
    pub worker: String,
    /// What is new.
    pub body: PreviewBody,
}

/// What is new in a preview.
#[derive(Debug, Clone)]
pub enum PreviewBody {
    /// Attached; a picture follows.
    Attached,
    /// The screen as it is now.
    Screen(Arc<Grid>),
    /// The session ended.
    Ended(ExitStatus),
    /// The stream broke; it is tried again unless `last`.
    Broken {
        /// Why.
        reason: String,
        /// It is not tried again.
        last: bool,
    },
}

/// What an action came to.
#[derive(Debug, Clone)]
pub enum ActionDone {
    /// A worker was claimed and its command started.
    Spawned {
        /// The worker's id.
        id: String,
        /// Its name.
        name: String,
        /// Whether it was warm; if not, why.
        cold_reason: Option<String>,
        /// Microseconds it took.
        total_us: u64,
        /// What the user should know.
        warnings: Vec<String>,
    },
    /// Something else succeeded; the sentence says what.
    Done(String),
    /// It failed.
    Failed(Failure),
}

/// How the full-screen attach ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttachEnd {
    /// The user came back; the session runs on.
    Detached {
        /// Whether this client's input was heard.
        writer: bool,
    },
    /// The session ended.
    Exited(ExitStatus),
    /// The stream broke, the session need not have.
    Lost(Failure),
}

/// Why something failed, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What was wrong.
    pub message: String,
    /// What the user can do.
    pub hint: Option<String>,
}

impl Failure {
    /// Without a hint.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
        }
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self {
            message: error.message,
            hint: error.hint,
        }
    }
}

/// Something is to be done outside of the state.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Leave the dashboard.
    Quit,
    /// Stop the process as Ctrl-Z does, until it is continued.
    Suspend,
    /// Draw everything anew, whatever the terminal shows.
    Redraw,
    /// Watch this worker, or none.
    Preview(Option<PreviewTarget>),
    /// The watched worker's terminal has this size now.
    PreviewSize(Size),
    /// Hand the terminal to this worker.
    Attach {
        /// The worker's id.
        id: String,
        /// Become the writer even when there is another.
        takeover: bool,
    },
    /// Claim a worker.
    Spawn(Box<SpawnRequest>),
    /// Stop a worker.
    Stop {
        /// Its id.
        id: String,
        /// Its name, for messages.
        name: String,
    },
    /// Remove an ended worker.
    Remove {
        /// Its id.
        id: String,
        /// Its name, for messages.
        name: String,
    },
    /// Stop every worker.
    StopAll,
}

/// What to watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewTarget {
    /// The worker's id.
    pub id: String,
    /// The size of its terminal.
    pub size: Size,
}
