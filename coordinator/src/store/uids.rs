//! Which uids the workers' folders are of.

use super::{StateDir, WorkerFolder};
use crate::model::{FIRST_UID, UIDS, WorkerId};
use std::{fs, io, os::unix::fs::MetadataExt};

impl StateDir {
    /// The uid of each worker that has a folder, as far as the folder says.
    ///
    /// # Errors
    /// The folders cannot be listed.
    pub fn worker_uids(&self) -> io::Result<Vec<(WorkerId, u32)>> {
        let workers = self.workers()?.into_iter();
        Ok(workers
            .filter_map(|id| {
                let uid = self.worker(&id).own_uid()?;
                Some((id, uid))
            })
            .collect())
    }
}

impl WorkerFolder {
    /// The worker's own uid: the owner of its home, or else what its claim's session ran as where
    /// that is a worker's uid (not root's, not a project owner's).
    #[must_use]
    pub fn own_uid(&self) -> Option<u32> {
        let of_workers = |uid: &u32| (FIRST_UID..FIRST_UID + UIDS).contains(uid);
        let home = fs::metadata(self.path().join("home")).map(|meta| meta.uid());
        let home = home.ok().filter(of_workers);
        home.or_else(|| self.claim().map(|claim| claim.uid).filter(of_workers))
    }
}
