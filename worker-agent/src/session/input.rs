//! A session's input: from clients to the program.
//!
//! Owns: whose bytes are typed, and how much may wait for a program that does not read. It never
//! blocks for the program.

use super::{Session, client::Client};
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
        let Some(conn) = client.lane(lane) else {
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
        self.io.write(bytes, reactor);
        let changed = self.tracker.input(reactor.now, unix_ms());
        self.report_activity(changed, reactor);
        self.apply_input_backpressure(reactor);
    }

    /// Reads clients' input only while the program takes it.
    pub(super) fn apply_input_backpressure(&mut self, reactor: &Reactor) {
        let waiting = self.io.waiting();
        let writer = self.writer;
        for client in self.clients.iter_mut().filter(|c| !c.input_ended) {
            if writer != Some(client.key) || waiting <= INPUT_LOW {
                client.main.set_reading(true, reactor);
            } else if waiting > INPUT_HIGH {
                client.main.set_reading(false, reactor);
            }
        }
    }
}

/// A client that closed altogether, rather than ended its input: the program may be attached to
/// again, so its stdin stays open.
fn is_gone(client: &Client) -> bool {
    client.main.hung_up()
}
