//! Overlays made ahead: each warm worker has one on the project that was claimed last in its profile.
//!
//! Owns when one is made. Never on a claim's path, and never decides what a claim gets: the mounter does.

use crate::daemon::Daemon;
use crate::{
    model::{HostPath, Isolation, WorkerId, WorkerState},
    mounter_client::{Mounted, OverlayRequest},
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// One that was made so long ago is made again: the mounter gives old ones up.
const RENEW: Duration = Duration::from_secs(300);
/// A claim's program starts first.
const PAUSE: Duration = Duration::from_millis(50);

impl Daemon {
    /// A claim of a profile has its project: the next one is likely to want the same.
    pub(in crate::daemon) fn project_claimed(
        self: &Arc<Self>,
        profile: &str,
        isolation: Isolation,
        mounted: &Mounted,
    ) {
        let waiting: Vec<WorkerId> = {
            let mut state = self.lock();
            if isolation != Isolation::Overlay {
                return;
            }
            state.overlays.claimed(profile, mounted);
            let of_profile = |id: &WorkerId| {
                let record = state.records.get(id);
                record.is_some_and(|record| record.profile == profile)
            };
            let workers = state.fleet.workers().map(|worker| worker.id.clone());
            workers.filter(of_profile).collect()
        };
        let daemon = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(PAUSE).await;
            for worker in waiting {
                daemon.prepare_overlay(&worker);
            }
        });
    }

    /// Has an overlay made for a worker, if it is warm and has none on the right project.
    pub(in crate::daemon) fn prepare_overlay(self: &Arc<Self>, id: &WorkerId) {
        let request = {
            let mut state = self.lock();
            let state = &mut *state;
            let worker = state.fleet.worker(id);
            let warm = worker.is_some_and(|w| w.state == WorkerState::Warm && !w.leaves());
            let Some(record) = state.records.get_mut(id).filter(|_| warm) else {
                return;
            };
            let Some(project) = state.overlays.project(&record.profile) else {
                return;
            };
            let now = Instant::now();
            let fresh = |(of, made): &(HostPath, Instant)| of == project && now < *made + RENEW;
            if record.overlay_ahead.as_ref().is_some_and(fresh) {
                return;
            }
            record.overlay_ahead = Some((project.clone(), now));
            OverlayRequest {
                worker: id.to_string(),
                project: project.clone(),
                uid: record.uid,
                gid: record.uid,
                policy: self.policy(),
            }
        };
        let (daemon, id) = (self.clone(), id.clone());
        tokio::spawn(async move {
            let made = daemon.outside.mounter.prepare_overlay(request).await;
            if let Err(error) = made {
                // The claim makes its own, and says what is wrong with the project.
                tracing::debug!(worker = %id, %error, "no overlay is made ahead");
            }
        });
    }

    /// Copy-on-write claims whose overlay was made ahead, and others.
    #[must_use]
    pub fn overlay_claims(&self) -> (u64, u64) {
        self.lock().overlays.counts()
    }
}
