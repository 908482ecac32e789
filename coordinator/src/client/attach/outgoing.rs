//! What waits to be sent to a session.
//!
//! Owns: the order, in which everything but the end of the input passes input by. Never holds more
//! input than one piece.

use bytes::Bytes;
use std::collections::VecDeque;

/// Something to be sent.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// Input, as typed.
    Input(Bytes),
    /// A message as JSON.
    Message(String),
    /// The client leaves.
    Close,
}

/// What waits, in order.
#[derive(Debug, Default)]
pub(super) struct Queue(VecDeque<Outgoing>);

impl Queue {
    /// Queues what passes input by.
    pub(super) fn first(&mut self, message: String) {
        let input = |queued: &Outgoing| matches!(queued, Outgoing::Input(_));
        let at = self.0.iter().position(input).unwrap_or(self.0.len());
        self.0.insert(at, Outgoing::Message(message));
    }

    /// Queues what comes behind everything else.
    pub(super) fn last(&mut self, what: Outgoing) {
        self.0.push_back(what);
    }

    /// The next one.
    pub(super) fn pop(&mut self) -> Option<Outgoing> {
        self.0.pop_front()
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether input waits.
    pub(super) fn has_input(&self) -> bool {
        self.0
            .iter()
            .any(|queued| matches!(queued, Outgoing::Input(_)))
    }
}
