//! The host's later edits of a project, made visible in a copy-on-write worker.
//!
//! An overlay remembers the names that were looked up in it, so an edit of the host may stay unseen.
//! Owns when an exec has its worker's overlay refreshed. Never keeps an exec from starting.

use crate::daemon::Daemon;
use crate::{
    model::{Isolation, WorkerId},
    wire::{ApiError, ErrorKind, Refreshed},
};
use std::time::Duration;
use tokio::time::timeout;

/// How long an exec waits for it.
const EXEC_WAIT: Duration = Duration::from_secs(1);

impl Daemon {
    /// A person wants the host's later edits of the project to be visible in a worker.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::Conflict`] for a worker that has no project or does not
    /// run, and what the mounter refuses.
    pub async fn refresh_worker(&self, name: &str) -> Result<Refreshed, ApiError> {
        let id = self.find_live(name)?;
        let (name, isolation, pid) = {
            let state = self.lock();
            let record = state.records.get(&id);
            let claim = record.and_then(|r| r.claim.as_ref());
            let Some((record, claim)) = record.zip(claim) else {
                return Err(conflict(format!(
                    "{name} is not claimed: it has no project"
                )));
            };
            (claim.name.to_string(), claim.isolation, record.pid)
        };
        match (isolation, pid) {
            (Isolation::Overlay, Some(pid)) => {
                let refreshed = self.outside.mounter.refresh(id.as_str(), pid).await;
                refreshed.map_err(ApiError::from)?;
                Ok(Refreshed {
                    worker: name,
                    note: None,
                })
            }
            (Isolation::Overlay, None) => Err(conflict(format!("{name} has no process now"))),
            (Isolation::Bind, _) => Ok(Refreshed {
                worker: name,
                note: Some(
                    "its project is a bind, which always shows what the host has; there is nothing \
                     to refresh"
                        .to_owned(),
                ),
            }),
            (Isolation::None, _) => Err(conflict(format!("{name} has no project"))),
        }
    }

    /// Before an exec of a copy-on-write worker starts: what it runs sees the project as it is now.
    pub(in crate::daemon) async fn refresh_for_exec(&self, id: &WorkerId) {
        let pid = {
            let state = self.lock();
            let Some(record) = state.records.get(id) else {
                return;
            };
            let claim = record.claim.as_ref();
            let overlay = claim.is_some_and(|c| c.isolation == Isolation::Overlay);
            let Some(pid) = record.pid.filter(|_| overlay) else {
                return;
            };
            pid
        };
        match timeout(EXEC_WAIT, self.outside.mounter.refresh(id.as_str(), pid)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(worker = %id, %error, "the overlay is not refreshed for an exec");
            }
            Err(_) => {
                tracing::warn!(worker = %id, "the overlay is not refreshed for an exec: no answer");
            }
        }
    }
}

fn conflict(message: String) -> ApiError {
    ApiError::new(ErrorKind::Conflict, message)
}
