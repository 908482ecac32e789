//! One attached client of a session.
//!
//! Owns: its connections, and what happens when it is too slow. It does not know the session.

use crate::{
    connection::{dialer::Dialer, stream_conn::StreamConn},
    event_loop::reactor::{ClientKey, Lane, Reactor, SessionKey, Source, Timer},
};
use nix::errno::Errno;
use podbay_protocol::{Attach, AttachMode, Purpose, Size};
use std::time::{Duration, Instant};

/// Bytes that may wait for one client of a terminal, beyond its restore blob.
const QUEUE: usize = 2 << 20;
/// The same for one that only watches: it is to see what is now, and soon, not all that was.
const READ_ONLY_QUEUE: usize = 256 << 10;
/// For this long a connection is dialled again when the coordinator's backlog is full.
const DIAL_FOR: Duration = Duration::from_secs(2);
const DIAL_EVERY: Duration = Duration::from_millis(5);
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
    /// Input and output.
    pub main: StreamConn,
    /// stderr.
    pub error: Option<StreamConn>,
    /// The peer sends no more input.
    pub input_ended: bool,
    /// The queue overflowed: it gets a new restore blob once its socket has room.
    pub stale: bool,
    /// Of an ended session's client: what was queued when it was last looked at.
    pub lingering: Option<usize>,
    limit: usize,
    dial_until: Instant,
    error_stream: Option<String>,
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
        let error = attach.error_stream.as_ref();
        Self {
            key,
            stream: attach.stream.clone(),
            mode: attach.mode,
            size: attach.size,
            main: StreamConn::new(Source::Client(session, key, Lane::Main)),
            error: error.map(|_| StreamConn::new(Source::Client(session, key, Lane::Error))),
            input_ended: false,
            stale: false,
            lingering: None,
            limit: queue(attach.mode),
            dial_until: now + DIAL_FOR,
            error_stream: attach.error_stream.clone(),
        }
    }

    /// Dials a lane; later again when the coordinator is busy.
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
        let (conn, stream) = match (lane, &mut self.error, &self.error_stream) {
            (Lane::Main, _, _) => (&mut self.main, &self.stream),
            (Lane::Error, Some(conn), Some(stream)) => (conn, stream),
            (Lane::Error, _, _) => return Ok(()),
        };
        if conn.connected() {
            return Ok(());
        }
        match conn.dial(&dialer.socket, reactor) {
            Ok(()) => {
                conn.greet(&dialer.hello(Purpose::Stream {
                    stream: stream.clone(),
                }));
                conn.want_room(self.stale && lane == Lane::Main, reactor);
                conn.flush(reactor)
            }
            Err(Errno::EAGAIN) if reactor.now < self.dial_until => {
                reactor.after(DIAL_EVERY, Timer::Dial(session, self.key, lane));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// A lane's connection.
    pub fn lane(&mut self, lane: Lane) -> Option<&mut StreamConn> {
        match lane {
            Lane::Main => Some(&mut self.main),
            Lane::Error => self.error.as_mut(),
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
        self.main.send(bytes, reactor)?;
        if self.main.queued() > self.limit {
            self.stale = true;
            self.main.clear();
            self.main.want_room(true, reactor);
        }
        Ok(())
    }

    /// A restore blob; it does not count against the bound.
    ///
    /// # Errors
    /// The client is gone.
    pub fn restore(&mut self, blob: &[u8], reset: bool, reactor: &Reactor) -> nix::Result<()> {
        self.stale = false;
        self.main.want_room(false, reactor);
        self.limit = queue(self.mode) + blob.len();
        if reset {
            self.main.send(RESET, reactor)?;
        }
        self.main.send(blob, reactor)
    }

    /// Bytes that wait on both connections.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.main.queued() + self.error.as_ref().map_or(0, StreamConn::queued)
    }

    /// Whether it was dialled and has everything.
    #[must_use]
    pub fn delivered(&self) -> bool {
        let error = self.error.as_ref();
        self.main.connected() && error.is_none_or(StreamConn::connected) && self.queued() == 0
    }

    /// Whether there is something to send on the other connection than this one.
    #[must_use]
    pub fn owes_on_other_lane(&self, lane: Lane) -> bool {
        match lane {
            Lane::Main => self.error.as_ref().is_some_and(|c| c.queued() > 0),
            Lane::Error => self.stale || self.main.queued() > 0,
        }
    }

    /// Says that nothing more comes, on each connection that has sent everything.
    pub fn finish(&mut self) {
        for conn in [Some(&mut self.main), self.error.as_mut()]
            .into_iter()
            .flatten()
        {
            if conn.queued() == 0 {
                conn.shut();
            }
        }
    }

    /// Closes both connections.
    pub fn close(&mut self, reactor: &mut Reactor) {
        self.main.close(reactor);
        if let Some(error) = &mut self.error {
            error.close(reactor);
        }
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
