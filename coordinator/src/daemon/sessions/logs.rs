//! Sessions' recordings and the audit log, read for clients.
//!
//! Every piece is read by a thread of the blocking pool and that thread is given back before the
//! piece is sent: a slow client holds no thread, and a hostile file stops no other request.

use super::readers::ReaderSlot;
use crate::daemon::Daemon;
use crate::{
    model::WorkerId,
    store::{Piece, Recording, RecordingQuery},
    wire::{ApiError, ErrorKind, LogsQuery},
};
use std::{path::Path, sync::Arc, time::Duration};

/// How often a followed recording is looked at.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(100);

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
        let slot = self.readers.log_slot()?;
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
        self.readers.audit_slot()
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
