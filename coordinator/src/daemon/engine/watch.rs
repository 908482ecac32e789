//! Following the engine: listing, its events, and whether its own parts work.
//!
//! The listing is the truth and comes round whatever happens; events only make it come sooner.
//! Must never call more often the worse the engine is.

use crate::daemon::{
    Daemon, blocking,
    engine::sync::{FIRST_RETRY, LONGEST_RETRY},
    wakes::Task,
};
use crate::{
    fleet::Event,
    runtime::{RuntimeError, replaced_socket},
    wire::EventBody,
};
use futures_util::StreamExt;
use std::{path::Path, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, timeout};

/// Several hints in a row are one relist.
const GATHER: Duration = Duration::from_millis(20);
/// The longest pause between two tries to list while they fail; hints do not shorten it.
const LISTING_RETRY: Duration = Duration::from_secs(2);
/// A stream of events on which nothing came for so long is asked for anew: one that stalled says
/// nothing of it.
const QUIET: Duration = Duration::from_secs(30);
/// A stream that lasted so long was a sound one.
const SOUND: Duration = Duration::from_secs(5);
/// How often the engine is asked for its parts.
const PARTS_INTERVAL: Duration = Duration::from_secs(5);
/// The parent's process and the engine's socket, both as the engine's host names them.
const SOCKET_NOTE: &str = "run/engine-socket";
/// Several doubts in a row are one question.
const DOUBT: Duration = Duration::from_millis(500);

impl Daemon {
    /// Lists everything now and then, and at once when something hints that it should.
    pub(in crate::daemon) async fn keep_listing(self: Arc<Self>) {
        let mut failures = 0u32;
        loop {
            let interval = self.config().engine.relist_interval;
            match self.list_once().await {
                Ok(()) => {
                    failures = 0;
                    self.engine_back();
                }
                Err(error) => {
                    // An engine that cannot list is of no use, whatever the reason.
                    failures = failures.saturating_add(1);
                    tracing::debug!(%error, failures, "cannot list");
                    self.engine_lost(error.to_string());
                    self.mend_socket(&error).await;
                    sleep((interval * failures).min(interval.max(LISTING_RETRY))).await;
                    continue;
                }
            }
            tokio::select! {
                biased;
                () = sleep(interval) => {}
                () = self.wakes.woken(Task::Listing) => sleep(GATHER).await,
            }
        }
    }

    /// Follows the engine's events: hints that a relist is worth while.
    pub(in crate::daemon) async fn follow_events(self: Arc<Self>) {
        let mut wait = FIRST_RETRY;
        loop {
            let Some(deployment) = self.deployment.get() else {
                return;
            };
            let began = Instant::now();
            let mut events = Box::pin(self.outside.engine.events(&deployment.own.name));
            let quiet = loop {
                let next = tokio::select! {
                    biased;
                    next = timeout(QUIET, events.next()) => next,
                    () = self.wakes.woken(Task::Events) => break true,
                };
                match next {
                    Ok(Some(Ok(event))) => {
                        if event.image {
                            self.wakes.wake(Task::Images);
                        } else if matches!(
                            event.action.as_str(),
                            "die" | "destroy" | "oom" | "pause" | "unpause" | "start"
                        ) {
                            tracing::debug!(?event, "the engine hints");
                            self.wakes.wake(Task::Listing);
                            if event.worker.is_none() {
                                self.wakes.wake(Task::Mounter);
                            }
                        }
                    }
                    Ok(Some(Err(error))) => {
                        tracing::debug!(%error, "the engine's events ended");
                        break false;
                    }
                    Ok(None) => break false,
                    Err(_) => break true,
                }
            };
            self.wakes.wake(Task::Listing);
            if began.elapsed() > SOUND {
                wait = FIRST_RETRY;
            }
            if !quiet {
                sleep(wait).await;
                wait = (wait * 2).min(LONGEST_RETRY);
            }
        }
    }

    /// Looks now and then whether the engine's parts work, and soon after a creation failed: the
    /// engine answers pings and lists without its containerd.
    pub(in crate::daemon) async fn keep_checking(self: Arc<Self>) {
        loop {
            tokio::select! {
                biased;
                () = sleep(PARTS_INTERVAL) => {}
                () = self.wakes.woken(Task::Parts) => sleep(DOUBT).await,
            }
            match self.outside.engine.missing_part().await {
                Ok(missing) => self.engine_degraded(missing),
                // The version needs an answer of containerd's, the listing does not.
                Err(error @ RuntimeError::TimedOut { .. }) => {
                    self.engine_degraded(Some(error.to_string()));
                }
                Err(error) => tracing::debug!(%error, "cannot ask for the engine's parts"),
            }
        }
    }

    /// The engine is reachable, and does not work all the same; `None`: it does.
    fn engine_degraded(self: &Arc<Self>, reason: Option<String>) {
        let before = {
            let mut state = self.lock();
            if !state.engine.reachable || state.engine.error == reason {
                return;
            }
            std::mem::replace(&mut state.engine.error, reason.clone())
        };
        match &reason {
            Some(reason) => tracing::warn!(reason, "the engine is degraded"),
            None => {
                tracing::info!(?before, "the engine works again");
                self.feed(Event::EngineBack);
            }
        }
        self.bus.send(EventBody::Engine {
            reachable: true,
            error: reason,
        });
    }

    /// Notes where the engine's socket is on its host: a coordinator that starts while the mount of
    /// it leads nowhere cannot ask.
    pub(in crate::daemon) async fn remember_socket(&self, parent_pid: i32, source: &Path) {
        let noted = format!("{parent_pid} {}", source.display());
        let file = self.state_dir.join(SOCKET_NOTE);
        if let Err(error) = blocking(move || std::fs::write(file, noted)).await {
            tracing::debug!(%error, "the engine's socket is not noted");
        }
    }

    /// An engine that was started anew has made its socket anew, and the mount of the old one
    /// leads nowhere: the mounter puts the new one in its place. It checks what it is told.
    pub(in crate::daemon) async fn mend_socket(&self, error: &RuntimeError) {
        let target = self.outside.engine.socket();
        if !matches!(error, RuntimeError::Unreachable { .. }) || !replaced_socket(target) {
            return;
        }
        let file = self.state_dir.join(SOCKET_NOTE);
        let noted = blocking(move || std::fs::read_to_string(file)).await;
        let noted = noted.unwrap_or_default();
        let Some((pid, source)) = noted.split_once(' ') else {
            return;
        };
        let pid = pid.parse().unwrap_or_default();
        match self
            .outside
            .mounter
            .engine_socket(pid, Path::new(source), target)
            .await
        {
            Ok(()) => tracing::info!("the engine's socket was made anew; it is mounted again"),
            Err(error) => {
                tracing::debug!(%error, "the engine's socket cannot be mounted again");
            }
        }
    }
}
