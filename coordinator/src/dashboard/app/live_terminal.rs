//! A worker's terminal as the state knows it: its last picture, and what its stream is doing. Data
//! only.

use crate::dashboard::pages::terminal::picture::Picture;
use podbay_protocol::ExitStatus;
use std::sync::Arc;

/// A worker's terminal as it is watched.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LiveTerminal {
    /// The last picture.
    pub picture: Option<Arc<Picture>>,
    /// What the stream is doing.
    pub stream: TerminalStream,
    /// Whether input is heard.
    pub writer: bool,
}

/// What a terminal's stream is doing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum TerminalStream {
    /// Not watched any more.
    Off,
    /// Attaching.
    #[default]
    Opening,
    /// Live.
    Live,
    /// The session ended.
    Ended(ExitStatus),
    /// Broken; the reason.
    Broken(String),
}
