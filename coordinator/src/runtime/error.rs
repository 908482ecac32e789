//! Errors of engine calls, in words that help.

use bollard::errors::Error as Bollard;

/// Why an engine call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuntimeError {
    /// Nothing answers at the endpoint. Start the engine, or mount its socket.
    #[error("no engine answers at {endpoint}: {reason}")]
    Unreachable {
        /// Where.
        endpoint: String,
        /// What the system said.
        reason: String,
    },
    /// The engine is older than what Podbay needs.
    #[error("the engine's API is {found}, Podbay needs {needed} or newer: upgrade the engine")]
    TooOld {
        /// The engine's API version.
        found: String,
        /// The oldest that works.
        needed: &'static str,
    },
    /// The image is not on this engine.
    #[error("image {image} is not on this engine: {advice}")]
    NoImage {
        /// The image.
        image: String,
        /// What to do.
        advice: String,
    },
    /// The engine does not know the OCI runtime.
    #[error(
        "the engine has no runtime {runtime:?}; it has {there}: change the profile's \"runtime\""
    )]
    NoRuntime {
        /// The runtime.
        runtime: String,
        /// Those it has.
        there: String,
    },
    /// The image has a file where projects are mounted.
    #[error("the image's /workspace is a file; it must be a folder or absent")]
    WorkspaceIsAFile,
    /// No such container.
    #[error("no such container: {0}")]
    NoContainer(String),
    /// The engine did not answer in time.
    #[error("the engine did not answer within {seconds} s ({doing})")]
    TimedOut {
        /// The call.
        doing: &'static str,
        /// The deadline.
        seconds: u64,
    },
    /// The engine said no.
    #[error("the engine refused ({doing}, status {status}): {message}")]
    Refused {
        /// The call.
        doing: &'static str,
        /// HTTP status.
        status: u16,
        /// The engine's words.
        message: String,
    },
    /// Anything else.
    #[error("{doing}: {message}")]
    Other {
        /// The call.
        doing: &'static str,
        /// What went wrong.
        message: String,
    },
}

impl RuntimeError {
    /// Whether the engine as a whole is away, and not this one call at fault.
    #[must_use]
    pub fn engine_is_away(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::TimedOut { .. })
    }

    /// Whether the container is not there (any more).
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::NoContainer(_))
    }

    /// Whether another container has the name that was asked for.
    #[must_use]
    pub fn name_is_taken(&self) -> bool {
        let words = "is already in use by container";
        matches!(self, Self::Refused { status: 409, message, .. } if message.contains(words))
    }

    pub(super) fn from_bollard(doing: &'static str, endpoint: &str, error: Bollard) -> Self {
        match error {
            Bollard::DockerResponseServerError {
                status_code: 404,
                message,
            } if message.contains("No such container") => Self::NoContainer(message),
            Bollard::DockerResponseServerError { message, .. } if no_workspace(&message) => {
                Self::WorkspaceIsAFile
            }
            Bollard::DockerResponseServerError {
                status_code,
                message,
            } => Self::Refused {
                doing,
                status: status_code,
                message: message.trim().to_owned(),
            },
            Bollard::RequestTimeoutError => Self::TimedOut {
                doing,
                seconds: 120,
            },
            Bollard::HyperResponseError { .. }
            | Bollard::HyperLegacyError { .. }
            | Bollard::IOError { .. }
            | Bollard::SocketNotFoundError(_) => Self::Unreachable {
                endpoint: endpoint.to_owned(),
                reason: innermost(&error),
            },
            other => Self::Other {
                doing,
                message: other.to_string(),
            },
        }
    }
}

/// Whether these are an engine's words for a file at `/workspace`: Docker's own for the working folder,
/// runc's for a mount.
fn no_workspace(message: &str) -> bool {
    message.contains("Cannot mkdir: /workspace is not a directory")
        || (message.contains("to rootfs at \"/workspace\"") && message.contains("not a directory"))
}

/// The last cause of a chain: "Connection refused (os error 111)" says more than "client error".
fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_at_workspace_is_said_in_our_words() {
        let of = |message: &str| {
            let error = Bollard::DockerResponseServerError {
                status_code: 400,
                message: message.to_owned(),
            };
            RuntimeError::from_bollard("starting a container", "/e.sock", error)
        };
        for said in [
            "Cannot mkdir: /workspace is not a directory",
            "runc create failed: error mounting \"/p\" to rootfs at \"/workspace\": mount: not a directory",
        ] {
            assert_eq!(of(said), RuntimeError::WorkspaceIsAFile, "{said}");
        }
        let other = of("error mounting \"/workspace\" to rootfs at \"/etc/x\": not a directory");
        assert!(matches!(other, RuntimeError::Refused { .. }));
    }
}
