//! The guard's process: it keeps the kernel's rules and the proxy. Owns what is known of workers, which
//! comes from the coordinator alone, by one socket that no worker sees. Never takes the rules away when
//! it ends.

use crate::{
    count::Counts,
    netlink::Socket,
    nflog,
    proxy::{self, Lists},
    table::{self, AppliedLists},
    wire::{GuardReport, GuardRequest, Guarded},
};
use podbay_helper::private_socket;
use podbay_model::model::{FIRST_UID, UIDS};
use podbay_protocol::{FrameDecoder, encode};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    signal::unix::{SignalKind, signal},
    sync::Semaphore,
};

/// Connections at a time; more are closed at once.
const CONNECTIONS: usize = 8;

/// Why the guard could not start or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The socket cannot be made.
    #[error("cannot listen on {path}: {source}")]
    Listen {
        /// The socket.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A system call.
    #[error("{doing}: {source}")]
    System {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

struct Guard {
    /// Has the kernel forget the connections of a uid.
    forget: fn(&Socket, u32) -> io::Result<()>,
    boot: u64,
    namespace: u64,
    counts: Arc<Counts>,
    lists: Arc<Lists>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// `None` until the coordinator has told all of them.
    workers: Option<BTreeMap<u32, Guarded>>,
    uncounted: Option<String>,
    /// Workers of a list that comes in parts.
    gathered: Option<Vec<Guarded>>,
    /// Uids whose connections the kernel would not forget: nobody else gets one before it does.
    remembered: BTreeSet<u32>,
    /// Lists with a chain of their own.
    known: AppliedLists,
}

/// Serves until SIGTERM or SIGINT. `socket` is made anew, mode 0600. The rules stay.
///
/// # Errors
/// [`ServeError`] when it cannot start. What the kernel refuses is told in answers.
pub fn serve(socket: &Path) -> Result<(), ServeError> {
    let failed = |doing| move |source| ServeError::System { doing, source };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed("starting"))?;
    let served = runtime.block_on(run(socket));
    // A name may be being resolved.
    runtime.shutdown_background();
    served
}

async fn run(socket: &Path) -> Result<(), ServeError> {
    let failed = |doing| move |source| ServeError::System { doing, source };
    let mut term = signal(SignalKind::terminate()).map_err(failed("watching signals"))?;
    let mut int = signal(SignalKind::interrupt()).map_err(failed("watching signals"))?;
    let mut boot = [0u8; 8];
    getrandom::fill(&mut boot).map_err(|e| failed("drawing a number")(io::Error::other(e)))?;
    let namespace = std::fs::metadata("/proc/self/ns/net")
        .map_err(failed("looking at the network namespace"))?
        .ino();
    let guard = Arc::new(Guard {
        forget: table::forget,
        boot: u64::from_ne_bytes(boot),
        namespace,
        counts: Arc::default(),
        lists: Arc::default(),
        state: Mutex::default(),
    });
    let listener = private_socket(socket).and_then(UnixListener::from_std);
    let listener = listener.map_err(|source| ServeError::Listen {
        path: socket.to_owned(),
        source,
    })?;
    tokio::spawn(proxy::run(guard.lists.clone(), guard.counts.clone()));
    let counting = guard.clone();
    std::thread::spawn(move || counting.count());
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        tokio::select! {
            _ = term.recv() => return Ok(()),
            _ = int.recv() => return Ok(()),
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let Ok(slot) = slots.clone().try_acquire_owned() else { continue };
                    let guard = guard.clone();
                    tokio::spawn(async move {
                        if let Err(error) = guard.talk(stream).await {
                            tracing::debug!(%error, "a connection ended");
                        }
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        }
    }
}

impl Guard {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what the kernel refuses, where it tells.
    fn count(&self) {
        let followed = nflog::open().and_then(|socket| nflog::follow(&socket, &self.counts));
        if let Err(error) = followed {
            let reason = format!("refusals by the kernel are not counted: {error}");
            tracing::warn!(reason);
            self.lock().uncounted = Some(reason);
        }
    }

    async fn talk(&self, mut stream: UnixStream) -> io::Result<()> {
        let mut decoder = FrameDecoder::new();
        let mut chunk = vec![0u8; 16 << 10];
        loop {
            let got = stream.read(&mut chunk).await?;
            if got == 0 {
                return Ok(());
            }
            decoder.push(chunk.get(..got).unwrap_or_default());
            while let Some(request) = decoder.next_frame().map_err(io::Error::other)? {
                let report = self.answer(request);
                let frame = encode(&report).map_err(io::Error::other)?;
                stream.write_all(&frame).await?;
            }
        }
    }

    fn answer(&self, request: GuardRequest) -> GuardReport {
        let done = self.execute(request);
        let state = self.lock();
        GuardReport {
            boot: self.boot,
            namespace: self.namespace,
            ready: state.workers.is_some(),
            error: done.err(),
            uncounted: state.uncounted.clone(),
            proxy_down: self.lists.down(),
            denied: self.counts.report(),
        }
    }

    fn execute(&self, request: GuardRequest) -> Result<(), String> {
        let mut state = self.lock();
        match request {
            GuardRequest::Report => Ok(()),
            GuardRequest::ReplacePart {
                first,
                last,
                workers,
            } => {
                let mut gathered = state.gathered.take();
                if first {
                    gathered = Some(Vec::new());
                }
                let mut all = gathered.ok_or("a part of a list without its beginning")?;
                all.extend(workers);
                if all.len() > UIDS as usize {
                    return Err("more workers than there are uids".to_owned());
                }
                if last {
                    drop(state);
                    return self.execute(GuardRequest::Replace(all));
                }
                state.gathered = Some(all);
                Ok(())
            }
            GuardRequest::Replace(workers) => {
                for worker in &workers {
                    check(worker)?;
                }
                let socket = open()?;
                // Reports are worth having; the rules are worth more.
                state.known = match table::replace(&socket, &workers, true) {
                    Ok(known) => known,
                    Err(error) => {
                        let known = table::replace(&socket, &workers, false).map_err(refused)?;
                        let reason = format!("refusals by the kernel are not counted: {error}");
                        state.uncounted = Some(reason);
                        known
                    }
                };
                let uids: Vec<u32> = workers.iter().map(|w| w.uid).collect();
                self.lists.keep(&uids);
                for worker in &workers {
                    self.lists.set(worker.uid, &worker.egress);
                }
                self.counts.keep(&uids);
                state.workers = Some(workers.into_iter().map(|w| (w.uid, w)).collect());
                Ok(())
            }
            GuardRequest::Add(worker) => {
                check(&worker)?;
                let socket = open()?;
                if state
                    .workers
                    .as_ref()
                    .ok_or(UNTOLD)?
                    .contains_key(&worker.uid)
                {
                    self.take_out(&mut state, &socket, worker.uid)?;
                }
                self.forget(&mut state, &socket, worker.uid)?;
                let State { workers, known, .. } = &mut *state;
                let workers = workers.as_mut().ok_or(UNTOLD)?;
                table::add(&socket, &worker, known).map_err(refused)?;
                self.lists.set(worker.uid, &worker.egress);
                self.counts.begin(worker.uid);
                workers.insert(worker.uid, worker);
                Ok(())
            }
            GuardRequest::Remove { uid } => {
                state.workers.as_ref().ok_or(UNTOLD)?;
                self.lists.remove(uid);
                self.counts.end(uid);
                let socket = open()?;
                self.take_out(&mut state, &socket, uid)?;
                self.forget(&mut state, &socket, uid)
            }
            GuardRequest::Clear => {
                self.lists.keep(&[]);
                self.counts.keep(&[]);
                state.workers = None;
                table::clear(&open()?).map_err(refused)
            }
        }
    }
}

impl Guard {
    /// Takes a worker's entries out of the table. Its connections are to be forgotten, whatever
    /// happens next.
    fn take_out(&self, state: &mut State, socket: &Socket, uid: u32) -> Result<(), String> {
        let Some(workers) = state.workers.as_mut() else {
            return Ok(());
        };
        if let Some(old) = workers.get(&uid) {
            state.remembered.insert(uid);
            table::remove(socket, old).map_err(refused)?;
            workers.remove(&uid);
        }
        Ok(())
    }

    /// Has the kernel forget the connections of a uid's former worker.
    fn forget(&self, state: &mut State, socket: &Socket, uid: u32) -> Result<(), String> {
        if state.remembered.contains(&uid) {
            (self.forget)(socket, uid).map_err(|error| {
                format!("the kernel does not forget connections of a former worker: {error}")
            })?;
            state.remembered.remove(&uid);
        }
        Ok(())
    }
}

fn refused(error: io::Error) -> String {
    format!("the kernel does not take the rules: {error}")
}

/// Said to who changes what was never told as a whole.
const UNTOLD: &str = "the guard was started anew and waits for all workers";

fn open() -> Result<Socket, String> {
    Socket::open().map_err(|e| format!("no netlink socket: {e}"))
}

fn check(worker: &Guarded) -> Result<(), String> {
    if (FIRST_UID..FIRST_UID + UIDS).contains(&worker.uid) {
        Ok(())
    } else {
        Err(format!("{} is no worker's uid", worker.uid))
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
