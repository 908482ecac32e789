//! One review, open: the two trees, and what is known of them. Owns the lock on the worker's changes,
//! which goes with it. Never reads a tree.

use super::journal::Journal;
use crate::{
    clock::Clock,
    error::system,
    tree::Tree,
    wire::{MounterError, ReviewTarget},
};
use podbay_model::model::HostPath;
use std::{os::fd::OwnedFd, path::Path};

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
            changes,
            temporary: format!(".podbay-{}.tmp", target.worker),
            clock,
            live,
            project_missing: false,
        })
    }
}
