//! The descriptors of a session that is being started: a terminal, or three pipes.
//!
//! Owns: opening both sides. It starts nothing.

use crate::{command::refuse, pty};
use nix::{fcntl::OFlag, unistd::pipe2};
use podbay_protocol::{AgentError, ErrorCode, Size, StartSession};
use std::os::fd::OwnedFd;

/// Descriptors of a session that is being started.
pub enum Ends {
    /// A terminal.
    Terminal(pty::Pty),
    /// Pipes: stdin, stdout and stderr, of the child and of the agent.
    Pipes {
        /// The child's ends.
        child: [OwnedFd; 3],
        /// The agent's ends, non-blocking.
        own: [OwnedFd; 3],
    },
}

/// A refusal that names the system call.
pub fn system(call: &str, error: nix::Error) -> AgentError {
    refuse(ErrorCode::System, format!("{call}: {}", error.desc()))
}

/// Opens them.
///
/// # Errors
/// [`ErrorCode::System`] with the call that failed.
pub fn ends(start: &StartSession, size: Option<Size>) -> Result<Ends, AgentError> {
    if let Some(size) = size {
        let pty = pty::open_pty(size, start.uid, start.gid)
            .map_err(|e| system("opening a terminal", e))?;
        return Ok(Ends::Terminal(pty));
    }
    // They belong to the session's user, who may then open /dev/stdout and /dev/stderr.
    let pipe = || {
        let made = pty::as_user(start.uid, start.gid, || pipe2(OFlag::O_CLOEXEC));
        made.map_err(|e| system("pipe", e))
    };
    let (stdin, stdout, stderr) = (pipe()?, pipe()?, pipe()?);
    for own in [&stdin.1, &stdout.0, &stderr.0] {
        nix::fcntl::fcntl(own, nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
            .map_err(|e| system("fcntl", e))?;
    }
    Ok(Ends::Pipes {
        child: [stdin.0, stdout.1, stderr.1],
        own: [stdin.1, stdout.0, stderr.0],
    })
}
