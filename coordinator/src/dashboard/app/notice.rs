//! The one message to the user that is shown at a time. Data only.

/// A message to the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Whether something failed.
    pub level: NoticeLevel,
    /// What happened.
    pub text: String,
    /// What can be done.
    pub hint: Option<String>,
    /// Unix milliseconds after which it goes away by itself.
    pub until_ms: Option<u64>,
}

/// How bad a notice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeLevel {
    /// Good or neutral.
    Info,
    /// Something failed. Stays until a key is pressed.
    Error,
}
