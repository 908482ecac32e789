//! What wakes the daemon's tasks and what waits for a worker's news.
//!
//! Owns one wake-up for each task that keeps something true, and the news of all workers. Never
//! carries data: who is woken looks at the state.

use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

/// A task that sleeps until there is something to do for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Lists the containers: something changed at the engine.
    Listing,
    /// Follows the engine's events: the engine is back, the former stream may never end.
    Events,
    /// Checks the engine's parts: a creation failed, or the engine is back.
    Parts,
    /// Checks the mounter: a helper's container changed, or a folder is left over.
    Mounter,
    /// Checks the mounter, whether it works or not: the configuration of hot mounts changed.
    HotMounts,
    /// Looks up the profiles' images: one was built, pulled or removed.
    Images,
    /// Writes claims' records: one could not be written.
    Records,
    /// Counts changes: a session rests or works.
    Counts,
    /// Weighs what workers put on the state volume: something was measured, or the limits changed.
    Quotas,
}

impl Task {
    const COUNT: usize = Self::Quotas as usize + 1;
}

/// All wake-ups of the daemon.
#[derive(Debug, Default)]
pub struct Wakes {
    tasks: [Notify; Task::COUNT],
    news: Notify,
}

impl Wakes {
    /// Wakes the task, or keeps it from sleeping the next time. Several calls are one wake-up.
    pub fn wake(&self, task: Task) {
        if let Some(task) = self.tasks.get(task as usize) {
            task.notify_one();
        }
    }

    /// Sleeps until the task is woken.
    pub async fn woken(&self, task: Task) {
        match self.tasks.get(task as usize) {
            Some(task) => task.notified().await,
            None => std::future::pending().await,
        }
    }

    /// A session ended or started, or a worker changed: everyone in [`Self::until`] looks again.
    pub fn news(&self) {
        self.news.notify_waiters();
    }

    /// Looks now and at all news until there is an answer; `None` after the deadline.
    pub async fn until<T>(
        &self,
        deadline: Instant,
        mut look: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        loop {
            let news = self.news.notified();
            tokio::pin!(news);
            // News between the look and the wait count.
            news.as_mut().enable();
            if let Some(answer) = look() {
                return Some(answer);
            }
            timeout_at(deadline, news).await.ok()?;
        }
    }
}
