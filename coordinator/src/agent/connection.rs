//! One control connection: requests out, answers and events in.

use super::{hub::AgentNotice, said::FromWorker, sockets::Slot, version::AgentVersion};
use crate::model::{Bucket, WorkerId};
use podbay_protocol::{
    AgentError, ErrorCode, FrameDecoder, FromAgent, Reply, ToAgent, ToAgentBody,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64, atomic::Ordering},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::unix::{OwnedReadHalf, OwnedWriteHalf},
    sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::Instant,
};

/// Requests under way to one agent; more wait.
const QUEUE: usize = 64;
/// Bytes of requests that wait for one agent to read them; more requests wait.
const MAX_QUEUED: usize = 4 << 20;
/// Reports of one agent that wait to be heard; it is not read meanwhile, and others are.
const MAX_UNHEARD: usize = 8;
/// Reports of one agent at once, and a second; it is not read while there are more.
const MAX_EVENTS: (u32, f64) = (4_000, 2_000.0);

type Answer = oneshot::Sender<Result<Reply, AgentError>>;

/// Why a request to an agent came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AgentRequestError {
    /// The agent refused.
    #[error("{}", .0.message)]
    Refused(AgentError),
    /// The agent does not know the operation, or its answer is not understood.
    #[error("{operation:?} does not work with the worker's agent, which is of {version}")]
    OtherVersion {
        /// The operation, as it is named on the wire.
        operation: &'static str,
        /// What the agent says of itself.
        version: Arc<AgentVersion>,
    },
    /// The connection had ended before the request was handed over: nothing was sent.
    #[error("the worker's agent is not connected")]
    NotSent,
    /// The connection ended; the agent may have got the request.
    #[error("the connection to the worker's agent ended")]
    Gone,
    /// No answer in time.
    #[error("the worker's agent did not answer within {0:?}")]
    TimedOut(Duration),
    /// The request cannot be sent.
    #[error("the request to the agent is too large: {0}")]
    TooLarge(String),
}

/// Requests to one agent. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AgentHandle {
    /// Which connection of this worker, to tell a late end from a newer connection.
    pub(super) generation: u64,
    worker: WorkerId,
    version: Arc<AgentVersion>,
    frames: mpsc::Sender<(Vec<u8>, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
    closing: Arc<Notify>,
    pending: Arc<Mutex<BTreeMap<u64, Answer>>>,
    next: Arc<AtomicU64>,
}

impl AgentHandle {
    /// Which version the agent is of.
    #[must_use]
    pub fn version(&self) -> &AgentVersion {
        &self.version
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// [`AgentRequestError`]; `deadline` bounds the whole.
    pub async fn request(
        &self,
        body: ToAgentBody,
        deadline: Duration,
    ) -> Result<FromWorker<Reply>, AgentRequestError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let operation = body.name();
        let frame = ToAgent { id, body }
            .to_frame()
            .map_err(|e| AgentRequestError::TooLarge(e.to_string()))?;
        let (answer, answered) = oneshot::channel();
        self.lock().insert(id, answer);
        let exchange = async {
            let bytes = u32::try_from(frame.len()).unwrap_or(u32::MAX);
            let room = self.room.clone().acquire_many_owned(bytes).await;
            let room = room.map_err(|_| AgentRequestError::NotSent)?;
            if self.frames.send((frame, room)).await.is_err() {
                return Err(AgentRequestError::NotSent);
            }
            match answered.await {
                Ok(result) => result
                    .map(|reply| FromWorker::new(self.worker.clone(), reply))
                    .map_err(|refused| self.refusal(operation, refused)),
                Err(_) => Err(AgentRequestError::Gone),
            }
        };
        let result = tokio::time::timeout(deadline, exchange).await;
        self.lock().remove(&id);
        result.unwrap_or(Err(AgentRequestError::TimedOut(deadline)))
    }

    /// Ends the connection and its tasks; requests under way are answered with
    /// [`AgentRequestError::Gone`].
    pub(super) fn close(&self) {
        self.closing.notify_one();
    }

