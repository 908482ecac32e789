//! Folders of the engine's host, for a person who types a project's path.

use crate::model::HostPath;
use serde::{Deserialize, Serialize};

/// Answer of `GET /v1/folders?path=`: what the typed path may be completed to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folders {
    /// Sub-folders of the deepest existing folder of the path whose names start with the rest,
    /// sorted by path, at most 200. Hidden ones are there only when the rest starts with a dot,
    /// and those that no project may be in are left out.
    pub folders: Vec<Folder>,
    /// Whether there are more than were sent.
    #[serde(default)]
    pub truncated: bool,
}

/// One folder on the engine's host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folder {
    /// Absolute.
    pub path: HostPath,
    /// Whether it has a `.git` in it.
    #[serde(default)]
    pub is_git: bool,
}

/// Answer of `GET /v1/projects/recent`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecentProjects {
    /// The projects of the last claims, each once, newest first, at most 20.
    pub recent: Vec<HostPath>,
}
