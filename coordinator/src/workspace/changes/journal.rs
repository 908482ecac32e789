//! What of an overlay was applied or discarded already.
//!
//! An entry hides a path for as long as the upper folder holds the very thing that was settled;
//! when the worker changes it again it is listed again. It also keeps what the project's file was
//! right after our own write, which must not count as a change by somebody else.
//!
//! Lives in `workers/<id>/changes/journal.json`, out of the worker's reach.

use crate::{
    model::HostPath,
    workspace::tree::{Meta, Tree},
};
use rustix::{
    fs::{Mode, OFlags, openat, renameat},
    io::Errno,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    io::{self, BufReader, BufWriter, Write},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

/// Enough of a file to know that it was not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    ino: u64,
    size: u64,
    mode: u32,
    mtime: i64,
    ctime: i64,
}

impl From<&Meta> for Stamp {
    fn from(m: &Meta) -> Self {
        Self {
            ino: m.ino,
            size: m.size,
            mode: m.mode,
            mtime: m.mtime,
            ctime: m.ctime,
        }
    }
}

/// What was settled at one path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Settled {
    /// Whether the path is hidden while `upper` is as it was.
    pub hidden: bool,
    /// What the upper folder held; `None` for a deletion.
    pub upper: Option<Stamp>,
    /// What the project held after we wrote it.
    pub lower: Option<Stamp>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    path: HostPath,
    #[serde(flatten)]
    settled: Settled,
}

/// The journal of one worker.
#[derive(Debug, Default)]
pub(super) struct Journal {
    entries: HashMap<PathBuf, Settled>,
}

const FILE: &str = "journal.json";
const FRESH: &str = ".journal.tmp";

impl Journal {
    /// Reads it; none is an empty one, and so is one that cannot be read: then what was settled
    /// is listed again, and nothing is lost.
    pub(super) fn load(changes: &Tree) -> Self {
        let lines: Vec<Line> = match changes.file(Path::new(FILE)) {
            Ok(file) => serde_json::from_reader(BufReader::new(file)).unwrap_or_else(|e| {
                tracing::warn!(error = %e, "a review's journal cannot be read; it starts anew");
                Vec::new()
            }),
            Err(Errno::NOENT) => Vec::new(),
            Err(e) => {
                tracing::warn!(error = %e, "a review's journal cannot be opened");
                Vec::new()
            }
        };
        let entries = lines
            .into_iter()
            .map(|line| (line.path.as_path().to_owned(), line.settled))
            .collect();
        Self { entries }
    }

    /// Replaces the file, whole or not at all.
    pub(super) fn save(&self, changes: &OwnedFd) -> io::Result<()> {
        // Always the same name, so that one left by a mounter that died is overwritten; whoever
        // changes something has the lock.
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let fd = openat(changes, FRESH, flags, Mode::RUSR | Mode::WUSR)?;
        let mut file = BufWriter::new(std::fs::File::from(fd));
        let lines: Vec<Line> = self
            .entries
            .iter()
            .map(|(path, settled)| Line {
                path: HostPath::new(path.as_path()),
                settled: *settled,
            })
            .collect();
        serde_json::to_writer(&mut file, &lines)?;
        file.flush()?;
        file.get_ref().sync_all()?;
        worker_agent::failpoint!("mounter.journal.synced");
        Ok(renameat(changes, FRESH, changes, FILE)?)
    }

    /// Whether a change was settled and nothing happened to it since.
    pub(super) fn hides(&self, path: &Path, upper: Option<&Meta>) -> bool {
        self.entries
            .get(path)
            .is_some_and(|s| s.hidden && s.upper == upper.map(Stamp::from))
    }

    /// Whether the project's file is as we wrote it.
    pub(super) fn wrote(&self, path: &Path, lower: &Meta) -> bool {
        self.entries
            .get(path)
            .is_some_and(|s| s.lower == Some(Stamp::from(lower)))
    }

    /// Settles a path.
    pub(super) fn settle(&mut self, path: &Path, settled: Settled) {
        self.entries.insert(path.to_owned(), settled);
    }

    /// Hides a path, keeping what is known of the project's file.
    pub(super) fn hide(&mut self, path: &Path, upper: Option<&Meta>) {
        let entry = self.entries.entry(path.to_owned()).or_default();
        entry.hidden = true;
        entry.upper = upper.map(Stamp::from);
    }

    /// The upper folder no longer holds it, so nothing is to be hidden.
    pub(super) fn show(&mut self, path: &Path) {
        if let Some(entry) = self.entries.get_mut(path) {
            entry.hidden = false;
        }
    }
}
