//! The terminal in the dashboard's modes, and back on every way out: return, error, panic, signal,
//! suspension. Owns all that is global about it.

use crate::{
    cli::{attach::raw_mode, output::term::size_of},
    dashboard::io::terminal::host_terminal,
};
use nix::{
    errno::Errno,
    fcntl::{OFlag, open},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{Signal, killpg},
        stat::Mode,
    },
    unistd::{getpgrp, getpid, getsid, write},
};
use podbay_protocol::Size;
use std::{
    cell::Cell,
    io,
    os::fd::{AsFd, OwnedFd},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        LazyLock, Mutex, Once, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::Notify;
use worker_agent::hygiene::reset_sequence;

static HOOK: Once = Once::new();
/// Whether the terminal is lent to a session, which may leave anything behind.
static LENT: AtomicBool = AtomicBool::new(false);
/// Whether the terminal is the shell's: frames are not for it any more.
static LEFT: AtomicBool = AtomicBool::new(false);
/// Whether the terminal keeps the title it had.
static TITLE_KEPT: AtomicBool = AtomicBool::new(false);
static WRITING: Mutex<()> = Mutex::new(());
/// Told when something panicked outside of [`contained`].
static PANICKED: Notify = Notify::const_new();

thread_local! {
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Alternate screen, cleared, no cursor, bracketed paste, focus reports (xterm's ctlseqs).
const ENTER: &[u8] = b"\x1b[?1049h\x1b[H\x1b[2J\x1b[?25l\x1b[?2004h\x1b[?1004h";
/// Ends a sequence and a synchronized update that were cut short.
const CUT: &[u8] = b"\x18\x1b\\\x1b[?2026l";
/// Undoes [`ENTER`], after [`CUT`] and [`host_terminal::RESET`].
const LEAVE: &[u8] = b"\x1b[?1004l\x1b[?2004l\x1b[m\x1b[?25h\x1b[?1049l";
/// Keeps the title, and brings it back.
const KEEP_TITLE: &[u8] = b"\x1b[22;2t";
const OLD_TITLE: &[u8] = b"\x1b[23;2t";
/// Milliseconds a terminal that takes nothing is waited for.
const PATIENCE_MS: u16 = 1_000;
/// Most bytes in one write.
const MAX_WRITE: usize = 8 << 10;

/// Dropping it restores the terminal.
#[derive(Debug)]
pub struct TerminalGuard(());

impl TerminalGuard {
    /// Takes the terminal on stdin and stdout.
    ///
    /// # Errors
    /// When stdin is no terminal.
    pub fn enter() -> io::Result<Self> {
        raw_mode::remember()?;
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
        let guard = Self(());
        guard.again()?;
        Ok(guard)
    }

    /// Sets the modes again, after a suspension or an attach.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn again(&self) -> io::Result<()> {
        raw_mode::set()?;
        LEFT.store(false, Ordering::SeqCst);
        if !TITLE_KEPT.swap(true, Ordering::SeqCst) {
            write_all(KEEP_TITLE)?;
        }
        write_all(ENTER)
    }

    /// Hands the terminal to a session: still raw, on the main screen.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn lend(&self) -> io::Result<()> {
        LENT.store(true, Ordering::Relaxed);
        write_all(&leave())?;
        write_all(b"\x1b[H\x1b[2J")
    }

    /// Makes a lent terminal raw again: a shell changes the modes when it continues a job.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn raw_again(&self) -> io::Result<()> {
        raw_mode::set()
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
        // SIGSTOP, since SIGTSTP may have a handler of ours. Nothing runs until SIGCONT.
        let stopped = raw_mode::suspended(restore, || killpg(getpgrp(), Signal::SIGSTOP));
        self.again()?;
        stopped.map_err(io::Error::from)
    }
}

impl Drop for TerminalGuard {
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

/// Restores the terminal, once.
fn restore() {
    raw_mode::restore(|| {
        // A frame that is being written ends here.
        LEFT.store(true, Ordering::SeqCst);
        // Nothing can be done about a terminal that is gone.
        if LENT.swap(false, Ordering::Relaxed) {
            drop(write_all(reset_sequence()));
        } else {
            drop(write_all(&leave()));
        }
        if TITLE_KEPT.swap(false, Ordering::SeqCst) {
            drop(write_all(OLD_TITLE));
        }
    });
}

/// What undoes everything but the modes of the line.
fn leave() -> Vec<u8> {
    [CUT, host_terminal::RESET.as_bytes(), LEAVE].concat()
}

/// The terminal's size, when it says one.
pub fn size() -> Option<Size> {
    size_of(io::stdout())
}

/// The terminal, opened again so that it can be non-blocking for this process alone; `None` when it
/// cannot be opened, as in a container that was given another one's terminal.
static TERMINAL: LazyLock<Option<OwnedFd>> = LazyLock::new(|| {
    let path = nix::unistd::ttyname(io::stdout()).ok()?;
    let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    open(&path, flags, Mode::empty()).ok()
});

/// Writes once. No two writes at a time: what restores the terminal comes after what was begun.
fn write_some(bytes: &[u8], frame: bool) -> nix::Result<usize> {
    let _one = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    if frame && LEFT.load(Ordering::SeqCst) {
        return Ok(bytes.len());
    }
    match &*TERMINAL {
        Some(terminal) => write(terminal, bytes),
        None => write(io::stdout(), bytes),
    }
}

fn write_out(mut bytes: &[u8], frame: bool) -> io::Result<()> {
    let stdout = io::stdout();
    while !bytes.is_empty() {
        let piece = bytes.get(..bytes.len().min(MAX_WRITE)).unwrap_or_default();
        match write_some(piece, frame) {
            Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => {
                let mut fds = [PollFd::new(stdout.as_fd(), PollFlags::POLLOUT)];
                match poll(&mut fds, PollTimeout::from(PATIENCE_MS)) {
                    Ok(0) if !frame => return Err(io::ErrorKind::TimedOut.into()),
                    Ok(_) | Err(Errno::EINTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Writes to the terminal past every buffer.
///
/// # Errors
/// When the terminal is gone or takes nothing for a while.
pub fn write_all(bytes: &[u8]) -> io::Result<()> {
    write_out(bytes, false)
}

/// Writes a frame, however long the terminal takes; when it is left meanwhile, the rest is dropped.
///
/// # Errors
/// When the terminal is gone.
pub fn write_frame(bytes: &[u8]) -> io::Result<()> {
    write_out(bytes, true)
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
