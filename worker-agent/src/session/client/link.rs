//! How a client is connected: the coordinator relays it, or the agent has its own socket.
//!
//! Owns: what differs between the two. It does not know what a client may do.

use crate::{
    connection::{dialer::Dialer, handed_conn::HandedConn, stream_conn::StreamConn},
    event_loop::reactor::{ClientKey, Lane, Reactor, SessionKey, Source, Timer},
};
use nix::errno::Errno;
use podbay_protocol::{Attach, AttachKind, Purpose, SessionMessage};
use std::time::{Duration, Instant};

/// For this long a connection is dialled again when the coordinator's backlog is full.
pub const DIAL_FOR: Duration = Duration::from_secs(2);
pub const DIAL_EVERY: Duration = Duration::from_millis(5);
/// A client's socket has come by then, or the client is detached.
pub const SOCKET_WITHIN: Duration = Duration::from_secs(10);

/// A client's connection.
#[derive(Debug)]
pub enum Link {
    /// Streams of raw bytes that the agent dials.
    Relayed(Relayed),
    /// The client's own socket, which comes or has come from the coordinator.
    Handed(HandedConn),
}

/// The streams of a client that the coordinator relays.
#[derive(Debug)]
pub struct Relayed {
    /// Input and output.
    pub main: StreamConn,
    /// stderr.
    pub error: Option<StreamConn>,
    /// Ids of the two.
    stream: String,
    error_stream: Option<String>,
    dial_until: Instant,
}

impl Link {
    /// Not connected yet.
    #[must_use]
    pub fn new(session: SessionKey, key: ClientKey, attach: &Attach, now: Instant) -> Self {
        let source = |lane| Source::Client(session, key, lane);
        if attach.handed {
            return Self::Handed(HandedConn::new(source(Lane::Main)));
        }
        let error = attach.error_stream.as_ref();
        Self::Relayed(Relayed {
            main: StreamConn::new(source(Lane::Main)),
            error: error.map(|_| StreamConn::new(source(Lane::Error))),
            stream: attach.stream.clone(),
            error_stream: attach.error_stream.clone(),
            dial_until: now + DIAL_FOR,
        })
    }

    /// Dials a lane, later again when the coordinator is busy; or waits for the client's socket.
    ///
    /// # Errors
    /// The client cannot be reached.
    pub fn dial(
        &mut self,
        lane: Lane,
        (session, key): (SessionKey, ClientKey),
        dialer: &Dialer,
        reactor: &mut Reactor,
    ) -> nix::Result<()> {
        let relayed = match self {
            Self::Relayed(relayed) => relayed,
            Self::Handed(_) if lane == Lane::Main => {
                reactor.after(SOCKET_WITHIN, Timer::Socket(session, key));
                return Ok(());
            }
            Self::Handed(_) => return Ok(()),
        };
        let (conn, stream) = match (lane, &mut relayed.error, &relayed.error_stream) {
            (Lane::Main, _, _) => (&mut relayed.main, &relayed.stream),
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
                conn.flush(reactor)
            }
            Err(Errno::EAGAIN) if reactor.now < relayed.dial_until => {
                reactor.after(DIAL_EVERY, Timer::Dial(session, key, lane));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Whether it is all there.
    #[must_use]
    pub fn connected(&self) -> bool {
        match self {
            Self::Relayed(Relayed { main, error, .. }) => {
                main.connected() && error.as_ref().is_none_or(StreamConn::connected)
            }
            Self::Handed(conn) => conn.connected(),
        }
    }

    /// Whether it needs no coordinator.
    #[must_use]
    pub fn on_its_own(&self) -> bool {
        matches!(self, Self::Handed(conn) if conn.connected())
    }

    /// Sends output; stderr has a place of its own, or joins stdout.
    ///
    /// # Errors
    /// The client is gone.
    pub fn send(&mut self, lane: Lane, bytes: &[u8], reactor: &Reactor) -> nix::Result<()> {
        match (self, lane) {
            (
                Self::Relayed(Relayed {
                    error: Some(error), ..
                }),
                Lane::Error,
            ) => error.send(bytes, reactor),
            (Self::Relayed(relayed), _) => relayed.main.send(bytes, reactor),
            (Self::Handed(conn), Lane::Main) => conn.send(AttachKind::Main, bytes, reactor),
            (Self::Handed(conn), Lane::Error) => conn.send(AttachKind::Error, bytes, reactor),
        }
    }

    /// Sends what waits on a lane, as far as there is room.
    ///
    /// # Errors
    /// The client is gone.
    pub fn flush(&mut self, lane: Lane, reactor: &Reactor) -> nix::Result<()> {
        match (self, lane) {
            (Self::Relayed(relayed), Lane::Main) => relayed.main.flush(reactor),
            (Self::Relayed(relayed), Lane::Error) => match &mut relayed.error {
                Some(error) => error.flush(reactor),
                None => Ok(()),
            },
            (Self::Handed(conn), _) => conn.flush(reactor),
        }
    }

    /// Bytes that wait on a lane.
    #[must_use]
    pub fn queued_on(&self, lane: Lane) -> usize {
        match (self, lane) {
            (Self::Relayed(relayed), Lane::Main) => relayed.main.queued(),
            (Self::Relayed(relayed), Lane::Error) => {
                relayed.error.as_ref().map_or(0, StreamConn::queued)
            }
            (Self::Handed(conn), Lane::Main) => conn.queued(),
            (Self::Handed(_), Lane::Error) => 0,
        }
    }

    /// Drops the output that waits, but nothing of a frame that is under way.
    ///
    /// # Errors
    /// The client is gone.
    pub fn drop_waiting(&mut self, reactor: &Reactor) -> nix::Result<()> {
        match self {
            Self::Relayed(relayed) => {
                relayed.main.clear();
                Ok(())
            }
            Self::Handed(conn) => conn.drop_waiting(reactor),
        }
    }

    /// Watches for room on the main lane also with nothing queued.
    pub fn want_room(&mut self, wanted: bool, reactor: &Reactor) {
        self.main().want_room(wanted, reactor);
    }

    /// The connection that input comes from.
    pub fn main(&mut self) -> &mut StreamConn {
        match self {
            Self::Relayed(relayed) => &mut relayed.main,
            Self::Handed(conn) => conn.conn(),
        }
    }

    /// Says that nothing more comes, where everything is sent.
    ///
    /// # Errors
    /// The client is gone.
    pub fn finish(&mut self, exited: &SessionMessage, reactor: &Reactor) -> nix::Result<()> {
        if let Self::Handed(conn) = self {
            conn.say_exited(exited, reactor)?;
        }
        for lane in [Lane::Main, Lane::Error] {
            if self.queued_on(lane) == 0
                && let Some(conn) = self.lane(lane)
            {
                conn.shut();
            }
        }
        Ok(())
    }

    /// A lane's connection.
    pub fn lane(&mut self, lane: Lane) -> Option<&mut StreamConn> {
        match (self, lane) {
            (Self::Relayed(relayed), Lane::Error) => relayed.error.as_mut(),
            (Self::Handed(_), Lane::Error) => None,
            (link, Lane::Main) => Some(link.main()),
        }
    }

    /// Closes.
    pub fn close(&mut self, reactor: &mut Reactor) {
        for lane in [Lane::Main, Lane::Error] {
            if let Some(conn) = self.lane(lane) {
                conn.close(reactor);
            }
        }
    }
}
