//! `podbay-attach/1`: what an attached client and its session's agent say to each other.
//!
//! Owns: frames and their bounds. The coordinator answers a client's HTTP Upgrade, hands the socket to
//! the worker's agent ([`crate::ToAgentBody::Hand`]) and is not between the two any more.
//!
//! A frame is one byte of [`AttachKind`], four bytes of big-endian length, then so many bytes.
//! Input and output may be handed on in pieces; a message is whole. A client that shuts its side of the
//! socket has left: the end of its input is [`ClientMessage::Eof`].

use crate::{description::ExitStatus, event::AgentError, size::Size};
use serde::{Deserialize, Serialize};

/// Name of the protocol in the headers of the Upgrade.
pub const ATTACH_PROTOCOL: &str = "podbay-attach/1";
/// Largest body of a frame with input or output, in bytes.
pub const MAX_ATTACH_DATA: usize = 64 << 10;
/// Largest body of a message between client and agent, in bytes.
pub const MAX_ATTACH_MESSAGE: usize = 16 << 10;

/// Input that may be on its way to the program without [`SessionMessage::Taken`], in bytes: input that
/// the program does not read never fills the socket, and what is said beside it is heard immediately.
pub const INPUT_WINDOW: u32 = 64 << 10;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum AttachKind {
    /// JSON: [`ClientMessage`] to the session, [`SessionMessage`] from it.
    Message = 0,
    /// Input to the session; its terminal's output or its stdout from it.
    Main = 1,
    /// Its stderr, of a session on pipes.
    Error = 2,
}

/// The first bytes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttachHead {
    /// What it carries.
    pub kind: AttachKind,
    /// Bytes of its body.
    pub len: usize,
}

/// A frame that no peer of this protocol sends. The connection cannot be used afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttachFrameError {
    /// The kind is none of [`AttachKind`].
    Kind(u8),
    /// The length is over the bound of its kind.
    TooLong(AttachKind, usize),
}

impl std::fmt::Display for AttachFrameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Kind(kind) => write!(f, "{ATTACH_PROTOCOL} has no frames of kind {kind}"),
            Self::TooLong(kind, len) => {
                write!(f, "a frame of kind {kind:?} is too long: {len} bytes")
            }
        }
    }
}

impl std::error::Error for AttachFrameError {}

impl AttachHead {
    /// Bytes of it.
    pub const LEN: usize = 5;

    /// Reads a head; a message may have up to `max_message` bytes.
    ///
    /// # Errors
    /// [`AttachFrameError`] for a kind that does not exist, and for a length over its bound.
    pub fn parse(head: [u8; Self::LEN], max_message: usize) -> Result<Self, AttachFrameError> {
        let [kind, len @ ..] = head;
        let len = u32::from_be_bytes(len) as usize;
        let (kind, most) = match kind {
            0 => (AttachKind::Message, max_message),
            1 => (AttachKind::Main, MAX_ATTACH_DATA),
            2 => (AttachKind::Error, MAX_ATTACH_DATA),
            other => return Err(AttachFrameError::Kind(other)),
        };
        if len > most {
            return Err(AttachFrameError::TooLong(kind, len));
        }
        Ok(Self { kind, len })
    }

    /// The bytes on the wire. A body over `u32::MAX` bytes has no head.
    #[must_use]
    pub fn bytes(self) -> [u8; Self::LEN] {
        let [a, b, c, d] = u32::try_from(self.len).unwrap_or(u32::MAX).to_be_bytes();
        [self.kind as u8, a, b, c, d]
    }
}

/// A message as one frame.
///
/// # Errors
/// It cannot be written as JSON.
pub fn message_frame<T: Serialize>(message: &T) -> serde_json::Result<Vec<u8>> {
    let mut frame = vec![0; AttachHead::LEN];
    serde_json::to_writer(&mut frame, message)?;
    let head = AttachHead {
        kind: AttachKind::Message,
        len: frame.len().saturating_sub(AttachHead::LEN),
    };
    for (slot, byte) in frame.iter_mut().zip(head.bytes()) {
        *slot = byte;
    }
    Ok(frame)
}

