//! A real program in a real terminal.

use crate::wait;
use nix::{
    pty::{Winsize, openpty},
    sys::termios::{Termios, tcgetattr},
};
use std::{
    ffi::OsStr,
    fs::File,
    io::{Read, Write},
    os::fd::OwnedFd,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};
use worker_agent::screen::{Screen, ScreenOptions};

/// Bound for what a terminal shows.
pub const SOON: Duration = Duration::from_secs(20);

/// A program on a PTY, its output parsed into a screen.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    master: File,
    slave: OwnedFd,
    seen: Arc<Mutex<Seen>>,
}

struct Seen {
    screen: Screen,
    raw: Vec<u8>,
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seen")
            .field("bytes", &self.raw.len())
            .finish_non_exhaustive()
    }
}

impl Terminal {
    /// Starts a program with a controlling terminal of this size.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn start(argv: &[&OsStr], env: &[(&str, &str)], cols: u16, rows: u16) -> Self {
        let size = Winsize {
            ws_row: rows,
            ws_col: cols,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pty = openpty(Some(&size), None).expect("opening a PTY");
        let side = || Stdio::from(pty.slave.try_clone().expect("cloning the slave"));
        // `setsid --ctty` makes the slave the program's controlling terminal.
        let child = Command::new("setsid")
            .args(["--ctty", "--wait"])
            .args(argv)
            .env("TERM", "xterm-256color")
            .envs(env.iter().copied())
            .stdin(side())
            .stdout(side())
            .stderr(side())
            .spawn()
            .expect("starting a program");
        let seen = Arc::new(Mutex::new(Seen {
            screen: Screen::new(cols, rows, ScreenOptions::default()),
            raw: Vec::new(),
        }));
        let master = File::from(pty.master);
        let mut reader = master.try_clone().expect("cloning the master");
        let sink = seen.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 65536];
            while let Ok(n @ 1..) = reader.read(&mut buffer) {
                let mut seen = sink.lock().expect("the screen's lock");
                seen.screen.process(&buffer[..n]);
                seen.raw.extend_from_slice(&buffer[..n]);
            }
        });
        Self {
            child,
            master,
            slave: pty.slave,
            seen,
        }
    }

    /// Types.
    ///
    /// # Panics
    /// The terminal is gone.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.master.write_all(bytes.as_ref()).expect("typing");
    }

    /// The visible rows.
    ///
    /// # Panics
    /// The reader panicked.
    #[must_use]
    pub fn rows(&self) -> Vec<String> {
        self.seen.lock().expect("the screen's lock").screen.text()
    }

    /// All bytes so far.
    ///
    /// # Panics
    /// The reader panicked.
    #[must_use]
    pub fn raw(&self) -> Vec<u8> {
        self.seen.lock().expect("the screen's lock").raw.clone()
    }

    /// Waits until the screen shows a text.
    ///
    /// # Panics
    /// It does not in time; the screen is in the message.
    pub fn wait_for(&self, needle: &str) {
        self.wait_until(&format!("{needle:?} on the screen"), |rows| {
            rows.iter().any(|row| row.contains(needle))
        });
    }

    /// Waits until a predicate holds of the rows.
    ///
    /// # Panics
    /// It does not in time; the screen is in the message.
    pub fn wait_until(&self, what: &str, predicate: impl Fn(&[String]) -> bool) {
        let start = std::time::Instant::now();
        while !predicate(&self.rows()) {
            assert!(
                start.elapsed() < SOON,
                "waited {SOON:?} in vain for {what}; the screen:\n{}",
                self.rows().join("\n")
            );
            wait::pause(Duration::from_millis(10));
        }
    }

    /// Gives the terminal another size.
    ///
    /// # Panics
    /// The terminal is gone.
    pub fn resize(&mut self, cols: u16, rows: u16) {
        let size = rustix::termios::Winsize {
            ws_row: rows,
            ws_col: cols,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        self.seen
            .lock()
            .expect("the screen's lock")
            .screen
            .resize(cols, rows);
        rustix::termios::tcsetwinsize(&self.master, size).expect("resizing");
    }

    /// The terminal's modes as the kernel has them.
    ///
    /// # Panics
    /// The terminal is gone.
    #[must_use]
    pub fn modes(&self) -> Termios {
        tcgetattr(&self.slave).expect("reading the terminal's modes")
    }

    /// Process id of the program (of its `setsid`).
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the program's end.
    ///
    /// # Panics
    /// It goes on for too long; the screen is in the message.
    pub fn wait_exit(&mut self) -> ExitStatus {
        let start = std::time::Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("waiting for the program") {
                return status;
            }
            assert!(
                start.elapsed() < SOON,
                "the program goes on; the screen:\n{}",
                self.rows().join("\n")
            );
            wait::pause(Duration::from_millis(10));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            drop(self.child.wait());
        }
    }
}
