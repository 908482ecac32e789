//! Clients whose own sockets the agent has: what they say.
//!
//! Owns: which of it is allowed, and what a flood of it costs. A client that only watches changes
//! nothing of the session.

use super::{
    Session,
    client::{Client, link::Link},
};
use crate::{
    connection::stream_conn::Received,
    error::refuse,
    event_loop::reactor::{ClientKey, Reactor, Timer},
};
use podbay_protocol::{AgentError, AgentEvent, AttachPiece, ClientMessage, ErrorCode};
use std::{os::fd::OwnedFd, time::Duration};

/// Sizes and takeovers of such clients are followed at most this often: each size costs the program and
/// the screen a layout.
const FOLLOW_EVERY: Duration = Duration::from_millis(20);

impl Session {
    /// The socket of a client that waits for it has come, and what was read from it already.
    ///
    /// # Errors
    /// [`ErrorCode::NoSuchSession`] when there is no such client, [`ErrorCode::Invalid`] when it waits
    /// for none. The socket is closed then.
    pub fn take_socket(
        &mut self,
        stream: &str,
        socket: OwnedFd,
        first: &[u8],
        reactor: &mut Reactor,
    ) -> Result<(), AgentError> {
        let (writer, pipes) = (self.writer, self.size.is_none());
        let Some(client) = self.clients.iter_mut().find(|c| c.stream == stream) else {
            return Err(no_stream(stream));
        };
        let (key, stale) = (client.key, client.stale);
        let Some(conn) = client.handed().filter(|conn| !conn.connected()) else {
            let message = format!("the client of stream {stream} waits for no socket");
            return Err(refuse(ErrorCode::Invalid, message));
        };
        let first_words = (writer == Some(key), pipes);
        // One that is gone already is detached as if it had left a moment later.
        if conn.adopt(socket, first_words, first, reactor).is_err() {
            self.detach(key, reactor);
            return Ok(());
        }
        client.link.want_room(stale, reactor);
        self.hear(key, reactor);
        self.apply_backpressure(reactor);
        if self.ended {
            self.finish_clients(reactor);
        }
        Ok(())
    }

    /// Whether there is a client of this stream.
    pub fn has_client(&self, stream: &str) -> bool {
        self.clients.iter().any(|c| c.stream == stream)
    }

    /// A client's socket should have come by now.
    pub fn socket_overdue(&mut self, key: ClientKey, reactor: &mut Reactor) {
        let waits =
            |c: &Client| c.key == key && matches!(&c.link, Link::Handed(conn) if !conn.connected());
        if self.clients.iter().any(waits) {
            self.detach(key, reactor);
        }
    }

    /// Reads from a client once; whether there may be more.
    pub(super) fn read_handed(
        &mut self,
        key: ClientKey,
        buffer: &mut [u8],
        reactor: &mut Reactor,
    ) -> bool {
        let client = self.clients.iter_mut().find(|c| c.key == key);
        let Some(conn) = client.and_then(Client::handed) else {
            return false;
        };
        match conn.receive(buffer) {
            Ok(Received::Bytes(_)) => self.hear(key, reactor),
            Ok(Received::Nothing) => false,
            Ok(Received::End) | Err(_) => {
                self.detach(key, reactor);
                false
            }
        }
    }

