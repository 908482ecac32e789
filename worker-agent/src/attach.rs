//! Clients of a session: attach, writer and readers, size, detach.
//!
//! Owns: who writes and whose size is followed. A client never blocks the session's terminal or
//! another client.

use crate::{
    channel::Received,
    client::{Client, Dialer},
    command::refuse,
    pump::Pump,
    reactor::{ClientKey, Lane, Reactor, SessionKey, Timer, unix_ms},
    session::{Session, sane},
};
use nix::sys::epoll::EpollFlags;
use podbay_protocol::{AgentError, AgentEvent, Attach, AttachMode, ErrorCode, Size};
use std::time::Duration;

/// For so long a terminal shows the wrong size, so that a full-screen program repaints.
const JIGGLE: Duration = Duration::from_millis(40);
/// Clients of an ended session are looked after this often; one that took nothing is closed.
const LINGER: Duration = Duration::from_secs(10);
/// Typed bytes that may wait for the program before its writer is not read any more.
const INPUT_HIGH: usize = 256 << 10;
/// When it is read again.
const INPUT_LOW: usize = 64 << 10;
/// Bytes that may wait for the program in all: what is over, of clients that went away and left more
/// in their sockets than it reads, is thrown away.
const MAX_INPUT: usize = 2 * INPUT_HIGH;
/// Clients of one session.
const MAX_CLIENTS: usize = 64;

impl Session {
    /// Dials the client that comes with the start.
    pub(crate) fn dial_first(
        key: SessionKey,
        attach: &Attach,
        dialer: &Dialer,
        reactor: &mut Reactor,
    ) -> Result<Client, AgentError> {
        let mut client = Client::new(key, reactor.fresh_key(), attach, reactor.now);
        for lane in [Lane::Main, Lane::Error] {
            if let Err(error) = client.dial(lane, key, dialer, reactor) {
                client.close(reactor);
                let message = format!("dialling stream {}: {}", attach.stream, error.desc());
                return Err(refuse(ErrorCode::System, message));
            }
        }
        Ok(client)
    }

    /// Adds a client; gives whether it is the writer.
    ///
    /// # Errors
    /// [`ErrorCode::Invalid`] for a stream that is there already, [`ErrorCode::System`] when the
    /// stream cannot be dialled.
    pub fn attach(
        &mut self,
        attach: &Attach,
        dialer: &Dialer,
        reactor: &mut Reactor,
    ) -> Result<bool, AgentError> {
        if self.clients.iter().any(|c| c.stream == attach.stream) {
            return Err(refuse(
                ErrorCode::Invalid,
                format!("stream {} is attached already", attach.stream),
            ));
        }
        if self.clients.len() >= MAX_CLIENTS {
            return Err(refuse(
                ErrorCode::System,
                format!("{MAX_CLIENTS} clients are attached already"),
            ));
        }
        let mut client = Self::dial_first(self.key, attach, dialer, reactor)?;
        let writes = match attach.mode {
            AttachMode::ReadOnly => false,
            AttachMode::Write => self.writer.is_none(),
            AttachMode::Takeover => true,
        } && !self.ended;
        let resized = match (writes, attach.size) {
            (true, Some(size)) => self.resize(size, reactor),
            _ => false,
        };
        let terminal = self.size.is_some();
        if terminal && attach.restore {
            let blob = if self.ended {
                self.last_screen.0.clone()
            } else {
                self.sink.restore()
            };
            // A client that is gone already is noticed when its connection is read.
            client.restore(&blob, false, reactor).ok();
        }
        if writes {
            self.writer = Some(client.key);
        }
        self.clients.push(client);
        if writes && terminal && attach.restore && !resized {
            self.jiggle(reactor);
        }
        if attach.mode != AttachMode::ReadOnly {
            self.seen(reactor);
        }
        if self.ended {
            self.finish_clients(reactor);
        }
        Ok(writes)
    }

    /// Dials a client's connection again.
    pub fn redial(
        &mut self,
        client: ClientKey,
        lane: Lane,
        dialer: &Dialer,
        reactor: &mut Reactor,
    ) {
        let key = self.key;
        let Some(it) = self.clients.iter_mut().find(|c| c.key == client) else {
            return;
        };
        if it.dial(lane, key, dialer, reactor).is_err() {
            self.detach(client, reactor);
        } else if self.ended {
            self.finish_clients(reactor);
        }
    }

    /// One cell less, and the true size again a moment later: without a size that really differs
    /// when the program asks for it, many programs do not repaint.
    fn jiggle(&mut self, reactor: &mut Reactor) {
        if let Some(size) = self.size.filter(|size| size.rows > 1 && !self.ended) {
            self.jiggling = self.pump.resize(Size {
                rows: size.rows - 1,
                ..size
            });
            reactor.after(JIGGLE, Timer::Jiggle(self.key));
        }
    }