/// What the decoder found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttachPiece<'a> {
    /// A whole message.
    Message(&'a [u8]),
    /// Some bytes of [`AttachKind::Main`].
    Main(&'a [u8]),
    /// Some bytes of [`AttachKind::Error`].
    Error(&'a [u8]),
}

/// Where the next piece is in bytes that nobody has taken yet: behind `skip` bytes, `len` of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttachSpan {
    /// What it is.
    pub kind: AttachKind,
    /// Bytes before it, which are no part of it.
    pub skip: usize,
    /// Its bytes.
    pub len: usize,
}

/// Finds the borders of frames in bytes that the caller keeps.
#[derive(Debug)]
pub struct AttachFraming {
    /// The frame of input or output that is under way, and how much of it is missing.
    open: Option<AttachHead>,
    max_message: usize,
}

impl AttachFraming {
    /// Of messages of at most `max_message` bytes.
    #[must_use]
    pub fn new(max_message: usize) -> Self {
        Self {
            open: None,
            max_message,
        }
    }

    /// Messages may have up to so many bytes from now on.
    pub fn set_max_message(&mut self, max_message: usize) {
        self.max_message = max_message;
    }

    /// The next piece of `bytes`, which begin where the last piece ended; `None` when more bytes are
    /// needed. Of input and output it may be empty: then only its head is there.
    ///
    /// # Errors
    /// [`AttachFrameError`] when the peer does not speak this protocol.
    pub fn next_span(&mut self, bytes: &[u8]) -> Result<Option<AttachSpan>, AttachFrameError> {
        let (head, body, skip) = match self.open {
            Some(_) if bytes.is_empty() => return Ok(None),
            Some(head) => (head, bytes, 0),
            None => {
                let Some((head, body)) = bytes.split_first_chunk::<{ AttachHead::LEN }>() else {
                    return Ok(None);
                };
                let head = AttachHead::parse(*head, self.max_message)?;
                if head.kind == AttachKind::Message && body.len() < head.len {
                    return Ok(None);
                }
                (head, body, AttachHead::LEN)
            }
        };
        let (kind, len) = (head.kind, head.len.min(body.len()));
        let missing = head.len - len;
        self.open = (missing > 0).then_some(AttachHead { kind, len: missing });
        Ok(Some(AttachSpan { kind, skip, len }))
    }
}

/// Collects bytes and hands out what they are. Holds at most one message beside what was pushed last.
#[derive(Debug)]
pub struct AttachDecoder {
    buffer: Vec<u8>,
    /// How much of the buffer was handed out.
    done: usize,
    framing: AttachFraming,
}

impl AttachDecoder {
    /// An empty decoder of messages of at most `max_message` bytes.
    #[must_use]
    pub fn new(max_message: usize) -> Self {
        Self {
            buffer: Vec::new(),
            done: 0,
            framing: AttachFraming::new(max_message),
        }
    }

    /// Adds bytes as they came off the socket.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.done);
        self.done = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next piece, or `None` when more bytes are needed.
    ///
    /// # Errors
    /// As [`AttachFraming::next_span`].
    pub fn next_piece(&mut self) -> Result<Option<AttachPiece<'_>>, AttachFrameError> {
        let Self {
            buffer,
            done,
            framing,
        } = self;
        loop {
            let rest = buffer.get(*done..).unwrap_or_default();
            let Some(span) = framing.next_span(rest)? else {
                return Ok(None);
            };
            *done += span.skip + span.len;
            let piece = rest.get(span.skip..).unwrap_or_default();
            let piece = piece.get(..span.len).unwrap_or_default();
            return Ok(Some(match span.kind {
                AttachKind::Message => AttachPiece::Message(piece),
                AttachKind::Main | AttachKind::Error if piece.is_empty() => continue,
                AttachKind::Main => AttachPiece::Main(piece),
                AttachKind::Error => AttachPiece::Error(piece),
            }));
        }
    }

    /// What was pushed and not handed out: it belongs to whoever the socket is handed to.
    #[must_use]
    pub fn into_rest(mut self) -> Vec<u8> {
        self.buffer.drain(..self.done);
        self.buffer
    }
}

/// Messages from a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientMessage {
    /// The client's terminal has this size now.
    Resize {
        /// The new size.
        size: Size,
    },
    /// Makes this client the writer.
    Takeover,
    /// No more input: closes stdin of a session on pipes.
    Eof,
    /// Sends a signal to the session's process group.
    Signal {
        /// The signal's number.
        signal: i32,
    },
    /// The client leaves on purpose: a session besides the main one goes on without a client. It is
    /// ended otherwise, a while after its last client is gone.
    Detach,
}

