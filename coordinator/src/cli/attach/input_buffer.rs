//! What is typed in an attach: detach keys are found in it, it is kept while it cannot be sent, and
//! sent. Nothing here waits for the session's program: signals, sizes and the keys that detach act
//! however much input there is that it does not read.

use super::{
    drain::drain,
    guard::TermGuard,
    keyboard::Keyboard,
    keys::Fed,
    outcome::{Disconnect, SessionOutcome},
    output::write_terminal,
};
use crate::{
    cli::output::term,
    client::{AttachSender, ClientError},
};
use bytes::{Buf, Bytes, BytesMut};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    signal::unix::{Signal, SignalKind},
    sync::mpsc::Receiver,
    time::{Instant, sleep_until, timeout},
};

/// Most bytes of a terminal's input that wait to be sent. Over it the terminal is not read while the
/// session takes something; when that takes nothing for [`STUCK`], what is typed is thrown away, so
/// that the keys that detach are still found.
const MAX_TYPED: usize = 16 << 20;
const STUCK: Duration = Duration::from_secs(1);
/// Most bytes of other input that wait: what is not read stays with the pipe or the file.
const MAX_PIPED: usize = 64 << 10;
/// How long sending what was typed before the keys that detach, and the word itself, may take.
const GOODBYE: Duration = Duration::from_millis(40);

/// What is typed, across connections.
pub(super) struct InputBuffer<'a> {
    pieces: &'a mut Receiver<Bytes>,
    /// Typed before the first piece.
    typeahead: Option<Bytes>,
    /// Typed after the keys that detach.
    pub(super) leftover: Vec<u8>,
    pub(super) keyboard: Keyboard,
    /// Whether the session's program wants brackets around pastes.
    wanted: Arc<AtomicBool>,
    /// Taken from the input and not sent yet.
    pub(super) pending: BytesMut,
    /// Thrown away; bytes.
    pub(super) lost: usize,
    ended: bool,
    eof_sent: bool,
    /// Whether the other side knows that the user detached.
    pub(super) said_goodbye: bool,
    terminal: bool,
    /// Whether its end is passed on.
    pipes: bool,
    /// Whether nothing but the detach keys counts.
    ignored: bool,
    /// Whether its end detaches.
    detach_at_end: bool,
    /// Whether the session is ended without a client that said why it left.
    ends_alone: bool,
    /// When something was last read, and when the session last took something.
    read: Instant,
    taken: Instant,
}

/// How what is typed is treated.
#[derive(Debug, Clone, Copy)]
pub(super) struct How {
    /// It comes from a terminal: keys and pastes are told apart.
    pub(super) terminal: bool,
    /// The session is on pipes: the input's end is passed on.
    pub(super) pipes: bool,
    /// Nothing but the detach keys counts.
    pub(super) ignored: bool,
    /// Its end detaches.
    pub(super) detach_at_end: bool,
    /// The session is ended without a client that said why it left.
    pub(super) ends_alone: bool,
}

impl<'a> InputBuffer<'a> {
    pub(super) fn new(
        pieces: &'a mut Receiver<Bytes>,
        typeahead: Vec<u8>,
        keyboard: Keyboard,
        wanted: Arc<AtomicBool>,
        how: How,
    ) -> Self {
        Self {
            pieces,
            typeahead: (!typeahead.is_empty()).then(|| typeahead.into()),
            leftover: Vec::new(),
            keyboard,
            wanted,
            pending: BytesMut::new(),
            lost: 0,
            ended: false,
            eof_sent: false,
            said_goodbye: false,
            terminal: how.terminal,
            pipes: how.pipes,
            ignored: how.ignored,
            detach_at_end: how.detach_at_end,
            ends_alone: how.ends_alone,
            read: Instant::now(),
            taken: Instant::now(),
        }
    }

    /// Waits for more input, unless there is enough; `true` when the user detached. Safe to drop.
    pub(super) async fn more(&mut self) -> bool {
        if let Some(typeahead) = self.typeahead.take() {
            return self.feed(&typeahead);
        }
        let hold = self.keyboard.hold().map(|hold| self.read + hold);
        let most = if self.terminal { MAX_TYPED } else { MAX_PIPED };
        let full = self.pending.len() >= most;
        let stuck = self.taken + STUCK;
        let read = !self.ended && (!full || (self.terminal && Instant::now() >= stuck));
        tokio::select! {
            biased;
            piece = self.pieces.recv(), if read => match piece {
                Some(piece) if self.terminal => self.feed(&piece),
                Some(piece) => {
                    self.pending.extend_from_slice(&piece);
                    false
                }
                None => {
                    self.ended = true;
                    false
                }
            },
            () = sleep_until(hold.unwrap_or(stuck)), if hold.is_some() => {
                let mut out = Vec::new();
                self.keyboard.expire(&mut out);
                self.keep(&out);
                self.read = Instant::now();
                false
            }
            () = sleep_until(stuck), if full && self.terminal && !read && !self.ended => false,
            else => std::future::pending().await,
        }
    }