    /// The moment is over.
    pub fn jiggled(&mut self) {
        if let (true, Some(size)) = (std::mem::take(&mut self.jiggling), self.size) {
            self.pump.resize(size);
        }
    }

    /// A client's terminal has another size.
    pub fn client_resized(&mut self, stream: &str, size: Size, reactor: &mut Reactor) -> bool {
        let Some(client) = self.clients.iter_mut().find(|c| c.stream == stream) else {
            return false;
        };
        client.size = Some(size);
        if self.writer == Some(client.key) {
            self.resize(size, reactor);
        }
        true
    }

    /// Sets the terminal's size; whether it changed.
    fn resize(&mut self, size: Size, reactor: &mut Reactor) -> bool {
        let size = sane(size);
        if self.size.is_none() || self.size == Some(size) || self.ended {
            return false;
        }
        self.size = Some(size);
        self.jiggling = false;
        self.sink.resize(size, reactor.now);
        self.unwritten = self.recording.is_some();
        self.pump.resize(size);
        reactor.tell(AgentEvent::Resized {
            session: self.id.clone(),
            size,
        });
        true
    }

    /// Makes a client the writer; whether there is such a client.
    pub fn takeover(&mut self, stream: &str, reactor: &mut Reactor) -> bool {
        let Some(client) = self.clients.iter_mut().find(|c| c.stream == stream) else {
            return false;
        };
        client.mode = AttachMode::Takeover;
        let (key, size) = (client.key, client.size);
        self.make_writer(key, size, reactor);
        true
    }

    fn make_writer(&mut self, key: ClientKey, size: Option<Size>, reactor: &mut Reactor) {
        self.writer = Some(key);
        if let Some(size) = size {
            self.resize(size, reactor);
        }
        self.input_flow(reactor);
        let ended = self.clients.iter().any(|c| c.key == key && c.input_ended);
        if ended {
            self.pump.end_input(reactor);
        }
    }

    /// Something happened on a client's connection.
    pub fn client_ready(
        &mut self,
        key: ClientKey,
        lane: Lane,
        flags: EpollFlags,
        buffer: &mut [u8],
        reactor: &mut Reactor,
    ) {
        if flags.contains(EpollFlags::EPOLLOUT) && self.room(key, lane, reactor).is_err() {
            return self.detach(key, reactor);
        }
        let gone = flags.intersects(EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR);
        if flags.contains(EpollFlags::EPOLLIN) || gone {
            // What a client sent before it closed is still typed; a socket's buffer bounds it.
            let mut rounds = if gone { 64 } else { 1 };
            while rounds > 0 && self.input(key, lane, buffer, reactor) {
                rounds -= 1;
            }
        }
        if gone && !self.close_lane(key, lane, reactor) {
            self.detach(key, reactor);
        } else if self.ended {
            self.finish_clients(reactor);
        }
    }

    /// Of an ended session's client, a connection that both sides have shut is done with, and no
    /// more than that while the other one still has something to send. Whether that is so.
    fn close_lane(&mut self, key: ClientKey, lane: Lane, reactor: &mut Reactor) -> bool {
        let Some(client) = self.clients.iter_mut().find(|c| c.key == key) else {
            return false;
        };
        if !self.ended || !client.owes_beside(lane) {
            return false;
        }
        if let Some(channel) = client.lane(lane) {
            channel.close(reactor);
        }
        true
    }

    /// A client's socket has room.
    fn room(&mut self, key: ClientKey, lane: Lane, reactor: &mut Reactor) -> nix::Result<()> {
        let Some(client) = self.clients.iter_mut().find(|c| c.key == key) else {
            return Ok(());
        };
        if client.stale && lane == Lane::Main {
            let blob = if self.ended {
                self.last_screen.0.clone()
            } else {
                self.sink.restore()
            };
            client.restore(&blob, true, reactor)?;
        } else if let Some(channel) = client.lane(lane) {
            channel.flush(reactor)?;
        }
        self.flow(reactor);
        Ok(())
    }

