//! Lines on stderr that never block.
//!
//! Owns: the rule that PID 1 drops a line rather than wait for the reader of its stderr.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::{io::Write, os::fd::AsFd};

/// The longest line, in bytes: a pipe that is writable takes this much without blocking.
const MAX_LINE: usize = 1024;

/// Writes one line to stderr, or drops it when stderr is full or closed.
pub fn log_line(text: &str) {
    let stderr = std::io::stderr();
    let mut fds = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    let ready = poll(&mut fds, PollTimeout::ZERO).is_ok_and(|n| n > 0);
    let writable = fds.iter().any(|fd| {
        fd.revents()
            .is_some_and(|r| r.contains(PollFlags::POLLOUT) && !r.contains(PollFlags::POLLERR))
    });
    if !(ready && writable) {
        return;
    }
    let mut line: Vec<u8> = b"worker-agent: ".to_vec();
    line.extend(
        text.bytes()
            .take(MAX_LINE)
            .map(|b| if b < b' ' { b' ' } else { b }),
    );
    line.push(b'\n');
    drop(stderr.lock().write_all(&line));
}
