//! The sockets of all workers.

use super::{
    connection::{self, AgentHandle},
    version::AgentVersion,
};
use crate::model::WorkerId;
use podbay_protocol::{
    AgentEvent, FrameDecoder, Hello, PROTOCOL_VERSION, Purpose, Welcome, encode, paths,
};
use std::{
    collections::HashMap,
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
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
/// Connections of one worker that have not said who they are; more are not accepted meanwhile.
const UNIDENTIFIED: usize = 16;

/// What the hub tells the daemon.
#[derive(Debug)]
pub enum AgentNotice {
    /// An agent is connected; ask it to describe itself.
    Connected {
        /// The worker.
        worker: WorkerId,
        /// Requests to it.
        handle: AgentHandle,
    },
    /// A connection ended. An older generation than the current one means nothing.
    Gone {
        /// The worker.
        worker: WorkerId,
        /// Which connection.
        generation: u64,
    },
    /// An agent reports something.
    Event {
        /// The worker.
        worker: WorkerId,
        /// What.
        event: AgentEvent,
    },
}

/// Raw bytes of one attach or exec.
#[derive(Debug)]
pub struct RawStream {
    /// Bytes that came together with the hello.
    pub first: Vec<u8>,
    /// The rest.
    pub socket: UnixStream,
}

#[derive(Debug)]
struct Listening {
    task: JoinHandle<()>,
    handle: Option<AgentHandle>,
}

#[derive(Debug, Default)]
struct Inner {
    workers: HashMap<WorkerId, Listening>,
    streams: HashMap<String, (WorkerId, oneshot::Sender<RawStream>)>,
}

/// All agent connections. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AgentHub {
    workers_dir: PathBuf,
    inner: Arc<Mutex<Inner>>,
    notices: mpsc::Sender<AgentNotice>,
    generations: Arc<AtomicU64>,
}

