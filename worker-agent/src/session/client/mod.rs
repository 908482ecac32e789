//! One attached client of a session.
//!
//! Owns: what it is owed, and what happens when it is too slow. It does not know the session.

pub mod link;

use self::link::Link;
use crate::{
    connection::{dialer::Dialer, handed_conn::HandedConn},
    event_loop::reactor::{ClientKey, Lane, Reactor, SessionKey},
};
use podbay_protocol::{Attach, AttachMode, SessionMessage, Size};
use std::time::Instant;

/// Bytes that may wait for one client of a terminal, beyond its restore blob.
const QUEUE: usize = 2 << 20;
/// The same for one that only watches: it is to see what is now, and soon, not all that was.
const READ_ONLY_QUEUE: usize = 256 << 10;
/// Ends what a cut-off sequence began, resets every mode, and empties screen and scrollback:
/// what a restore blob starts from.
pub const RESET: &[u8] = b"\x18\x1b\\\x1bc\x1b[H\x1b[2J\x1b[3J";

/// An attached client.
#[derive(Debug)]
pub struct Client {
    /// Its key.
    pub key: ClientKey,
    /// Its stream's one-time id.
    pub stream: String,
    /// What it may do.
    pub mode: AttachMode,
    /// Its terminal's size, when it has one.
    pub size: Option<Size>,
    /// Nothing behind it answers what a program asks its terminal.
    silent: bool,
    /// Its connection.
    pub link: Link,
    /// The peer sends no more input.
    pub input_ended: bool,
    /// The queue overflowed: it gets a new restore blob once its socket has room.
    pub stale: bool,
    /// Of an ended session's client: what was queued when it was last looked at.
    pub lingering: Option<usize>,
    limit: usize,
    /// It was told that it only watches.
    pub told_to_watch: bool,
}

fn queue(mode: AttachMode) -> usize {
    match mode {
        AttachMode::ReadOnly => READ_ONLY_QUEUE,
        AttachMode::Write | AttachMode::Takeover => QUEUE,
    }
}

impl Client {
    /// A client as asked for; not dialled yet.
    #[must_use]
    pub fn new(session: SessionKey, key: ClientKey, attach: &Attach, now: Instant) -> Self {
        Self {
            key,
            stream: attach.stream.clone(),
            mode: attach.mode,
            size: attach.size,
            silent: attach.silent,
            link: Link::new(session, key, attach, now),
            input_ended: false,
            stale: false,
            lingering: None,
            limit: queue(attach.mode),
            told_to_watch: false,
        }
    }

    /// Dials a lane, later again when the coordinator is busy; or waits for the client's socket.
    ///
    /// # Errors
    /// The client cannot be reached.
    pub fn dial(
        &mut self,
        lane: Lane,
        session: SessionKey,
        dialer: &Dialer,
        reactor: &mut Reactor,
    ) -> nix::Result<()> {
        self.link.dial(lane, (session, self.key), dialer, reactor)?;
        self.link.want_room(self.stale, reactor);
        Ok(())
    }

    /// The client's own socket, or the place for it.
    pub fn handed(&mut self) -> Option<&mut HandedConn> {
        match &mut self.link {
            Link::Handed(conn) => Some(conn),
            Link::Relayed(_) => None,
        }
    }

    /// Terminal output. Over the bound the queue is dropped and the client becomes stale.
    ///
    /// # Errors
    /// The client is gone.
    pub fn output(&mut self, bytes: &[u8], reactor: &Reactor) -> nix::Result<()> {
        if self.stale {
            return Ok(());
        }
        self.link.send(Lane::Main, bytes, reactor)?;
        if self.link.queued_on(Lane::Main) > self.limit {
            self.become_stale(reactor)?;
        }
        Ok(())
    }

    /// Drops what waits: the client gets a restore blob once its socket has room.
    ///
    /// # Errors
    /// The client is gone.
    pub fn become_stale(&mut self, reactor: &Reactor) -> nix::Result<()> {
        self.stale = true;
        self.link.drop_waiting(reactor)?;
        self.link.want_room(true, reactor);
        Ok(())
    }

    /// A restore blob; it does not count against the bound.
    ///
    /// # Errors
    /// The client is gone.
    pub fn restore(&mut self, blob: &[u8], reset: bool, reactor: &Reactor) -> nix::Result<()> {
        self.stale = false;
        self.link.want_room(false, reactor);
        self.limit = queue(self.mode) + blob.len();
        if reset {
            self.link.send(Lane::Main, RESET, reactor)?;
        }
        self.link.send(Lane::Main, blob, reactor)
    }

    /// Bytes that wait on both connections.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.link.queued_on(Lane::Main) + self.link.queued_on(Lane::Error)
    }

    /// Whether it was dialled and has everything.
    #[must_use]
    pub fn delivered(&self) -> bool {
        self.link.connected() && self.queued() == 0
    }

    /// Whether there is something to send on the other connection than this one.
    #[must_use]
    pub fn owes_on_other_lane(&self, lane: Lane) -> bool {
        match lane {
            Lane::Main => self.link.queued_on(Lane::Error) > 0,
            Lane::Error => self.stale || self.link.queued_on(Lane::Main) > 0,
        }
    }

    /// Says that nothing more comes, on each connection that has sent everything.
    ///
    /// # Errors
    /// The client is gone.
    pub fn finish(&mut self, exited: &SessionMessage, reactor: &Reactor) -> nix::Result<()> {
        self.link.finish(exited, reactor)
    }

    /// Closes.
    pub fn close(&mut self, reactor: &mut Reactor) {
        self.link.close(reactor);
    }

    /// Whether a terminal behind it answers what the program asks. One that is stale is not sent the
    /// question, and a client without a size has no terminal.
    #[must_use]
    pub fn answers_queries(&self) -> bool {
        !self.silent && !self.stale && self.size.is_some()
    }

    /// Whether it may write.
    #[must_use]
    pub fn may_write(&self) -> bool {
        self.mode != AttachMode::ReadOnly
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
