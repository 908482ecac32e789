//! One connection to the coordinator with its queue: the control connection and every stream.
//!
//! Owns: dialling, the socket, and the bytes that wait for it. It never blocks and never decides
//! what is dropped: that is its owner's.

use crate::event_loop::reactor::{Reactor, Registration, Source};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        epoll::EpollFlags,
        socket::{AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, send, socket},
    },
};
use std::{
    io::Read,
    net::Shutdown,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::Path,
};

/// What reading gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// So many bytes.
    Bytes(usize),
    /// Nothing now.
    Nothing,
    /// The peer will send no more.
    End,
}

/// A connection, perhaps not dialled yet: what is sent meanwhile waits.
#[derive(Debug)]
pub struct StreamConn {
    source: Source,
    socket: Option<(UnixStream, Registration)>,
    queue: Vec<u8>,
    sent: usize,
    reading: bool,
    room_wanted: bool,
    shut: bool,
}

impl StreamConn {
    /// One that is not connected.
    #[must_use]
    pub fn new(source: Source) -> Self {
        Self {
            source,
            socket: None,
            queue: Vec::new(),
            sent: 0,
            reading: true,
            room_wanted: false,
            shut: false,
        }
    }

    /// Connects; never blocks.
    ///
    /// # Errors
    /// The system's error; EAGAIN when the coordinator's backlog is full: try again soon.
    pub fn dial(&mut self, path: &Path, reactor: &mut Reactor) -> nix::Result<()> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let fd: OwnedFd = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
        connect(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
        let stream = UnixStream::from(fd);
        let registration = reactor.add(&stream, self.source, self.flags())?;
        self.socket = Some((stream, registration));
        Ok(())
    }

    /// Whether it was dialled.
    #[must_use]
    pub fn connected(&self) -> bool {
        self.socket.is_some()
    }

    /// Bytes that wait.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queue.len() - self.sent
    }

    /// Drops what waits.
    pub fn clear(&mut self) {
        self.queue = Vec::new();
        self.sent = 0;
    }

    /// Puts bytes in front of everything: the greeting of a connection dialled late.
    pub fn greet(&mut self, bytes: &[u8]) {
        let at = self.sent;
        self.queue.splice(at..at, bytes.iter().copied());
    }

    /// Sends what the socket takes and keeps the rest.
    ///
    /// # Errors
    /// The peer is gone.
    pub fn send(&mut self, bytes: &[u8], reactor: &Reactor) -> nix::Result<()> {
        let done = if self.queued() == 0 {
            self.write(bytes)?
        } else {
            0
        };
        if let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            if self.sent > 0 && self.sent * 2 >= self.queue.len() {
                self.queue.drain(..self.sent);
                self.sent = 0;
            }
            self.queue.extend_from_slice(rest);
            self.update(reactor);
        }
        Ok(())
    }

    /// Sends what waits, as far as the socket takes it.
    ///
    /// # Errors
    /// The peer is gone.
    pub fn flush(&mut self, reactor: &Reactor) -> nix::Result<()> {
        if self.queued() > 0 {
            let waiting = std::mem::take(&mut self.queue);
            let result = self.write(waiting.get(self.sent..).unwrap_or_default());
            self.queue = waiting;
            self.sent += result?;
        }
        if self.queued() == 0 {
            self.clear();
        }
        self.update(reactor);
        Ok(())
    }

    fn write(&self, bytes: &[u8]) -> nix::Result<usize> {
        let Some((stream, _)) = &self.socket else {
            return Ok(0);
        };
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            match send(stream.as_raw_fd(), rest, MsgFlags::MSG_NOSIGNAL) {
                Ok(count) => done += count,
                Err(Errno::EAGAIN) => break,
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// Reads once.
    ///
    /// # Errors
    /// The peer is gone.
    pub fn receive(&self, buffer: &mut [u8]) -> std::io::Result<Received> {
        let Some((stream, _)) = &self.socket else {
            return Ok(Received::Nothing);
        };
        let mut stream = stream;
        match stream.read(buffer) {
            Ok(0) => Ok(Received::End),
            Ok(count) => Ok(Received::Bytes(count)),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(Received::Nothing),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => Ok(Received::Nothing),
            Err(error) => Err(error),
        }
    }

    /// Whether input is wanted.
    pub fn set_reading(&mut self, reading: bool, reactor: &Reactor) {
        self.reading = reading;
        self.update(reactor);
    }

    /// Tells the peer that nothing more comes. Call it with nothing queued.
    pub fn shut(&mut self) {
        if let (false, Some((stream, _))) = (self.shut, &self.socket) {
            self.shut = true;
            // It fails only when the peer is gone, which reading tells as well.
            drop(stream.shutdown(Shutdown::Write));
        }
    }

    /// Whether the peer has closed both ways.
    #[must_use]
    pub fn hung_up(&self) -> bool {
        self.socket.as_ref().is_some_and(|(stream, _)| {
            let mut fds = [PollFd::new(stream.as_fd(), PollFlags::empty())];
            let polled = poll(&mut fds, PollTimeout::ZERO).is_ok_and(|n| n > 0);
            polled
                && fds
                    .iter()
                    .filter_map(PollFd::revents)
                    .any(|r| r.intersects(PollFlags::POLLHUP | PollFlags::POLLERR))
        })
    }

    /// Closes; what waits is dropped.
    pub fn close(&mut self, reactor: &mut Reactor) {
        if let Some((stream, registration)) = self.socket.take() {
            reactor.remove(&stream, registration);
        }
        self.clear();
    }

    fn flags(&self) -> EpollFlags {
        let mut flags = EpollFlags::empty();
        flags.set(EpollFlags::EPOLLIN, self.reading);
        flags.set(EpollFlags::EPOLLOUT, self.room_wanted || self.queued() > 0);
        flags
    }

    /// Watches for room also with nothing queued: the owner will make what to send when there is.
    pub fn want_room(&mut self, wanted: bool, reactor: &Reactor) {
        self.room_wanted = wanted;
        self.update(reactor);
    }

    fn update(&mut self, reactor: &Reactor) {
        let flags = self.flags();
        if let Some((stream, registration)) = &mut self.socket {
            reactor.interest(stream, registration, flags);
        }
    }
}

#[cfg(test)]
#[path = "stream_conn_tests.rs"]
mod tests;
