//! The mounter's process: accepts, reads and answers, with blocking threads and no runtime. Owns the
//! queues: claims have threads of their own, a review runs in a child process, a removal on its
//! connection's thread, each in its turn. Never waits for room: a queue that is full says so.

mod open;
mod reviews;
mod turns;

pub use reviews::{REVIEW, ReviewProgram};

use crate::{
    browse,
    error::{busy, system},
    folders,
    host::{self, Host, Place},
    mount::{self, engine_socket, prepared, probe, project, refresh},
    rpc::{Lane, MounterRequest, MounterResponse, RequestFrame, send_response},
    wire::{CheckedProject, MounterCaps, MounterError},
};
use nix::{
    poll::{PollFd, PollFlags, poll},
    sys::{
        signal::{SigSet, Signal},
        signalfd::{SfdFlags, SignalFd},
    },
};
use podbay_helper::private_socket;
use podbay_model::model::HostPath;
use podbay_protocol::FrameDecoder;
use reviews::Reviews;
use std::{
    io::{Read, Write},
    os::{fd::AsFd, unix::net::UnixStream},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    time::{Duration, Instant},
};

/// Why the mounter could not start or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The state volume is not there.
    #[error("cannot open the state volume {path}: {source}; mount it there, writable")]
    State {
        /// Where it was looked for.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The socket cannot be made.
    #[error("cannot listen on {path}: {source}")]
    Listen {
        /// The socket.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A thread, a signal or a system call.
    #[error("{doing}: {source}")]
    System {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
}

/// Threads for claims: mounts, folders of workers.
const CLAIM_THREADS: usize = 3;
/// Threads that make overlays ahead of their claims.
const AHEAD_THREADS: usize = 1;
/// Threads that complete paths.
const BROWSE_THREADS: usize = 1;
/// Requests waiting in each pool; the next one is answered as busy.
const MAX_QUEUE: usize = 64;
/// Connections at a time; more are closed at once. Each review and each removal has one.
const MAX_CONNECTIONS: usize = 64;
/// How often overlays are looked for that were prepared too long ago, in milliseconds.
const LOOK_EVERY: u16 = 60_000;
/// How long a client may leave an answer unread.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// A request and where its answer goes.
struct Job {
    frame: RequestFrame,
    stream: Arc<Mutex<UnixStream>>,
}

impl Job {
    fn answer(&self, body: &MounterResponse) -> std::io::Result<()> {
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        send_response(self.frame.id, body, |bytes| stream.write_all(bytes))
    }
}

/// What connections hand their requests to.
struct Hands {
    claims: SyncSender<Job>,
    ahead: SyncSender<Job>,
    browse: SyncSender<Job>,
    reviews: Reviews,
}

/// Serves until SIGTERM or SIGINT. `state_dir` is the state volume; `socket` is replaced, mode
/// 0600; `program` starts this program again as one that carries out a review. Call it on the main
/// thread, before other threads are started.
///
/// # Errors
/// [`ServeError`] when it cannot start. What it cannot do once started is told by `Probe`.
pub fn serve(state_dir: &Path, socket: &Path, program: ReviewProgram) -> Result<(), ServeError> {
    let failed = |doing| move |source| ServeError::System { doing, source };
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGINT);
    signals
        .thread_block()
        .map_err(std::io::Error::from)
        .map_err(failed("blocking signals"))?;
    let signal_fd = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC)
        .map_err(std::io::Error::from)
        .map_err(failed("watching signals"))?;
    let host = Host::open(state_dir).map_err(|source| ServeError::State {
        path: state_dir.to_owned(),
        source,
    })?;
    #[cfg(feature = "faults")]
    faults(state_dir);
    let caps = {
        let host = Arc::clone(&host);
        std::thread::spawn(move || Place::new(host).map(|mut place| probe::probe(&mut place)))
            .join()
            .unwrap_or_else(|_| Err(std::io::Error::other("the thread panicked")))
            .map_err(failed("trying what can be done"))?
    };
    tracing::info!(?caps, "mounter ready");
    let caps = Arc::new(caps);
    let pool =
        |name, threads| pool(name, threads, &host, &caps).map_err(failed("starting threads"));
    let hands = Arc::new(Hands {
        claims: pool("claims", CLAIM_THREADS)?,
        ahead: pool("ahead", AHEAD_THREADS)?,
        browse: pool("browse", BROWSE_THREADS)?,
        reviews: Reviews::new(&host, program),
    });
    let listener = private_socket(socket).map_err(|source| ServeError::Listen {
        path: socket.to_owned(),
        source,
    })?;
    let open = Arc::new(AtomicUsize::new(0));
    let set = host::watch().map_err(failed("watching the clock"))?;
    loop {
        let mut fds = [
            PollFd::new(signal_fd.as_fd(), PollFlags::POLLIN),
            PollFd::new(listener.as_fd(), PollFlags::POLLIN),
            PollFd::new(set.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut fds, LOOK_EVERY) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(e) => return Err(failed("waiting for connections")(e.into())),
        }
        drop(host.prepared.expired(Instant::now()));
        let [signalled, _, clock] = fds.map(|fd| fd.any().unwrap_or_default());
        if signalled {
            return Ok(());
        }
        if clock {
            host.look_at_clock();
            host::watch_on(&set).map_err(failed("watching the clock"))?;
        }
        match listener.accept() {
            Ok((stream, _)) => connection(stream, &open, &hands),
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(e) => tracing::warn!(error = %e, "a connection was not accepted"),
        }
    }
}

