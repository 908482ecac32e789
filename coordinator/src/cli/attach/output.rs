//! Writing a session's output: directly as far as the terminal takes it, else by a thread of its own, so
//! that a terminal that blocks does not keep the keys from being read.

use super::raw_mode::reopened;
use bytes::{Buf, Bytes};
use nix::{
    errno::Errno,
    fcntl::OFlag,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    unistd::write,
};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

/// Pieces of output on their way to the terminal. A full queue holds the session's stream up, which
/// reaches the program by back-pressure.
const QUEUE: usize = 4;
/// How long the reset sequence waits for a terminal that does not take it.
const PATIENCE: Duration = Duration::from_millis(300);

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

enum Order {
    Write(Stream, Bytes),
    /// Answered when everything before it is written.
    Drain(oneshot::Sender<()>),
}

/// The terminal, and the queue to the writing thread.
#[derive(Clone)]
pub(super) struct Output {
    orders: mpsc::Sender<Order>,
    /// Orders that the thread has not carried out: nothing passes them.
    waiting: Arc<AtomicUsize>,
    /// Stdout that does not block, where it is a terminal.
    direct: Option<Arc<OwnedFd>>,
}

impl Output {
    /// Starts the thread.
    pub(super) fn start() -> io::Result<Self> {
        let (orders, mut queue) = mpsc::channel(QUEUE);
        let waiting = Arc::new(AtomicUsize::new(0));
        let done_with = waiting.clone();
        std::thread::Builder::new()
            .name("output".into())
            .spawn(move || {
                let (stdout, stderr) = (io::stdout(), io::stderr());
                while let Some(order) = queue.blocking_recv() {
                    let result = match order {
                        Order::Write(Stream::Stdout, bytes) => {
                            write_all(stdout.as_fd(), &bytes, None)
                        }
                        Order::Write(Stream::Stderr, bytes) => {
                            write_all(stderr.as_fd(), &bytes, None)
                        }
                        Order::Drain(done) => {
                            // The waiter may have given up.
                            done.send(()).ok();
                            Ok(())
                        }
                    };
                    if result.is_err() {
                        // The reader is gone; a closed queue tells the loop.
                        return;
                    }
                    done_with.fetch_sub(1, Ordering::Release);
                }
            })?;
        let direct = reopened(io::stdout(), OFlag::O_WRONLY).map(Arc::new);
        Ok(Self {
            orders,
            waiting,
            direct,
        })
    }

    /// Writes what is taken at once, and queues the rest.
    ///
    /// # Errors
    /// `BrokenPipe` when the output cannot be written any more.
    pub(super) async fn write(&self, stream: Stream, mut bytes: Bytes) -> io::Result<()> {
        if let (Stream::Stdout, Some(direct)) = (stream, &self.direct)
            && self.waiting.load(Ordering::Acquire) == 0
        {
            // What fails here fails in the thread, too.
            let written = write(direct, &bytes).unwrap_or(0);
            bytes.advance(written);
            if bytes.is_empty() {
                return Ok(());
            }
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let sent = self.orders.send(Order::Write(stream, bytes)).await;
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    /// Waits until everything queued is written.
    pub(super) async fn drain(&self) {
        let (done, written) = oneshot::channel();
        self.waiting.fetch_add(1, Ordering::Relaxed);
        if self.orders.send(Order::Drain(done)).await.is_ok() {
            // An error means that the thread is gone, and with it what there was to wait for.
            drop(written.await);
        }
    }
}

/// Writes everything, also to a descriptor that someone made non-blocking.
fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8], patience: Option<Duration>) -> io::Result<()> {
    while !bytes.is_empty() {
        if let Some(patience) = patience {
            wait(fd, Some(patience))?;
        }
        match write(fd, bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => wait(fd, None)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn wait(fd: BorrowedFd<'_>, patience: Option<Duration>) -> io::Result<()> {
    let timeout = match patience {
        Some(patience) => PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX),
        None => PollTimeout::NONE,
    };
    match poll(&mut [PollFd::new(fd, PollFlags::POLLOUT)], timeout) {
        Ok(0) => Err(io::ErrorKind::TimedOut.into()),
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Writes to the terminal directly, with a bound on the wait.
pub(super) fn write_terminal(bytes: &[u8]) -> io::Result<()> {
    write_all(io::stdout().as_fd(), bytes, Some(PATIENCE))
}
