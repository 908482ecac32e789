//! The sockets of all workers.

use super::{
    bind::bind_private,
    connection,
    handle::AgentHandle,
    notice::ConnectionEvent,
    sockets::{AllSockets, Slot, Unidentified, WorkerSockets},
    version::AgentVersion,
};
use crate::model::WorkerId;
use podbay_protocol::{FrameDecoder, Hello, PROTOCOL_VERSION, Purpose, Welcome, encode, paths};
use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64, atomic::Ordering},
    time::Duration,
};
use subtle::ConstantTimeEq;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

/// How long a fresh connection may take to say who it is.
const HELLO_DEADLINE: Duration = Duration::from_secs(5);
/// Bytes of a connection's first words, and of what comes with them.
const MAX_HELLO: usize = 8 << 10;

/// Raw bytes of one attach or exec.
#[derive(Debug)]
pub struct RawStream {
    /// Bytes that came together with the hello.
    pub first: Vec<u8>,
    /// The rest.
    pub socket: UnixStream,
    /// Its place among the worker's sockets; to be dropped after the socket.
    pub slot: Slot,
}

#[derive(Debug)]
struct Listening {
    task: JoinHandle<()>,
    handle: Option<AgentHandle>,
}

impl Listening {
    fn end(self) {
        self.task.abort();
        if let Some(handle) = self.handle {
            handle.close();
        }
    }
}

#[derive(Debug, Default)]
struct Inner {
    workers: BTreeMap<WorkerId, Listening>,
    streams: BTreeMap<String, (WorkerId, oneshot::Sender<RawStream>)>,
}

/// All agent connections. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AgentRegistry {
    workers_dir: PathBuf,
    inner: Arc<Mutex<Inner>>,
    notices: mpsc::Sender<ConnectionEvent>,
    generations: Arc<AtomicU64>,
    sockets: AllSockets,
}

impl AgentRegistry {
    /// A hub for the workers below `workers_dir`; what happens goes to `notices`.
    #[must_use]
    pub fn new(workers_dir: PathBuf, notices: mpsc::Sender<ConnectionEvent>) -> Self {
        Self {
            workers_dir,
            inner: Arc::new(Mutex::new(Inner::default())),
            notices,
            generations: Arc::new(AtomicU64::new(1)),
            sockets: AllSockets::new(),
        }
    }

    /// Listens for a worker's agent, which must prove itself with `token`.
    ///
    /// # Errors
    /// The socket cannot be bound: no folder, no space.
    pub fn listen(&self, worker: &WorkerId, token: String) -> io::Result<()> {
        let path = self
            .workers_dir
            .join(worker.as_str())
            .join("run")
            .join(paths::SOCKET_NAME);
        let listener = bind_private(&path)?;
        let registry = self.clone();
        let id = worker.clone();
        let task = tokio::spawn(async move { registry.accept(id, listener, token).await });
        let listening = Listening { task, handle: None };
        if let Some(former) = self.lock().workers.insert(worker.clone(), listening) {
            former.end();
        }
        Ok(())
    }

    /// Forgets a worker: its socket and its control connection are closed.
    pub fn forget(&self, worker: &WorkerId) {
        let mut inner = self.lock();
        inner.streams.retain(|_, (owner, _)| owner != worker);
        if let Some(listening) = inner.workers.remove(worker) {
            listening.end();
        }
    }

    /// Requests to a worker's agent, when it is connected.
    #[must_use]
    pub fn handle(&self, worker: &WorkerId) -> Option<AgentHandle> {
        self.lock()
            .workers
            .get(worker)
            .and_then(|l| l.handle.clone())
    }

    /// Whether a worker's agent is listened for.
    #[must_use]
    pub fn listens(&self, worker: &WorkerId) -> bool {
        self.lock().workers.contains_key(worker)
    }

    /// Whose agents are listened for.
    #[cfg(test)]
    pub(crate) fn listening(&self) -> Vec<WorkerId> {
        self.lock().workers.keys().cloned().collect()
    }

    /// Whether the connection that ended was the current one; forgets its handle then.
    #[must_use]
    pub fn ended(&self, worker: &WorkerId, generation: u64) -> bool {
        let mut inner = self.lock();
        let Some(listening) = inner.workers.get_mut(worker) else {
            return false;
        };
        let current = listening
            .handle
            .as_ref()
            .is_some_and(|h| h.generation == generation);
        if current {
            listening.handle = None;
        }
        current
    }