    /// Reads from a client once; whether there may be more.
    fn input(
        &mut self,
        key: ClientKey,
        lane: Lane,
        buffer: &mut [u8],
        reactor: &mut Reactor,
    ) -> bool {
        let Some(client) = self.clients.iter_mut().find(|c| c.key == key) else {
            return false;
        };
        let Some(channel) = client.lane(lane) else {
            return false;
        };
        match channel.receive(buffer) {
            Ok(Received::Bytes(count)) => {
                let room = MAX_INPUT.saturating_sub(self.pump.waiting());
                if self.writer == Some(key) && lane == Lane::Main {
                    self.typed(buffer.get(..count.min(room)).unwrap_or_default(), reactor);
                }
                true
            }
            Ok(Received::Nothing) => false,
            Ok(Received::End) => {
                channel.set_reading(false, reactor);
                if lane == Lane::Main {
                    client.input_ended = true;
                    if self.writer == Some(key) && !is_gone(client) {
                        self.pump.end_input(reactor);
                    }
                }
                false
            }
            Err(_) => {
                self.detach(key, reactor);
                false
            }
        }
    }

    /// Bytes for the program, from a client that is not attached.
    ///
    /// # Errors
    /// [`ErrorCode::Exhausted`] when the program has not read what was typed before.
    pub fn type_in(&mut self, bytes: &[u8], reactor: &mut Reactor) -> Result<(), AgentError> {
        let waiting = self.pump.waiting();
        if waiting > 0 && waiting + bytes.len() > INPUT_HIGH {
            let message = format!(
                "the session's program has not read {waiting} bytes that were typed before; \
                 nothing of this was typed"
            );
            return Err(refuse(ErrorCode::Exhausted, message));
        }
        self.typed(bytes, reactor);
        Ok(())
    }

    /// Bytes for the program.
    fn typed(&mut self, bytes: &[u8], reactor: &mut Reactor) {
        self.pump.write(bytes, reactor);
        let changed = self.tracker.input(reactor.now, unix_ms());
        self.tell_activity(changed, reactor);
        self.input_flow(reactor);
    }

    /// Reads clients' input only while the program takes it.
    pub(crate) fn input_flow(&mut self, reactor: &Reactor) {
        let waiting = self.pump.waiting();
        let writer = self.writer;
        for client in self.clients.iter_mut().filter(|c| !c.input_ended) {
            if writer != Some(client.key) || waiting <= INPUT_LOW {
                client.main.set_reading(true, reactor);
            } else if waiting > INPUT_HIGH {
                client.main.set_reading(false, reactor);
            }
        }
    }

    /// Removes a client; the oldest of those who may write inherits.
    pub fn detach(&mut self, key: ClientKey, reactor: &mut Reactor) {
        let Some(at) = self.clients.iter().position(|c| c.key == key) else {
            return;
        };
        let mut client = self.clients.remove(at);
        client.close(reactor);
        if self.writer == Some(key) {
            self.writer = None;
            let heir = self
                .clients
                .iter()
                .find(|c| c.may_write())
                .map(|c| (c.key, c.size));
            if let Some((key, size)) = heir {
                self.make_writer(key, size, reactor);
            }
        }
        let clients = u32::try_from(self.clients.len()).unwrap_or(u32::MAX);
        reactor.tell(AgentEvent::Detached {
            session: self.id.clone(),
            stream: client.stream,
            clients,
        });
        self.flow(reactor);
    }

    /// Closes every client's connection: the coordinator is gone.
    pub fn detach_all(&mut self, reactor: &mut Reactor) {
        while let Some(key) = self.clients.first().map(|c| c.key) {
            self.detach(key, reactor);
        }
    }

    /// Lets the clients of an ended session have the rest, and then their end.
    pub(crate) fn finish_clients(&mut self, reactor: &mut Reactor) {
        for client in &mut self.clients {
            // A stale one still gets its fresh screen, once it has room.
            if !client.stale {
                client.finish();
            }
            if client.lingering.is_none() {
                client.lingering = Some(client.queued());
                reactor.after(LINGER, Timer::Linger(self.key, client.key));
            }
        }
    }

    /// Closes a client of an ended session that has taken nothing for a while.
    pub fn linger(&mut self, key: ClientKey, reactor: &mut Reactor) {
        let Some(client) = self.clients.iter_mut().find(|c| c.key == key) else {
            return;
        };
        let queued = client.queued();
        if client.lingering.replace(queued) == Some(queued) {
            self.detach(key, reactor);
        } else {
            reactor.after(LINGER, Timer::Linger(self.key, key));
        }
    }

    /// Whether a client is so slow that the program must wait: pipes are lossless.
    pub(crate) fn clients_full(&self) -> bool {
        const HIGH: usize = 256 << 10;
        matches!(self.pump, Pump::Pipes { .. }) && self.clients.iter().any(|c| c.queued() > HIGH)
    }
}

/// A client that closed altogether, rather than ended its input: the program may be attached to
/// again, so its stdin stays open.
fn is_gone(client: &Client) -> bool {
    client.main.hung_up()
}
