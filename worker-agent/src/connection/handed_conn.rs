//! A client's own socket, which the coordinator handed over: `podbay-attach/1` on a connection.
//!
//! Owns: frames and their borders, the first and the last words, and what of the client's input was
//! taken. It never decides what a client may do.

use super::stream_conn::{Received, StreamConn};
use crate::event_loop::reactor::{Reactor, Source};
use nix::errno::Errno;
use podbay_protocol::{
    AgentError, AttachDecoder, AttachHead, AttachKind, INPUT_WINDOW, MAX_ATTACH_DATA,
    MAX_ATTACH_MESSAGE, MAX_REASON, SessionMessage, message_frame, shorten,
};
use std::os::fd::OwnedFd;

/// Bytes of input that may wait for the program.
const WINDOW: usize = INPUT_WINDOW as usize;
/// What was taken is told once it is so much: a client never waits for it while there is room.
const TELL_EVERY: u64 = INPUT_WINDOW as u64 / 4;

/// The connection. Its socket may not have come yet: what is sent meanwhile waits.
#[derive(Debug)]
pub struct HandedConn {
    conn: StreamConn,
    decoder: AttachDecoder,
    /// A frame begins here, and the one that is under way ends here or before.
    border: u64,
    /// The first words end here: they are never dropped.
    keep: u64,
    /// Input that waits for the program.
    input: Vec<u8>,
    /// Bytes of input that were taken, and how many of them were told.
    taken: u64,
    told: u64,
    /// Where the last `Taken` and the last refusal end. One of each waits at most, and one `Writer`.
    told_until: u64,
    refused_until: u64,
    /// Whether the session takes the client's input, what the client was told last, and where that
    /// message ends.
    writer: bool,
    told_writer: Option<bool>,
    writer_until: u64,
    last_word: bool,
}

impl HandedConn {
    /// One whose socket has not come.
    #[must_use]
    pub fn new(source: Source) -> Self {
        Self {
            conn: StreamConn::new(source),
            decoder: AttachDecoder::new(MAX_ATTACH_MESSAGE),
            border: 0,
            keep: 0,
            input: Vec::new(),
            taken: 0,
            told: 0,
            told_until: 0,
            refused_until: 0,
            writer: false,
            told_writer: None,
            writer_until: 0,
            last_word: false,
        }
    }

    /// Takes the socket: the first words, what waited for it, and `first`, which the coordinator had
    /// read from it. `pipes`: whether the session is on pipes.
    ///
    /// # Errors
    /// The system's error, or the client is gone already.
    pub fn adopt(
        &mut self,
        socket: OwnedFd,
        (writer, pipes): (bool, bool),
        first: &[u8],
        reactor: &mut Reactor,
    ) -> nix::Result<()> {
        let words = [
            SessionMessage::Window {
                bytes: INPUT_WINDOW,
            },
            SessionMessage::Attached { writer, pipes },
        ];
        let mut greeting = Vec::new();
        for word in &words {
            greeting.extend(message_frame(word).map_err(|_| Errno::EINVAL)?);
        }
        self.conn.adopt(socket, reactor)?;
        self.conn.greet(&greeting);
        self.keep = greeting.len() as u64;
        (self.writer, self.told_writer) = (writer, Some(writer));
        self.decoder.push(first);
        self.flush(reactor)
    }

    /// Whether its socket has come.
    #[must_use]
    pub fn connected(&self) -> bool {
        self.conn.connected()
    }

