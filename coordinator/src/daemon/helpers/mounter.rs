//! The mounter's container: started when it is not there, started again when it is gone.

use crate::daemon::{
    Daemon,
    helpers::{Pause, START_DEADLINE},
    wakes::Task,
};
use crate::{
    mounter_client::{MounterError, MounterErrorKind},
    runtime::Helper,
    wire::{HOT_MOUNTS_OFF, HotMounts},
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// How often a mounter that works is looked at.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);
const HINT_PAUSE: Duration = Duration::from_millis(100);
/// How often a mounter that is to return is looked for.
const RETURN_STEP: Duration = Duration::from_millis(50);

impl Daemon {
    /// Makes the mounter work before the pools are filled, or says why it does not.
    pub(in crate::daemon) async fn first_mounter(self: &Arc<Self>) {
        if let Err(reason) = self.replace_old_mounter().await {
            tracing::warn!(reason, "the mounter may be of another version");
        }
        if let Err(reason) = self.ensure_mounter().await {
            self.no_mounter(reason);
        }
    }

    /// A mounter of another version goes: it may not know what it is asked for.
    async fn replace_old_mounter(&self) -> Result<(), String> {
        let deployment = self.deployment().map_err(|e| e.message)?;
        let keep = Some(deployment.podbay.as_str());
        let removed =
            self.outside
                .engine
                .remove_helpers(&deployment.own.name, Helper::Mounter, keep);
        if removed.await.map_err(|e| e.to_string())? > 0 {
            tracing::info!("the mounter of another version is replaced");
        }
        Ok(())
    }

    /// Looks after the mounter until the coordinator stops.
    pub(in crate::daemon) async fn keep_mounter(self: Arc<Self>) {
        let mut wait = Pause::FIRST;
        loop {
            let works = self.lock().hot.available;
            let missed = async {
                if !works {
                    // The pauses grow for as long as it cannot be started.
                    std::future::pending::<()>().await;
                }
                tokio::select! {
                    biased;
                    () = self.outside.mounter.missed() => {}
                    // Several in a row are one look.
                    () = self.wakes.woken(Task::Mounter) => tokio::time::sleep(HINT_PAUSE).await,
                }
            };
            tokio::select! {
                biased;
                () = tokio::time::sleep(if works { CHECK_INTERVAL } else { wait.get() }) => {}
                () = missed => {}
                () = self.wakes.woken(Task::HotMounts) => wait = Pause::FIRST,
            }
            match self.ensure_mounter().await {
                Ok(()) => {
                    wait = Pause::FIRST;
                    self.remove_leftovers().await;
                }
                Err(reason) => {
                    self.no_mounter(reason);
                    wait.grow();
                }
            }
        }
    }

    fn no_mounter(&self, reason: String) {
        let mut state = self.lock();
        if state.hot.reason.as_ref() != Some(&reason) {
            tracing::warn!(reason, "projects do not get into warm workers");
        }
        state.hot = HotMounts {
            available: false,
            idmapped: false,
            reason: Some(reason),
        };
    }

    async fn ensure_mounter(self: &Arc<Self>) -> Result<(), String> {
        if !self.config().workspace.hot_mounts {
            return Err(HOT_MOUNTS_OFF.to_owned());
        }
        if self.probe_mounter().await.is_ok() {
            return Ok(());
        }
        self.start_helper(Helper::Mounter, |daemon| async move {
            daemon.probe_mounter().await
        })
        .await
    }

    /// After a call that did not reach the mounter: waits until another one serves.
    pub(in crate::daemon) async fn mounter_back(&self) {
        let deadline = Instant::now() + START_DEADLINE;
        while self.outside.mounter.probe().await.is_err()
            && self.lock().hot.available
            && Instant::now() < deadline
        {
            tokio::time::sleep(RETURN_STEP).await;
        }
    }

    /// A call that may be repeated, and is once where the mounter died before it answered.
    pub(in crate::daemon) async fn repeated<T, F>(
        &self,
        call: impl Fn() -> F,
    ) -> Result<T, MounterError>
    where
        F: Future<Output = Result<T, MounterError>>,
    {
        match call().await {
            Err(error) if error.kind == MounterErrorKind::Unreachable => {
                self.mounter_back().await;
                call().await
            }
            answered => answered,
        }
    }

    async fn probe_mounter(&self) -> Result<(), String> {
        let caps = self
            .outside
            .mounter
            .probe()
            .await
            .map_err(|e| e.to_string())?;
        if !caps.bind {
            return Err(caps.reasons.join("; "));
        }
        self.lock().hot = HotMounts {
            available: true,
            idmapped: caps.idmap,
            reason: (!caps.reasons.is_empty()).then(|| caps.reasons.join("; ")),
        };
        Ok(())
    }

    /// The mounter, for reviews.
    pub(crate) fn reviewer(&self) -> &crate::mounter_client::MounterClient {
        &self.outside.reviews
    }
}
