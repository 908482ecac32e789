//! The descriptors of a session that is being started: a terminal, or three pipes.
//!
//! Owns: opening both sides. It starts nothing.

use crate::{error::system_error, pty};
use nix::{fcntl::OFlag, unistd::pipe2};
use podbay_protocol::{AgentError, Size, StartSession};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Descriptors of a session that is being started.
pub enum Stdio {
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

impl Stdio {
    /// stdin, stdout and stderr of the child.
    pub fn child(&self) -> [BorrowedFd<'_>; 3] {
        match self {
            Self::Terminal(pty) => [pty.slave.as_fd(); 3],
            Self::Pipes { child, .. } => child.each_ref().map(AsFd::as_fd),
        }
    }
}

/// Opens them.
///
/// # Errors
/// [`podbay_protocol::ErrorCode::System`] with the call that failed.
pub fn open_stdio(start: &StartSession, size: Option<Size>) -> Result<Stdio, AgentError> {
    if let Some(size) = size {
        let pty = pty::open_pty(size, start.uid, start.gid)
            .map_err(|e| system_error("opening a terminal", e))?;
        return Ok(Stdio::Terminal(pty));
    }
    // They belong to the session's user, who may then open /dev/stdout and /dev/stderr.
    let pipe = || {
        let made = pty::as_user(start.uid, start.gid, || pipe2(OFlag::O_CLOEXEC));
        made.map_err(|e| system_error("pipe", e))
    };
    let (stdin, stdout, stderr) = (pipe()?, pipe()?, pipe()?);
    for own in [&stdin.1, &stdout.0, &stderr.0] {
        nix::fcntl::fcntl(own, nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
            .map_err(|e| system_error("fcntl", e))?;
    }
    Ok(Stdio::Pipes {
        child: [stdin.0, stdout.1, stderr.1],
        own: [stdin.1, stdout.0, stderr.0],
    })
}