    /// Bytes that wait.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.conn.queued()
    }

    /// Sends output.
    ///
    /// # Errors
    /// The client is gone.
    pub fn send(&mut self, kind: AttachKind, bytes: &[u8], reactor: &Reactor) -> nix::Result<()> {
        for body in bytes.chunks(MAX_ATTACH_DATA) {
            let head = AttachHead {
                kind,
                len: body.len(),
            };
            self.send_frame(&head.bytes(), body, reactor)?;
        }
        Ok(())
    }

    /// Says something.
    ///
    /// # Errors
    /// The client is gone.
    fn say(&mut self, message: &SessionMessage, reactor: &Reactor) -> nix::Result<()> {
        let frame = message_frame(message).map_err(|_| Errno::EINVAL)?;
        self.send_frame(&frame, &[], reactor)
    }

    fn send_frame(&mut self, head: &[u8], body: &[u8], reactor: &Reactor) -> nix::Result<()> {
        self.find_border();
        let begins_now = self.queued() == 0;
        self.conn.send_both(head, body, reactor)?;
        if begins_now {
            self.border += (head.len() + body.len()) as u64;
        }
        Ok(())
    }

    /// Moves the border behind what was sent. Before the queue changes: heads are read from it.
    fn find_border(&mut self) {
        let sent = self.conn.position();
        if self.queued() == 0 {
            self.border = sent;
        }
        while self.border < sent {
            let waiting = self.conn.kept_from(self.border);
            let Some((head, _)) = waiting.split_first_chunk::<{ AttachHead::LEN }>() else {
                break;
            };
            let [_, len @ ..] = *head;
            self.border += AttachHead::LEN as u64 + u64::from(u32::from_be_bytes(len));
        }
    }

    /// Drops what waits, but for the rest of the frame that is under way, and the first words.
    ///
    /// # Errors
    /// The client is gone.
    pub fn drop_waiting(&mut self, reactor: &Reactor) -> nix::Result<()> {
        self.find_border();
        let end = self.border.max(self.keep);
        self.conn.drop_from(end, reactor);
        if self.refused_until > end {
            self.refused_until = 0;
        }
        if self.told_until > end {
            // It is told again, with what was taken since.
            self.told_until = 0;
            self.told = 0;
        }
        if self.writer_until > end {
            self.writer_until = 0;
            self.told_writer = self.told_writer.map(|told| !told);
        }
        self.tell(reactor)
    }

    /// Sends what waits, as far as the socket takes it.
    ///
    /// # Errors
    /// The client is gone.
    pub fn flush(&mut self, reactor: &Reactor) -> nix::Result<()> {
        self.conn.flush(reactor)?;
        self.find_border();
        self.tell(reactor)
    }

    /// Reads once; what came is handed out by the decoder.
    ///
    /// # Errors
    /// The client is gone.
    pub fn receive(&mut self, buffer: &mut [u8]) -> std::io::Result<Received> {
        let received = self.conn.receive(buffer)?;
        if let Received::Bytes(count) = received {
            self.decoder.push(buffer.get(..count).unwrap_or_default());
        }
        Ok(received)
    }

    /// Lends the decoder, so that what it hands out does not borrow the client.
    pub fn lend_decoder(&mut self) -> AttachDecoder {
        std::mem::replace(&mut self.decoder, AttachDecoder::new(0))
    }

    /// Takes it back.
    pub fn return_decoder(&mut self, decoder: AttachDecoder) {
        self.decoder = decoder;
    }

    /// Keeps input until the program takes it; `false` when the client sent more than it was granted.
    #[must_use]
    pub fn keep_input(&mut self, bytes: &[u8]) -> bool {
        if self.input.len() + bytes.len() > WINDOW {
            return false;
        }
        self.input.extend_from_slice(bytes);
        true
    }

    /// Takes what was kept. It is counted with [`Self::count`].
    pub fn take_input(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.input)
    }

    /// Bytes that are kept.
    #[must_use]
    pub fn kept_input(&self) -> usize {
        self.input.len()
    }

    /// So much input was taken, or is of no use to anybody.
    ///
    /// # Errors
    /// The client is gone.
    pub fn count(&mut self, bytes: usize, reactor: &Reactor) -> nix::Result<()> {
        self.taken += bytes as u64;
        self.tell(reactor)
    }

    /// The client's input is heard, or not, from now on.
    ///
    /// # Errors
    /// The client is gone.
    pub fn set_writer(&mut self, writer: bool, reactor: &Reactor) -> nix::Result<()> {
        self.writer = writer;
        self.tell(reactor)
    }

    fn tell(&mut self, reactor: &Reactor) -> nix::Result<()> {
        self.tell_writer(reactor)?;
        let due = self.taken - self.told >= TELL_EVERY;
        if !due || !self.connected() || self.told_until > self.conn.position() {
            return Ok(());
        }
        self.told = self.taken;
        self.say(&SessionMessage::Taken { total: self.taken }, reactor)?;
        self.told_until = self.conn.position() + self.queued() as u64;
        Ok(())
    }

    fn tell_writer(&mut self, reactor: &Reactor) -> nix::Result<()> {
        let writer = self.writer;
        // The first words say it to a client whose socket has not come.
        let due = self.told_writer.is_some_and(|told| told != writer);
        if !due || self.writer_until > self.conn.position() {
            return Ok(());
        }
        self.told_writer = Some(writer);
        self.say(&SessionMessage::Writer { writer }, reactor)?;
        self.writer_until = self.conn.position() + self.queued() as u64;
        Ok(())
    }

    /// Says that something was refused, unless the client has not even read the last refusal.
    ///
    /// # Errors
    /// The client is gone.
    pub fn refuse(&mut self, mut error: AgentError, reactor: &Reactor) -> nix::Result<()> {
        if self.refused_until > self.conn.position() {
            return Ok(());
        }
        shorten(&mut error.message, MAX_REASON);
        self.say(&SessionMessage::Refused(error), reactor)?;
        self.refused_until = self.conn.position() + self.queued() as u64;
        Ok(())
    }

    /// Says how the session ended, once, behind all output.
    ///
    /// # Errors
    /// The client is gone.
    pub fn say_exited(&mut self, exited: &SessionMessage, reactor: &Reactor) -> nix::Result<()> {
        if std::mem::replace(&mut self.last_word, true) {
            return Ok(());
        }
        self.say(exited, reactor)
    }

    /// The connection below, for what has no frames.
    pub fn conn(&mut self) -> &mut StreamConn {
        &mut self.conn
    }
}

#[cfg(test)]
#[path = "handed_conn_tests.rs"]
mod tests;
