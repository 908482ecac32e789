//! What is typed in an attach: detach keys are found in it, it is kept while there is no connection,
//! and sent.

use super::{
    TermGuard,
    keys::{Fed, Matcher},
    session::{End, Over},
};
use crate::{
    cli::term,
    client::{AttachSender, ClientError},
};
use bytes::Bytes;
use tokio::{
    signal::unix::{Signal, SignalKind},
    sync::mpsc::Receiver,
};

/// What is typed, across connections.
pub(super) struct Typed<'a> {
    pub(super) pieces: &'a mut Receiver<Bytes>,
    /// Typed before the first piece.
    pub(super) ahead: Option<Bytes>,
    /// Typed after the keys that detach.
    pub(super) behind: Vec<u8>,
    pub(super) keys: Matcher,
    /// Taken from the input and not sent yet.
    pub(super) pending: Vec<u8>,
    pub(super) ended: bool,
    pub(super) terminal: bool,
    /// Whether its end is passed on.
    pub(super) pipes: bool,
    /// Whether nothing but the detach keys counts.
    pub(super) ignored: bool,
}

impl Typed<'_> {
    /// Waits for more input; `true` when the user detached. Safe to drop.
    pub(super) async fn more(&mut self) -> bool {
        if let Some(ahead) = self.ahead.take() {
            return self.feed(&ahead);
        }
        loop {
            let hold = self.keys.hold();
            tokio::select! {
                piece = self.pieces.recv(), if !self.ended => match piece {
                    Some(piece) if self.terminal => return self.feed(&piece),
                    Some(piece) => {
                        self.pending.extend_from_slice(&piece);
                        return false;
                    }
                    None => {
                        self.ended = true;
                        return false;
                    }
                },
                () = tokio::time::sleep(hold.unwrap_or_default()), if hold.is_some() => {
                    self.keys.flush(&mut self.pending);
                    return false;
                }
                else => std::future::pending().await,
            }
        }
    }

    fn feed(&mut self, piece: &[u8]) -> bool {
        let (fed, used) = self.keys.feed(piece, &mut self.pending);
        self.behind = piece.get(used..).unwrap_or_default().to_vec();
        fed == Fed::Detach
    }
}

pub(super) async fn uplink(
    sender: &mut AttachSender,
    typed: &mut Typed<'_>,
    resize: &mut Signal,
    resumed: &mut Signal,
    guard: &Option<TermGuard>,
    said: &mut tokio::sync::mpsc::Receiver<i32>,
) -> Over {
    let mut eof_sent = false;
    loop {
        if typed.ignored {
            typed.pending.clear();
        }
        let sent = if !typed.pending.is_empty() {
            let result = sender.input(&typed.pending).await;
            if result.is_ok() {
                typed.pending.clear();
            }
            result
        } else if typed.ended && !eof_sent {
            eof_sent = true;
            if typed.terminal {
                // The terminal hung up.
                return Over::End(End::Signal(SignalKind::hangup().as_raw_value()));
            }
            if typed.pipes {
                sender.eof().await
            } else {
                Ok(())
            }
        } else {
            tokio::select! {
                detached = typed.more() => {
                    if !detached {
                        Ok(())
                    } else {
                        // The keys before the detach sequence still count.
                        if sender.input(&typed.pending).await.is_ok() {
                            drop(sender.close().await);
                        }
                        return Over::End(End::Detached);
                    }
                }
                Some(()) = resize.recv() => announce_size(sender, typed.terminal).await,
                Some(()) = resumed.recv() => {
                    if let Some(guard) = guard {
                        // A terminal that is gone shows at the next read.
                        drop(guard.again());
                    }
                    announce_size(sender, typed.terminal).await
                }
                Some(number) = said.recv() => sender.signal(number).await,
            }
        };
        if sent.is_err() {
            // What is left to read, perhaps how the session ended, decides: the other direction
            // sees the end too.
            std::future::pending::<()>().await;
        }
    }
}

async fn announce_size(sender: &mut AttachSender, terminal: bool) -> Result<(), ClientError> {
    match term::size() {
        Some(size) if terminal => sender.resize(size).await,
        _ => Ok(()),
    }
}
