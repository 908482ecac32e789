//! The terminal in the dashboard's modes, and back on every way out: return, error, panic, signal,
//! suspension.

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{Signal, killpg},
        termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr},
    },
    unistd::{getpgrp, getpid, getsid, write},
};
use podbay_protocol::Size;
use std::{
    cell::Cell,
    io,
    os::fd::AsFd,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex, Once, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::Notify;
use worker_agent::hygiene::reset_sequence;

/// The modes to go back to while a guard is active. Global, because a panic hook cannot borrow.
static SAVED: Mutex<Option<Termios>> = Mutex::new(None);
static HOOK: Once = Once::new();
/// Whether the terminal is lent to a session, which may leave anything behind.
static LENT: AtomicBool = AtomicBool::new(false);
/// Told when something panicked outside of [`contained`].
static PANICKED: Notify = Notify::const_new();

thread_local! {
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Alternate screen, cleared, no cursor, bracketed paste (xterm's ctlseqs).
const ENTER: &[u8] = b"\x1b[?1049h\x1b[H\x1b[2J\x1b[?25l\x1b[?2004h";
/// Undoes [`ENTER`] and ends a synchronized update that was cut short.
const LEAVE: &[u8] = b"\x1b[?2026l\x1b[?2004l\x1b[m\x1b[?25h\x1b[?1049l";
/// Milliseconds a terminal that takes nothing is waited for.
const PATIENCE_MS: u16 = 2_000;

/// Dropping it restores the terminal.
#[derive(Debug)]
pub struct TermGuard(());

impl TermGuard {
    /// Takes the terminal on stdin and stdout.
    ///
    /// # Errors
    /// When stdin is no terminal.
    pub fn enter() -> io::Result<Self> {
        let modes = tcgetattr(io::stdin())?;
        HOOK.call_once(|| {
            let previous = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                if CONTAINED.get() {
                    return;
                }
                restore();
                previous(info);
                PANICKED.notify_one();
            }));
        });
        *SAVED.lock().unwrap_or_else(PoisonError::into_inner) = Some(modes);
        let guard = Self(());
        guard.again()?;
        Ok(guard)
    }

    /// Sets the modes again, after a suspension or an attach.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn again(&self) -> io::Result<()> {
        raw()?;
        write_all(ENTER)
    }

    /// Hands the terminal to a session: still raw, on the main screen.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn lend(&self) -> io::Result<()> {
        LENT.store(true, Ordering::Relaxed);
        write_all(LEAVE)?;
        write_all(b"\x1b[H\x1b[2J")
    }

    /// Takes it back, whatever the session left behind.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn take_back(&self) -> io::Result<()> {
        write_all(reset_sequence())?;
        LENT.store(false, Ordering::Relaxed);
        self.again()
    }

    /// Stops the process group as Ctrl-Z does in a shell, with the terminal restored; returns when
    /// it is continued.
    ///
    /// # Errors
    /// When there is no shell that could continue it, or the terminal is gone.
    pub fn suspend(&self) -> io::Result<()> {
        if getsid(None).map_err(io::Error::from)? == getpid() {
            return Err(io::Error::other(
                "there is no shell behind this terminal to go back to",
            ));
        }
        let saved = SAVED.lock().unwrap_or_else(PoisonError::into_inner).clone();
        restore();
        // SIGSTOP, since SIGTSTP may have a handler of ours. Nothing runs until SIGCONT.
        let stopped = killpg(getpgrp(), Signal::SIGSTOP);
        *SAVED.lock().unwrap_or_else(PoisonError::into_inner) = saved;
        self.again()?;
        stopped.map_err(io::Error::from)
    }
}

impl Drop for TermGuard {
    fn drop(&mut self) {
        restore();
    }
}

/// Runs what may panic and is caught: the terminal stays, nothing is printed. `None` after a panic.
pub fn contained<T>(run: impl FnOnce() -> T) -> Option<T> {
    let before = CONTAINED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(run));
    CONTAINED.set(before);
    result.ok()
}

/// Returns once something panicked outside of [`contained`]; the terminal is restored by then.
pub async fn panicked() {
    PANICKED.notified().await;
}

/// Raw mode, from the saved modes.
fn raw() -> io::Result<()> {
    let saved = SAVED.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let Some(mut modes) = saved else {
        return Ok(());
    };
    cfmakeraw(&mut modes);
    Ok(tcsetattr(io::stdin(), SetArg::TCSANOW, &modes)?)
}

/// Restores the terminal, once.
fn restore() {
    let Some(modes) = SAVED.lock().unwrap_or_else(PoisonError::into_inner).take() else {
        return;
    };
    // Nothing can be done about a terminal that is gone.
    if LENT.swap(false, Ordering::Relaxed) {
        drop(write_all(reset_sequence()));
    } else {
        drop(write_all(LEAVE));
        drop(write_all(RESET_KEYS));
    }
    tcsetattr(io::stdin(), SetArg::TCSANOW, &modes).unwrap_or_default();
}

/// What a terminal may have got from elsewhere while it was ours.
const RESET_KEYS: &[u8] =
    b"\x1b[?1000;1002;1003;1004;1005;1006;1015;1016;2004;2026l\x1b[>4;0m\x1b[?1l\x1b>\x1b[<99u";

/// The terminal's size, when it says one.
pub fn size() -> Option<Size> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some(Size {
        cols: size.ws_col,
        rows: size.ws_row,
    })
}

/// Writes to the terminal past every buffer, also to one that somebody made non-blocking.
///
/// # Errors
/// When the terminal is gone or takes nothing for two seconds.
pub fn write_all(mut bytes: &[u8]) -> io::Result<()> {
    let stdout = io::stdout();
    while !bytes.is_empty() {
        match write(stdout.as_fd(), bytes) {
            Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => {
                let mut fds = [PollFd::new(stdout.as_fd(), PollFlags::POLLOUT)];
                match poll(&mut fds, PollTimeout::from(PATIENCE_MS)) {
                    Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                    Ok(_) | Err(Errno::EINTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contained_panic_is_a_none_and_no_more() {
        assert_eq!(contained(|| panic!("in a model")), None::<()>);
        assert_eq!(contained(|| 5), Some(5));
    }
}
