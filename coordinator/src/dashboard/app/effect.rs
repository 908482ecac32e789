//! What the dashboard wants done outside of its state: every [`Effect`] of an update. Data only;
//! `io` executes it.

use crate::{
    dashboard::dialogs::spawn::last_values::SpawnMemory, model::HostPath, wire::SpawnRequest,
};
use podbay_protocol::Size;

/// Something is to be done outside of the state.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Leave the dashboard.
    Quit,
    /// Stop the process as Ctrl-Z does, until it is continued.
    Suspend,
    /// Draw everything again, whatever the terminal shows.
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
    Fullscreen {
        /// The worker's id.
        id: String,
        /// Another session than the main one.
        session: Option<String>,
        /// Become the writer even when there is another.
        takeover: bool,
    },
    /// Put text into the host terminal's clipboard (OSC 52).
    Clipboard(String),
    /// Ring the host terminal's bell and notify through it.
    Notify {
        /// The worker's name.
        title: String,
        /// Why.
        text: String,
    },
    /// Get something for a tab or a dialog.
    Fetch(Fetch),
    /// Call the coordinator.
    Call {
        /// What it is called while it is under way and when it failed.
        what: String,
        /// The call.
        call: Call,
    },
    /// Keep the spawn form's values for the next dashboard.
    Remember(SpawnMemory),
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
    /// Recent projects.
    Recent,
}

/// A call of the coordinator.
#[derive(Debug, Clone, PartialEq)]
pub enum Call {
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
    /// Start a shell next to a worker's session.
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
    /// Apply changes to the project.
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
