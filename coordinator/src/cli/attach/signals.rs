//! The signals that an attach looks after.

use tokio::signal::unix::{Signal, SignalKind, signal};

pub(super) struct Signals {
    pub(super) resize: Signal,
    pub(super) resumed: Signal,
    /// `None` when others look after them.
    pub(super) ends: Option<Ends>,
}

pub(super) type Ends = [(i32, Signal); 4];

impl Signals {
    pub(super) fn new(lent: bool) -> std::io::Result<Self> {
        let one = |kind: SignalKind| Ok::<_, std::io::Error>((kind.as_raw_value(), signal(kind)?));
        Ok(Self {
            resize: signal(SignalKind::window_change())?,
            resumed: signal(SignalKind::from_raw(
                nix::sys::signal::Signal::SIGCONT as i32,
            ))?,
            ends: match lent {
                true => None,
                false => Some([
                    one(SignalKind::interrupt())?,
                    one(SignalKind::terminate())?,
                    one(SignalKind::hangup())?,
                    one(SignalKind::quit())?,
                ]),
            },
        })
    }

    /// The next signal that asks for an end.
    pub(super) async fn end(ends: &mut Option<Ends>) -> i32 {
        let Some(ends) = ends else {
            return std::future::pending().await;
        };
        let [(a, int), (b, term), (c, hup), (d, quit)] = ends;
        tokio::select! {
            _ = int.recv() => *a,
            _ = term.recv() => *b,
            _ = hup.recv() => *c,
            _ = quit.recv() => *d,
        }
    }
}
