//! A session's descriptors: its terminal, or its three pipes.
//!
//! Owns: non-blocking reading and writing, and what waits to be written to the program. It knows
//! neither clients nor the screen.

use super::stdio::Stdio;
use crate::{
    event_loop::reactor::{Reactor, Registration, SessionKey, Source},
    pty,
};
use nix::{
    errno::Errno,
    sys::epoll::EpollFlags,
    unistd::{read, write},
};
use podbay_protocol::Size;
use std::os::fd::{AsFd, OwnedFd};

/// Why a read stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadOutcome {
    /// The buffer is full; there may be more.
    BufferFull,
    /// Nothing more now.
    NothingNow,
    /// The other end is closed.
    Closed,
}

/// One descriptor in the loop. Not registered at all while nothing is wanted of it: a hang-up is
/// reported whether asked for or not.
#[derive(Debug)]
pub struct PolledFd {
    fd: OwnedFd,
    source: Source,
    registration: Option<Registration>,
    reading: bool,
    queue: Vec<u8>,
    sent: usize,
}

impl PolledFd {
    /// A descriptor to read from, when `reading`, and to write to. It must be non-blocking.
    pub fn new(fd: OwnedFd, source: Source, reading: bool, reactor: &mut Reactor) -> Self {
        let mut it = Self {
            fd,
            source,
            registration: None,
            reading,
            queue: Vec::new(),
            sent: 0,
        };
        it.update_interest(reactor);
        it
    }

    fn update_interest(&mut self, reactor: &mut Reactor) {
        let mut flags = EpollFlags::empty();
        flags.set(EpollFlags::EPOLLIN, self.reading);
        flags.set(EpollFlags::EPOLLOUT, self.waiting() > 0);
        match (&mut self.registration, flags.is_empty()) {
            (Some(registration), false) => reactor.interest(&self.fd, registration, flags),
            (None, false) => self.registration = reactor.add(&self.fd, self.source, flags).ok(),
            (Some(_), true) => self.deregister(reactor),
            (None, true) => {}
        }
    }

    fn deregister(&mut self, reactor: &mut Reactor) {
        if let Some(registration) = self.registration.take() {
            reactor.remove(&self.fd, registration);
        }
    }

    /// Whether output is wanted.
    pub fn set_reading(&mut self, reading: bool, reactor: &mut Reactor) {
        if self.reading != reading {
            self.reading = reading;
            self.update_interest(reactor);
        }
    }

    /// Fills the buffer as far as there is something.
    pub fn read(&self, buffer: &mut [u8]) -> (usize, ReadOutcome) {
        let mut count = 0;
        while let Some(rest) = buffer.get_mut(count..).filter(|rest| !rest.is_empty()) {
            match read(&self.fd, rest) {
                Ok(0) => return (count, ReadOutcome::Closed),
                Ok(more) => count += more,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return (count, ReadOutcome::NothingNow),
                // EIO of a terminal's master: the last slave is closed.
                Err(_) => return (count, ReadOutcome::Closed),
            }
        }
        (count, ReadOutcome::BufferFull)
    }

    /// Bytes that wait to be written.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.len() - self.sent
    }

    /// Writes, now or once there is room. Whether the other end still takes something.
    pub fn write(&mut self, bytes: &[u8], reactor: &mut Reactor) -> bool {
        self.queue.extend_from_slice(bytes);
        self.flush(reactor)
    }

    /// Writes what waits, as far as there is room. Whether the other end still takes something.
    pub fn flush(&mut self, reactor: &mut Reactor) -> bool {
        let mut open = true;
        while let Some(rest) = self.queue.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match write(&self.fd, rest) {
                Ok(count) => self.sent += count,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break,
                Err(_) => {
                    open = false;
                    self.sent = self.queue.len();
                }
            }
        }
        if self.waiting() == 0 {
            self.queue.clear();
            self.queue.shrink_to(64 << 10);
            self.sent = 0;
        } else if self.sent > 64 << 10 {
            self.queue.drain(..self.sent);
            self.sent = 0;
        }
        self.update_interest(reactor);
        open
    }

    /// Closes.
    pub fn close(mut self, reactor: &mut Reactor) {
        self.deregister(reactor);
    }

    /// The descriptor.
    #[must_use]
    pub fn fd(&self) -> &OwnedFd {
        &self.fd
    }
}

/// How the agent talks to a session's program.
#[derive(Debug)]
pub enum ProgramIo {
    /// Over a terminal.
    Terminal {
        /// The agent's end.
        master: PolledFd,
        /// The program's end, held until the program ends.
        slave: Option<OwnedFd>,
    },
    /// Over pipes; each is `None` once closed.
    Pipes {
        /// To the program.
        stdin: Option<PolledFd>,
        /// The input has ended: stdin is closed when all is written.
        input_ended: bool,
        /// From the program.
        stdout: Option<PolledFd>,
        /// From the program.
        stderr: Option<PolledFd>,
    },
    /// The program has ended and its output is drained.
    Closed,
}

