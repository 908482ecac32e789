//! The line modes of the terminal on stdin: raw, and back to what they were.
//!
//! Owns the modes to go back to; global, because a panic hook cannot borrow. Used by the dashboard as
//! well. Writes nothing to the terminal.

use nix::sys::termios::{FlushArg, SetArg, Termios, cfmakeraw, tcflush, tcgetattr, tcsetattr};
use std::{
    io,
    sync::{Mutex, MutexGuard, PoisonError},
};

static SAVED: Mutex<Option<Termios>> = Mutex::new(None);

fn saved() -> MutexGuard<'static, Option<Termios>> {
    SAVED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Remembers the terminal's modes; they stay as they are until [`set`].
pub(crate) fn remember() -> io::Result<()> {
    let modes = tcgetattr(io::stdin())?;
    *saved() = Some(modes);
    Ok(())
}

/// Raw mode, where modes are remembered. Also after a stop: a shell changes them when it continues a
/// job.
pub(crate) fn set() -> io::Result<()> {
    let Some(mut modes) = saved().clone() else {
        return Ok(());
    };
    cfmakeraw(&mut modes);
    // Not FLUSH: what was typed ahead belongs to the session.
    Ok(tcsetattr(io::stdin(), SetArg::TCSANOW, &modes)?)
}

/// Restores the remembered modes, once, after `before`; nothing where none are remembered.
pub(crate) fn restore(before: impl FnOnce()) {
    // Released before anything is written: that may take long.
    let modes = saved().take();
    let Some(modes) = modes else { return };
    before();
    // What was typed ahead is for nobody: a shell would run it.
    tcflush(io::stdin(), FlushArg::TCIFLUSH).ok();
    tcsetattr(io::stdin(), SetArg::TCSANOW, &modes).ok();
}

/// Runs `stopped` with the modes restored by `restore`, and remembers them again.
pub(crate) fn suspended<T>(restore: impl FnOnce(), stopped: impl FnOnce() -> T) -> T {
    let modes = saved().clone();
    restore();
    let result = stopped();
    *saved() = modes;
    result
}
