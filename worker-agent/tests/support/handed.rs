//! A client whose socket the agent has, and how it is handed over.

use super::{BOUND, Worker};
use podbay_protocol::*;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use std::{
    io::{ErrorKind, IoSlice, Read, Write},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
};

/// What a session said or wrote: output of one kind that follows each other is one piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    Main(Vec<u8>),
    Error(Vec<u8>),
    Message(SessionMessage),
}

/// The client's end of its own socket.
pub struct Handed {
    pub socket: UnixStream,
    pub decoder: AttachDecoder,
    /// All that came and was not looked at.
    pub said: Vec<Said>,
    /// All input that was sent, and what of it was told as taken.
    pub sent: u64,
    pub taken: u64,
    /// The last news of who types: whether it is this client.
    pub writer: Option<bool>,
}

pub fn frame(kind: AttachKind, body: &[u8]) -> Vec<u8> {
    let head = AttachHead {
        kind,
        len: body.len(),
    };
    [&head.bytes()[..], body].concat()
}

/// Sends bytes of the control connection, with descriptors.
pub fn send_with(socket: &UnixStream, bytes: &[u8], fds: &[BorrowedFd<'_>]) {
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(16))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        assert!(control.push(SendAncillaryMessage::ScmRights(fds)));
    }
    let sent = sendmsg(
        socket,
        &[IoSlice::new(bytes)],
        &mut control,
        SendFlags::NOSIGNAL,
    )
    .unwrap();
    let mut socket = socket;
    socket.write_all(&bytes[sent..]).unwrap();
}

impl Worker {
    /// Asks with descriptors on the first byte.
    pub fn ask_with(
        &mut self,
        body: ToAgentBody,
        fds: &[BorrowedFd<'_>],
    ) -> Result<Reply, AgentError> {
        self.next += 1;
        let id = self.next;
        let wire = encode(&ToAgent { id, body }).unwrap();
        send_with(self.control.as_ref().unwrap(), &wire, fds);
        self.answer(id)
    }

    /// Hands a fresh socket over for a client that is attached already.
    pub fn hand(&mut self, stream: &str, first: &[u8]) -> Handed {
        let (own, theirs) = UnixStream::pair().unwrap();
        let body = ToAgentBody::Hand {
            stream: stream.to_owned(),
            first: first.to_vec(),
        };
        assert_eq!(self.ask_with(body, &[theirs.as_fd()]), Ok(Reply::Done));
        Handed::new(own)
    }

    /// Attaches a client and hands its socket over; whether it writes.
    pub fn attach_handed(&mut self, mut attach: Attach) -> (bool, Handed) {
        attach.handed = true;
        let stream = attach.stream.clone();
        match self.ask(ToAgentBody::Attach(attach)) {
            Ok(Reply::Attached { writer }) => (writer, self.hand(&stream, b"")),
            other => panic!("{other:?}"),
        }
    }

    /// As [`Worker::shell`], with a handed client.
    pub fn handed_shell(&mut self, id: &str, script: &str) -> (i32, Handed) {
        let mut start = super::session(id, &["/bin/sh", "-c", script]);
        let stream = format!("{id}-0");
        let mut first = super::attach(id, &stream, AttachMode::Write);
        first.handed = true;
        start.attach = Some(first);
        let pid = self.start_session(start);
        (pid, self.hand(&stream, b""))
    }
}

impl Handed {
    pub fn new(socket: UnixStream) -> Self {
        socket.set_read_timeout(Some(BOUND)).unwrap();
        Self {
            socket,
            decoder: AttachDecoder::new(MAX_ATTACH_MESSAGE),
            said: Vec::new(),
            sent: 0,
            taken: 0,
            writer: None,
        }
    }

    /// Types, no matter what was granted.
    pub fn type_in(&mut self, text: impl AsRef<[u8]>) {
        for piece in text.as_ref().chunks(MAX_ATTACH_DATA) {
            self.sent += piece.len() as u64;
            self.socket
                .write_all(&frame(AttachKind::Main, piece))
                .unwrap();
        }
    }