    /// Expects a stream that the agent will dial with this one-time id.
    #[must_use]
    pub fn expect_stream(&self, worker: &WorkerId, stream: &str) -> ExpectedStream {
        let (found, arrival) = oneshot::channel();
        self.lock()
            .streams
            .insert(stream.to_owned(), (worker.clone(), found));
        ExpectedStream {
            registry: self.clone(),
            stream: stream.to_owned(),
            arrival,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn accept(&self, worker: WorkerId, listener: UnixListener, token: String) {
        let sockets = WorkerSockets::new(self.sockets.clone());
        let token: Arc<str> = token.into();
        loop {
            let Some(slot) = sockets.admit(&worker).await else {
                return;
            };
            match listener.accept().await {
                Ok((socket, _)) => {
                    let (registry, worker, token) = (self.clone(), worker.clone(), token.clone());
                    let sockets = sockets.clone();
                    tokio::spawn(async move {
                        let known = registry
                            .identify(&worker, socket, &token, &sockets, slot)
                            .await;
                        if let Err(why) = known {
                            tracing::warn!(%worker, why, "refused a connection on a worker's socket");
                        }
                    });
                }
                Err(error) => {
                    // Out of file descriptors, most likely: accepting pauses, sessions live on.
                    tracing::warn!(%worker, %error, "accepting on a worker's socket pauses");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
    }

    async fn identify(
        &self,
        worker: &WorkerId,
        mut socket: UnixStream,
        token: &str,
        sockets: &WorkerSockets,
        slot: Unidentified,
    ) -> Result<(), String> {
        let mut decoder = FrameDecoder::new();
        let hello = tokio::time::timeout(HELLO_DEADLINE, read_hello(&mut socket, &mut decoder))
            .await
            .map_err(|_| "said nothing".to_owned())??;
        if !bool::from(hello.token.as_bytes().ct_eq(token.as_bytes())) {
            return Err("wrong token".to_owned());
        }
        if hello.worker != worker.as_str() {
            return Err("says it is another worker".to_owned());
        }
        match hello.purpose {
            Purpose::Stream { stream } => {
                let Some(found) = self.expected(worker, &stream) else {
                    return Err("nobody expects its stream".to_owned());
                };
                let slot = sockets
                    .stream(slot)
                    .ok_or_else(|| "the worker has too many streams".to_owned())?;
                let raw = RawStream {
                    first: decoder.into_rest(),
                    socket,
                    slot,
                };
                if found.send(raw).is_err() {
                    tracing::debug!("a stream's client has gone");
                }
                Ok(())
            }
            Purpose::Control => {
                let slot = sockets
                    .control(slot)
                    .ok_or_else(|| "the worker's agent connects too often".to_owned())?;
                self.control(worker, socket, decoder, &hello, slot).await
            }
        }
    }

    /// Who expects this stream of this worker; of another worker's it stays expected.
    fn expected(&self, worker: &WorkerId, stream: &str) -> Option<oneshot::Sender<RawStream>> {
        let mut inner = self.lock();
        let (owner, _) = inner.streams.get(stream)?;
        if owner != worker {
            return None;
        }
        inner.streams.remove(stream).map(|(_, found)| found)
    }

    async fn control(
        &self,
        worker: &WorkerId,
        mut socket: UnixStream,
        decoder: FrameDecoder,
        hello: &Hello,
        slot: Slot,
    ) -> Result<(), String> {
        let version = AgentVersion::of(hello);
        if let Some(difference) = version.difference() {
            tracing::debug!(%worker, "the agent is of {difference}");
        }
        let welcome = Welcome {
            protocol: PROTOCOL_VERSION,
            build: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let frame = encode(&welcome).map_err(|e| e.to_string())?;
        socket.write_all(&frame).await.map_err(|e| e.to_string())?;
        let (reader, writer) = socket.into_split();
        let generation = self.generations.fetch_add(1, Ordering::Relaxed);
        let handle = connection::run(
            worker.clone(),
            generation,
            version,
            decoder,
            reader,
            writer,
            self.notices.clone(),
            slot,
        );
        // One control connection, the newest: an agent dials again only when its former one broke,
        // which this side may not have noticed yet.
        let former = match self.lock().workers.get_mut(worker) {
            Some(listening) => listening.handle.replace(handle.clone()),
            None => Some(handle.clone()),
        };
        if let Some(former) = former {
            former.close();
        }
        let notice = ConnectionEvent::Connected {
            worker: worker.clone(),
            handle,
        };
        self.notices
            .send(notice)
            .await
            .map_err(|_| "the coordinator is stopping".to_owned())
    }
}

/// A stream that the agent was told to dial.
#[derive(Debug)]
pub struct ExpectedStream {
    registry: AgentRegistry,
    stream: String,
    arrival: oneshot::Receiver<RawStream>,
}

impl ExpectedStream {
    /// The stream, or `None` when it did not come in time.
    pub async fn arrive(mut self, deadline: Duration) -> Option<RawStream> {
        tokio::time::timeout(deadline, &mut self.arrival)
            .await
            .ok()?
            .ok()
    }
}

impl Drop for ExpectedStream {
    fn drop(&mut self) {
        self.registry.lock().streams.remove(&self.stream);
    }
}

async fn read_hello(socket: &mut UnixStream, decoder: &mut FrameDecoder) -> Result<Hello, String> {
    let mut buffer = [0; 4096];
    let mut got = 0;
    loop {
        if let Some(hello) = decoder.next_frame::<Hello>().map_err(|e| e.to_string())? {
            return Ok(hello);
        }
        let n = socket.read(&mut buffer).await.map_err(|e| e.to_string())?;
        if n == 0 {
            return Err("closed before its hello".to_owned());
        }
        got += n;
        if got > MAX_HELLO {
            return Err("said too much before it was known".to_owned());
        }
        decoder.push(buffer.get(..n).unwrap_or_default());
    }
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