    /// The one printable key that was typed after the keys that detach.
    pub(super) fn single_key(&self) -> Option<u8> {
        match *self.leftover {
            [key @ 0x20..=0x7e] => Some(key),
            _ => None,
        }
    }

    /// Throws away what is typed or pasted ahead, until the terminal is quiet, and says how many
    /// bytes that were, with what was not sent.
    pub(super) async fn throw_away(&mut self) -> usize {
        let leftover = std::mem::take(&mut self.leftover);
        let typeahead = self.typeahead.take().unwrap_or_default();
        let unsent = self.lost + self.pending.len() + typeahead.len();
        unsent + drain(self.pieces, &mut self.keyboard, &leftover).await
    }

    fn feed(&mut self, piece: &[u8]) -> bool {
        self.read = Instant::now();
        let mut out = Vec::with_capacity(piece.len());
        let wanted = self.wanted.load(Ordering::Relaxed);
        let (fed, used) = self.keyboard.feed(piece, wanted, &mut out);
        self.keep(&out);
        self.leftover = piece.get(used..).unwrap_or_default().to_vec();
        fed == Fed::Detach
    }

    /// Keeps what the session is to get, as far as there is room.
    fn keep(&mut self, bytes: &[u8]) {
        if self.ignored {
            return;
        }
        if self.pending.is_empty() {
            // Nothing waited: only from now on is the session late.
            self.taken = Instant::now();
        }
        let room = MAX_TYPED.saturating_sub(self.pending.len());
        let (kept, lost) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
        self.pending.extend_from_slice(kept);
        self.lost += lost.len();
    }

    /// Queues what there is room for.
    fn send(&mut self, sender: &mut AttachSender) {
        if self.ignored {
            self.pending.clear();
        }
        let sent = sender.queue_input(&self.pending);
        if sent > 0 {
            self.pending.advance(sent);
            self.taken = Instant::now();
        }
    }
}

/// Carries what is typed, and everything else that is said, to the session.
pub(super) async fn uplink(
    sender: &mut AttachSender,
    input: &mut InputBuffer<'_>,
    (resize, resumed): (&mut Signal, &mut Signal),
    (guard, on): (&Option<TermGuard>, &[u8]),
    said: &mut Receiver<i32>,
) -> Disconnect {
    // It may have changed after it was read for this connection, and before changes were heard.
    let mut broken = announce_size(sender, input.terminal).is_err();
    input.eof_sent = false;
    loop {
        if !broken {
            input.send(sender);
        }
        if input.ended && input.pending.is_empty() {
            if input.terminal {
                // The terminal hung up.
                return Disconnect::Ended(SessionOutcome::Signal(
                    SignalKind::hangup().as_raw_value(),
                ));
            }
            if input.pipes && !input.eof_sent {
                input.eof_sent = true;
                broken |= sender.queue_eof().is_err();
            }
            // All of the input is sent before.
            if input.detach_at_end && (broken || !sender.is_busy()) {
                input.said_goodbye = !broken && goodbye(sender, input).await;
                return Disconnect::Ended(SessionOutcome::Detached);
            }
        }
        let waits = !input.pending.is_empty();
        let said = tokio::select! {
            biased;
            Some(number) = said.recv() => sender.queue_signal(number),
            Some(()) = resize.recv() => announce_size(sender, input.terminal),
            Some(()) = resumed.recv() => {
                if let Some(guard) = guard {
                    // A terminal that is gone shows at the next read.
                    drop(guard.again());
                    drop(write_terminal(on));
                }
                announce_size(sender, input.terminal)
            }
            result = sender.progress(), if !broken && (sender.is_busy() || waits) => result,
            detached = input.more() => {
                if detached {
                    input.said_goodbye = !broken && goodbye(sender, input).await;
                    return Disconnect::Ended(SessionOutcome::Detached);
                }
                Ok(())
            }
        };
        // What is left to read, perhaps how the session ended, decides: the other direction sees the
        // end too. Until then the keys that detach still do.
        broken |= said.is_err();
    }
}

/// Sends what the session has room for, and the goodbye after it; whether it was said.
async fn goodbye(sender: &mut AttachSender, input: &mut InputBuffer<'_>) -> bool {
    let last = async {
        loop {
            input.send(sender);
            // The keys before the detach sequence still count, as far as they are taken at once.
            if input.pending.is_empty() || !sender.is_busy() {
                if input.ends_alone {
                    sender.queue_detach()?;
                }
                return sender.close().await;
            }
            sender.progress().await?;
        }
    };
    // A connection that takes nothing is closed by its end.
    matches!(timeout(GOODBYE, last).await, Ok(Ok(())))
}

fn announce_size(sender: &mut AttachSender, terminal: bool) -> Result<(), ClientError> {
    match term::size() {
        Some(size) if terminal => sender.queue_resize(size),
        _ => Ok(()),
    }
}
