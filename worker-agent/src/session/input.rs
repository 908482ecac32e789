//! A session's input: from clients to the program.
//!
//! Owns: whose bytes are typed, and how much may wait for a program that does not read. It never
//! blocks for the program.

use super::{
    Session,
    client::{Client, link::Link},
};
use crate::{
    connection::stream_conn::Received,
    error::refuse,
    event_loop::reactor::{ClientKey, Lane, Reactor, unix_ms},
};
use podbay_protocol::{AgentError, ErrorCode};

/// Typed bytes that may wait for the program before its writer is not read any more.
const INPUT_HIGH: usize = 256 << 10;
/// When it is read again.
const INPUT_LOW: usize = 64 << 10;
/// Bytes that may wait for the program in all: what is over, of clients that went away and left more
/// in their sockets than it reads, is thrown away.
const MAX_INPUT: usize = 2 * INPUT_HIGH;

impl Session {
    /// Reads from a client once; whether there may be more.
    pub(super) fn read_client(
        &mut self,
        key: ClientKey,
        lane: Lane,
        buffer: &mut [u8],
        reactor: &mut Reactor,
    ) -> bool {
        let Some(client) = self.clients.iter_mut().find(|c| c.key == key) else {
            return false;
        };
        let Link::Relayed(_) = &client.link else {
            return self.read_handed(key, buffer, reactor);
        };
        let Some(conn) = client.link.lane(lane) else {
            return false;
        };
        match conn.receive(buffer) {
            Ok(Received::Bytes(count)) => {
                let room = MAX_INPUT.saturating_sub(self.io.waiting());
                if self.writer == Some(key) && lane == Lane::Main {
                    self.write_to_program(
                        buffer.get(..count.min(room)).unwrap_or_default(),
                        reactor,
                    );
                }
                true
            }
            Ok(Received::Nothing) => false,
            Ok(Received::End) => {
                conn.set_reading(false, reactor);
                if lane == Lane::Main {
                    client.input_ended = true;
                    if self.writer == Some(key) && !is_gone(client) {
                        self.io.end_input(reactor);
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
        let waiting = self.io.waiting();
        if waiting > 0 && waiting + bytes.len() > INPUT_HIGH {
            let message = format!(
                "the session's program has not read {waiting} bytes that were typed before; \
                 nothing of this was typed"
            );
            return Err(refuse(ErrorCode::Exhausted, message));
        }
        self.write_to_program(bytes, reactor);
        Ok(())
    }

    /// Bytes for the program.
    fn write_to_program(&mut self, bytes: &[u8], reactor: &mut Reactor) {
        self.continue_stopped();
        self.io.write(bytes, reactor);
        self.note_input(reactor);
        self.apply_input_backpressure(reactor);
    }

    /// Somebody typed.
    fn note_input(&mut self, reactor: &mut Reactor) {
        let changed = self.tracker.input(reactor.now, unix_ms());
        self.report_activity(changed, reactor);
    }

    /// Hears relayed clients only while the program takes their input. Clients with sockets of
    /// their own are always heard, and their input waits.
    pub(super) fn apply_input_backpressure(&mut self, reactor: &mut Reactor) {
        let waiting = self.io.waiting();
        let writer = self.writer;
        for client in self.clients.iter_mut().filter(|c| !c.input_ended) {
            let Link::Relayed(relayed) = &mut client.link else {
                continue;
            };
            if writer != Some(client.key) || waiting <= INPUT_LOW {
                relayed.main.set_reading(true, reactor);
            } else if waiting > INPUT_HIGH {
                relayed.main.set_reading(false, reactor);
            }
        }
        self.hand_input_on(reactor);
    }

    /// Input of a client with a socket of its own; whether the client stays.
    pub(super) fn typed(&mut self, key: ClientKey, bytes: &[u8], reactor: &mut Reactor) -> bool {
        let writes = self.writer == Some(key);
        let idle = self.io.waiting() == 0;
        let Some(client) = self.clients.iter_mut().find(|c| c.key == key) else {
            return false;
        };
        let heard = writes && !client.input_ended;
        let Some(conn) = client.handed() else {
            return false;
        };
        if heard && (!idle || conn.kept_input() > 0) {
            let kept = conn.keep_input(bytes);
            self.continue_stopped();
            return kept;
        }
        if heard {
            self.write_to_program(bytes, reactor);
        }
        self.count_input(key, bytes.len(), reactor)
    }

    /// Hands on what the writer typed while the program did not read.
    fn hand_input_on(&mut self, reactor: &mut Reactor) {
        let Some(key) = self.writer.filter(|_| self.io.waiting() == 0) else {
            return;
        };
        let Some(client) = self.clients.iter_mut().find(|c| c.key == key) else {
            return;
        };
        let ended = client.input_ended;
        let Some(conn) = client.handed().filter(|c| c.kept_input() > 0) else {
            return;
        };
        let input = conn.take_input();
        self.io.write(&input, reactor);
        if ended {
            self.io.end_input(reactor);
        }
        self.note_input(reactor);
        self.count_input(key, input.len(), reactor);
    }

    /// So much of a client's input was taken; whether the client is still there.
    pub(super) fn count_input(
        &mut self,
        key: ClientKey,
        bytes: usize,
        reactor: &mut Reactor,
    ) -> bool {
        let client = self.clients.iter_mut().find(|c| c.key == key);
        let Some(conn) = client.and_then(Client::handed) else {
            return false;
        };
        let told = conn.count(bytes, reactor);
        if told.is_err() {
            self.detach(key, reactor);
        }
        told.is_ok()
    }

    /// No more input comes from a client with a socket of its own.
    pub(super) fn input_ended(&mut self, key: ClientKey, reactor: &mut Reactor) {
        let Some(client) = self.clients.iter_mut().find(|c| c.key == key) else {
            return;
        };
        client.input_ended = true;
        let waits = client.handed().is_some_and(|c| c.kept_input() > 0);
        if self.writer == Some(key) && !waits {
            self.io.end_input(reactor);
        }
    }

    /// The writer is another one from now on: what the former one typed too early for the program is
    /// thrown away.
    pub(super) fn discard_input(&mut self, reactor: &mut Reactor) {
        let former = self.writer;
        let client = self.clients.iter_mut().find(|c| Some(c.key) == former);
        if let Some((key, conn)) = client.and_then(|c| Some((c.key, c.handed()?))) {
            let dropped = conn.take_input().len();
            self.count_input(key, dropped, reactor);
        }
    }

    /// What a writer that has left had typed.
    pub(super) fn type_last(&mut self, client: &mut Client, reactor: &mut Reactor) {
        let ended = client.input_ended;
        let Some(conn) = client.handed() else {
            return;
        };
        let input = conn.take_input();
        if input.is_empty() {
            return;
        }
        let room = MAX_INPUT.saturating_sub(self.io.waiting());
        let input = input.get(..input.len().min(room)).unwrap_or_default();
        self.io.write(input, reactor);
        if ended {
            self.io.end_input(reactor);
        }
    }
}

/// A client that closed altogether, rather than ended its input: the program may be attached to
/// again, so its stdin stays open.
fn is_gone(client: &Client) -> bool {
    matches!(&client.link, Link::Relayed(relayed) if relayed.main.hung_up())
}
