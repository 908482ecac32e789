//! How many clients read logs at once, and how much is read for them.

use crate::{
    daemon::blocking,
    wire::{ApiError, ErrorKind},
};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Clients that read logs at once.
const MAX_READERS: usize = 64;
/// Clients that read the audit log at once.
const MAX_AUDIT_READERS: usize = 16;
/// Pieces that are read from the disk at once.
const MAX_READS: usize = 4;

/// How many clients may read logs, and how many threads read for them.
#[derive(Debug)]
pub(in crate::daemon) struct Readers {
    logs: Arc<Semaphore>,
    audit: Arc<Semaphore>,
    reads: Arc<Semaphore>,
}

/// One client's place among those that read.
#[derive(Debug)]
pub struct ReaderSlot {
    _place: OwnedSemaphorePermit,
    reads: Arc<Semaphore>,
}

impl Default for Readers {
    fn default() -> Self {
        Self {
            logs: Arc::new(Semaphore::new(MAX_READERS)),
            audit: Arc::new(Semaphore::new(MAX_AUDIT_READERS)),
            reads: Arc::new(Semaphore::new(MAX_READS)),
        }
    }
}

impl Readers {
    /// A place among the clients that read logs.
    pub(super) fn log_slot(&self) -> Result<ReaderSlot, ApiError> {
        self.slot(&self.logs, MAX_READERS, "logs")
    }

    /// A place among the clients that read the audit log.
    pub(super) fn audit_slot(&self) -> Result<ReaderSlot, ApiError> {
        self.slot(&self.audit, MAX_AUDIT_READERS, "the audit log")
    }

    fn slot(
        &self,
        places: &Arc<Semaphore>,
        most: usize,
        what: &str,
    ) -> Result<ReaderSlot, ApiError> {
        let place = places.clone().try_acquire_owned().map_err(|_| {
            let message = format!("{most} clients read {what} already");
            ApiError::new(ErrorKind::Exhausted, message).hint("end one of them, or try again later")
        })?;
        Ok(ReaderSlot {
            _place: place,
            reads: self.reads.clone(),
        })
    }
}

impl ReaderSlot {
    /// Reads something from the disk off the executor; gives `reader` back.
    ///
    /// # Errors
    /// The reading fails, or the coordinator stops.
    pub async fn read<R: Send + 'static, T: Send + 'static>(
        &self,
        mut reader: R,
        read: impl FnOnce(&mut R) -> std::io::Result<T> + Send + 'static,
    ) -> std::io::Result<(R, T)> {
        let turn = self.reads.clone().acquire_owned().await;
        let turn = turn.map_err(std::io::Error::other)?;
        blocking(move || {
            let result = read(&mut reader)?;
            drop(turn);
            Ok((reader, result))
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reader_over_the_bound_is_told_so_and_a_place_comes_back() {
        let readers = Readers::default();
        let slot = || readers.log_slot();
        let mut held: Vec<ReaderSlot> = (0..MAX_READERS).map(|_| slot().unwrap()).collect();
        let refused = slot().unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Exhausted);
        assert!(refused.message.contains("64 clients read logs"));
        held.pop();
        slot().unwrap();
        // Those that hold a place and read nothing hold no turn.
        let (_, read) = held[0].read(1, |n| Ok(*n + 1)).await.unwrap();
        assert_eq!(read, 2);
    }
}