/// Messages from a session's agent to a client whose socket it has. They are of the same form as those
/// that the coordinator relays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum SessionMessage {
    /// The client may have so many bytes of input on their way that [`Self::Taken`] has not counted.
    Window {
        /// Bytes.
        bytes: u32,
    },
    /// The session has taken so much input, and there is room for more.
    Taken {
        /// Bytes, counted from the start of this connection.
        total: u64,
    },
    /// Attached; output follows.
    Attached {
        /// Whether this client's input is heard.
        writer: bool,
        /// Whether the session is on pipes.
        pipes: bool,
    },
    /// Who types has changed: another client took over, or left.
    Writer {
        /// Whether this client's input is heard from now on.
        writer: bool,
    },
    /// The session ended and all its output was sent. The agent closes next.
    Exited {
        /// How it ended.
        status: ExitStatus,
        /// Whether the OOM killer struck one of its processes.
        oom: bool,
    },
    /// The client asked for something that was refused; it stays attached.
    Refused(AgentError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(kind: AttachKind, body: &[u8]) -> Vec<u8> {
        let head = AttachHead {
            kind,
            len: body.len(),
        };
        [&head.bytes()[..], body].concat()
    }

    /// Messages whole; input and output joined with what came before of the same kind.
    fn all(decoder: &mut AttachDecoder, found: &mut Vec<(u8, Vec<u8>)>) {
        while let Some(piece) = decoder.next_piece().unwrap() {
            let (kind, bytes) = match piece {
                AttachPiece::Message(bytes) => (0, bytes),
                AttachPiece::Main(bytes) => (1, bytes),
                AttachPiece::Error(bytes) => (2, bytes),
            };
            match found.last_mut() {
                Some((last, joined)) if *last == kind && kind != 0 => joined.extend(bytes),
                _ => found.push((kind, bytes.to_vec())),
            }
        }
    }

    proptest! {
        #![proptest_config(crate::seeds::config())]

        #[test]
        fn frames_mean_the_same_in_any_chunking(
            frames in prop::collection::vec((0u8..3, prop::collection::vec(any::<u8>(), 0..60)), 0..20),
            cut in 1usize..40,
        ) {
            let (mut wire, mut expected) = (Vec::new(), Vec::<(u8, Vec<u8>)>::new());
            for (kind, body) in frames {
                let of = [AttachKind::Message, AttachKind::Main, AttachKind::Error];
                wire.extend(frame(of[usize::from(kind)], &body));
                match expected.last_mut() {
                    Some((last, joined)) if *last == kind && kind != 0 => joined.extend(body),
                    _ if kind != 0 && body.is_empty() => {}
                    _ => expected.push((kind, body)),
                }
            }
            let (mut decoder, mut found) = (AttachDecoder::new(MAX_ATTACH_MESSAGE), Vec::new());
            for chunk in wire.chunks(cut) {
                decoder.push(chunk);
                all(&mut decoder, &mut found);
            }
            prop_assert_eq!(found, expected);
            prop_assert!(decoder.into_rest().is_empty());
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut decoder = AttachDecoder::new(100);
            decoder.push(&bytes);
            while let Ok(Some(_)) = decoder.next_piece() {}
        }
    }

    #[test]
    fn a_frame_over_its_bound_is_refused_before_its_body_comes() {
        for (kind, most) in [
            (AttachKind::Message, 100),
            (AttachKind::Main, MAX_ATTACH_DATA),
            (AttachKind::Error, MAX_ATTACH_DATA),
        ] {
            let head = |len| AttachHead { kind, len }.bytes();
            assert!(AttachHead::parse(head(most), 100).is_ok());
            let refused = AttachHead::parse(head(most + 1), 100);
            assert_eq!(refused, Err(AttachFrameError::TooLong(kind, most + 1)));
        }
        let unknown = AttachHead::parse([3, 0, 0, 0, 0], 100);
        assert_eq!(unknown, Err(AttachFrameError::Kind(3)));
    }

    #[test]
    fn what_came_behind_is_kept_for_whom_the_socket_is_handed_to() {
        let mut wire = message_frame(&ClientMessage::Takeover).unwrap();
        wire.extend(frame(AttachKind::Main, b"typed ahead"));
        let mut decoder = AttachDecoder::new(MAX_ATTACH_MESSAGE);
        decoder.push(&wire);
        let Some(AttachPiece::Message(said)) = decoder.next_piece().unwrap() else {
            panic!("no message");
        };
        let said: ClientMessage = serde_json::from_slice(said).unwrap();
        assert_eq!(said, ClientMessage::Takeover);
        assert_eq!(decoder.into_rest(), frame(AttachKind::Main, b"typed ahead"));
    }
}
