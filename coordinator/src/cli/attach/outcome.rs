//! How an attach ended, or one connection of it.

use crate::cli::output::{term, text};
use podbay_protocol::ExitStatus;
use std::process::ExitCode;

/// How an attach ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionOutcome {
    /// The session ended.
    Exited { status: ExitStatus, oom: bool },
    /// The user detached.
    Detached,
    /// A signal ended this process; the session goes on.
    Signal(i32),
}

impl SessionOutcome {
    /// Says on a terminal what a terminal does not show, and gives the exit code.
    pub(crate) fn report(self, name: &str) -> ExitCode {
        let name = text::escape(name);
        match self {
            Self::Exited { status, oom } => {
                if oom {
                    term::note(&format!(
                        "podbay: a process of {name} was killed: out of memory"
                    ));
                }
                code(status.shell_code())
            }
            Self::Detached => {
                term::note(&format!(
                    "[detached from {name}; `podbay attach {name}` returns]"
                ));
                ExitCode::SUCCESS
            }
            Self::Signal(number) => code(128 + number),
        }
    }
}

fn code(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

/// Why a connection is over.
pub(super) enum Disconnect {
    /// The attach is over.
    Ended(SessionOutcome),
    /// The coordinator went away.
    Gone,
}
