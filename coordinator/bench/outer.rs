//! A program on a terminal that the bench reads: the outer terminal of an attach, and the plain
//! fork and exec that a claim is held against.

use coordinator::cli::Failure;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{Signal, killpg},
        wait::waitpid,
    },
    unistd::{Pid, read, write},
};
use podbay_protocol::Size;
use std::{
    ffi::CString,
    os::fd::{AsFd, OwnedFd},
    time::{Duration, Instant},
};
use worker_agent::pty::{Exec, open_pty, spawn};

/// Most bytes read at once.
const PIECE: usize = 64 << 10;

/// A running program and the master of its terminal. Dropping it kills the program's group.
#[derive(Debug)]
pub struct Outer {
    master: OwnedFd,
    pid: Pid,
}

/// What came until a text was seen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    /// Bytes.
    pub bytes: usize,
    /// From the first byte to the text.
    pub took: Duration,
}

/// A program and its arguments, ready for the kernel.
#[derive(Debug)]
pub struct Prepared {
    argv: Vec<CString>,
    env: Vec<CString>,
}

impl Prepared {
    /// `argv` starts with an absolute path.
    pub fn new(argv: &[&str]) -> Result<Self, Failure> {
        let c = |text: &str| {
            CString::new(text).map_err(|_| Failure::new(1, format!("a NUL byte in {text:?}")))
        };
        let inherited = ["PATH", "HOME", "LANG"].into_iter().filter_map(|name| {
            let value = std::env::var(name).ok()?;
            Some(format!("{name}={value}"))
        });
        let env = inherited.chain(["TERM=xterm-256color".to_owned()]);
        Ok(Self {
            argv: argv.iter().map(|arg| c(arg)).collect::<Result<_, _>>()?,
            env: env.map(|pair| c(&pair)).collect::<Result<_, _>>()?,
        })
    }
}

fn failed(doing: &str, errno: Errno) -> Failure {
    Failure::new(1, format!("{doing}: {}", errno.desc()))
}

impl Outer {
    /// Opens a terminal and starts the program on it: the same calls that a worker's agent makes.
    pub fn start(program: &Prepared, size: Size) -> Result<Self, Failure> {
        let uid = nix::unistd::geteuid().as_raw();
        let gid = nix::unistd::getegid().as_raw();
        let pty = open_pty(size, uid, gid).map_err(|errno| failed("opening a terminal", errno))?;
        let slave = pty.slave.as_fd();
        let pid = spawn(&Exec {
            candidates: program.argv.get(..1).unwrap_or_default(),
            argv: &program.argv,
            env: &program.env,
            cwd: None,
            stdio: Some([slave, slave, slave]),
            terminal: true,
            session: true,
            identity: None,
            oom_score_adj: None,
        })
        .map_err(|error| failed("starting a program", error.errno))?;
        Ok(Self {
            master: pty.master,
            pid,
        })
    }

