//! The terminal in raw mode, and back on every way out.

use nix::sys::termios::{FlushArg, SetArg, Termios, cfmakeraw, tcflush, tcgetattr, tcsetattr};
use std::{
    io,
    sync::{Mutex, Once, PoisonError},
};
use worker_agent::hygiene::reset_sequence;

/// The modes to go back to, while a guard is active. Global, because a panic hook cannot borrow.
static SAVED: Mutex<Option<Termios>> = Mutex::new(None);
static HOOK: Once = Once::new();

/// Raw mode while it lives. Dropping it, or a panic anywhere, restores the terminal's modes and
/// writes the reset sequence; signals end in a drop, by way of the attach loop.
#[derive(Debug)]
pub(crate) struct TermGuard(());

impl TermGuard {
    /// Makes the terminal on stdin raw.
    pub(crate) fn raw() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        HOOK.call_once(|| {
            let previous = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                restore();
                previous(info);
            }));
        });
        *SAVED.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        let guard = Self(());
        guard.again()?;
        Ok(guard)
    }

    /// Makes it raw again: a shell changes the modes when a stopped job is continued.
    pub(crate) fn again(&self) -> io::Result<()> {
        let saved = SAVED.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(mut modes) = saved else {
            return Ok(());
        };
        cfmakeraw(&mut modes);
        // Not FLUSH: what was typed ahead belongs to the session.
        Ok(tcsetattr(io::stdin(), SetArg::TCSANOW, &modes)?)
    }
}

impl Drop for TermGuard {
    fn drop(&mut self) {
        restore();
    }
}

/// Restores the terminal, once.
fn restore() {
    let Some(modes) = SAVED.lock().unwrap_or_else(PoisonError::into_inner).take() else {
        return;
    };
    // Nothing can be done about a terminal that is gone.
    drop(super::output::write_terminal(reset_sequence()));
    // What was typed ahead is for nobody: a shell would run it.
    tcflush(io::stdin(), FlushArg::TCIFLUSH).ok();
    tcsetattr(io::stdin(), SetArg::TCSANOW, &modes).ok();
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::{pty::openpty, sys::termios::LocalFlags};
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
