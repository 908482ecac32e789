//! Overlays made ahead: the warm workers that are claimed next have one on the project claimed last in their profile.
//!
//! Owns when one is made. Never on a claim's path, and never decides what a claim gets: the mounter does.

use crate::daemon::Daemon;
use crate::{
    fleet::WorkerEntry,
    model::{HostPath, Isolation, WorkerId, WorkerState},
    mounter_client::{Mounted, OverlayRequest},
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// One that was made so long ago is made again: the mounter gives old ones up.
const RENEW: Duration = Duration::from_secs(300);
/// A claim's program starts first.
const PAUSE: Duration = Duration::from_millis(20);
/// Warm workers of a profile that have one: those that are claimed next. A claim of another project
/// costs as many.
const AHEAD: usize = 4;

impl Daemon {
    /// A claim of a profile has its project: the next one is likely to want the same.
    pub(in crate::daemon) fn project_claimed(
        self: &Arc<Self>,
        profile: &str,
        isolation: Isolation,
        mounted: &Mounted,
    ) {
        if isolation != Isolation::Overlay {
            return;
        }
        self.lock().overlays.claimed(profile, mounted);
        let (daemon, profile) = (self.clone(), profile.to_owned());
        tokio::spawn(async move {
            tokio::time::sleep(PAUSE).await;
            daemon.prepare_overlays(&profile);
        });
    }

    /// A worker changed: it may be a warm one that has no overlay yet.
    pub(in crate::daemon) fn prepare_overlay_if_warm(self: &Arc<Self>, id: &WorkerId) {
        let profile = {
            let state = self.lock();
            let worker = state.fleet.worker(id);
            let warm = worker.is_some_and(|w| w.state == WorkerState::Warm);
            let record = state.records.get(id).filter(|_| warm);
            let record = record.filter(|record| record.overlay_ahead.is_none());
            record.map(|record| record.profile.clone())
        };
        if let Some(profile) = profile {
            self.prepare_overlays(&profile);
        }
    }

    /// Has overlays made for those warm workers of a profile that are claimed next.
    fn prepare_overlays(self: &Arc<Self>, profile: &str) {
        let (project, wanted) = {
            let mut state = self.lock();
            let state = &mut *state;
            let Some(project) = state.overlays.project(profile).cloned() else {
                return;
            };
            let ours = |w: &&WorkerEntry| w.profile == profile && w.state == WorkerState::Warm;
            let warm = state.fleet.workers().filter(ours);
            let mut warm: Vec<_> = warm
                .filter(|w| !w.leaves())
                .map(|w| (w.since, w.id.clone()))
                .collect();
            warm.sort_unstable();
            let now = Instant::now();
            let fresh = |(of, made): &(HostPath, Instant)| *of == project && now < *made + RENEW;
            let mut wanted = Vec::new();
            for (_, id) in warm.into_iter().take(AHEAD) {
                let Some(record) = state.records.get_mut(&id) else {
                    continue;
                };
                if record.overlay_ahead.as_ref().is_some_and(fresh) {
                    continue;
                }
                record.overlay_ahead = Some((project.clone(), now));
                wanted.push((id, record.uid));
            }
            (project, wanted)
        };
        if wanted.is_empty() {
            return;
        }
        let (daemon, policy) = (self.clone(), self.policy());
        tokio::spawn(async move {
            for (worker, uid) in wanted {
                let request = OverlayRequest {
                    worker: worker.to_string(),
                    project: project.clone(),
                    uid,
                    gid: uid,
                    policy: policy.clone(),
                };
                if let Err(error) = daemon.outside.mounter.prepare_overlay(request).await {
                    // The claim makes its own, and says what is wrong with the project.
                    tracing::debug!(%worker, %error, "no overlay is made ahead");
                }
            }
        });
    }

    /// Copy-on-write claims whose overlay was made ahead, and others.
    #[must_use]
    pub fn overlay_claims(&self) -> (u64, u64) {
        self.lock().overlays.counts()
    }
}
