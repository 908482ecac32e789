//! Sessions' recordings and the audit log, read for clients.
//!
//! Every piece is read by a thread of the blocking pool and that thread is given back before the
//! piece is sent: a slow client holds no thread, and a hostile file stops no other request.

use crate::daemon::{Daemon, blocking};
use crate::{
    model::WorkerId,
    store::{Piece, Recording, RecordingQuery},
    wire::{ApiError, ErrorKind, LogsQuery},
};
use std::{path::Path, sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How often a followed recording is looked at.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(100);
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

/// Reads one session's recording.
#[derive(Debug)]
pub struct LogReader {
    daemon: Arc<Daemon>,
    worker: WorkerId,
    session: String,
    /// Away while a piece is read, and after a failure.
    recording: Option<Recording>,
    slot: ReaderSlot,
    follow: bool,
}

impl Daemon {
    /// Opens a session's recording.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for no such worker or no recording; [`ErrorKind::Exhausted`] when too
    /// many clients read logs.
    pub async fn logs(
        self: &Arc<Self>,
        name: &str,
        query: &LogsQuery,
    ) -> Result<LogReader, ApiError> {
        let worker = self.find(name)?;
        let claim = self.claim_of(&worker).ok_or_else(|| {
            ApiError::new(
                ErrorKind::Conflict,
                "the worker has no session: it is not claimed",
            )
        })?;
        let slot = self.readers.slot(&self.readers.logs, MAX_READERS, "logs")?;
        let folder = self.state_dir.worker(&worker).log();
        let sessions: Vec<String> = if query.previous {
            claim.earlier_sessions().collect()
        } else {
            vec![claim.session.clone()]
        };
        let previous = query.previous;
        let wanted = RecordingQuery {
            tail: query.tail,
            since: query
                .since_s
                .map(|s| crate::daemon::unix_ms() as f64 / 1000.0 - s as f64),
            follow: query.follow,
        };
        let open = move |(): &mut ()| open(&folder, sessions, previous, wanted);
        let opened = slot.read((), open).await;
        let (session, recording) = opened
            .map_err(|e| {
                let message = format!("the recording cannot be read: {e}");
                ApiError::new(ErrorKind::Internal, message)
            })?
            .1
            .ok_or_else(|| {
                let message = format!("{} has no session before this one", claim.name);
                ApiError::new(ErrorKind::NotFound, message)
            })?;
        Ok(LogReader {
            daemon: self.clone(),
            worker,
            session,
            recording: Some(recording),
            slot,
            follow: query.follow,
        })
    }

    /// A place among the clients that read the audit log.
    ///
    /// # Errors
    /// [`ErrorKind::Exhausted`] when there are too many.
    pub fn audit_slot(&self) -> Result<ReaderSlot, ApiError> {
        self.readers
            .slot(&self.readers.audit, MAX_AUDIT_READERS, "the audit log")
    }
}

/// The first session that was recorded, of those before; else the one there is.
fn open(
    folder: &Path,
    sessions: Vec<String>,
    previous: bool,
    query: RecordingQuery,
) -> std::io::Result<Option<(String, Recording)>> {
    let found = sessions
        .into_iter()
        .find(|session| !previous || Recording::exists(folder, session));
    let Some(session) = found else {
        return Ok(None);
    };
    let recording = Recording::open(folder, &session, query)?;
    Ok(Some((session, recording)))
}

impl LogReader {
    /// The next bytes; `None` at the end. Waits while following a session that goes on.
    ///
    /// # Errors
    /// The recording cannot be read.
    pub async fn next(&mut self) -> Option<std::io::Result<Vec<u8>>> {
        loop {
            let over = !self.follow || self.over();
            match self.read().await? {
                Ok(piece) if !piece.bytes.is_empty() => return Some(Ok(piece.bytes)),
                Ok(piece) if !piece.end => {}
                Ok(_) if over => return None,
                Ok(_) => tokio::time::sleep(FOLLOW_INTERVAL).await,
                Err(error) => return Some(Err(error)),
            }
        }
    }

    async fn read(&mut self) -> Option<std::io::Result<Piece>> {
        let recording = self.recording.take()?;
        match self.slot.read(recording, Recording::read).await {
            Ok((recording, piece)) => {
                self.recording = Some(recording);
                Some(Ok(piece))
            }
            Err(error) => Some(Err(error)),
        }
    }

    fn over(&self) -> bool {
        let state = self.daemon.lock();
        match state.records.get(&self.worker) {
            Some(record) => {
                record.session.exit.is_some()
                    || record.underway.removes()
                    || !record.is_main(&self.session)
            }
            None => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reader_over_the_bound_is_told_so_and_a_place_comes_back() {
        let readers = Readers::default();
        let slot = || readers.slot(&readers.logs, MAX_READERS, "logs");
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
