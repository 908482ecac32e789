//! How many sockets the workers may have open here.
//!
//! A worker connects as often as it likes. What it may hold of the coordinator is counted: so many
//! connections that have not said who they are, one control connection, so many streams, so many
//! connections a second; and of all workers together a share of the process's descriptors, so that
//! the API's own listener can always accept.

use crate::model::{Bucket, WorkerId};
use nix::sys::resource::{Resource, getrlimit};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

/// Connections of one worker that have not said who they are; more are not accepted meanwhile.
pub(super) const MAX_UNIDENTIFIED: usize = 16;
/// Streams of one worker, of attached clients and execs; more are closed at once.
const MAX_STREAMS: usize = 256;
/// Connections accepted of one worker at once, and a second; more wait in the kernel's queue, which
/// is bounded.
const MAX_ACCEPTS: (u32, f64) = (512, 1_000.0);
/// Control connections of one worker at once, and a second; more are closed at once. An agent dials
/// again when its connection broke, which is rare.
const MAX_CONTROLS: (u32, f64) = (8, 0.5);
/// Descriptors that no worker can take: the API's connections, files, the engine.
const RESERVED: usize = 2048;

/// A socket's place among those of its worker and of all. Given back when dropped.
#[derive(Debug)]
pub struct Slot {
    _all: OwnedSemaphorePermit,
    _stream: Option<OwnedSemaphorePermit>,
}

/// The sockets of all workers.
#[derive(Debug, Clone)]
pub(super) struct AllSockets {
    all: Arc<Semaphore>,
}

impl AllSockets {
    /// As many as this process's limit of descriptors leaves beside a reserve.
    pub fn new() -> Self {
        let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft);
        Self::within(usize::try_from(limit).unwrap_or(usize::MAX))
    }

    fn within(limit: usize) -> Self {
        let share = limit.saturating_sub(RESERVED.min(limit / 2));
        Self {
            all: Arc::new(Semaphore::new(share.clamp(1, Semaphore::MAX_PERMITS))),
        }
    }
}

/// The sockets of one worker.
#[derive(Debug, Clone)]
pub(super) struct WorkerSockets {
    all: AllSockets,
    unidentified: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    accepts: Arc<Mutex<Bucket>>,
    controls: Arc<Mutex<Bucket>>,
}

/// A connection that has not said who it is.
#[derive(Debug)]
pub(super) struct Unidentified {
    all: OwnedSemaphorePermit,
    _own: OwnedSemaphorePermit,
}

impl WorkerSockets {
    pub fn new(all: AllSockets) -> Self {
        Self {
            all,
            unidentified: Arc::new(Semaphore::new(MAX_UNIDENTIFIED)),
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
            accepts: Arc::new(Mutex::new(Bucket::new(MAX_ACCEPTS.0, MAX_ACCEPTS.1))),
            controls: Arc::new(Mutex::new(Bucket::new(MAX_CONTROLS.0, MAX_CONTROLS.1))),
        }
    }

    /// Waits until another connection may be accepted; `None` when the hub is gone.
    pub async fn admit(&self, worker: &WorkerId) -> Option<Unidentified> {
        loop {
            let wait = take(&self.accepts).err();
            match wait {
                None => break,
                Some(wait) => tokio::time::sleep(wait).await,
            }
        }
        let own = self.unidentified.clone().acquire_owned().await.ok()?;
        let all = match self.all.all.clone().try_acquire_owned() {
            Ok(all) => all,
            Err(_) => {
                tracing::warn!(%worker, "accepting pauses: all workers together have too many sockets");
                self.all.all.clone().acquire_owned().await.ok()?
            }
        };
        Some(Unidentified { all, _own: own })
    }

    /// A connection said that it is the control connection; `None` when there were too many.
    pub fn control(&self, from: Unidentified) -> Option<Slot> {
        take(&self.controls).ok()?;
        Some(Slot {
            _all: from.all,
            _stream: None,
        })
    }

    /// A connection said that it is a stream; `None` when there are too many.
    pub fn stream(&self, from: Unidentified) -> Option<Slot> {
        let stream = self.streams.clone().try_acquire_owned().ok()?;
        Some(Slot {
            _all: from.all,
            _stream: Some(stream),
        })
    }
}

fn take(bucket: &Mutex<Bucket>) -> Result<(), Duration> {
    let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
    bucket.take(Instant::now().into_std())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_all_workers_hold_leaves_a_reserve() {
        assert_eq!(AllSockets::within(20_000).all.available_permits(), 17_952);
        assert_eq!(AllSockets::within(1024).all.available_permits(), 512);
        let all = AllSockets::within(6);
        let (a, b) = (WorkerId::from_bits(1), WorkerId::from_bits(2));
        let (of_a, of_b) = (WorkerSockets::new(all.clone()), WorkerSockets::new(all));
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(of_a.admit(&a).await.unwrap());
        }
        let waiting = tokio::spawn(async move { of_b.admit(&b).await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        held.pop();
        assert!(waiting.await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_worker_has_so_many_streams_and_control_connections_and_no_more() {
        let sockets = WorkerSockets::new(AllSockets::within(20_000));
        let worker = WorkerId::from_bits(1);
        let mut streams = Vec::new();
        for _ in 0..MAX_STREAMS {
            let new = sockets.admit(&worker).await.unwrap();
            streams.push(sockets.stream(new).unwrap());
        }
        let new = sockets.admit(&worker).await.unwrap();
        assert!(sockets.stream(new).is_none());
        streams.pop();
        let new = sockets.admit(&worker).await.unwrap();
        assert!(sockets.stream(new).is_some());
        let mut controls = 0;
        for _ in 0..100 {
            let new = sockets.admit(&worker).await.unwrap();
            controls += usize::from(sockets.control(new).is_some());
        }
        assert!(controls <= 10, "{controls}");
    }
}