/// Takes orders from `run/` of the state volume: through a descriptor, since the threads change
/// namespaces, and not from where the coordinator takes its own.
#[cfg(feature = "faults")]
fn faults(state_dir: &Path) {
    use std::os::fd::IntoRawFd;
    if let Ok(folder) = std::fs::File::open(state_dir.join("run")) {
        let folder = format!("/proc/self/fd/{}", folder.into_raw_fd());
        podbay_failpoints::begin(Path::new(&folder));
    }
}

/// Counts an open connection until dropped.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn connection(stream: UnixStream, open: &Arc<AtomicUsize>, hands: &Arc<Hands>) {
    let before = open.fetch_add(1, Ordering::Relaxed);
    let counted = Counted(Arc::clone(open));
    if before >= MAX_CONNECTIONS {
        tracing::warn!("too many connections; one was closed");
        return;
    }
    let hands = Arc::clone(hands);
    let reader = move || {
        if let Err(e) = read(stream, &hands) {
            tracing::warn!(error = %e, "a connection was given up");
        }
        drop(counted);
    };
    let started = std::thread::Builder::new()
        .name("reader".into())
        .spawn(reader);
    if let Err(e) = started {
        tracing::warn!(error = %e, "no thread for a connection");
    }
}

fn read(mut stream: UnixStream, hands: &Hands) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
    let answers = Arc::new(Mutex::new(stream.try_clone()?));
    let mut decoder = FrameDecoder::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            return Ok(());
        }
        decoder.push(buffer.get(..n).unwrap_or_default());
        while let Some(frame) = decoder
            .next_frame::<RequestFrame>()
            .map_err(|e| std::io::Error::other(e.to_string()))?
        {
            let pool = match frame.body.lane() {
                Lane::Claim => &hands.claims,
                Lane::Ahead => &hands.ahead,
                Lane::Browse => &hands.browse,
                Lane::Review | Lane::Removal => return hands.reviews.serve(frame, &answers),
            };
            let stream = Arc::clone(&answers);
            match pool.try_send(Job { frame, stream }) {
                Ok(()) => {}
                Err(TrySendError::Full(job)) => {
                    let too_many = "the mounter has too many requests waiting; try again";
                    job.answer(&MounterResponse::Failed(busy(too_many.to_owned())))?;
                }
                Err(TrySendError::Disconnected(_)) => {
                    return Err(std::io::Error::other("no thread is left to work"));
                }
            }
        }
    }
}

fn pool(
    name: &str,
    threads: usize,
    host: &Arc<Host>,
    caps: &Arc<MounterCaps>,
) -> std::io::Result<SyncSender<Job>> {
    let (sender, receiver) = sync_channel(MAX_QUEUE);
    let receiver = Arc::new(Mutex::new(receiver));
    for _ in 0..threads {
        let (host, caps, receiver) = (Arc::clone(host), Arc::clone(caps), Arc::clone(&receiver));
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || match Place::new(host) {
                Ok(mut place) => work(&mut place, &caps, &receiver),
                Err(e) => tracing::error!(error = %e, "a thread cannot change namespaces"),
            })?;
    }
    Ok(sender)
}

