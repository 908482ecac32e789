//! Clients whose sockets an agent without a worker takes. Their programs say what they hear, until `q`.

use super::agent::Agent;
use podbay_protocol::{
    AgentError, Attach, AttachDecoder, AttachHead, AttachKind, AttachPiece, ErrorCode, ExitStatus,
    INPUT_WINDOW, MAX_ATTACH_MESSAGE, Reply, SessionIo, SessionMessage, StartSession,
    message_frame,
};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use std::{
    collections::{BTreeMap, VecDeque},
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    os::{fd::OwnedFd, unix::net::UnixStream as StdStream},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::UnixStream,
};

/// Clients whose sockets are waited for, and sockets that came.
#[derive(Default)]
pub struct Waiting {
    clients: BTreeMap<String, (StartSession, Attach)>,
    sockets: VecDeque<OwnedFd>,
    /// What was refused, and kept all the same.
    kept: Vec<OwnedFd>,
}

/// Reads what comes, and the sockets that come with it.
pub async fn receive(
    control: &UnixStream,
    buffer: &mut [u8],
    waiting: &mut Waiting,
) -> io::Result<usize> {
    let read = || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut into = [IoSliceMut::new(buffer)];
        let got = recvmsg(control, &mut into, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(found) = message {
                waiting.sockets.extend(found);
            }
        }
        Ok(got.bytes)
    };
    control.async_io(Interest::READABLE, read).await
}

impl Waiting {
    /// A client's socket is to come.
    pub fn open(&mut self, start: &StartSession, attach: &Attach) {
        assert!(attach.error_stream.is_none());
        self.clients
            .insert(attach.stream.clone(), (start.clone(), attach.clone()));
    }

    /// It is here.
    pub(super) fn hand(
        &mut self,
        agent: &Agent,
        stream: &str,
        first: Vec<u8>,
    ) -> Result<Reply, AgentError> {
        let socket = self.sockets.pop_front().unwrap();
        let Some((start, attach)) = self.clients.remove(stream) else {
            return Err(AgentError {
                code: ErrorCode::NoSuchSession,
                message: "no such client".to_owned(),
            });
        };
        if start.argv[0] == "keeps" {
            self.kept.push(socket);
            return Err(AgentError {
                code: ErrorCode::Exhausted,
                message: "no room".to_owned(),
            });
        }
        let socket = UnixStream::from_std(StdStream::from(socket)).unwrap();
        let agent = agent.clone();
        tokio::spawn(async move {
            let code = talk(&start, socket, first).await;
            agent.left(attach.session, attach.stream);
            if let Some(code) = code {
                agent.ended(&start, code);
            }
        });
        Ok(Reply::Done)
    }
}

async fn say(socket: &mut UnixStream, message: &SessionMessage) {
    drop(socket.write_all(&message_frame(message).unwrap()).await);
}

/// Speaks with a client until it leaves, or the program ends with a code.
async fn talk(start: &StartSession, mut socket: UnixStream, first: Vec<u8>) -> Option<i32> {
    let bytes = INPUT_WINDOW;
    say(&mut socket, &SessionMessage::Window { bytes }).await;
    let pipes = start.io == SessionIo::Pipes;
    let attached = SessionMessage::Attached {
        writer: true,
        pipes,
    };
    say(&mut socket, &attached).await;
    let mut decoder = AttachDecoder::new(MAX_ATTACH_MESSAGE);
    decoder.push(&first);
    let (mut buffer, mut total) = (vec![0; 64 << 10], 0);
    loop {
        while let Some(piece) = decoder.next_piece().unwrap() {
            let AttachPiece::Main(typed) = piece else {
                continue;
            };
            total += typed.len() as u64;
            let (kind, len) = (AttachKind::Main, typed.len());
            let mut echo = AttachHead { kind, len }.bytes().to_vec();
            echo.extend(typed);
            let ends = typed.contains(&b'q');
            drop(socket.write_all(&echo).await);
            say(&mut socket, &SessionMessage::Taken { total }).await;
            if ends {
                let (status, oom) = (ExitStatus::Code(7), false);
                say(&mut socket, &SessionMessage::Exited { status, oom }).await;
                return Some(7);
            }
        }
        match socket.read(&mut buffer).await {
            Ok(count @ 1..) => decoder.push(&buffer[..count]),
            _ => return None,
        }
    }
}
