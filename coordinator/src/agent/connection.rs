//! One control connection: requests out, answers and events in.

use super::{
    handle::{AgentHandle, Outgoing},
    notice::ConnectionEvent,
    said::FromWorker,
    sockets::Slot,
    version::AgentVersion,
};
use crate::model::{Bucket, WorkerId};
use podbay_protocol::{AgentError, ErrorCode, FrameDecoder, FromAgent};
use rustix::{
    io::Errno,
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg},
};
use std::{
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::unix::{OwnedReadHalf, OwnedWriteHalf},
    sync::{Semaphore, mpsc},
    time::Instant,
};

/// Reports of one agent that wait to be heard; it is not read meanwhile, and others are.
const MAX_UNHEARD: usize = 8;
/// Reports of one agent at once, and a second; it is not read while there are more.
const MAX_EVENTS: (u32, f64) = (4_000, 2_000.0);

/// Starts the two tasks of a control connection whose handshake is done. They hold `slot` until they
/// end.
#[expect(clippy::too_many_arguments, reason = "a connection's parts, used once")]
pub(super) fn run(
    worker: WorkerId,
    generation: u64,
    version: AgentVersion,
    mut decoder: FrameDecoder,
    mut reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    notices: mpsc::Sender<ConnectionEvent>,
    slot: Slot,
) -> AgentHandle {
    let (handle, outgoing) = AgentHandle::new(worker.clone(), generation, version);
    let writing = tokio::spawn(write_frames(handle.clone(), outgoing, writer));
    let reading = handle.clone();
    tokio::spawn(async move {
        let why = tokio::select! {
            biased;
            () = reading.closed() => "closed by the coordinator".to_owned(),
            why = read_frames(&worker, &reading, &mut decoder, &mut reader, &notices) => why,
        };
        writing.abort();
        reading.end();
        drop((reader, slot));
        tracing::debug!(%worker, why, "agent connection ended");
        if notices
            .send(ConnectionEvent::Gone { worker, generation })
            .await
            .is_err()
        {
            tracing::debug!("nobody listens to agents any more");
        }
    });
    handle
}

async fn write_frames(
    handle: AgentHandle,
    mut frames: mpsc::Receiver<Outgoing>,
    mut writer: OwnedWriteHalf,
) {
    while let Some(outgoing) = frames.recv().await {
        let Outgoing {
            id,
            frame,
            socket,
            room,
        } = outgoing;
        let mut rest = frame.as_slice();
        if let Some(socket) = socket {
            match send_with(&writer, rest, &socket).await {
                Ok(sent) => rest = rest.get(sent..).unwrap_or_default(),
                // Too many descriptors are on their way to agents that do not take them.
                Err(error) if error.raw_os_error() == Some(Errno::TOOMANYREFS.raw_os_error()) => {
                    let message = format!("the client's socket cannot be handed over: {error}");
                    let code = ErrorCode::Exhausted;
                    handle.resolve(id, Err(AgentError { code, message }));
                    continue;
                }
                Err(_) => return,
            }
        }
        if writer.write_all(rest).await.is_err() {
            return;
        }
        drop(room);
    }
}

/// Sends the beginning of a frame, and a descriptor with its first byte; how much was sent.
async fn send_with(writer: &OwnedWriteHalf, frame: &[u8], socket: &OwnedFd) -> io::Result<usize> {
    let stream: &tokio::net::UnixStream = writer.as_ref();
    let sockets = [socket.as_fd()];
    stream
        .async_io(Interest::WRITABLE, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            ancillary.push(SendAncillaryMessage::ScmRights(&sockets));
            let flags = SendFlags::NOSIGNAL;
            let sent = sendmsg(stream, &[IoSlice::new(frame)], &mut ancillary, flags);
            sent.map_err(io::Error::from)
        })
        .await
}

async fn read_frames(
    worker: &WorkerId,
    handle: &AgentHandle,
    decoder: &mut FrameDecoder,
    reader: &mut OwnedReadHalf,
    notices: &mpsc::Sender<ConnectionEvent>,
) -> String {
    let mut buffer = vec![0; 16 * 1024];
    let unheard = Arc::new(Semaphore::new(MAX_UNHEARD));
    let mut rate = Bucket::new(MAX_EVENTS.0, MAX_EVENTS.1);
    loop {
        loop {
            match decoder.next_json().map(|f| f.map(understand)) {
                Ok(Some(Heard::Known(FromAgent::Response(response)))) => {
                    handle.resolve(response.id, response.result);
                }
                Ok(Some(Heard::Answer(id, error))) => handle.resolve(id, Err(error)),
                Ok(Some(Heard::Unknown(why))) => {
                    tracing::debug!(%worker, why, "passed over what the agent said");
                }
                Ok(Some(Heard::Known(FromAgent::Event(event)))) => {
                    while let Err(wait) = rate.take(Instant::now().into_std()) {
                        tokio::time::sleep(wait).await;
                    }
                    let Ok(slot) = unheard.clone().acquire_owned().await else {
                        return "the coordinator is stopping".to_owned();
                    };
                    let said = FromWorker::new(worker.clone(), event);
                    let notice = ConnectionEvent::Event { said, slot };
                    if notices.send(notice).await.is_err() {
                        return "the coordinator is stopping".to_owned();
                    }
                }
                Ok(None) => break,
                Err(error) => return error.to_string(),
            }
        }
        match reader.read(&mut buffer).await {
            Ok(0) => return "closed by the agent".to_owned(),
            Ok(n) => decoder.push(buffer.get(..n).unwrap_or_default()),
            Err(error) => return error.to_string(),
        }
    }
}

/// A frame of an agent that may be newer than this coordinator.
enum Heard {
    Known(FromAgent),
    /// An answer to this request that is not understood.
    Answer(u64, AgentError),
    Unknown(String),
}

/// What is not understood ends no connection: sessions live behind it.
fn understand(frame: serde_json::Value) -> Heard {
    let answered = frame
        .get("response")
        .unwrap_or(&frame)
        .get("id")
        .and_then(serde_json::Value::as_u64);
    match FromAgent::of_json(frame) {
        Ok(mut known) => {
            known.bound();
            Heard::Known(known)
        }
        Err(error) => match answered {
            Some(id) => {
                let message =
                    format!("the worker's agent answered what is not understood: {error}");
                let code = ErrorCode::Unsupported;
                Heard::Answer(id, AgentError { code, message })
            }
            None => Heard::Unknown(error.to_string()),
        },
    }
}