    /// Hears what was read; whether the client stays.
    fn hear(&mut self, key: ClientKey, reactor: &mut Reactor) -> bool {
        let client = self.clients.iter_mut().find(|c| c.key == key);
        let Some(mut decoder) = client.and_then(Client::handed).map(|c| c.lend_decoder()) else {
            return false;
        };
        let watches = self.clients.iter().any(|c| c.key == key && !c.may_write());
        let mut stays = true;
        while stays {
            stays = match decoder.next_piece() {
                Ok(None) => break,
                Ok(Some(AttachPiece::Main(bytes))) if watches => {
                    self.refuse_watcher(key, reactor) && self.count_input(key, bytes.len(), reactor)
                }
                Ok(Some(AttachPiece::Main(bytes))) => self.typed(key, bytes, reactor),
                Ok(Some(AttachPiece::Message(_))) if watches => self.refuse_watcher(key, reactor),
                Ok(Some(AttachPiece::Message(json))) => match serde_json::from_slice(json) {
                    Ok(message) => self.asked(key, message, reactor),
                    Err(error) => {
                        let why = format!("the message is not understood: {error}");
                        self.refused(key, refuse(ErrorCode::Unsupported, why), reactor)
                    }
                },
                // No client has a stderr.
                Ok(Some(AttachPiece::Error(_))) | Err(_) => false,
            };
        }
        let client = self.clients.iter_mut().find(|c| c.key == key);
        let Some(conn) = client.and_then(Client::handed) else {
            return false;
        };
        conn.return_decoder(decoder);
        if !stays {
            self.detach(key, reactor);
        }
        stays
    }

    /// A client that only watches wants more: it is told so once; whether it stays.
    fn refuse_watcher(&mut self, key: ClientKey, reactor: &mut Reactor) -> bool {
        let client = self.clients.iter_mut().find(|c| c.key == key);
        let told = client.is_some_and(|c| std::mem::replace(&mut c.told_to_watch, true));
        let error = || refuse(ErrorCode::Invalid, "this client only watches the session");
        told || self.refused(key, error(), reactor)
    }

    /// A client wants something; whether it stays.
    fn asked(&mut self, key: ClientKey, message: ClientMessage, reactor: &mut Reactor) -> bool {
        match message {
            ClientMessage::Resize { size } => {
                if let Some(client) = self.clients.iter_mut().find(|c| c.key == key) {
                    client.size = Some(size);
                }
                if self.writer == Some(key) {
                    self.follow_writer(false, reactor);
                }
            }
            ClientMessage::Takeover => {
                self.make_writer(key, None, reactor);
                self.continue_stopped();
            }
            ClientMessage::Eof => self.input_ended(key, reactor),
            ClientMessage::Detach => self.detached_on_purpose(),
            ClientMessage::Signal { signal } => {
                if let Err(error) = self.signal(signal) {
                    return self.refused(key, error, reactor);
                }
            }
        }
        true
    }

    /// Says that something was refused; whether the client stays.
    fn refused(&mut self, key: ClientKey, error: AgentError, reactor: &mut Reactor) -> bool {
        let client = self.clients.iter_mut().find(|c| c.key == key);
        let Some(conn) = client.and_then(Client::handed) else {
            return false;
        };
        conn.refuse(error, reactor).is_ok()
    }

    /// Gives the terminal its writer's size, and reports who that is: immediately, and in a flood of
    /// sizes or takeovers now and then. `late`: the time for it has come.
    pub fn follow_writer(&mut self, late: bool, reactor: &mut Reactor) {
        if late {
            self.follow_timer = false;
        } else if self.follow_timer {
            return;
        }
        let since = self
            .writer_followed
            .map_or(FOLLOW_EVERY, |at| reactor.now.saturating_duration_since(at));
        if !late && since < FOLLOW_EVERY {
            self.follow_timer = true;
            let wait = FOLLOW_EVERY.saturating_sub(since);
            return reactor.after(wait, Timer::FollowWriter(self.key));
        }
        self.writer_followed = Some(reactor.now);
        let writer = self.clients.iter().find(|c| Some(c.key) == self.writer);
        let Some((key, size, stream)) = writer.map(|c| (c.key, c.size, c.stream.clone())) else {
            return;
        };
        if self.reported_writer.replace(key) != Some(key) {
            let session = self.id.clone();
            reactor.report(AgentEvent::Writer { session, stream });
        }
        if let Some(size) = size {
            self.resize(size, reactor);
        }
    }
}

/// There is no such client.
pub fn no_stream(stream: &str) -> AgentError {
    refuse(ErrorCode::NoSuchSession, format!("no stream {stream}"))
}
