//! Requests to one agent, and the callers that wait for their answers.

use super::{request_error::AgentRequestError, said::FromWorker, version::AgentVersion};
use crate::model::WorkerId;
use podbay_protocol::{AgentError, ErrorCode, Reply, ToAgent, ToAgentBody};
use std::{
    collections::BTreeMap,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64, atomic::Ordering},
    time::Duration,
};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

/// Requests under way to one agent; more wait.
const QUEUE: usize = 64;
/// Bytes of requests that wait for one agent to read them; more requests wait.
const MAX_QUEUED: usize = 4 << 20;

type Answer = oneshot::Sender<Result<Reply, AgentError>>;

/// A request on its way to the agent.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub id: u64,
    pub frame: Vec<u8>,
    /// A client's socket that goes with the frame's first byte. Closed here whatever becomes of it.
    pub socket: Option<OwnedFd>,
    /// What it takes of [`MAX_QUEUED`].
    pub room: OwnedSemaphorePermit,
}

/// Requests to one agent. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AgentHandle {
    /// Which connection of this worker, to tell a late end from a newer connection.
    pub(super) generation: u64,
    worker: WorkerId,
    version: Arc<AgentVersion>,
    frames: mpsc::Sender<Outgoing>,
    room: Arc<Semaphore>,
    closing: Arc<Notify>,
    pending: Arc<Mutex<BTreeMap<u64, Answer>>>,
    next: Arc<AtomicU64>,
}

impl AgentHandle {
    /// A handle, and the frames that go to the agent.
    pub(super) fn new(
        worker: WorkerId,
        generation: u64,
        version: AgentVersion,
    ) -> (Self, mpsc::Receiver<Outgoing>) {
        let (frames, outgoing) = mpsc::channel(QUEUE);
        let handle = Self {
            generation,
            worker,
            version: Arc::new(version),
            frames,
            room: Arc::new(Semaphore::new(MAX_QUEUED)),
            closing: Arc::new(Notify::new()),
            pending: Arc::new(Mutex::new(BTreeMap::new())),
            next: Arc::new(AtomicU64::new(1)),
        };
        (handle, outgoing)
    }

    /// Resolves once the connection is to end.
    pub(super) async fn closed(&self) {
        self.closing.notified().await;
    }

    /// Requests under way, and later ones, are answered with [`AgentRequestError`].
    pub(super) fn end(&self) {
        self.room.close();
        self.lock().clear();
    }

    /// Which of the worker's connections it is, the later the greater.
    #[must_use]
    pub fn connection(&self) -> u64 {
        self.generation
    }

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
        self.exchange(body, None, deadline).await
    }

    /// Hands a client's socket to the agent, with what was read from it. Afterwards this process has
    /// no descriptor of it, whatever the result.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub async fn hand(
        &self,
        stream: String,
        first: Vec<u8>,
        socket: OwnedFd,
        deadline: Duration,
    ) -> Result<FromWorker<Reply>, AgentRequestError> {
        let body = ToAgentBody::Hand { stream, first };
        self.exchange(body, Some(socket), deadline).await
    }

    async fn exchange(
        &self,
        body: ToAgentBody,
        socket: Option<OwnedFd>,
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
            let outgoing = Outgoing {
                id,
                frame,
                socket,
                room,
            };
            if self.frames.send(outgoing).await.is_err() {
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

    /// Gives an answer to the caller that waits for it.
    pub(super) fn resolve(&self, id: u64, result: Result<Reply, AgentError>) {
        if let Some(answer) = self.lock().remove(&id)
            && answer.send(result).is_err()
        {
            tracing::debug!(id, "answer came after its deadline");
        }
    }
}
