//! The coordinator's side of the mounter's socket. Owns one connection, made when first needed and again
//! when it broke, with many calls in flight, each with a deadline; `review` has the others. Never
//! repeats a call whose connection broke: a mount may have happened.

use super::slots::Slots;
use crate::{model::HostPath, wire::Folders};
use podbay_mounter::{
    CheckedProject, MountRequest, Mounted, MounterCaps, MounterError, MounterErrorKind,
    MounterRequest, MounterResponse, OverlayRequest, Policy, PrepareRequest,
    error::{system, unreachable},
    rpc::{RequestFrame, ResponseFrame},
};
use podbay_protocol::{FrameDecoder, encode};
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, oneshot},
    time::timeout,
};

/// Frames waiting to be written; when full, callers wait, within their deadline.
const QUEUE: usize = 64;
/// The most text of one answer, in bytes.
const MAX_ANSWER: usize = 16 << 20;

/// Talks to the mounter. Clones share the connection.
#[derive(Debug, Clone)]
pub struct MounterClient {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) socket: PathBuf,
    /// Held while connecting, so that callers share one connection.
    connection: tokio::sync::Mutex<Option<Connection>>,
    /// Woken when the mounter was not reached.
    pub(super) missed: tokio::sync::Notify,
    pub(super) slots: Slots,
}

impl Inner {
    pub(super) fn not_reached(&self, e: &std::io::Error) -> MounterError {
        unreachable(format!(
            "the mounter cannot be reached at {} ({e}); is its container running?",
            self.socket.display()
        ))
    }
}

type Waiting = Arc<Mutex<Pending>>;

#[derive(Debug, Default)]
struct Pending {
    next: u64,
    /// Set when the connection broke; then nobody may wait on it any more.
    closed: bool,
    calls: HashMap<u64, oneshot::Sender<MounterResponse>>,
}

#[derive(Debug, Clone)]
struct Connection {
    frames: mpsc::Sender<Vec<u8>>,
    pending: Waiting,
}

fn lock(pending: &Waiting) -> MutexGuard<'_, Pending> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Forgets a call that was given up.
struct Call {
    id: u64,
    pending: Waiting,
}

impl Drop for Call {
    fn drop(&mut self) {
        lock(&self.pending).calls.remove(&self.id);
    }
}

impl MounterClient {
    /// A client for the mounter at `socket`; connects when first used. Needs a tokio runtime
    /// then, not now.
    #[must_use]
    pub fn connect(socket: PathBuf) -> Self {
        Self {
            inner: Arc::new(Inner {
                socket,
                connection: tokio::sync::Mutex::new(None),
                missed: tokio::sync::Notify::new(),
                slots: Slots::default(),
            }),
        }
    }

    /// Resolves once a call did not reach the mounter.
    pub async fn missed(&self) {
        self.inner.missed.notified().await;
    }

    /// What the mounter can do.
    ///
    /// # Errors
    /// `Unreachable` when it does not answer within 5 s, as for every call.
    pub async fn probe(&self) -> Result<MounterCaps, MounterError> {
        match self.ask(MounterRequest::Probe).await? {
            MounterResponse::Caps(caps) => Ok(caps),
            other => Err(unexpected(&other)),
        }
    }

    /// Makes a worker's folders ready; may be repeated.
    ///
    /// # Errors
    /// `BadTarget` for what is no worker's id, `System`, `Unreachable`.
    pub async fn prepare(&self, request: PrepareRequest) -> Result<(), MounterError> {
        self.done(MounterRequest::Prepare(request)).await
    }

    /// Makes an overlay for a worker that waits, ahead of a claim; a worker that has a project already is
    /// left as it is.
    ///
    /// # Errors
    /// As [`Self::mount`].
    pub async fn prepare_overlay(&self, request: OverlayRequest) -> Result<(), MounterError> {
        self.done(MounterRequest::PrepareOverlay(request)).await
    }

    /// Puts a project at `/workspace` of a running worker.
    ///
    /// # Errors
    /// [`MounterError`] of any kind; the message is for people. After `Unreachable` the mount may
    /// have happened: unmount before trying again.
    pub async fn mount(&self, request: MountRequest) -> Result<Mounted, MounterError> {
        match self.ask(MounterRequest::Mount(request)).await? {
            MounterResponse::Mounted(mounted) => Ok(mounted),
            other => Err(unexpected(&other)),
        }
    }

    /// Opens a project as [`Self::mount`] would, and changes nothing.
    ///
    /// # Errors
    /// `NotAFolder`, `Refused` with the rule's name, `Unsupported`, `System`, `Unreachable`.
    pub async fn check(
        &self,
        project: HostPath,
        policy: Policy,
    ) -> Result<CheckedProject, MounterError> {
        let request = MounterRequest::Check { project, policy };
        match self.ask(request).await? {
            MounterResponse::Checked(found) => Ok(found),
            other => Err(unexpected(&other)),
        }
    }

