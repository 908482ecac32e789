//! Reading what is typed: a thread of its own, which takes nothing from stdin that is not wanted.

use super::size_query::Answer;
use bytes::Bytes;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    unistd::{pipe, read},
};
use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};
use tokio::sync::mpsc;

/// Most bytes taken at once.
const PIECE: usize = 64 << 10;
/// Pieces read ahead. What is not read stays with the terminal or the pipe.
const QUEUE: usize = 2;

/// Stdin as pieces; the channel closes at its end.
pub(crate) struct Input {
    pub(crate) pieces: mpsc::Receiver<Bytes>,
    /// Closing it ends the thread.
    stop: OwnedFd,
}

impl Input {
    /// Starts reading. A raw terminal that was not told its size is asked, before anything else is
    /// written to it; its new size comes as SIGWINCH.
    pub(crate) fn start(raw: bool) -> io::Result<Self> {
        let answer = if raw { Answer::asked()? } else { None };
        let (stopped, stop) = pipe()?;
        let (sender, pieces) = mpsc::channel(QUEUE);
        std::thread::Builder::new()
            .name("input".into())
            .spawn(move || run(&stopped, &sender, answer))?;
        Ok(Self { pieces, stop })
    }

    /// The pieces alone, which somebody else may take for a while; none come once the second is
    /// dropped.
    pub(crate) fn split(self) -> (mpsc::Receiver<Bytes>, OwnedFd) {
        (self.pieces, self.stop)
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
                let read = buffer.get(..n).unwrap_or_default();
                let piece = match &mut answer {
                    Some(awaited) => {
                        let piece = awaited.without(read);
                        if awaited.came() {
                            answer = None;
                        }
                        Bytes::from(piece)
                    }
                    None => Bytes::copy_from_slice(read),
                };
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
