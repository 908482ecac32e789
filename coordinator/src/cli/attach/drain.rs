//! Throws away what was typed or pasted ahead before the terminal goes back: whatever reads it next,
//! a shell above all, would take the rest of a paste for commands.

use super::{
    input::Input,
    keyboard::{Keyboard, START},
};
use bytes::Bytes;
use std::time::Duration;
use tokio::{
    sync::mpsc::Receiver,
    time::{Instant, timeout_at},
};

/// How long is waited for more, and how much is read.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// With nothing typed behind, the terminal is quiet after this.
    quiet: Duration,
    /// With something typed behind, more of it may be on its way, over a network too.
    behind: Duration,
    /// How long the next piece of a paste is waited for while its end has not come.
    in_paste: Duration,
    /// Of all of it.
    max_time: Duration,
    max_bytes: usize,
}

const BOUNDS: Bounds = Bounds {
    quiet: Duration::from_millis(30),
    behind: Duration::from_millis(250),
    in_paste: Duration::from_secs(1),
    max_time: Duration::from_secs(5),
    max_bytes: 256 << 20,
};

/// Reads until the terminal is quiet; says how many bytes were thrown away. `leftover` is what was
/// read already. A paste that has begun is read to its end.
pub(super) async fn drain(
    pieces: &mut Receiver<Bytes>,
    keyboard: &mut Keyboard,
    leftover: &[u8],
) -> usize {
    within(BOUNDS, pieces, keyboard, leftover).await
}

/// The same for a terminal that is read otherwise, where a paste may have begun.
pub(crate) async fn drain_rest(
    pieces: Option<&mut Receiver<Bytes>>,
    leftover: &[u8],
    in_paste: bool,
) -> usize {
    let mut keyboard = Keyboard::default();
    if in_paste {
        keyboard.skip(START);
    }
    match pieces {
        Some(pieces) => drain(pieces, &mut keyboard, leftover).await,
        // Nobody reads it any more.
        None => match Input::start(false, false) {
            Ok(mut input) => drain(&mut input.pieces, &mut keyboard, leftover).await,
            Err(_) => 0,
        },
    }
}

async fn within(
    bounds: Bounds,
    pieces: &mut Receiver<Bytes>,
    keyboard: &mut Keyboard,
    leftover: &[u8],
) -> usize {
    keyboard.skip(leftover);
    let mut count = leftover.len();
    let give_up = Instant::now() + bounds.max_time;
    while count < bounds.max_bytes {
        let quiet = match (keyboard.in_paste(), count) {
            (true, _) => bounds.in_paste,
            (false, 0) => bounds.quiet,
            (false, _) => bounds.behind,
        };
        let until = give_up.min(Instant::now() + quiet);
        match timeout_at(until, pieces.recv()).await {
            Ok(Some(piece)) => {
                keyboard.skip(&piece);
                count = count.saturating_add(piece.len());
            }
            // Quiet, or the terminal is gone.
            Err(_) | Ok(None) => break,
        }
    }
    count
}

/// What is said about it; `None` when there is nothing to say.
pub(crate) fn thrown_away(bytes: usize) -> Option<String> {
    let noun = if bytes == 1 { "byte" } else { "bytes" };
    (bytes > 0).then(|| format!("{bytes} {noun} typed or pasted ahead were thrown away"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    const LONG: Duration = Duration::from_secs(20);
    const SHORT: Duration = Duration::from_millis(50);

    /// What is thrown away of pieces that come one after another, each once the one before was
    /// taken; at the end the terminal is quiet, not gone.
    async fn thrown(bounds: Bounds, leftover: &[u8], pieces: &[&[u8]]) -> usize {
        let (sender, mut receiver) = mpsc::channel(1);
        let pieces: Vec<Bytes> = pieces.iter().map(|p| Bytes::copy_from_slice(p)).collect();
        tokio::spawn(async move {
            for piece in pieces {
                if sender.send(piece).await.is_err() {
                    return;
                }
                tokio::task::yield_now().await;
            }
            std::future::pending::<()>().await;
        });
        within(bounds, &mut receiver, &mut Keyboard::default(), leftover).await
    }

    #[tokio::test]
    async fn everything_goes_until_it_is_quiet() {
        let bounds = Bounds {
            quiet: SHORT,
            behind: SHORT,
            in_paste: SHORT,
            max_time: LONG,
            max_bytes: 1 << 20,
        };
        assert_eq!(thrown(bounds, b"", &[]).await, 0);
        assert_eq!(thrown(bounds, b"rm", &[b" -rf", b" all\n"]).await, 11);
        let began = Instant::now();
        let paste: [&[u8]; 2] = [b"one\n\x1b[2", b"01~\n"];
        // With a paste open its end is waited for, and then only for quiet.
        let bounds = Bounds {
            in_paste: LONG,
            ..bounds
        };
        assert_eq!(thrown(bounds, b"\x1b[200~", &paste).await, 17);
        assert!(began.elapsed() < LONG);
    }

    #[tokio::test]
    async fn it_has_an_end_whatever_comes() {
        let bounds = Bounds {
            quiet: LONG,
            behind: LONG,
            in_paste: LONG,
            max_time: SHORT,
            max_bytes: 10,
        };
        assert_eq!(thrown(bounds, b"\x1b[200~", &[]).await, 6);
        let endless = vec![&b"more"[..]; 1000];
        let time = Bounds {
            max_time: LONG,
            ..bounds
        };
        assert_eq!(thrown(time, b"", &endless).await, 12);
    }
}
