//! Taking over after a start: what is on disk, what runs, what was left over.

use crate::daemon::{
    Daemon, blocking,
    engine::sync::{FIRST_RETRY, LONGEST_RETRY},
    workers::adoption::adopt::{Folder, of_folder},
};
use crate::{
    fleet::{Event, RemoveCause},
    model::WorkerId,
};
use std::{path::PathBuf, sync::Arc};

impl Daemon {
    /// Brings the coordinator to life behind its API: engine, mounter, pools, adoption.
    pub(in crate::daemon) async fn startup(
        self: Arc<Self>,
        agent_binary: PathBuf,
        notices: tokio::sync::mpsc::Receiver<crate::agent::ConnectionEvent>,
    ) {
        if let Err(error) = self.outside.store.sweep() {
            tracing::warn!(%error, "half-written files of the former coordinator are left over");
        }
        self.load_finished();
        self.reach(&agent_binary).await;
        tokio::join!(self.first_mounter(), self.first_guard());
        let specs = self.pool_specs().await;
        self.reserve_uids().await;
        // Adopt first, fill the pools after: a worker that is there is not made again.
        self.adopt_listed().await;
        self.adopt_moving().await;
        self.brief_guard().await;
        podbay_failpoints::failpoint!("adopt.listed");
        self.feed(Event::Configured(specs));
        self.up.send_replace(true);
        self.confirm_upgrade().await;
        self.background("agents", self.clone().run_agent_events(notices));
        self.background("listing", self.clone().keep_listing());
        self.background("events", self.clone().follow_events());
        self.background("parts", self.clone().keep_checking());
        self.background("records", self.clone().keep_writing());
        self.background("time", self.clone().keep_time());
        self.background("disks", self.clone().keep_disks());
        self.background("meters", self.clone().read_meters());
        self.background("tells", self.clone().tell_later());
        self.background("counts", self.clone().keep_counts());
        self.background("quotas", self.clone().keep_quotas());
        self.background("mounter", self.clone().keep_mounter());
        self.background("guard", self.clone().keep_guard());
        self.background("images", self.clone().pull_at_start());
        self.settle_leftovers().await;
        self.clone().keep_images().await;
    }

    fn load_finished(&self) {
        match self.outside.store.finished() {
            Ok(found) => {
                let mut state = self.lock();
                for finished in found {
                    let id = finished.claim.id.clone();
                    if let Some(exit) = finished.exit {
                        let session = finished.claim.session.clone();
                        state.exits.add(&id, session, exit, finished.oom);
                    }
                    if finished.unapplied && finished.changes.is_none() {
                        state.counts.want(id.clone());
                    }
                    state.finished.insert(id, finished);
                }
            }
            Err(error) => tracing::warn!(%error, "finished sessions cannot be read"),
        }
    }

    async fn adopt_listed(self: &Arc<Self>) {
        let mut wait = std::time::Duration::from_millis(100);
        while let Err(error) = self.list_once().await {
            tracing::warn!(%error, "cannot list the containers yet");
            self.engine_said(&error);
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(std::time::Duration::from_secs(5));
        }
    }

    /// The uids of what is on disk are in use, whether a container is listed or not. Nothing is
    /// created before they are known.
    async fn reserve_uids(self: &Arc<Self>) {
        let mut wait = FIRST_RETRY;
        let on_disk = loop {
            let store = self.outside.store.clone();
            match blocking(move || store.worker_uids()).await {
                Ok(found) => break found,
                Err(error) => {
                    tracing::warn!(%error, "the workers' folders cannot be read yet");
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(LONGEST_RETRY);
                }
            }
        };
        let uids = {
            let state = self.lock();
            let open = |(id, _): &(WorkerId, u32)| !state.finished.contains_key(id);
            on_disk.into_iter().filter(open).collect()
        };
        self.feed(Event::Reserve(uids));
    }

    /// Workers whose container was being recreated when the former coordinator died, and that have
    /// none: lost, under the uid that they had.
    async fn adopt_moving(self: &Arc<Self>) {
        for worker in self.unlisted() {
            let Folder::Lost(claim) = of_folder(self.outside.store.claim(&worker)) else {
                continue;
            };
            if let Err(error) = self.resume_interrupted_recreation(*claim) {
                tracing::warn!(%worker, error, "it ends here");
            }
        }
    }

    /// Workers that have a folder and neither a container nor a record of their end.
    fn unlisted(&self) -> Vec<WorkerId> {
        let on_disk = match self.outside.store.workers() {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, "the workers' folders cannot be read");
                return Vec::new();
            }
        };
        let state = self.lock();
        let known =
            |id: &WorkerId| state.records.contains_key(id) || state.finished.contains_key(id);
        on_disk.into_iter().filter(|id| !known(id)).collect()
    }

    /// Folders of workers whose container is gone: claimed ones become finished sessions, the
    /// others go.
    async fn settle_leftovers(self: &Arc<Self>) {
        for worker in self.unlisted() {
            podbay_failpoints::failpoint!("adopt.leftover");
            let reason = "its container was gone when the coordinator started".to_owned();
            self.finalize(&worker, &RemoveCause::Unhealthy(reason))
                .await;
            if !self.lock().leftovers.contains(&worker) {
                self.feed(Event::Release(worker));
            }
        }
    }
}