    fn refusal(&self, operation: &'static str, refused: AgentError) -> AgentRequestError {
        if refused.code != ErrorCode::Unsupported {
            return AgentRequestError::Refused(refused);
        }
        tracing::debug!(
            operation,
            why = refused.message,
            "an agent of another version"
        );
        AgentRequestError::OtherVersion {
            operation,
            version: self.version.clone(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Answer>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn resolve(&self, id: u64, result: Result<Reply, AgentError>) {
        if let Some(answer) = self.lock().remove(&id)
            && answer.send(result).is_err()
        {
            tracing::debug!(id, "answer came after its deadline");
        }
    }
}

/// Starts the two tasks of a control connection whose handshake is done. They hold `slot` until they
/// end.
#[expect(clippy::too_many_arguments, reason = "a connection's parts, used once")]
pub(super) fn run(
    worker: WorkerId,
    generation: u64,
    version: AgentVersion,
    mut decoder: FrameDecoder,
    mut reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    notices: mpsc::Sender<AgentNotice>,
    slot: Slot,
) -> AgentHandle {
    let (frames, outgoing) = mpsc::channel(QUEUE);
    let handle = AgentHandle {
        generation,
        worker: worker.clone(),
        version: Arc::new(version),
        frames,
        room: Arc::new(Semaphore::new(MAX_QUEUED)),
        closing: Arc::new(Notify::new()),
        pending: Arc::new(Mutex::new(BTreeMap::new())),
        next: Arc::new(AtomicU64::new(1)),
    };
    let writing = tokio::spawn(write_frames(outgoing, writer));
    let reading = handle.clone();
    tokio::spawn(async move {
        let why = tokio::select! {
            biased;
            () = reading.closing.notified() => "closed by the coordinator".to_owned(),
            why = read_frames(&worker, &reading, &mut decoder, &mut reader, &notices) => why,
        };
        writing.abort();
        reading.room.close();
        reading.lock().clear();
        drop((reader, slot));
        tracing::debug!(%worker, why, "agent connection ended");
        if notices
            .send(AgentNotice::Gone { worker, generation })
            .await
            .is_err()
        {
            tracing::debug!("nobody listens to agents any more");
        }
    });
    handle
}

async fn write_frames(
    mut frames: mpsc::Receiver<(Vec<u8>, OwnedSemaphorePermit)>,
    mut writer: OwnedWriteHalf,
) {
    while let Some((frame, room)) = frames.recv().await {
        if writer.write_all(&frame).await.is_err() {
            return;
        }
        drop(room);
    }
}

async fn read_frames(
    worker: &WorkerId,
    handle: &AgentHandle,
    decoder: &mut FrameDecoder,
    reader: &mut OwnedReadHalf,
    notices: &mpsc::Sender<AgentNotice>,
) -> String {
    let mut buffer = vec![0; 16 * 1024];
    let unheard = Arc::new(Semaphore::new(MAX_UNHEARD));
    let mut rate = Bucket::new(MAX_EVENTS.0, MAX_EVENTS.1);
    loop {
        loop {
            match decoder.next_json().map(|f| f.map(understand)) {
                Ok(Some(Heard::Known(FromAgent::Response(response)))) => {
                    handle.resolve(response.id, response.result);
                }
                Ok(Some(Heard::Answer(id, error))) => handle.resolve(id, Err(error)),
                Ok(Some(Heard::Unknown(why))) => {
                    tracing::debug!(%worker, why, "passed over what the agent said");
                }
                Ok(Some(Heard::Known(FromAgent::Event(event)))) => {
                    while let Err(wait) = rate.take(Instant::now().into_std()) {
                        tokio::time::sleep(wait).await;
                    }
                    let Ok(slot) = unheard.clone().acquire_owned().await else {
                        return "the coordinator is stopping".to_owned();
                    };
                    let said = FromWorker::new(worker.clone(), event);
                    let notice = AgentNotice::Event { said, slot };
                    if notices.send(notice).await.is_err() {
                        return "the coordinator is stopping".to_owned();
                    }
                }
                Ok(None) => break,
                Err(error) => return error.to_string(),
            }
        }
        match reader.read(&mut buffer).await {
            Ok(0) => return "closed by the agent".to_owned(),
            Ok(n) => decoder.push(buffer.get(..n).unwrap_or_default()),
            Err(error) => return error.to_string(),
        }
    }
}

/// A frame of an agent that may be newer than this coordinator.
enum Heard {
    Known(FromAgent),
    /// An answer to this request that is not understood.
    Answer(u64, AgentError),
    Unknown(String),
}

/// What is not understood ends no connection: sessions live behind it.
fn understand(frame: serde_json::Value) -> Heard {
    let answered = frame
        .get("response")
        .unwrap_or(&frame)
        .get("id")
        .and_then(serde_json::Value::as_u64);
    match FromAgent::of_json(frame) {
        Ok(mut known) => {
            known.bound();
            Heard::Known(known)
        }
        Err(error) => match answered {
            Some(id) => {
                let message =
                    format!("the worker's agent answered what is not understood: {error}");
                let code = ErrorCode::Unsupported;
                Heard::Answer(id, AgentError { code, message })
            }
            None => Heard::Unknown(error.to_string()),
        },
    }
}

/// A fitting API error kind for what an agent refused.
#[must_use]
pub(crate) fn kind_of(code: ErrorCode) -> crate::wire::ErrorKind {
    use crate::wire::ErrorKind;
    match code {
        ErrorCode::CommandNotFound => ErrorKind::CommandNotFound,
        ErrorCode::NotExecutable => ErrorKind::NotExecutable,
        ErrorCode::NoSuchSession => ErrorKind::NotFound,
        ErrorCode::Exists => ErrorKind::Conflict,
        ErrorCode::Invalid => ErrorKind::Invalid,
        ErrorCode::Exhausted => ErrorKind::Exhausted,
        ErrorCode::Unsupported | ErrorCode::System => ErrorKind::Internal,
    }
}
