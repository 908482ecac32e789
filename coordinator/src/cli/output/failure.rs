//! How every command fails: one format, one set of exit codes.

use super::{term, text};
use crate::{client::ClientError, wire::ApiError};
use std::{io, process::ExitCode};

/// A failure: what was wrong, what would be right, and the exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Exit code.
    pub code: u8,
    /// What was wrong; empty to say nothing.
    pub message: String,
    /// What would be right.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure with an exit code.
    pub fn new(code: u8, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: None,
        }
    }

    /// A mistake in the command line.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(2, message)
    }

    /// The same with what would be right.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// An exit code with nothing to say.
    #[must_use]
    pub fn silent(code: u8) -> Self {
        Self::new(code, "")
    }

    /// Prints it on stderr and gives the exit code.
    #[must_use]
    pub fn report(&self, json: bool) -> ExitCode {
        if !self.message.is_empty() {
            if json {
                let error = serde_json::json!({
                    "error": { "message": self.message, "hint": self.hint, "exit_code": self.code }
                });
                term::note(&error.to_string());
            } else {
                term::note(&format!("podbay: {}", self.message));
                if let Some(hint) = &self.hint {
                    term::note(&format!("  hint: {hint}"));
                }
            }
        }
        ExitCode::from(self.code)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self {
            code: error.exit_code(),
            message: error.to_string(),
            hint: error.hint(),
        }
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        ClientError::from(error).into()
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            // The reader of a pipe went away, as in `podbay logs x | head`: a shell's code for it.
            return Self::silent(128 + 13);
        }
        Self::new(1, error.to_string())
    }
}

/// Prints the result of each of several calls as it should be: names of what was done on stdout,
/// failures on stderr, and the first failure's exit code.
pub fn each<T>(
    results: Vec<(&String, Result<T, ClientError>)>,
    name: impl Fn(T) -> String,
) -> Result<ExitCode, Failure> {
    let mut code = ExitCode::SUCCESS;
    let mut failed = false;
    for (_, result) in results {
        match result {
            Ok(done) => term::print(&format!("{}\n", text::escape(&name(done))))?,
            Err(error) => {
                let reported = Failure::from(error).report(false);
                if !failed {
                    (code, failed) = (reported, true);
                }
            }
        }
    }
    Ok(code)
}