    /// Types as much as is granted at a time.
    pub fn type_all(&mut self, text: &[u8]) {
        let mut rest = text;
        while !rest.is_empty() {
            let granted = u64::from(INPUT_WINDOW) - (self.sent - self.taken);
            let count = rest.len().min(usize::try_from(granted).unwrap());
            if count == 0 {
                assert!(self.read(), "the end came before all was typed");
                continue;
            }
            self.type_in(&rest[..count]);
            rest = &rest[count..];
        }
    }

    pub fn say(&mut self, message: ClientMessage) {
        let frame = message_frame(&message).unwrap();
        self.socket.write_all(&frame).unwrap();
    }

    /// Reads once; whether there is more to come.
    pub fn read(&mut self) -> bool {
        let mut buffer = vec![0; 65536];
        let count = match self.socket.read(&mut buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => 0,
            Err(error) => panic!("no read in time: {error}; so far {:?}", self.text()),
        };
        self.decoder.push(&buffer[..count]);
        while let Some(piece) = self.decoder.next_piece().unwrap() {
            let (main, bytes) = match piece {
                AttachPiece::Main(bytes) => (true, bytes),
                AttachPiece::Error(bytes) => (false, bytes),
                AttachPiece::Message(json) => {
                    let message: SessionMessage = serde_json::from_slice(json).unwrap();
                    match message {
                        SessionMessage::Taken { total } => {
                            assert!(total > self.taken && total <= self.sent, "{total}");
                            self.taken = total;
                        }
                        SessionMessage::Writer { writer } => self.writer = Some(writer),
                        message => self.said.push(Said::Message(message)),
                    }
                    continue;
                }
            };
            match (self.said.last_mut(), main) {
                (Some(Said::Main(all)), true) | (Some(Said::Error(all)), false) => {
                    all.extend_from_slice(bytes);
                }
                (_, true) => self.said.push(Said::Main(bytes.to_vec())),
                (_, false) => self.said.push(Said::Error(bytes.to_vec())),
            }
        }
        count > 0
    }

    /// All output of stdout or the terminal so far.
    pub fn output(&self) -> Vec<u8> {
        let main = self.said.iter().filter_map(|said| match said {
            Said::Main(bytes) => Some(bytes.as_slice()),
            _ => None,
        });
        main.collect::<Vec<_>>().concat()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.output()).into_owned()
    }

    /// Reads until a text is in the output; gives all output, which is forgotten then.
    pub fn until(&mut self, text: &str) -> String {
        loop {
            let seen = self.text();
            if seen.contains(text) {
                self.said.retain(|said| !matches!(said, Said::Main(_)));
                return seen;
            }
            assert!(self.read(), "the end came before {text:?}: {seen}");
        }
    }

    /// Reads until a message was said; all before it is forgotten.
    pub fn message(&mut self) -> SessionMessage {
        loop {
            let at = self
                .said
                .iter()
                .position(|said| matches!(said, Said::Message(_)));
            if let Some(at) = at {
                let Some(Said::Message(message)) = self.said.drain(..=at).next_back() else {
                    panic!("no message");
                };
                return message;
            }
            assert!(self.read(), "the end came before a message");
        }
    }

    /// The first words; whether the client writes, and whether the session is on pipes.
    pub fn greeted(&mut self) -> (bool, bool) {
        let window = SessionMessage::Window {
            bytes: INPUT_WINDOW,
        };
        while self.said.len() < 2 {
            assert!(self.read(), "no greeting");
        }
        assert_eq!(self.said[0], Said::Message(window));
        let Said::Message(SessionMessage::Attached { writer, pipes }) = self.said[1] else {
            panic!("{:?}", self.said[1]);
        };
        self.said.drain(..2);
        (writer, pipes)
    }

    /// Reads to the end of the connection; gives all that was said.
    pub fn rest(&mut self) -> Vec<Said> {
        while self.read() {}
        std::mem::take(&mut self.said)
    }
}
