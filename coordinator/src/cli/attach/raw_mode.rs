//! The line modes of the terminal on stdin: raw, and back to what they were.
//!
//! Owns the modes to go back to, and how the terminal is opened beside the descriptor that was inherited,
//! whose flags belong to the caller's shell too. The modes are global, because a panic hook cannot
//! borrow. Used by the dashboard as well. Writes nothing to the terminal.

use nix::{
    fcntl::{OFlag, open},
    sys::{
        stat::Mode,
        termios::{FlushArg, SetArg, Termios, cfmakeraw, tcflush, tcgetattr, tcsetattr},
    },
    unistd::isatty,
};
use std::{
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
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

/// The same terminal, opened again so that it does not block; `None` where this is no terminal, or where it may not be opened.
pub(super) fn reopened(terminal: impl AsFd, access: OFlag) -> Option<OwnedFd> {
    let terminal = terminal.as_fd();
    if !isatty(terminal).unwrap_or(false) {
        return None;
    }
    let path = format!("/proc/self/fd/{}", terminal.as_raw_fd());
    let flags = access | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    open(path.as_str(), flags, Mode::empty()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::{
        errno::Errno,
        fcntl::{FcntlArg, fcntl},
        pty::openpty,
        unistd::{pipe, read, write},
    };

    #[test]
    fn the_inherited_descriptor_stays_as_it_is() {
        let pty = openpty(None, None).unwrap();
        let own = reopened(&pty.slave, OFlag::O_RDWR).unwrap();
        assert_eq!(read(&own, &mut [0; 8]), Err(Errno::EAGAIN));
        let flags = fcntl(&pty.slave, FcntlArg::F_GETFL).unwrap();
        assert!(!OFlag::from_bits_retain(flags).contains(OFlag::O_NONBLOCK));
        write(&own, b"out").unwrap();
        let mut seen = [0; 8];
        assert_eq!(read(&pty.master, &mut seen), Ok(3));
        let (reader, writer) = pipe().unwrap();
        assert!(reopened(&reader, OFlag::O_RDONLY).is_none());
        assert!(reopened(&writer, OFlag::O_WRONLY).is_none());
    }
}
