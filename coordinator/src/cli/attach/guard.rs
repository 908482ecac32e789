//! The terminal in raw mode, and back on every way out.

use super::{output::write_terminal, raw_mode};
use crate::cli::{Failure, output::term};
use std::{io, sync::Once};
use worker_agent::hygiene::reset_sequence;

static HOOK: Once = Once::new();

/// Raw mode while it lives. Dropping it, or a panic anywhere, restores the terminal's modes and
/// writes the reset sequence; signals end in a drop, by way of the attach loop.
#[derive(Debug)]
pub(crate) struct TermGuard(());

impl TermGuard {
    /// Makes the terminal on stdin raw.
    pub(crate) fn raw() -> io::Result<Self> {
        raw_mode::remember()?;
        HOOK.call_once(|| {
            let previous = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                restore();
                previous(info);
            }));
        });
        let guard = Self(());
        guard.again()?;
        Ok(guard)
    }

    /// Makes it raw again: a shell changes the modes when a stopped job is continued.
    pub(crate) fn again(&self) -> io::Result<()> {
        raw_mode::set()
    }
}

/// The terminal of a session that has one; nothing for pipes.
pub(super) fn raw_terminal(pipes: bool) -> Result<Option<TermGuard>, Failure> {
    if pipes || !term::stdin_is_tty() {
        return Ok(None);
    }
    TermGuard::raw()
        .map(Some)
        .map_err(|error| Failure::new(1, format!("the terminal cannot be made raw: {error}")))
}

impl Drop for TermGuard {
    fn drop(&mut self) {
        restore();
    }
}

/// Restores the terminal, once.
fn restore() {
    // Nothing can be done about a terminal that is gone.
    raw_mode::restore(|| drop(write_terminal(reset_sequence())));
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::{
        pty::openpty,
        sys::termios::{LocalFlags, tcgetattr},
    };
    use std::process::{Command, Stdio};

    /// Tells the process below that it is the one to panic.
    const ON_PURPOSE: &str = "PODBAY_TEST_PANIC_WHILE_RAW";

    /// The process that the test below starts, with a terminal as stdin.
    #[test]
    fn panics_while_raw() {
        if std::env::var_os(ON_PURPOSE).is_some() {
            panic_while_raw();
        }
    }

    fn panic_while_raw() {
        let _guard = TermGuard::raw().unwrap();
        assert!(
            !tcgetattr(io::stdin())
                .unwrap()
                .local_flags
                .contains(LocalFlags::ICANON)
        );
        // The hook alone must do: the thread is not the one that holds the guard.
        std::thread::spawn(|| panic!("on purpose"))
            .join()
            .unwrap_err();
        let cooked = tcgetattr(io::stdin())
            .unwrap()
            .local_flags
            .contains(LocalFlags::ICANON);
        assert!(cooked, "not restored");
    }

    #[test]
    fn a_panic_anywhere_restores_the_terminal() {
        let pty = openpty(None, None).unwrap();
        let before = tcgetattr(&pty.slave).unwrap();
        let output = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "cli::attach::guard::tests::panics_while_raw",
                "--nocapture",
            ])
            .env(ON_PURPOSE, "1")
            .stdin(Stdio::from(pty.slave.try_clone().unwrap()))
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{text} {}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(
            text.contains("1 passed") && text.contains("\x1b[?25h"),
            "{text:?}"
        );
        assert_eq!(
            tcgetattr(&pty.slave).unwrap().local_flags,
            before.local_flags
        );
    }
}