impl ProgramIo {
    /// The agent's side of what was opened for a session.
    pub fn new(stdio: Stdio, key: SessionKey, reactor: &mut Reactor) -> Self {
        match stdio {
            Stdio::Terminal(pty) => Self::Terminal {
                master: PolledFd::new(pty.master, Source::Terminal(key), true, reactor),
                slave: Some(pty.slave),
            },
            Stdio::Pipes {
                own: [stdin, stdout, stderr],
                ..
            } => Self::Pipes {
                stdin: Some(PolledFd::new(stdin, Source::Stdin(key), false, reactor)),
                input_ended: false,
                stdout: Some(PolledFd::new(stdout, Source::Stdout(key), true, reactor)),
                stderr: Some(PolledFd::new(stderr, Source::Stderr(key), true, reactor)),
            },
        }
    }

    /// Writes to the program.
    pub fn write(&mut self, bytes: &[u8], reactor: &mut Reactor) {
        match self {
            Self::Terminal { master, .. } => {
                master.write(bytes, reactor);
            }
            Self::Pipes {
                stdin: Some(pipe), ..
            } => {
                let open = pipe.write(bytes, reactor);
                self.after_write(open, reactor);
            }
            _ => {}
        }
    }

    /// There is room for what waits.
    pub fn writable(&mut self, reactor: &mut Reactor) {
        match self {
            Self::Terminal { master, .. } => {
                master.flush(reactor);
            }
            Self::Pipes {
                stdin: Some(pipe), ..
            } => {
                let open = pipe.flush(reactor);
                self.after_write(open, reactor);
            }
            _ => {}
        }
    }

    /// The client's input has ended: stdin is closed behind what waits. A terminal has no such
    /// thing.
    pub fn end_input(&mut self, reactor: &mut Reactor) {
        if let Self::Pipes { input_ended, .. } = self {
            *input_ended = true;
            self.after_write(true, reactor);
        }
    }

    fn after_write(&mut self, open: bool, reactor: &mut Reactor) {
        if let Self::Pipes {
            stdin, input_ended, ..
        } = self
        {
            let done = stdin
                .as_ref()
                .is_some_and(|p| !open || (*input_ended && p.waiting() == 0));
            if let Some(pipe) = stdin.take_if(|_| done) {
                pipe.close(reactor);
            }
        }
    }

    /// Bytes that wait to be written to the program.
    #[must_use]
    pub fn waiting(&self) -> usize {
        match self {
            Self::Terminal { master, .. } => master.waiting(),
            Self::Pipes {
                stdin: Some(pipe), ..
            } => pipe.waiting(),
            _ => 0,
        }
    }

    /// Whether the program's output is wanted.
    pub fn set_reading(&mut self, reading: bool, reactor: &mut Reactor) {
        match self {
            Self::Terminal { master, .. } => master.set_reading(reading, reactor),
            Self::Pipes { stdout, stderr, .. } => {
                for pipe in [stdout, stderr].into_iter().flatten() {
                    pipe.set_reading(reading, reactor);
                }
            }
            Self::Closed => {}
        }
    }

    /// Bytes of output that one of the program's pipes holds now. 0 for a terminal.
    #[must_use]
    pub fn unread(&self, source: Source) -> usize {
        let pipe = match (self, source) {
            (Self::Pipes { stdout, .. }, Source::Stdout(_)) => stdout,
            (Self::Pipes { stderr, .. }, Source::Stderr(_)) => stderr,
            _ => &None,
        };
        pipe.as_ref().map_or(0, |p| pty::readable(&p.fd()))
    }

    /// Sets a terminal's size. Whether there is one.
    pub fn resize(&self, size: Size) -> bool {
        match self {
            Self::Terminal { master, .. } => pty::set_size(&master.fd().as_fd(), size).is_ok(),
            _ => false,
        }
    }

    /// Closes everything.
    pub fn close(&mut self, reactor: &mut Reactor) {
        match std::mem::replace(self, Self::Closed) {
            Self::Terminal { master, .. } => master.close(reactor),
            Self::Pipes {
                stdin,
                stdout,
                stderr,
                ..
            } => {
                for pipe in [stdin, stdout, stderr].into_iter().flatten() {
                    pipe.close(reactor);
                }
            }
            Self::Closed => {}
        }
    }
}

#[cfg(test)]
#[path = "session_io_tests.rs"]
mod tests;