    /// Takes the topmost mount at `/workspace` away, lazily; none there is no error.
    ///
    /// # Errors
    /// `BadTarget` when `pid` is not of this worker, `System`, `Unreachable`.
    pub async fn unmount(&self, worker: &str, pid: i32) -> Result<(), MounterError> {
        let worker = worker.to_owned();
        self.done(MounterRequest::Unmount { worker, pid }).await
    }

    /// Makes the host's later edits of the project visible in a worker's overlay.
    ///
    /// # Errors
    /// `BadTarget` when `pid` is not of this worker, or no overlay is mounted there; `System`,
    /// `Unreachable`.
    pub async fn refresh(&self, worker: &str, pid: i32) -> Result<(), MounterError> {
        let worker = worker.to_owned();
        self.done(MounterRequest::Refresh { worker, pid }).await
    }

    /// What a path on the engine's host may be completed to, without what `policy` refuses.
    ///
    /// # Errors
    /// `NotAFolder` for what is no absolute path, `Refused` for what is in a refused folder,
    /// `Unsupported` when the engine's host is out of reach, `System`, `Unreachable`.
    pub async fn folders(&self, prefix: HostPath, policy: Policy) -> Result<Folders, MounterError> {
        let request = MounterRequest::Folders { prefix, policy };
        match self.ask(request).await? {
            MounterResponse::Folders(folders) => Ok(folders),
            other => Err(unexpected(&other)),
        }
    }

    /// Puts the engine's socket, made anew, where the parent had the old one.
    ///
    /// # Errors
    /// `BadTarget` when `pid` is not of the parent or `source` is no socket, `System`,
    /// `Unreachable`.
    pub async fn engine_socket(
        &self,
        pid: i32,
        source: &std::path::Path,
        target: &std::path::Path,
    ) -> Result<(), MounterError> {
        let request = MounterRequest::EngineSocket {
            pid,
            source: HostPath::new(source),
            target: HostPath::new(target),
        };
        self.done(request).await
    }

