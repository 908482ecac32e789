//! Typed bytes on their way to a worker, with what the worker was asked to be when they were typed.
//! Bounded: what is over [`MAX_TYPED`] is dropped.

use crate::dashboard::app::effect::LiveTarget;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::sync::mpsc;

/// Most typed bytes that wait for one worker; what is more is dropped.
const MAX_TYPED: usize = 4 << 20;

/// Typed bytes on their way to a worker.
pub struct TypedSender {
    pub(super) pieces: mpsc::UnboundedSender<TypedPiece>,
    pub(super) waiting: Arc<AtomicUsize>,
}

/// Bytes, and what the worker was asked to be when they were typed.
type TypedPiece = (Vec<u8>, LiveTarget);

/// The other end of a [`TypedSender`].
pub struct TypedReceiver {
    pub(super) pieces: mpsc::UnboundedReceiver<TypedPiece>,
    pub(super) waiting: Arc<AtomicUsize>,
    pub(super) first: Option<TypedPiece>,
}

/// Both ends.
pub fn typed_pipe() -> (TypedSender, TypedReceiver) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    let pipe = TypedSender {
        pieces: sender,
        waiting: waiting.clone(),
    };
    let pieces = TypedReceiver {
        pieces: receiver,
        waiting,
        first: None,
    };
    (pipe, pieces)
}

impl TypedSender {
    pub(super) fn send(&self, bytes: Vec<u8>, target: LiveTarget) {
        let length = bytes.len();
        if self.waiting.load(Ordering::Relaxed) + length > MAX_TYPED {
            return;
        }
        self.waiting.fetch_add(length, Ordering::Relaxed);
        // A task that has ended hears nothing.
        drop(self.pieces.send((bytes, target)));
    }
}

impl TypedReceiver {
    /// The next piece; `None` once no more will come. Safe to drop.
    pub(super) async fn next(&mut self) -> Option<Vec<u8>> {
        let first = self.first.take();
        let (bytes, _) = match first {
            Some(first) => first,
            None => self.pieces.recv().await?,
        };
        self.waiting.fetch_sub(bytes.len(), Ordering::Relaxed);
        Some(bytes)
    }

    /// What the worker was asked to be when the next piece was typed, if one is there.
    pub(super) fn meant_for(&mut self) -> Option<&LiveTarget> {
        if self.first.is_none() {
            self.first = self.pieces.try_recv().ok();
        }
        self.first.as_ref().map(|(_, target)| target)
    }

    /// A piece that is there.
    pub(super) fn waiting(&mut self) -> Option<Vec<u8>> {
        self.meant_for()?;
        let (bytes, _) = self.first.take()?;
        self.waiting.fetch_sub(bytes.len(), Ordering::Relaxed);
        Some(bytes)
    }
}
