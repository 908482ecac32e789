//! Counts how much copy-on-write workers changed, beside everything else.
//!
//! One count is made at a time, when [`super::change_counts`] says so. Must never be on a claim's path.

use super::change_counts::MAX_ENTRIES;
use crate::daemon::{Daemon, wakes::Task};
use crate::{
    model::WorkerId,
    mounter_client::{MounterError, MounterErrorKind, ReviewClaim},
    wire::ChangeCount,
};
use podbay_protocol::ActivityState;
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::time::Instant;

impl Daemon {
    /// Asks for a count soon.
    pub(in crate::daemon) fn want_count(&self, id: &WorkerId) {
        self.lock().counts.want(id.clone());
        self.wakes.wake(Task::Counts);
    }

    /// Counts whatever is to be counted until the coordinator stops.
    pub(in crate::daemon) async fn keep_counts(self: Arc<Self>) {
        loop {
            let (due, wait) = self.due_counts();
            for (id, target) in &due {
                self.count(id, target).await;
            }
            if !due.is_empty() {
                continue;
            }
            match wait {
                Some(wait) => tokio::select! {
                    biased;
                    () = tokio::time::sleep(wait) => {}
                    () = self.wakes.woken(Task::Counts) => {}
                },
                None => self.wakes.woken(Task::Counts).await,
            }
        }
    }

    /// Who is to be counted now, and else how long to wait; `None` until somebody asks.
    fn due_counts(&self) -> (Vec<(WorkerId, ReviewClaim)>, Option<Duration>) {
        let now = Instant::now();
        let mut guard = self.lock();
        let state = &mut *guard;
        let live = state.records.values().filter(|r| !r.underway.removes());
        let live = live.filter_map(|record| {
            let working = record.session.exit.is_none()
                && record
                    .session
                    .activity
                    .as_ref()
                    .is_some_and(|a| a.state == ActivityState::Working);
            Some((
                record.id.clone(),
                self.target(record.claim.as_ref()?)?,
                working,
            ))
        });
        let finished = state.finished.values();
        let finished =
            finished.filter_map(|f| Some((f.claim.id.clone(), self.target(&f.claim)?, false)));
        let all: Vec<_> = live.chain(finished).collect();
        let known: BTreeSet<&WorkerId> = all.iter().map(|(id, ..)| id).collect();
        state.counts.keep(&known);
        let mut due = Vec::new();
        let mut next: Option<Duration> = None;
        for (id, target, working) in all {
            match state.counts.wait(&id, working, now) {
                Some(Duration::ZERO) => due.push((id, target)),
                Some(wait) => next = Some(next.map_or(wait, |next| next.min(wait))),
                None => {}
            }
        }
        (due, next)
    }

    async fn count(self: &Arc<Self>, id: &WorkerId, target: &ReviewClaim) {
        let began = Instant::now();
        match self
            .outside
            .mounter
            .count(target.clone(), MAX_ENTRIES)
            .await
        {
            Ok(count) => {
                let now = Instant::now();
                self.lock().counts.counted(id, now - began, now);
                self.note_count(id, count).await;
            }
            Err(error) => {
                tracing::debug!(worker = %id, %error, "changes are not counted");
                self.not_counted(id, &error);
            }
        }
    }

    fn not_counted(&self, id: &WorkerId, error: &MounterError) {
        let counts = &mut self.lock().counts;
        match error.kind {
            MounterErrorKind::Busy => counts.put_off(id, Instant::now()),
            _ => counts.failed(id, Instant::now()),
        }
    }

    /// One count now, for a worker that ends; `None` when it cannot be counted, or could not be
    /// a moment ago.
    pub(in crate::daemon) async fn counted(
        &self,
        id: &WorkerId,
        target: ReviewClaim,
    ) -> Option<ChangeCount> {
        if self.lock().counts.has_failed(id) {
            return None;
        }
        match self.outside.mounter.count(target, MAX_ENTRIES).await {
            Ok(count) => count,
            Err(error) => {
                tracing::debug!(worker = %id, %error, "changes are not counted");
                self.not_counted(id, &error);
                None
            }
        }
    }

    async fn note_count(self: &Arc<Self>, id: &WorkerId, count: Option<ChangeCount>) {
        let (news, finished) = {
            let mut state = self.lock();
            if let Some(record) = state.records.get_mut(id) {
                let news = std::mem::replace(&mut record.changes, count) != count;
                (news, false)
            } else if let Some(finished) = state.finished.get_mut(id) {
                let news = std::mem::replace(&mut finished.changes, count) != count;
                (news, true)
            } else {
                (false, false)
            }
        };
        if news
            && finished
            && let Err(error) = self.keep_changed(id).await
        {
            tracing::warn!(worker = %id, %error, "the count of its changes is not on disk");
        }
        if news {
            self.tell_worker(id);
        }
    }
}