    /// The program's process.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Bytes that came within `wait`; `None` when none did.
    pub fn piece<'a>(
        &self,
        buffer: &'a mut [u8],
        wait: Duration,
    ) -> Result<Option<&'a [u8]>, Failure> {
        loop {
            match read(&self.master, buffer) {
                Ok(0) | Err(Errno::EIO) => {
                    return Err(Failure::new(1, "the program on the bench's terminal ended"));
                }
                Ok(n) => return Ok(buffer.get(..n)),
                Err(Errno::EINTR) => continue,
                Err(Errno::EAGAIN) => {}
                Err(errno) => return Err(failed("reading the terminal", errno)),
            }
            let mut fds = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
            let timeout = PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX);
            match poll(&mut fds, timeout) {
                Ok(0) => return Ok(None),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(failed("waiting for the terminal", errno)),
            }
        }
    }

    /// Reads until the text was seen, also across pieces.
    pub fn until(&self, text: &str, within: Duration) -> Result<Seen, Failure> {
        let mut buffer = vec![0; PIECE];
        let mut finder = Finder::new(text);
        let (began, mut first, mut bytes) = (Instant::now(), None, 0);
        loop {
            let left = within.saturating_sub(began.elapsed());
            let piece = if left.is_zero() {
                None
            } else {
                self.piece(&mut buffer, left)?
            };
            let Some(piece) = piece else {
                let message = format!("{text:?} did not come in {within:?}, after {bytes} bytes");
                return Err(Failure::new(1, message));
            };
            let first = *first.get_or_insert_with(Instant::now);
            bytes += piece.len();
            if finder.feed(piece) {
                let took = first.elapsed();
                return Ok(Seen { bytes, took });
            }
        }
    }

    /// Reads until nothing has come for `quiet`.
    pub fn drain(&self, quiet: Duration) -> Result<(), Failure> {
        let mut buffer = vec![0; PIECE];
        while self.piece(&mut buffer, quiet)?.is_some() {}
        Ok(())
    }

    /// Types.
    pub fn write(&self, bytes: &[u8]) -> Result<(), Failure> {
        match write(&self.master, bytes) {
            Ok(n) if n == bytes.len() => Ok(()),
            Ok(_) => Err(Failure::new(1, "the terminal takes no more input")),
            Err(errno) => Err(failed("typing", errno)),
        }
    }
}

impl Drop for Outer {
    fn drop(&mut self) {
        // ESRCH: it has ended already.
        killpg(self.pid, Signal::SIGKILL).ok();
        waitpid(self.pid, None).ok();
    }
}

/// Opens a terminal, starts the program and waits for its first byte.
pub fn first_byte(program: &Prepared) -> Result<Duration, Failure> {
    let began = Instant::now();
    let outer = Outer::start(program, Size::default())?;
    let mut buffer = [0; 256];
    match outer.piece(&mut buffer, Duration::from_secs(10))? {
        Some(_) => Ok(began.elapsed()),
        None => Err(Failure::new(1, "a plain program wrote nothing in 10 s")),
    }
}

/// Finds a text in pieces, also across them. Cheap where its first byte does not occur.
struct Finder {
    text: Vec<u8>,
    tail: Vec<u8>,
}

impl Finder {
    fn new(text: &str) -> Self {
        Self {
            text: text.as_bytes().to_vec(),
            tail: Vec::new(),
        }
    }

    fn feed(&mut self, piece: &[u8]) -> bool {
        let Some(first) = self.text.first() else {
            return true;
        };
        if self.tail.is_empty() && !piece.contains(first) {
            return false;
        }
        self.tail.extend_from_slice(piece);
        if self.tail.windows(self.text.len()).any(|w| w == self.text) {
            return true;
        }
        // Only what could be the beginning of the text is kept.
        let keep = self.tail.len().saturating_sub(self.text.len() - 1);
        self.tail.drain(..keep);
        if !self.tail.contains(first) {
            self.tail.clear();
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_across_pieces() {
        for cut in 1..12 {
            let mut finder = Finder::new("@@END@@");
            let all = b"ab@@@END@@cd";
            let (a, b) = all.split_at(cut);
            let found = finder.feed(a) || finder.feed(b);
            assert!(found, "{cut}");
        }
        let mut finder = Finder::new("@@END@@");
        assert!(!finder.feed(b"@@EN") && !finder.feed(b"xD@@") && !finder.feed(b"@@END@"));
        assert!(finder.feed(b"@"));
    }

    #[test]
    fn a_program_is_heard_and_killed() {
        let shell = "echo ready; exec sleep 60";
        let program = Prepared::new(&["/bin/sh", "-c", shell]).unwrap();
        assert!(first_byte(&program).unwrap() < Duration::from_secs(10));
        let outer = Outer::start(&program, Size::default()).unwrap();
        let seen = outer.until("ready", Duration::from_secs(10)).unwrap();
        assert!(seen.bytes >= 5);
        let pid = outer.pid;
        drop(outer);
        assert_eq!(nix::sys::signal::kill(pid, None), Err(Errno::ESRCH));
    }
}
