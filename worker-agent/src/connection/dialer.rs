//! How this agent presents itself to the coordinator.
//!
//! Owns: where the coordinator's socket and the token are. It opens no connection.

use crate::version_skew;
use podbay_protocol::{Hello, Purpose};
use std::path::PathBuf;

/// How this agent presents itself.
#[derive(Debug, Clone)]
pub struct Dialer {
    /// The coordinator's socket.
    pub socket: PathBuf,
    /// File with the token.
    pub token: PathBuf,
    /// The worker's id.
    pub worker: String,
}

impl Dialer {
    /// The greeting frame for a purpose. The token is read again each time: it may be replaced.
    #[must_use]
    pub fn hello(&self, purpose: Purpose) -> Vec<u8> {
        let token = std::fs::read_to_string(&self.token).unwrap_or_default();
        let hello = Hello {
            protocol: version_skew::protocol(),
            build: version_skew::build(),
            worker: self.worker.clone(),
            token: token.trim().to_owned(),
            takes_clients: purpose == Purpose::Control,
            purpose,
        };
        version_skew::hello(&hello).unwrap_or_default()
    }
}
