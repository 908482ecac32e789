//! Reading what is typed: a task for a terminal, else a thread of its own. Either takes nothing from
//! stdin that is not wanted.

use super::{
    output::write_terminal,
    queries::{
        presence::{ASK, Due, Presence},
        size::Answer,
    },
    raw_mode::reopened,
};
use crate::cli::output::term::stdout_is_tty;
use bytes::Bytes;
use nix::{
    errno::Errno,
    fcntl::OFlag,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    unistd::{pipe, read},
};
use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep_until},
};

/// Most bytes taken at once.
const PIECE: usize = 64 << 10;
/// Pieces read ahead. What is not read stays with the terminal or the pipe.
const QUEUE: usize = 2;

/// Stdin as pieces; the channel closes at its end.
pub(crate) struct Input {
    pub(crate) pieces: mpsc::Receiver<Bytes>,
    reader: Reader,
}

/// Who reads, until this is dropped.
pub(crate) enum Reader {
    Task(JoinHandle<()>),
    /// Closing it ends the thread.
    Thread(#[expect(dead_code, reason = "what counts is its end")] OwnedFd),
    /// Stdin is left alone.
    Nobody,
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Self::Task(task) = self {
            task.abort();
        }
    }
}

impl Input {
    /// Starts reading. A raw terminal that was not told its size is asked, before anything else is
    /// written to it; its new size comes as SIGWINCH. One that is behind `docker exec` (`remote`) is
    /// asked now and then whether it is still there, and the channel closes when it is not.
    pub(crate) fn start(raw: bool, remote: bool) -> io::Result<Self> {
        let answer = if raw { Answer::asked()? } else { None };
        let (sender, pieces) = mpsc::channel(QUEUE);
        let terminal = reopened(io::stdin(), OFlag::O_RDONLY);
        let reader = match terminal.map(followed).transpose()? {
            Some(terminal) => {
                let asked = raw && remote && stdout_is_tty();
                let presence = asked.then(|| Presence::new(Instant::now()));
                Reader::Task(tokio::spawn(follow(terminal, sender, answer, presence)))
            }
            None => {
                let (stopped, stop) = pipe()?;
                std::thread::Builder::new()
                    .name("input".into())
                    .spawn(move || run(&stopped, &sender, answer))?;
                Reader::Thread(stop)
            }
        };
        Ok(Self { pieces, reader })
    }

    /// An input that is at its end at once; stdin is not touched, since somebody else reads it.
    pub(crate) fn none() -> Self {
        let (_, pieces) = mpsc::channel(1);
        Self {
            pieces,
            reader: Reader::Nobody,
        }
    }

    /// The pieces alone, which somebody else may take for a while; none come once the second is
    /// dropped.
    pub(crate) fn split(self) -> (mpsc::Receiver<Bytes>, Reader) {
        (self.pieces, self.reader)
    }
}

#[expect(
    deprecated,
    reason = "it is unsound for what changes its descriptor; an owned one does not"
)]
fn followed(terminal: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(terminal, Interest::READABLE)
}

/// What was read, without the awaited answer to the question for the terminal's size.
fn piece(read: &[u8], answer: &mut Option<Answer>) -> Bytes {
    let Some(awaited) = answer else {
        return Bytes::copy_from_slice(read);
    };
    let piece = awaited.without(read);
    if awaited.came() {
        *answer = None;
    }
    piece.into()
}

/// Reads a terminal, until its end, or until it does not answer any more.
async fn follow(
    terminal: AsyncFd<OwnedFd>,
    sender: mpsc::Sender<Bytes>,
    mut answer: Option<Answer>,
    mut presence: Option<Presence>,
) {
    let mut buffer = vec![0; PIECE];
    loop {
        let ready = tokio::select! {
            // What has come counts before what is late.
            biased;
            ready = terminal.readable() => ready,
            due = due(&mut presence) => {
                match due {
                    // One that cannot be written to is one that does not answer.
                    Due::Ask => drop(write_terminal(ASK)),
                    Due::Gone => return,
                    Due::Nothing => {}
                }
                continue;
            }
        };
        let Ok(mut ready) = ready else { return };
        let count = ready.try_io(|fd| read(fd.get_ref(), &mut buffer).map_err(io::Error::from));
        match count {
            // A terminal that hung up reads as an end or as EIO.
            Ok(Ok(0)) => return,
            Ok(Ok(count)) => {
                let mut read = piece(buffer.get(..count).unwrap_or_default(), &mut answer);
                if let Some(presence) = &mut presence {
                    read = presence.without(&read, Instant::now()).into();
                }
                if !read.is_empty() && sender.send(read).await.is_err() {
                    return;
                }
            }
            Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(Err(_)) => return,
            Err(_would_block) => {}
        }
    }
}

/// Waits until there is something to do to know whether the terminal is there.
async fn due(presence: &mut Option<Presence>) -> Due {
    match presence {
        Some(presence) => match presence.at() {
            Some(at) => {
                sleep_until(at).await;
                presence.due(Instant::now())
            }
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

fn run(stopped: &OwnedFd, sender: &mpsc::Sender<Bytes>, mut answer: Option<Answer>) {
    let stdin = io::stdin();
    let mut buffer = vec![0; PIECE];
    loop {
        let mut fds = [
            PollFd::new(stdin.as_fd(), PollFlags::POLLIN),
            PollFd::new(stopped.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            Err(_) => return,
            Ok(_) => {}
        }
        let [input, stop] = &fds;
        if stop.any().unwrap_or(true) {
            return;
        }
        if !input.any().unwrap_or(false) {
            continue;
        }
        match read(stdin.as_fd(), &mut buffer) {
            Ok(0) => return,
            Ok(n) => {
                let piece = piece(buffer.get(..n).unwrap_or_default(), &mut answer);
                if piece.is_empty() {
                    continue;
                }
                if sender.blocking_send(piece).is_err() {
                    return;
                }
            }
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            // A terminal that hung up reads as EIO: the end.
            Err(_) => return,
        }
    }
}
