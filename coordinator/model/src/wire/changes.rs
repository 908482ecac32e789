//! Review of a copy-on-write worker's changes. Owns the serialised names. Never reads a tree.

use crate::model::HostPath;
use serde::{Deserialize, Serialize};

/// A header of answers about changes: there is more than the answer holds.
pub const TRUNCATED: &str = "podbay-truncated";

/// The same: the project's folder is gone or is another one, so all is shown as added.
pub const PROJECT_MISSING: &str = "podbay-project-missing";

/// What a worker changed in its copy-on-write view of the project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// The project on the engine's host.
    pub project: HostPath,
    /// Sorted by path; folders before what is in them.
    pub entries: Vec<Change>,
    /// There are more than are listed: `entries` holds some of each top-level folder. A summary
    /// counts all, and a list of one path has all that is there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// The project's folder is gone or is another one: all that was changed is shown as added, and
    /// deletions are not shown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub project_missing: bool,
}

/// Whether a worker changed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnyChanges {
    /// It did.
    pub any: bool,
}

/// What a worker changed, counted by folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeSummary {
    /// The project on the engine's host.
    pub project: HostPath,
    /// Changed paths, folders too.
    pub changes: u64,
    /// Bytes of the files that were added or changed.
    pub bytes: u64,
    /// Of the changes those in conflict with the project.
    pub conflicts: u64,
    /// The folders directly in the one that was asked for, those with the most changes first; what
    /// is in it by itself is the first, as `.`.
    pub folders: Vec<FolderChanges>,
    /// Folders that are not listed.
    #[serde(default)]
    pub more_folders: u64,
    /// The changes in those.
    #[serde(default)]
    pub more_changes: u64,
    /// Counting took too long and was ended: there are more changes than that.
    #[serde(default)]
    pub truncated: bool,
}

/// How much changed at and below one folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderChanges {
    /// Relative to the project.
    pub path: HostPath,
    /// Changed paths, folders too.
    pub changes: u64,
    /// Bytes of the files that were added or changed.
    pub bytes: u64,
}

impl Default for FolderChanges {
    fn default() -> Self {
        Self {
            path: HostPath::new(""),
            changes: 0,
            bytes: 0,
        }
    }
}

/// One changed path, relative to the project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Relative path.
    pub path: HostPath,
    /// What happened to it.
    pub kind: ChangeKind,
    /// What it was in the project; `None` when it is new.
    pub before: Option<EntryType>,
    /// What it is now; `None` when it was deleted.
    pub after: Option<EntryType>,
    /// Permission bits before and after, when both exist and differ.
    pub mode: Option<(u32, u32)>,
    /// Lines added; `None` for binary files and what has no lines.
    pub added: Option<u64>,
    /// Lines removed.
    pub removed: Option<u64>,
    /// Whether the file is binary: a NUL byte in its first 8,000 bytes, as git judges.
    pub binary: bool,
    /// Whether the project's file changed underneath since the claim.
    pub conflict: bool,
}

/// How much a copy-on-write worker changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeCount {
    /// Changed paths; folders do not count.
    pub files: u64,
    /// Lines added in them.
    pub added: u64,
    /// Lines removed.
    pub removed: u64,
}

impl ChangeCount {
    /// Of a list of changes. A folder is no file, whatever became of it.
    #[must_use]
    pub fn of(changes: impl IntoIterator<Item = Change>) -> Self {
        let mut count = Self::default();
        for change in changes {
            count.add(&change);
        }
        count
    }

    /// Counts one more.
    pub fn add(&mut self, change: &Change) {
        let folder = |side: Option<EntryType>| side.is_none_or(|side| side == EntryType::Directory);
        if !(folder(change.before) && folder(change.after)) {
            self.files += 1;
        }
        self.added += change.added.unwrap_or_default();
        self.removed += change.removed.unwrap_or_default();
    }
}

/// What happened to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// New.
    Added,
    /// Content or mode differ.
    Modified,
    /// Gone.
    Deleted,
    /// A file became a folder, a link a file, and so on.
    TypeChanged,
}

/// What a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryType {
    /// A regular file.
    File,
    /// A folder.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A FIFO, socket or device: listed, never applied.
    Other,
}

/// One file's difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDiff {
    /// The change.
    pub change: Change,
    /// Unified diff with three lines of context, git's header; empty for folders; a line
    /// `Binary files differ` for binary ones. Non-UTF-8 bytes are replaced.
    pub unified: String,
    /// Whether the text was cut because the file is over 1 MiB.
    pub truncated: bool,
}

/// Body of `…/changes/apply`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplyRequest {
    /// Paths to apply, folders with all below; empty for everything.
    #[serde(default)]
    pub paths: Vec<HostPath>,
    /// Apply even where the project's file changed underneath since the claim.
    #[serde(default)]
    pub force: bool,
}

/// Answer of `…/changes/apply`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplyResult {
    /// What was applied.
    pub applied: Vec<HostPath>,
    /// What was refused because it changed underneath; nothing of these was written.
    pub conflicts: Vec<Conflict>,
    /// What was not applied, or not whole, and needs no decision: sockets, deleted branches, hard links.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Conflict>,
    /// What is left to review.
    pub left: u64,
    /// There is more left than `left` says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub left_more: bool,
}

/// The [`Conflict::reason`] that `force` overrides.
pub const CHANGED_SINCE_CLAIM: &str = "the project's own changed since the claim";

/// What begins the [`Conflict::reason`] of a repository's own files, which `force` never overrides.
pub const GIT_CHANGED_SINCE_CLAIM: &str =
    "the project has commits, or staged files, of its own since the claim";

/// A path that was not applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// The path.
    pub path: HostPath,
    /// Why.
    pub reason: String,
}

/// Body of `…/changes/discard`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscardRequest {
    /// Paths to discard; empty for everything.
    #[serde(default)]
    pub paths: Vec<HostPath>,
}
