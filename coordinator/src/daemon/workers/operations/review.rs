//! What of a worker is to be reviewed, and whether there is anything.
//!
//! Knows which folder of the mounter's belongs to which claim. Never reads changes itself.

use crate::daemon::{
    Daemon,
    workers::adoption::unproven::{self, ListedFacts, unproven_error},
};
use crate::{
    model::WorkerId,
    mounter_client::{ReviewClaim, ReviewTarget},
    store::ClaimRecord,
    wire::{ApiError, ChangeCount, ErrorKind},
};
use std::{sync::Arc, time::Duration};

/// How long the end of a worker waits to be told what it changed.
const LOOK_TIME: Duration = Duration::from_secs(15);

impl Daemon {
    /// Whether a worker has changes; when that cannot be told, it may.
    pub(in crate::daemon) async fn has_changes(&self, id: &WorkerId) -> bool {
        let Some(claim) = self.claim_of(id) else {
            return false;
        };
        if claim.unproven.is_some() {
            return true;
        }
        match self.target(&claim) {
            Some(target) => self
                .outside
                .mounter
                .any_changes(target)
                .await
                .unwrap_or(true),
            None => false,
        }
    }

    /// Whether a worker that ends leaves changes, and how much it changed where that can be counted.
    pub(in crate::daemon) async fn left_of(
        &self,
        claim: &ClaimRecord,
    ) -> (bool, Option<ChangeCount>) {
        if claim.unproven.is_some() {
            return (claim.may_have_changes(), None);
        }
        let Some(target) = self.target(claim) else {
            return (false, None);
        };
        let worker = &claim.id;
        let any = self.outside.mounter.any_changes(target.clone());
        match tokio::time::timeout(LOOK_TIME, any).await {
            Ok(Ok(false)) => (false, Some(ChangeCount::default())),
            Ok(Ok(true)) => {
                let count = self.counted(worker, target);
                let count = tokio::time::timeout(LOOK_TIME, count).await;
                (true, count.ok().flatten())
            }
            Ok(Err(error)) => {
                tracing::warn!(%worker, %error, "cannot tell whether there are changes: they are kept");
                (true, None)
            }
            Err(_) => {
                tracing::warn!(%worker, "looking for changes takes long: they are kept");
                (true, None)
            }
        }
    }

    pub(in crate::daemon) fn claim_of(&self, id: &WorkerId) -> Option<ClaimRecord> {
        let state = self.lock();
        let live = state.records.get(id).and_then(|r| r.claim.clone());
        live.or_else(|| state.finished.get(id).map(|f| f.claim.clone()))
    }

    /// The claim of a worker that has no record of one, where the mounter noted an overlay and there
    /// are changes in it.
    pub(in crate::daemon) async fn changed_without_record(
        &self,
        worker: &WorkerId,
    ) -> Option<ClaimRecord> {
        let facts = self.outside.store.mount_facts(worker)?;
        let mut claim = unproven::claim_of(worker, ListedFacts::default(), Some(facts))?;
        claim.session = worker.to_string();
        let target = self.target(&claim)?;
        // Whether there are any cannot be told: they are kept.
        let any = self
            .outside
            .mounter
            .any_changes(target)
            .await
            .unwrap_or(true);
        any.then_some(claim)
    }

    /// What to review of a worker, and its id.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when it is not copy-on-write.
    pub(crate) fn review_target(&self, name: &str) -> Result<(WorkerId, ReviewClaim), ApiError> {
        let id = self.find(name)?;
        let claim = self.claim_of(&id).ok_or_else(|| {
            ApiError::new(
                ErrorKind::Conflict,
                "the worker is not claimed: it has no project",
            )
        })?;
        if claim.unproven.is_some() {
            return Err(unproven_error(claim.name.as_str(), claim.unproven));
        }
        let target = self.target(&claim).ok_or_else(|| {
            ApiError::new(
                ErrorKind::Conflict,
                format!(
                    "{} has isolation {}: nothing to review",
                    claim.name,
                    claim.isolation.as_str()
                ),
            )
            .hint("only workers spawned with --isolation overlay are reviewed")
        })?;
        Ok((id, target))
    }

    /// What to apply of a worker, and its id; the claim's record is on disk then.
    ///
    /// # Errors
    /// As [`Self::review_target`]; [`ErrorKind::Conflict`] when the record cannot be written.
    pub(crate) async fn apply_target(
        &self,
        name: &str,
    ) -> Result<(WorkerId, ReviewClaim), ApiError> {
        let (id, target) = self.review_target(name)?;
        self.on_record(&id).await?;
        Ok((id, target))
    }

    /// What the mounter has to know to review a claim's changes; `None` when there are none to
    /// review by its nature.
    pub(in crate::daemon) fn target(&self, claim: &ClaimRecord) -> Option<ReviewClaim> {
        if !claim.isolation.is_reviewed() || claim.unproven.is_some() {
            return None;
        }
        Some(ReviewClaim {
            target: ReviewTarget {
                worker: claim.id.to_string(),
                project: claim.project.clone()?,
                dev: claim.project_dev,
                ino: claim.project_ino,
                claimed_at_ns: claim.claimed_ns,
                policy: self.policy(),
            },
            fsid: claim.project_fsid,
        })
    }

    /// After changes were applied or discarded: a finished worker with none left can go.
    pub(crate) async fn reviewed(self: &Arc<Self>, id: &WorkerId, left: bool) {
        let finished = match self.lock().finished.get_mut(id) {
            Some(finished) => {
                finished.unapplied = left;
                true
            }
            None => false,
        };
        if finished {
            if let Err(error) = self.keep_changed(id).await {
                tracing::error!(worker = %id, %error, "what was reviewed is not on disk");
            }
            self.tell_worker(id);
        }
        self.want_count(id);
    }
}