    async fn done(&self, request: MounterRequest) -> Result<(), MounterError> {
        match self.ask(request).await? {
            MounterResponse::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// A call on the shared connection, within its deadline.
    async fn ask(&self, body: MounterRequest) -> Result<MounterResponse, MounterError> {
        let limit = body.deadline();
        self.call(body, limit).await
    }

    async fn call(
        &self,
        body: MounterRequest,
        limit: Duration,
    ) -> Result<MounterResponse, MounterError> {
        let answer = timeout(limit, self.exchange(body))
            .await
            .map_err(|_| unreachable(format!("the mounter did not answer within {limit:?}")))
            .flatten();
        if let Err(error) = &answer
            && error.kind == MounterErrorKind::Unreachable
        {
            self.inner.missed.notify_one();
        }
        match answer? {
            MounterResponse::Failed(e) => Err(e),
            answer => Ok(answer),
        }
    }

    async fn exchange(&self, body: MounterRequest) -> Result<MounterResponse, MounterError> {
        let connection = self.connection().await?;
        let (sender, receiver) = oneshot::channel();
        let broken = || unreachable("the connection to the mounter broke".to_owned());
        let id = {
            let mut pending = lock(&connection.pending);
            if pending.closed {
                return Err(broken());
            }
            pending.next += 1;
            let id = pending.next;
            pending.calls.insert(id, sender);
            id
        };
        let _call = Call {
            id,
            pending: Arc::clone(&connection.pending),
        };
        let frame = encode(&RequestFrame { id, body })
            .map_err(|e| system("asking the mounter; name a folder instead of its files", e))?;
        connection.frames.send(frame).await.map_err(|_| broken())?;
        receiver.await.map_err(|_| broken())
    }

    async fn connection(&self) -> Result<Connection, MounterError> {
        let mut slot = self.inner.connection.lock().await;
        if let Some(connection) = &*slot
            && !lock(&connection.pending).closed
        {
            return Ok(connection.clone());
        }
        let socket = &self.inner.socket;
        let stream = UnixStream::connect(socket)
            .await
            .map_err(|e| self.inner.not_reached(&e))?;
        let (reader, writer) = stream.into_split();
        let pending = Waiting::default();
        let (frames, queue) = mpsc::channel(QUEUE);
        tokio::spawn(write(writer, queue));
        tokio::spawn(read(reader, Arc::clone(&pending)));
        let connection = Connection { frames, pending };
        *slot = Some(connection.clone());
        Ok(connection)
    }
}

/// What is no answer to what was asked.
pub(super) fn unexpected(answer: &MounterResponse) -> MounterError {
    let text: String = format!("{answer:?}").chars().take(80).collect();
    system("asking the mounter", format!("unexpected answer {text}"))
}

/// Ends when all clients are gone or the mounter is; dropping the half then ends [`read`] too.
async fn write(mut stream: OwnedWriteHalf, mut queue: mpsc::Receiver<Vec<u8>>) {
    while let Some(frame) = queue.recv().await {
        if let Err(e) = stream.write_all(&frame).await {
            tracing::debug!(error = %e, "the mounter's connection broke");
            return;
        }
    }
}

async fn read(mut stream: OwnedReadHalf, pending: Waiting) {
    if let Err(e) = read_answers(&mut stream, &pending).await {
        tracing::warn!(error = %e, "the mounter's connection broke");
    }
    let mut pending = lock(&pending);
    pending.closed = true;
    pending.calls.clear();
}

async fn read_answers(stream: &mut OwnedReadHalf, pending: &Waiting) -> std::io::Result<()> {
    let other = |e: &dyn std::fmt::Display| std::io::Error::other(e.to_string());
    let mut decoder = FrameDecoder::new();
    let mut parts: HashMap<u64, String> = HashMap::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let n = stream.read(&mut buffer).await?;
        if n == 0 {
            return Ok(());
        }
        decoder.push(buffer.get(..n).unwrap_or_default());
        while let Some(frame) = decoder
            .next_frame::<ResponseFrame>()
            .map_err(|e| other(&e))?
        {
            let body = match (frame.body, frame.part) {
                (Some(body), _) => *body,
                (None, Some(part)) => {
                    let text = parts.entry(frame.id).or_default();
                    if text.len().saturating_add(part.len()) > MAX_ANSWER {
                        return Err(std::io::Error::other("an answer is too long"));
                    }
                    text.push_str(&part);
                    if frame.more {
                        continue;
                    }
                    let text = parts.remove(&frame.id).unwrap_or_default();
                    serde_json::from_str(&text)?
                }
                (None, None) => return Err(std::io::Error::other("an empty answer")),
            };
            let waiting = lock(pending).calls.remove(&frame.id);
            if let Some(waiting) = waiting {
                // Whoever asked may have given up meanwhile.
                waiting.send(body).unwrap_or_default();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use podbay_mounter::rpc::send_response;
    use tokio::net::UnixListener;

    /// Answers `count` requests on the next connection, the last first, then closes it.
    async fn answer(listener: &UnixListener, count: usize) {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut decoder = FrameDecoder::new();
        let mut ids = Vec::new();
        while ids.len() < count {
            let mut buffer = [0; 4096];
            let n = stream.read(&mut buffer).await.unwrap();
            decoder.push(&buffer[..n]);
            while let Some(frame) = decoder.next_frame::<RequestFrame>().unwrap() {
                ids.push(frame.id);
            }
        }
        for id in ids.into_iter().rev() {
            let caps = MounterCaps {
                reasons: vec!["x".repeat(2 << 20)],
                ..MounterCaps::default()
            };
            let mut bytes = Vec::new();
            let send = |frame: &[u8]| {
                bytes.extend_from_slice(frame);
                Ok(())
            };
            send_response(id, &MounterResponse::Caps(caps), send).unwrap();
            stream.write_all(&bytes).await.unwrap();
        }
    }

    #[tokio::test]
    async fn calls_share_a_connection_and_a_broken_one_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("s");
        let client = MounterClient::connect(socket.clone());
        let e = client.probe().await.unwrap_err();
        assert_eq!(e.kind, MounterErrorKind::Unreachable);

        let listener = UnixListener::bind(&socket).unwrap();
        let (a, b, ()) = tokio::join!(client.probe(), client.probe(), answer(&listener, 2));
        assert_eq!(a.unwrap().reasons[0].len(), 2 << 20);
        assert_eq!(b.unwrap().reasons[0].len(), 2 << 20);

        // The other side closed; a call that meets that fails at once, a later one connects.
        let again = async {
            loop {
                match client.probe().await {
                    Ok(caps) => return caps,
                    Err(e) => assert_eq!(e.kind, MounterErrorKind::Unreachable),
                }
            }
        };
        let (caps, ()) = tokio::join!(again, answer(&listener, 1));
        assert_eq!(caps.reasons.len(), 1);
    }

    #[tokio::test]
    async fn a_mounter_that_does_not_answer_meets_the_deadline() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("s");
        let _listener = UnixListener::bind(&socket).unwrap();
        let client = MounterClient::connect(socket);
        let limit = Duration::from_millis(30);
        let e = client.call(MounterRequest::Probe, limit).await.unwrap_err();
        assert_eq!(e.kind, MounterErrorKind::Unreachable);
        assert!(e.message.contains("30ms"), "{e}");
    }
}
