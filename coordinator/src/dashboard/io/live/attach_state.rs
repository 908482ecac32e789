//! What the parts of an attach task tell each other: reports, requests, how an attach ended.

use crate::dashboard::{app::message::LiveBody, io::live::mailbox::Mailbox};
use podbay_protocol::Size;
use std::{sync::Arc, time::Duration};

/// How long what was typed last may take to be sent.
pub const LAST_TYPED: Duration = Duration::from_secs(1);

/// Where a task reports what happened to its worker.
pub struct Outbox {
    pub(super) worker: String,
    pub(super) mail: Arc<Mailbox>,
}

impl Outbox {
    pub(super) fn say(&self, body: LiveBody) {
        self.mail.post(&self.worker, body);
    }
}

/// How one attach ended.
pub enum AttachOutcome {
    /// Nothing more will come.
    Final(LiveBody),
    /// It broke; why.
    Broken(String),
    /// Attach again: as something else, or for a fresh screen.
    Again,
    /// Not watched any more.
    Gone,
}

/// What the coordinator is to be told.
pub enum ToWorker {
    Resize(Size),
    Takeover,
    /// Whether input is heard.
    Writer(bool),
}
