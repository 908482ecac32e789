//! What happens to the dashboard ([`Msg`]) and what it wants done ([`Effect`]). Everything that
//! comes in, from any side, becomes a `Msg`; nothing else changes the state.

use super::grid::Grid;
use crate::{
    model::HostPath,
    wire::{ApiError, ApiEvent, ApplyResult, Changes, FileDiff, SpawnRequest},
};
use crossterm::event::{KeyEvent, MouseEvent};
use podbay_protocol::{ExitStatus, Size};
use std::{ops::Range, sync::Arc};
use worker_agent::screen::Modes;

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
    /// The outer terminal got or lost the focus.
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
    ActionDone {
        /// What was tried, as in [`super::state::State::pending`]: `stop fix-login`.
        what: String,
        /// What it came to.
        done: ActionDone,
    },
    /// The full-screen attach ended.
    ZoomEnded(AttachEnd),
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

/// A worker's terminal at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Picture {
    /// What is in view.
    pub grid: Grid,
    /// How keys and the mouse are to be sent.
    pub modes: Modes,
    /// Lines above the visible ones.
    pub history: usize,
    /// Lines scrolled up; 0 at the bottom.
    pub offset: usize,
    /// Cells that match the search, in view: row and columns.
    pub found: Vec<(u16, Range<u16>)>,
    /// Of these, the current match.
    pub found_here: Vec<(u16, Range<u16>)>,
    /// The search's current match, from 1, and how many there are; none while nothing is searched.
    pub found_at: Option<(usize, usize)>,
    /// Selected cells in view: row and columns.
    pub selected: Vec<(u16, Range<u16>)>,
}

/// What to do with the part of a terminal that is in view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScrollTo {
    /// Lines up; down when negative.
    Lines(i32),
    /// The oldest line.
    Top,
    /// Live again; search and selection are forgotten.
    Bottom,
    /// Look for this text, upwards from what is in view; empty: forget the search.
    Search(String),
    /// The next match; upwards when true.
    Next {
        /// Towards older lines.
        older: bool,
    },
    /// Select from one cell to another, as seen: column and row; `None`: nothing.
    Select(Option<((u16, u16), (u16, u16))>),
    /// Give the selected text, or what is in view when nothing is selected.
    Copy,
}

/// What was fetched for a tab or a dialog.
#[derive(Debug, Clone)]
pub enum Fetched {
    /// What a worker changed.
    Changes {
        /// The worker's id.
        worker: String,
        /// The changes, or why there are none to be had.
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
    /// What an apply came to; the changes are to be fetched anew.
    Applied {
        /// The worker's id.
        worker: String,
        /// What was carried over and what was not.
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
    /// Projects of late, the last one first.
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
    /// A shell beside a session is ready to be attached to.
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
    /// These workers are to be live, and no others.
    Watch(Vec<LiveTarget>),
    /// Moves what is in view of a live worker.
    Scroll {
        /// The worker's id.
        id: String,
        /// Where to.
        to: ScrollTo,
    },
    /// Hand the terminal to this worker.
    Zoom {
        /// The worker's id.
        id: String,
        /// Another session than the main one.
        session: Option<String>,
        /// Become the writer even when there is another.
        takeover: bool,
    },
    /// Put text into the outer terminal's clipboard (OSC 52).
    Clipboard(String),
    /// Ring the outer terminal's bell and notify through it.
    Notify {
        /// The worker's name.
        title: String,
        /// Why.
        text: String,
    },
    /// Get something for a tab or a dialog.
    Fetch(Fetch),
    /// Call the coordinator.
    Act {
        /// What it is called while it is under way and when it failed.
        what: String,
        /// The call.
        act: Act,
    },
    /// Keep the spawn form's values for the next dashboard.
    Remember(super::dialog::SpawnMemory),
}

/// Something to get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetch {
    /// What a worker changed.
    Changes {
        /// The worker's id.
        worker: String,
    },
    /// One file's difference.
    Diff {
        /// The worker's id.
        worker: String,
        /// The path.
        path: HostPath,
    },
    /// A worker's output, and what comes; ends the one before. `None`: no worker's.
    Logs {
        /// The worker's id.
        worker: Option<String>,
    },
    /// Folders that a path may go on with.
    Folders {
        /// What was typed.
        path: String,
    },
    /// Projects of late.
    Recent,
}

/// A call of the coordinator.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// Claim a worker.
    Spawn(Box<SpawnRequest>),
    /// Stop these workers: ids and names.
    Stop(Vec<(String, String)>),
    /// Remove these ended workers: ids and names.
    Remove(Vec<(String, String)>),
    /// Restart these workers: ids and names.
    Restart(Vec<(String, String)>),
    /// Give a worker another name.
    Rename {
        /// Its id.
        id: String,
        /// The new name.
        name: String,
    },
    /// Start a shell beside a worker's session.
    Shell {
        /// The worker's id.
        id: String,
    },
    /// Type a line into a worker.
    Reply {
        /// The worker's id.
        id: String,
        /// Its name.
        name: String,
        /// The line, without its end.
        line: String,
    },
    /// Carry changes over into the project.
    Apply {
        /// The worker's id.
        worker: String,
        /// Paths; empty: everything.
        paths: Vec<HostPath>,
        /// Also over what changed underneath.
        force: bool,
    },
    /// Drop changes.
    Discard {
        /// The worker's id.
        worker: String,
        /// Paths; empty: everything.
        paths: Vec<HostPath>,
    },
    /// Say that a person has seen a worker's screen.
    Seen {
        /// The worker's id.
        id: String,
    },
    /// Set a pool's bounds.
    Scale {
        /// The profile.
        profile: String,
        /// Fewest warm workers.
        min: u32,
        /// Most warm workers.
        max: u32,
    },
    /// Stop refilling a pool, or go on with it.
    Pause {
        /// The profile.
        profile: String,
        /// Whether it is to be paused.
        paused: bool,
    },
    /// Stop every worker.
    StopAll,
}

/// A worker to be live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveTarget {
    /// The worker's id.
    pub id: String,
    /// The size its terminal has now, as the coordinator says.
    pub size: Size,
    /// Become the writer with a terminal of this size; `None`: only watch, at whatever size it has.
    pub write: Option<Size>,
    /// Become the writer even when there is another.
    pub takeover: bool,
}
