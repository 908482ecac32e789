//! One connection with its queue: the control connection, every stream, a client's own socket.
//!
//! Owns: dialling, the socket, and the bytes that wait for it. It never blocks and never decides
//! what is dropped: that is its owner's.

use crate::event_loop::reactor::{Reactor, Registration, Source};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        epoll::EpollFlags,
        socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket},
    },
};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendFlags, recvmsg,
    sendmsg,
};
use std::{
    io::{IoSlice, IoSliceMut, Read},
    mem::MaybeUninit,
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

/// Descriptors that are taken with one read; one is expected at most.
const MAX_DESCRIPTORS: usize = 2;

/// A connection, perhaps not dialled yet: what is sent meanwhile waits.
#[derive(Debug)]
pub struct StreamConn {
    source: Source,
    socket: Option<(UnixStream, Registration)>,
    queue: Vec<u8>,
    sent: usize,
    /// Bytes that the socket took, of all that were ever sent.
    position: u64,
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
            position: 0,
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
        self.adopt(fd, reactor)
    }

    /// Connects by a socket that is connected already. It must be non-blocking.
    ///
    /// # Errors
    /// The system's error; the socket is closed then.
    pub fn adopt(&mut self, fd: OwnedFd, reactor: &mut Reactor) -> nix::Result<()> {
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

    /// Bytes that the socket took so far, of all that were sent.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// What is kept of the bytes from a position on: all that waits, and what was sent since the
    /// last [`Self::send`].
    #[must_use]
    pub fn kept_from(&self, position: u64) -> &[u8] {
        let at = self.index(position).unwrap_or(self.queue.len());
        self.queue.get(at..).unwrap_or_default()
    }

    /// Drops what waits behind a position.
    pub fn drop_from(&mut self, position: u64, reactor: &Reactor) {
        if let Some(at) = self.index(position.max(self.position)) {
            self.queue.truncate(at);
            self.queue.shrink_to_fit();
        }
        self.update(reactor);
    }

    /// Where in the queue a position is.
    fn index(&self, position: u64) -> Option<usize> {
        let first = self.position.checked_sub(self.sent as u64)?;
        usize::try_from(position.checked_sub(first)?).ok()
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
        self.send_both(&[], bytes, reactor)
    }

    /// The same for two parts that follow each other.
    ///
    /// # Errors
    /// The peer is gone.
    pub fn send_both(&mut self, first: &[u8], then: &[u8], reactor: &Reactor) -> nix::Result<()> {
        let done = if self.queued() == 0 {
            self.write(first, then)?
        } else {
            0
        };
        self.position += done as u64;
        if done < first.len() + then.len() {
            if self.sent > 0 && self.sent * 2 >= self.queue.len() {
                self.queue.drain(..self.sent);
                self.sent = 0;
            }
            for part in rest(first, then, done) {
                self.queue.extend_from_slice(part);
            }
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
            let waiting = self.queue.get(self.sent..).unwrap_or_default();
            let count = self.write(waiting, &[])?;
            self.sent += count;
            self.position += count as u64;
        }
        if self.queued() == 0 {
            self.clear();
        }
        self.update(reactor);
        Ok(())
    }

    fn write(&self, first: &[u8], then: &[u8]) -> nix::Result<usize> {
        let Some((stream, _)) = &self.socket else {
            return Ok(0);
        };
        let mut done = 0;
        while done < first.len() + then.len() {
            let parts = rest(first, then, done).map(IoSlice::new);
            let mut nothing = SendAncillaryBuffer::default();
            match sendmsg(stream, &parts, &mut nothing, SendFlags::NOSIGNAL) {
                Ok(count) => done += count,
                Err(rustix::io::Errno::AGAIN) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(Errno::from_raw(error.raw_os_error())),
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

    /// Reads once, and what descriptors came with the bytes: close-on-exec, at most as many as
    /// [`MAX_DESCRIPTORS`]; the kernel closes what is more.
    ///
    /// # Errors
    /// The peer is gone.
    pub fn receive_descriptors(
        &self,
        buffer: &mut [u8],
        descriptors: &mut Vec<OwnedFd>,
    ) -> std::io::Result<Received> {
        let Some((stream, _)) = &self.socket else {
            return Ok(Received::Nothing);
        };
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(buffer)];
        let received = recvmsg(stream, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC);
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                descriptors.extend(fds);
            }
        }
        match received {
            Ok(message) if message.bytes == 0 => Ok(Received::End),
            Ok(message) => Ok(Received::Bytes(message.bytes)),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(Received::Nothing),
            Err(error) => Err(error.into()),
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

/// What is left of two parts once so many bytes are done.
fn rest<'a>(first: &'a [u8], then: &'a [u8], done: usize) -> [&'a [u8]; 2] {
    let behind = done.saturating_sub(first.len());
    [
        first.get(done..).unwrap_or_default(),
        then.get(behind..).unwrap_or_default(),
    ]
}

#[cfg(test)]
#[path = "stream_conn_tests.rs"]
mod tests;
