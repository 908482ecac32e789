//! Full screen: the terminal belongs to one worker's session, byte by byte, until the user comes
//! back, the session ends or the stream breaks.

use super::{
    detach::Detach,
    event::{AttachEnd, Failure},
    term_guard,
};
use crate::{
    client::{AttachReceiver, AttachSender, Client, Incoming},
    wire::{AttachQuery, ServerMessage},
};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    unistd::{pipe, read},
};
use podbay_protocol::AttachMode;
use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::sleep,
};
use worker_agent::hygiene::OutputFilter;

/// Most bytes of input taken at once.
const PIECE: usize = 16 << 10;

/// Carries a session until the attach ends. The terminal must be raw and lent; the caller takes it
/// back.
pub async fn run(client: Client, id: String, takeover: bool, keys: Detach) -> AttachEnd {
    let size = term_guard::size();
    let query = AttachQuery {
        mode: if takeover {
            AttachMode::Takeover
        } else {
            AttachMode::Write
        },
        cols: size.map(|s| s.cols),
        rows: size.map(|s| s.rows),
        session: None,
    };
    let stream = match client.attach(&id, &query).await {
        Ok(stream) => stream,
        Err(error) => return AttachEnd::Lost(error.into()),
    };
    let typed = match Typed::start() {
        Ok(typed) => typed,
        Err(error) => return AttachEnd::Lost(Failure::new(format!("reading keys: {error}"))),
    };
    let (sender, receiver) = stream.split();
    let mut writer = true;
    let end = tokio::select! {
        biased;
        end = down(receiver, &mut writer) => Some(end),
        result = up(sender, typed, keys) => result.err(),
    };
    end.unwrap_or(AttachEnd::Detached { writer })
}

/// Output to the terminal.
async fn down(mut receiver: AttachReceiver, writer: &mut bool) -> AttachEnd {
    // What would make the terminal answer into the session, or reach the clipboard, stays out.
    let mut filter = OutputFilter::new(false);
    while let Some(incoming) = receiver.next().await {
        match incoming {
            Ok(Incoming::Output(raw) | Incoming::Stderr(raw)) => {
                let mut bytes = Vec::with_capacity(raw.len());
                filter.filter(&raw, &mut bytes);
                // On a thread of its own: a terminal that takes nothing must not hold up the rest.
                let written = tokio::task::spawn_blocking(move || term_guard::write_all(&bytes));
                match written.await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return lost(format!("the terminal: {error}")),
                    Err(error) => return lost(format!("writing output: {error}")),
                }
            }
            Ok(Incoming::Message(ServerMessage::Attached { writer: w, .. })) => *writer = w,
            Ok(Incoming::Message(ServerMessage::Exited { status, .. })) => {
                return AttachEnd::Exited(status);
            }
            Ok(Incoming::Message(ServerMessage::Error(error))) => {
                return AttachEnd::Lost(error.into());
            }
            Ok(Incoming::Message(ServerMessage::Spawned(_))) => {}
            Err(error) => return AttachEnd::Lost(error.into()),
        }
    }
    AttachEnd::Lost(Failure {
        message: "the coordinator went away; the session runs on".to_owned(),
        hint: Some("Enter attaches again once it is back".to_owned()),
    })
}

fn lost(message: String) -> AttachEnd {
    AttachEnd::Lost(Failure::new(message))
}

/// Keys and sizes to the session; `Ok` when the user wants back.
async fn up(mut sender: AttachSender, mut typed: Typed, mut keys: Detach) -> Result<(), AttachEnd> {
    let mut resized = signal(SignalKind::window_change())
        .map_err(|error| lost(format!("watching the terminal's size: {error}")))?;
    loop {
        let mut out = Vec::new();
        let hold = keys.hold();
        let mut back = false;
        tokio::select! {
            piece = typed.pieces.recv() => match piece {
                Some(piece) => back = keys.feed(&piece, &mut out),
                None => return Err(lost("the terminal is gone".to_owned())),
            },
            () = sleep(hold.unwrap_or_default()), if hold.is_some() => keys.flush(&mut out),
            Some(()) = resized.recv() => {
                if let Some(size) = term_guard::size() {
                    sender.resize(size).await.map_err(|e| AttachEnd::Lost(e.into()))?;
                }
            }
        }
        if !out.is_empty() {
            sender
                .input(&out)
                .await
                .map_err(|e| AttachEnd::Lost(e.into()))?;
        }
        if back {
            // The socket closes either way.
            drop(sender.close().await);
            return Ok(());
        }
    }
}

/// What is typed, read by a thread that takes nothing once this is dropped.
struct Typed {
    pieces: mpsc::Receiver<Vec<u8>>,
    _stop: OwnedFd,
}

impl Typed {
    fn start() -> io::Result<Self> {
        let (stopped, stop) = pipe()?;
        let (to, pieces) = mpsc::channel(2);
        std::thread::Builder::new()
            .name("keys".to_owned())
            .spawn(move || read_keys(&stopped, &to))?;
        Ok(Self {
            pieces,
            _stop: stop,
        })
    }
}

fn read_keys(stopped: &OwnedFd, to: &mpsc::Sender<Vec<u8>>) {
    let stdin = io::stdin();
    let mut buffer = vec![0; PIECE];
    loop {
        let mut fds = [
            PollFd::new(stdin.as_fd(), PollFlags::POLLIN),
            PollFd::new(stopped.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            Err(_) => return,
            Ok(_) => {}
        }
        let [input, stop] = &fds;
        if stop.any().unwrap_or(true) {
            return;
        }
        if !input.any().unwrap_or(false) {
            continue;
        }
        match read(stdin.as_fd(), &mut buffer) {
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Ok(0) | Err(_) => return,
            Ok(n) => {
                let piece = buffer.get(..n).unwrap_or_default().to_vec();
                if to.blocking_send(piece).is_err() {
                    return;
                }
            }
        }
    }
}
