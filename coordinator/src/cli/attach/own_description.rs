//! A terminal's descriptor that does not block, beside the one that was inherited.
//!
//! Owns: how it is opened. Never changes the inherited one, whose flags belong to the caller's shell too.

use nix::{
    fcntl::{OFlag, open},
    sys::stat::Mode,
    unistd::isatty,
};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// The same terminal, opened again; `None` where this is no terminal, or where it may not be opened.
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
