//! One change at a time to a worker's mount, until it is noted. Owns the turns. Never lets a worker wait
//! for another one.

use std::{
    collections::HashSet,
    sync::{Arc, Condvar, Mutex, PoisonError},
};

/// Workers whose mount is being changed or noted.
#[derive(Default)]
pub(crate) struct Busy {
    workers: Mutex<HashSet<String>>,
    news: Condvar,
}

/// One worker's turn, until dropped.
pub(crate) struct Turn {
    busy: Arc<Busy>,
    /// Whose.
    pub worker: String,
}

impl Busy {
    /// Waits until nobody else changes or notes this worker's mount.
    pub(crate) fn take(self: &Arc<Self>, worker: &str) -> Turn {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.news.wait_while(workers, |w| w.contains(worker));
        let mut workers = waited.unwrap_or_else(PoisonError::into_inner);
        workers.insert(worker.to_owned());
        Turn {
            busy: Arc::clone(self),
            worker: worker.to_owned(),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let workers = self.busy.workers.lock();
        workers
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.worker);
        self.busy.news.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_changes_a_workers_mount_and_others_do_not_wait() {
        let busy = Arc::new(Busy::default());
        let first = busy.take("a");
        drop(busy.take("b"));
        let done = std::sync::atomic::AtomicBool::new(false);
        let is_done = || done.load(std::sync::atomic::Ordering::SeqCst);
        std::thread::scope(|scope| {
            let second = scope.spawn(|| {
                let _turn = busy.take("a");
                assert!(is_done(), "two at a time");
            });
            for _ in 0..1000 {
                std::thread::yield_now();
            }
            done.store(true, std::sync::atomic::Ordering::SeqCst);
            drop(first);
            second.join().unwrap();
        });
    }
}
