//! What happens to the dashboard: everything that comes in, from any side, is a [`Msg`]. Data only;
//! nothing else changes the state.

use crate::{
    dashboard::{app::failure::Failure, pages::terminal::picture::Picture},
    model::HostPath,
    wire::{ApiEvent, ApplyResult, Changes, FileDiff},
};
use crossterm::event::{KeyEvent, MouseEvent};
use podbay_protocol::{ExitStatus, Size};
use std::sync::Arc;

/// Something happened.
#[derive(Debug, Clone)]
pub enum Msg {
    /// A key was pressed while keys are the dashboard's.
    Key(KeyEvent),
    /// The mouse did something that the typed-into program does not want.
    Mouse(MouseEvent),
    /// Text was pasted while keys are the dashboard's.
    Paste(String),
    /// The leave keys were pressed while keys went to a worker.
    Leave,
    /// The host terminal got or lost the focus.
    Focus(bool),
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
    /// From a worker's live screen.
    Live(LiveMsg),
    /// Something that a tab or a dialog asked for is here.
    Fetched(Box<Fetched>),
    /// An action ended.
    CallDone {
        /// What was tried, as in [`super::state::AppState::pending`]: `stop fix-login`.
        what: String,
        /// Its result.
        done: CallDone,
    },
    /// The full-screen attach ended.
    FullscreenEnded(FullscreenEnd),
}

/// From the task that watches a worker.
#[derive(Debug, Clone)]
pub struct LiveMsg {
    /// The worker's id.
    pub worker: String,
    /// What is new.
    pub body: LiveBody,
}

/// What is new on a live screen.
#[derive(Debug, Clone)]
pub enum LiveBody {
    /// Attached; a picture follows.
    Attached {
        /// Whether this dashboard's input is heard.
        writer: bool,
    },
    /// The screen as it is now.
    Screen(Arc<Picture>),
    /// Text that was asked for by [`ScrollTo::Copy`].
    Copied(String),
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

/// What was fetched for a tab or a dialog.
#[derive(Debug, Clone)]
pub enum Fetched {
    /// What a worker changed.
    Changes {
        /// The worker's id.
        worker: String,
        /// The changes, or why they are unavailable.
        changes: Result<Changes, Failure>,
    },
    /// One file's difference.
    Diff {
        /// The worker's id.
        worker: String,
        /// The path.
        path: HostPath,
        /// Its difference.
        diff: Result<Vec<FileDiff>, Failure>,
    },
    /// The result of an apply; the changes are to be fetched again.
    Applied {
        /// The worker's id.
        worker: String,
        /// What was applied and what was not.
        result: Result<ApplyResult, Failure>,
    },
    /// What a discard left.
    Discarded {
        /// The worker's id.
        worker: String,
        /// What is left.
        left: Result<Changes, Failure>,
    },
    /// Lines of a session's output.
    Logs {
        /// The worker's id.
        worker: String,
        /// More lines, or why none come any more.
        lines: Result<LogLines, Failure>,
    },
    /// Folders that a path may go on with.
    Folders {
        /// What was typed.
        path: String,
        /// Absolute paths.
        folders: Result<Vec<String>, Failure>,
    },
    /// Recent projects, the last one first.
    Recent(Vec<String>),
}

/// Lines of a session's output.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogLines {
    /// How many of the last lines known so far these replace: the last line may have been a part.
    pub replace: usize,
    /// The lines, without escape sequences.
    pub lines: Vec<String>,
    /// Nothing more will come.
    pub ended: bool,
}

/// The result of an action.
#[derive(Debug, Clone)]
pub enum CallDone {
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
    /// A shell next to a session is ready to be attached to.
    Shell {
        /// The worker's id.
        id: String,
        /// The session to attach to.
        session: String,
    },
    /// Something else succeeded; the sentence says what.
    Done(String),
    /// It succeeded, and there is nothing to say.
    Quiet,
    /// It failed.
    Failed(Failure),
}

/// How the full-screen attach ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FullscreenEnd {
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