impl AgentHub {
    /// A hub for the workers below `workers_dir`; what happens goes to `notices`.
    #[must_use]
    pub fn new(workers_dir: PathBuf, notices: mpsc::Sender<AgentNotice>) -> Self {
        Self {
            workers_dir,
            inner: Arc::new(Mutex::new(Inner::default())),
            notices,
            generations: Arc::new(AtomicU64::new(1)),
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
        let hub = self.clone();
        let id = worker.clone();
        let task = tokio::spawn(async move { hub.accept(id, listener, token).await });
        let listening = Listening { task, handle: None };
        if let Some(former) = self.lock().workers.insert(worker.clone(), listening) {
            former.task.abort();
        }
        Ok(())
    }

    /// Forgets a worker: its socket is closed.
    pub fn forget(&self, worker: &WorkerId) {
        let mut inner = self.lock();
        inner.streams.retain(|_, (owner, _)| owner != worker);
        if let Some(listening) = inner.workers.remove(worker) {
            listening.task.abort();
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
            hub: self.clone(),
            stream: stream.to_owned(),
            arrival,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn accept(&self, worker: WorkerId, listener: UnixListener, token: String) {
        let slots = Arc::new(tokio::sync::Semaphore::new(UNIDENTIFIED));
        let token: Arc<str> = token.into();
        loop {
            let Ok(slot) = slots.clone().acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((socket, _)) => {
                    let (hub, worker, token) = (self.clone(), worker.clone(), token.clone());
                    tokio::spawn(async move {
                        if let Err(why) = hub.identify(&worker, socket, &token).await {
                            tracing::warn!(%worker, why, "refused a connection on a worker's socket");
                        }
                        drop(slot);
                    });
                }
                Err(error) => {
                    // Out of file descriptors, most likely: accepting pauses, sessions live on.
                    tracing::warn!(%worker, %error, "cannot accept");
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
    ) -> Result<(), String> {
        let mut decoder = FrameDecoder::new();
        let hello = tokio::time::timeout(HELLO_DEADLINE, read_hello(&mut socket, &mut decoder))
            .await
            .map_err(|_| "said nothing".to_owned())??;
        if !bool::from(hello.token.as_bytes().ct_eq(token.as_bytes())) {
            return Err("wrong token".to_owned());
        }
        if hello.worker != worker.as_str() {
            return Err(format!("says it is worker {:?}", hello.worker));
        }
        match hello.purpose {
            Purpose::Stream { stream } => {
                let expected = self.lock().streams.remove(&stream);
                match expected {
                    Some((owner, found)) if owner == *worker => {
                        let raw = RawStream {
                            first: decoder.into_rest(),
                            socket,
                        };
                        if found.send(raw).is_err() {
                            tracing::debug!(stream, "its client has gone");
                        }
                        Ok(())
                    }
                    _ => Err(format!("nobody expects stream {stream:?}")),
                }
            }
            Purpose::Control => self.control(worker, socket, decoder, &hello).await,
        }
    }

    async fn control(
        &self,
        worker: &WorkerId,
        mut socket: UnixStream,
        decoder: FrameDecoder,
        hello: &Hello,
    ) -> Result<(), String> {
        let version = AgentVersion::of(hello);
        if let Some(difference) = version.difference() {
            tracing::info!(%worker, "the agent is of {difference}");
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
        );
        if let Some(listening) = self.lock().workers.get_mut(worker) {
            listening.handle = Some(handle.clone());
        }
        let notice = AgentNotice::Connected {
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
    hub: AgentHub,
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
        self.hub.lock().streams.remove(&self.stream);
    }
}

async fn read_hello(socket: &mut UnixStream, decoder: &mut FrameDecoder) -> Result<Hello, String> {
    let mut buffer = [0; 4096];
    loop {
        if let Some(hello) = decoder.next_frame::<Hello>().map_err(|e| e.to_string())? {
            return Ok(hello);
        }
        let n = socket.read(&mut buffer).await.map_err(|e| e.to_string())?;
        if n == 0 {
            return Err("closed before its hello".to_owned());
        }
        decoder.push(buffer.get(..n).unwrap_or_default());
    }
}

/// Binds a fresh socket in place of a stale one; mode 0600.
pub(crate) fn bind_private(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub() -> (
        tempfile::TempDir,
        AgentHub,
        mpsc::Receiver<AgentNotice>,
        WorkerId,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let worker = WorkerId::from_bits(7);
        std::fs::create_dir_all(dir.path().join(worker.as_str()).join("run")).unwrap();
        let (notices, receiver) = mpsc::channel(8);
        let hub = AgentHub::new(dir.path().to_owned(), notices);
        hub.listen(&worker, "secret".to_owned()).unwrap();
        (dir, hub, receiver, worker)
    }

    async fn dial(dir: &Path, worker: &WorkerId, token: &str, purpose: Purpose) -> UnixStream {
        let path = dir
            .join(worker.as_str())
            .join("run")
            .join(paths::SOCKET_NAME);
        let mut socket = UnixStream::connect(path).await.unwrap();
        let hello = Hello {
            protocol: PROTOCOL_VERSION,
            build: "test".to_owned(),
            worker: worker.to_string(),
            token: token.to_owned(),
            purpose,
        };
        socket.write_all(&encode(&hello).unwrap()).await.unwrap();
        socket
    }

    #[tokio::test]
    async fn a_wrong_token_is_cut_off() {
        let (dir, _hub, _notices, worker) = hub();
        let mut socket = dial(dir.path(), &worker, "guess", Purpose::Control).await;
        assert_eq!(socket.read(&mut [0; 8]).await.unwrap_or(0), 0);
    }

    #[tokio::test]
    async fn a_stream_reaches_the_one_who_expects_it_with_its_first_bytes() {
        let (dir, hub, _notices, worker) = hub();
        let expected = hub.expect_stream(&worker, "s1");
        let purpose = Purpose::Stream {
            stream: "s1".to_owned(),
        };
        let mut socket = dial(dir.path(), &worker, "secret", purpose).await;
        socket.write_all(b"early").await.unwrap();
        let mut raw = expected.arrive(Duration::from_secs(5)).await.unwrap();
        drop(socket);
        let mut all = raw.first;
        raw.socket.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"early");
    }

    #[tokio::test]
    async fn a_stream_nobody_expects_is_refused() {
        let (dir, _hub, _notices, worker) = hub();
        let purpose = Purpose::Stream {
            stream: "nope".to_owned(),
        };
        let mut socket = dial(dir.path(), &worker, "secret", purpose).await;
        assert_eq!(socket.read(&mut [0; 8]).await.unwrap_or(0), 0);
    }

    #[tokio::test]
    async fn a_request_is_answered_and_an_end_is_told() {
        let (dir, _hub, mut notices, worker) = hub();
        let mut socket = dial(dir.path(), &worker, "secret", Purpose::Control).await;
        let Some(AgentNotice::Connected { handle, .. }) = notices.recv().await else {
            panic!("no connection")
        };
        let asking = tokio::spawn(async move {
            handle
                .request(podbay_protocol::ToAgentBody::Ping, Duration::from_secs(5))
                .await
        });
        let mut decoder = FrameDecoder::new();
        let mut buffer = [0; 1024];
        let welcome: Welcome = loop {
            if let Some(w) = decoder.next_frame().unwrap() {
                break w;
            }
            let n = socket.read(&mut buffer).await.unwrap();
            decoder.push(&buffer[..n]);
        };
        assert_eq!(welcome.protocol, PROTOCOL_VERSION);
        let request: podbay_protocol::ToAgent = loop {
            if let Some(r) = decoder.next_frame().unwrap() {
                break r;
            }
            let n = socket.read(&mut buffer).await.unwrap();
            decoder.push(&buffer[..n]);
        };
        let answer = podbay_protocol::FromAgent::Response(podbay_protocol::Response {
            id: request.id,
            result: Ok(podbay_protocol::Reply::Done),
        });
        socket.write_all(&encode(&answer).unwrap()).await.unwrap();
        assert_eq!(asking.await.unwrap(), Ok(podbay_protocol::Reply::Done));
        drop(socket);
        assert!(matches!(
            notices.recv().await,
            Some(AgentNotice::Gone { .. })
        ));
    }

    async fn next<T: serde::de::DeserializeOwned>(
        socket: &mut UnixStream,
        decoder: &mut FrameDecoder,
    ) -> T {
        let mut buffer = [0; 1024];
        loop {
            if let Some(frame) = decoder.next_frame().unwrap() {
                return frame;
            }
            let n = socket.read(&mut buffer).await.unwrap();
            decoder.push(&buffer[..n]);
        }
    }

    #[tokio::test]
    async fn an_agent_of_the_next_version_is_served_as_far_as_it_is_understood() {
        use podbay_protocol::{Reply, ToAgent, ToAgentBody};
        use serde_json::{Value, json};
        let (dir, _hub, mut notices, worker) = hub();
        let path = dir
            .path()
            .join(worker.as_str())
            .join("run")
            .join(paths::SOCKET_NAME);
        let mut socket = UnixStream::connect(path).await.unwrap();
        let hello = json!({
            "protocol": PROTOCOL_VERSION + 1, "build": "9.0", "worker": worker.as_str(),
            "token": "secret", "purpose": Purpose::Control, "novelty": { "a": [1] },
        });
        socket.write_all(&encode(&hello).unwrap()).await.unwrap();
        let mut decoder = FrameDecoder::new();
        let welcome: Welcome = next(&mut socket, &mut decoder).await;
        assert_eq!(welcome.protocol, PROTOCOL_VERSION);
        let Some(AgentNotice::Connected { handle, .. }) = notices.recv().await else {
            panic!("no connection")
        };
        // News of a kind that nobody knows, frames of another kind, more fields than are known.
        for unknown in [
            json!({ "kind": "event", "event": "dreamt", "session": "s", "of": "sheep" }),
            json!({ "kind": "weather", "sunny": true }),
            json!({ "kind": "event", "event": "title", "session": "s", "title": "t", "icon": "i" }),
        ] {
            socket.write_all(&encode(&unknown).unwrap()).await.unwrap();
        }
        let Some(AgentNotice::Event { event, .. }) = notices.recv().await else {
            panic!("no event")
        };
        assert!(matches!(event, AgentEvent::Title { title, .. } if title == "t"));
        // An answer that is not understood is an answer; the connection goes on.
        for (result, expected) in [
            (
                json!({ "Ok": { "reply": "poem", "lines": 3 } }),
                Err(
                    "\"ping\" does not work with the worker's agent, which is of a newer version (9.0,",
                ),
            ),
            (
                json!({ "Err": { "code": "unsupported", "message": "unknown variant" } }),
                Err("\"ping\" does not work"),
            ),
            (
                json!({ "Err": { "code": "tired", "message": "it sleeps" } }),
                Err("it sleeps"),
            ),
            (
                json!({ "Ok": { "reply": "done", "took_us": 5 } }),
                Ok(Reply::Done),
            ),
        ] {
            let handle = handle.clone();
            let asking = tokio::spawn(async move {
                handle
                    .request(ToAgentBody::Ping, Duration::from_secs(5))
                    .await
            });
            let request: ToAgent = next(&mut socket, &mut decoder).await;
            let answer: Value =
                json!({ "kind": "response", "id": request.id, "result": result, "extra": 1 });
            socket.write_all(&encode(&answer).unwrap()).await.unwrap();
            match (asking.await.unwrap(), expected) {
                (Ok(reply), Ok(expected)) => assert_eq!(reply, expected),
                (Err(error), Err(words)) => {
                    assert!(error.to_string().starts_with(words), "{error}");
                }
                (other, _) => panic!("{other:?}"),
            }
        }
    }
}