fn work(place: &mut Place, caps: &MounterCaps, jobs: &Mutex<Receiver<Job>>) {
    go_home(place);
    loop {
        let job = {
            let jobs = jobs.lock().unwrap_or_else(PoisonError::into_inner);
            jobs.recv()
        };
        let Ok(job) = job else {
            return;
        };
        let mut after = After::default();
        let done = catch_unwind(AssertUnwindSafe(|| {
            answer(place, caps, &job.frame.body, &mut after)
        }));
        let body = match done {
            Ok(Ok(body)) => body,
            Ok(Err(e)) => MounterResponse::Failed(e),
            Err(_) => MounterResponse::Failed(system("serving the request", "it panicked")),
        };
        if let Err(e) = job.answer(&body) {
            tracing::warn!(error = %e, "an answer was not delivered");
        }
        after.run(place);
        go_home(place);
    }
}

/// Back to where the next request starts, off its path.
fn go_home(place: &mut Place) {
    if let Err(e) = place.enter_engine() {
        tracing::debug!(error = %e, "the engine's mount namespace is out of reach");
    }
}

/// What is done once the answer is sent.
#[derive(Default)]
struct After {
    mounted: mount::Then,
    prepared: Option<(u32, u32)>,
}

impl After {
    fn run(self, place: &mut Place) {
        if let Some(note) = self.mounted.note {
            note.write();
        }
        // Dropping an overlay waits for the kernel, as taking a layer away does.
        drop(self.mounted.unfit);
        if let Some(staged) = self.mounted.staged {
            staged.clean(place);
        }
        if let Some(ids) = self.prepared {
            place.host.prepare_id_maps(ids);
        }
    }
}

fn answer(
    place: &mut Place,
    caps: &MounterCaps,
    request: &MounterRequest,
    after: &mut After,
) -> Result<MounterResponse, MounterError> {
    // Here every thread is where it sees its orders.
    podbay_failpoints::failpoint!("mounter.request");
    match request {
        MounterRequest::Probe => Ok(MounterResponse::Caps(caps.clone())),
        MounterRequest::Prepare(request) => {
            folders::prepare(&place.host, request)?;
            after.prepared = Some((request.uid, request.gid));
            Ok(MounterResponse::Done)
        }
        MounterRequest::Mount(request) => {
            mount::mount(place, request, &mut after.mounted).map(MounterResponse::Mounted)
        }
        MounterRequest::PrepareOverlay(request) => {
            prepared::prepare(place, request).map(|()| MounterResponse::Done)
        }
        MounterRequest::Check { project, policy } => {
            let found = project::open(place, project, policy)?;
            Ok(MounterResponse::Checked(CheckedProject {
                project: HostPath::new(found.path),
                dev: found.meta.dev,
                ino: found.meta.ino,
                fsid: found.fsid,
            }))
        }
        MounterRequest::Unmount { worker, pid } => {
            mount::unmount_workspace(place, worker, *pid).map(|()| MounterResponse::Done)
        }
        MounterRequest::Refresh { worker, pid } => {
            refresh::refresh(place, worker, *pid).map(|()| MounterResponse::Done)
        }
        MounterRequest::Folders { prefix, policy } => {
            browse::folders(place, prefix, policy).map(MounterResponse::Folders)
        }
        MounterRequest::EngineSocket {
            pid,
            source,
            target,
        } => engine_socket::renew(place, *pid, source.as_path(), target.as_path())
            .map(|()| MounterResponse::Done),
        MounterRequest::Any(_)
        | MounterRequest::Changes { .. }
        | MounterRequest::Summary { .. }
        | MounterRequest::Count { .. }
        | MounterRequest::Usage(_)
        | MounterRequest::Diff { .. }
        | MounterRequest::Apply { .. }
        | MounterRequest::Discard { .. }
        | MounterRequest::RemoveWorker { .. } => {
            Err(system("serving the request", "it is not for this thread"))
        }
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
