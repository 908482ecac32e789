//! A client's connection to a session, both ways.
//!
//! Owns: what the two directions share. Never reads or writes by itself.

use super::{
    framed::{FrameSink, FrameSource},
    receiver::{AttachReceiver, Source},
    sender::{AttachSender, Sink},
    websocket::{WebSocketSink, WebSocketSource},
};
use crate::{client::Target, wire::INPUT_WINDOW};
use tokio::sync::watch;

/// A client's connection to a session.
pub struct AttachStream {
    pub(super) sender: AttachSender,
    pub(super) receiver: AttachReceiver,
}

impl AttachStream {
    /// One of frames, on which the session's worker speaks; `pipes` is what the coordinator, or the
    /// caller's own request, says the session is on.
    pub(super) fn of_frames(
        target: Target,
        sink: FrameSink,
        source: FrameSource,
        pipes: bool,
    ) -> Self {
        let (limit, room) = watch::channel(INPUT_WINDOW.into());
        Self {
            sender: AttachSender::new(Sink::Frames(sink), target.clone(), room),
            receiver: AttachReceiver::new(Source::Frames(source), target, pipes, limit),
        }
    }

    /// A WebSocket of the coordinator.
    pub(super) fn of_websocket(
        target: Target,
        sink: WebSocketSink,
        source: WebSocketSource,
    ) -> Self {
        let (limit, room) = watch::channel(INPUT_WINDOW.into());
        Self {
            sender: AttachSender::new(Sink::WebSocket(sink), target.clone(), room),
            receiver: AttachReceiver::new(Source::WebSocket(source), target, false, limit),
        }
    }

    /// The two directions, to be used from different tasks.
    #[must_use]
    pub fn split(self) -> (AttachSender, AttachReceiver) {
        (self.sender, self.receiver)
    }

    /// Says that the session is on pipes, when the caller knows from how it was started.
    #[must_use]
    pub fn on_pipes(mut self, pipes: bool) -> Self {
        self.receiver.pipes |= pipes;
        self
    }
}
