//! One review, open: the two trees, and what is known of them. Owns the lock on the worker's changes,
//! which goes with it. Never reads a tree.

use super::{git::INDEX_NOTE, journal::Journal};
use crate::{
    clock::Clock,
    error::system,
    tree::Tree,
    wire::{MounterError, ReviewTarget},
};
use podbay_model::model::HostPath;
use std::{io::Read, os::fd::OwnedFd, path::Path};

/// The most of the note on an index that is read, in bytes.
const MAX_NOTE: u64 = 128;

/// Everything a review needs, open.
pub(super) struct Review {
    /// The project's canonical path.
    pub project: HostPath,
    /// Its owner.
    pub owner: (u32, u32),
    pub upper: Tree,
    pub lower: Tree,
    /// `changes/`; holds the lock of whoever changes something.
    pub changes: OwnedFd,
    pub journal: Journal,
    /// Name of what is about to take a file's place in the project.
    pub temporary: String,
    pub clock: Clock,
    /// The upper folder must only be read.
    pub live: bool,
    /// What the project's index staged at the claim, where that was noted.
    pub index: Option<String>,
    /// `lower` is an empty folder, since the project is gone.
    pub project_missing: bool,
}

impl Review {
    pub(super) fn new(
        target: &ReviewTarget,
        changes: OwnedFd,
        lower: OwnedFd,
        owner: (u32, u32),
        live: bool,
        clock: Clock,
    ) -> Result<Self, MounterError> {
        let failed = |e| system("opening the worker's changes/", e);
        let tree = Tree::new(
            changes
                .try_clone()
                .map_err(|e| system("opening the worker's changes/", e))?,
        );
        Ok(Self {
            project: target.project.clone(),
            owner,
            upper: tree.sub(Path::new("upper")).map_err(failed)?,
            lower: Tree::new(lower),
            journal: Journal::load(&tree),
            index: index_at_claim(&tree),
            changes,
            temporary: format!(".podbay-{}.tmp", target.worker),
            clock,
            live,
            project_missing: false,
        })
    }
}

/// What the mounter noted of the project's index. Without it an index counts as any other file.
fn index_at_claim(changes: &Tree) -> Option<String> {
    let mut noted = String::new();
    let file = changes.file(Path::new(INDEX_NOTE)).ok()?;
    file.take(MAX_NOTE).read_to_string(&mut noted).ok()?;
    Some(noted).filter(|noted| !noted.is_empty())
}
