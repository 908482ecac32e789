//! Clients of a session: attach, writer and readers, size, detach.
//!
//! Owns: who writes and whose size is followed. A client never blocks the session's terminal or
//! another client.

use super::{Session, clamp_size, client::Client, session_io::ProgramIo};
use crate::{
    connection::dialer::Dialer,
    error::refuse,
    event_loop::reactor::{ClientKey, Lane, Reactor, SessionKey, Timer},
};
use nix::sys::epoll::EpollFlags;
use podbay_protocol::{
    AgentError, AgentEvent, Attach, AttachMode, ErrorCode, MAX_CLIENTS, SessionMessage, Size,
};
use std::time::Duration;

/// This long a terminal shows the wrong size, so that a full-screen program repaints.
const REDRAW_PAUSE: Duration = Duration::from_millis(40);
/// Clients of an ended session are looked after this often; one that took nothing is closed.
const LINGER: Duration = Duration::from_secs(10);

impl Session {
    /// Dials a client, or waits for its socket.
    pub(super) fn dial_first(
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
                self.screen.restore()
            };
            // A client that is gone already is noticed when its connection is read.
            client.restore(&blob, false, reactor).ok();
        }
        let former = self.writer;
        if writes {
            self.discard_input(reactor);
            self.writer = Some(client.key);
            self.continue_stopped();
        }
        self.clients.push(client);
        self.found();
        match former {
            Some(_) => self.tell_writer(former, reactor),
            // The answer says it.
            None => self.reported_writer = self.writer,
        }
        if writes && terminal && attach.restore && !resized {
            self.force_redraw(reactor);
        }
        if attach.mode != AttachMode::ReadOnly {
            self.mark_seen(reactor);
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
    fn force_redraw(&mut self, reactor: &mut Reactor) {
        if let Some(size) = self.size.filter(|size| size.rows > 1 && !self.ended) {
            self.redrawing = self.io.resize(Size {
                rows: size.rows - 1,
                ..size
            });
            reactor.after(REDRAW_PAUSE, Timer::RestoreSize(self.key));
        }
    }

    /// The moment is over.
    pub fn restore_size(&mut self) {
        if let (true, Some(size)) = (std::mem::take(&mut self.redrawing), self.size) {
            self.io.resize(size);
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
    pub(super) fn resize(&mut self, size: Size, reactor: &mut Reactor) -> bool {
        let size = clamp_size(size);
        if self.size.is_none() || self.size == Some(size) || self.ended {
            return false;
        }
        self.size = Some(size);
        self.redrawing = false;
        self.screen.resize(size, reactor.now);
        self.unwritten = self.recording.is_some();
        self.io.resize(size);
        reactor.report(AgentEvent::Resized {
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
        self.continue_stopped();
        true
    }

    pub(super) fn make_writer(
        &mut self,
        key: ClientKey,
        size: Option<Size>,
        reactor: &mut Reactor,
    ) {
        if self.writer != Some(key) {
            self.discard_input(reactor);
        }
        let former = self.writer.replace(key);
        self.tell_writer(former, reactor);
        if let Some(size) = size {
            self.resize(size, reactor);
        }
        self.apply_input_backpressure(reactor);
        let ended = self.clients.iter().any(|c| c.key == key && c.input_ended);
        if ended {
            self.io.end_input(reactor);
        }
    }

    /// A terminal that may show words on who types gets the whole screen again.
    fn renew_screen(&mut self, key: ClientKey, reactor: &mut Reactor) {
        let client = self.clients.iter_mut().find(|c| c.key == key);
        if let Some(client) = client.filter(|_| self.size.is_some()) {
            // A client that is gone already is noticed when its connection is read.
            client.become_stale(reactor).ok();
        }
    }

    /// Those whose part has changed are told, and the coordinator.
    fn tell_writer(&mut self, former: Option<ClientKey>, reactor: &mut Reactor) {
        if self.writer == former {
            return;
        }
        for client in &mut self.clients {
            let writes = self.writer == Some(client.key);
            if let Some(conn) = client.handed() {
                // A client that is gone already is noticed when its connection is read.
                conn.set_writer(writes, reactor).ok();
            }
        }
        self.follow_writer(false, reactor);
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
            while rounds > 0 && self.read_client(key, lane, buffer, reactor) {
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
        if !self.ended || client.handed().is_some() || !client.owes_on_other_lane(lane) {
            return false;
        }
        if let Some(conn) = client.link.lane(lane) {
            conn.close(reactor);
        }
        true
    }

    /// A client's socket has room.
    fn room(&mut self, key: ClientKey, lane: Lane, reactor: &mut Reactor) -> nix::Result<()> {
        let Some(client) = self.clients.iter_mut().find(|c| c.key == key) else {
            return Ok(());
        };
        client.link.flush(lane, reactor)?;
        if client.stale && lane == Lane::Main && client.queued() == 0 {
            let blob = if self.ended {
                self.last_screen.0.clone()
            } else {
                self.screen.restore()
            };
            client.restore(&blob, true, reactor)?;
        }
        self.apply_backpressure(reactor);
        Ok(())
    }

    /// Removes a client; the oldest of those who may write inherits.
    pub fn detach(&mut self, key: ClientKey, reactor: &mut Reactor) {
        let Some(at) = self.clients.iter().position(|c| c.key == key) else {
            return;
        };
        let mut client = self.clients.remove(at);
        client.close(reactor);
        if self.writer == Some(key) {
            // What it sent before it left is still typed.
            self.type_last(&mut client, reactor);
            self.writer = None;
            let heir = self
                .clients
                .iter()
                .find(|c| c.may_write())
                .map(|c| (c.key, c.size));
            if let Some((key, size)) = heir {
                self.make_writer(key, size, reactor);
                self.renew_screen(key, reactor);
            }
        }
        let clients = u32::try_from(self.clients.len()).unwrap_or(u32::MAX);
        reactor.report(AgentEvent::Detached {
            session: self.id.clone(),
            stream: client.stream,
            clients,
        });
        self.left_by_client(reactor);
        self.apply_backpressure(reactor);
    }

    /// Closes the connections of clients that need the coordinator, which is gone.
    pub fn detach_relayed(&mut self, reactor: &mut Reactor) {
        // First those that would only inherit from others that go as well.
        while let Some(client) = self.clients.iter().rfind(|c| !c.link.on_its_own()) {
            self.detach(client.key, reactor);
        }
    }

    /// Lets the clients of an ended session have the rest, and then their end.
    pub(super) fn finish_clients(&mut self, reactor: &mut Reactor) {
        let Some((status, _)) = self.exit else {
            return;
        };
        let exited = SessionMessage::Exited {
            status,
            oom: self.oom,
        };
        let mut gone = Vec::new();
        for client in &mut self.clients {
            // A stale one still gets its new screen, once it has room.
            if !client.stale && client.finish(&exited, reactor).is_err() {
                gone.push(client.key);
                continue;
            }
            if client.lingering.is_none() {
                client.lingering = Some(client.queued());
                reactor.after(LINGER, Timer::Linger(self.key, client.key));
            }
        }
        for key in gone {
            self.detach(key, reactor);
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
    pub(super) fn clients_full(&self) -> bool {
        const HIGH: usize = 256 << 10;
        matches!(self.io, ProgramIo::Pipes { .. }) && self.clients.iter().any(|c| c.queued() > HIGH)
    }
}
