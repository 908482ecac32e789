//! A value that must not be seen: in no log, no error, no record.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Longest value, in bytes.
pub const MAX_SECRET: usize = 64 * 1024;
/// Shorter values are not looked for in what is recorded: they would be found everywhere.
pub const SHORTEST_REDACTED: usize = 8;

/// Text that is shown nowhere. It is part of a message all the same: whoever serializes one that has
/// secrets sends them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretText(String);

impl SecretText {
    /// Hides a text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself: for who hands it over.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// One secret of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// Its value.
    pub value: SecretText,
    /// Whether the session has it as an environment variable as well: all processes of its user can
    /// read that.
    #[serde(default)]
    pub env: bool,
}
