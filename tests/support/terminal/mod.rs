//! A real program in a real terminal.

pub mod cast;

use crate::{cast::Cast, wait};
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
use worker_agent::screen::{Modes, Screen, ScreenEvent, ScreenOptions};

/// Bound for what a terminal shows.
pub const SOON: Duration = Duration::from_secs(20);

/// A program on a PTY, its output parsed into a screen.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    master: File,
    slave: OwnedFd,
    first: Termios,
    seen: Arc<Mutex<Seen>>,
}

struct Seen {
    screen: Screen,
    raw: Vec<u8>,
    cast: Cast,
    /// What comes now is read and neither parsed nor kept.
    discards: bool,
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
        Self::with_told(argv, env, (cols, rows), (cols, rows))
    }

    /// Starts a program with a controlling terminal that was not told its size, which is this.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn untold(argv: &[&OsStr], env: &[(&str, &str)], cols: u16, rows: u16) -> Self {
        Self::with_told(argv, env, (cols, rows), (0, 0))
    }

    fn with_told(
        argv: &[&OsStr],
        env: &[(&str, &str)],
        (cols, rows): (u16, u16),
        told: (u16, u16),
    ) -> Self {
        let size = Winsize {
            ws_row: told.1,
            ws_col: told.0,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pty = openpty(Some(&size), None).expect("opening a PTY");
        let first = tcgetattr(&pty.slave).expect("reading the terminal's modes");
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
            cast: Cast::new(cols, rows),
            discards: false,
        }));
        let master = File::from(pty.master);
        let mut reader = master.try_clone().expect("cloning the master");
        let mut answers = master.try_clone().expect("cloning the master");
        let sink = seen.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 65536];
            while let Ok(n @ 1..) = reader.read(&mut buffer) {
                let mut seen = sink.lock().expect("the screen's lock");
                if seen.discards {
                    continue;
                }
                let events = seen.screen.process(&buffer[..n]);
                seen.raw.extend_from_slice(&buffer[..n]);
                seen.cast.output(&buffer[..n]);
                drop(seen);
                // A terminal answers what it is asked.
                for event in events {
                    if let ScreenEvent::Reply(reply) = event {
                        drop(answers.write_all(&reply));
                    }
                }
            }
        });
        Self {
            child,
            master,
            slave: pty.slave,
            first,
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

    /// Discards all output from now on, so that a flood costs the test no processor time.
    ///
    /// # Panics
    /// The reader panicked.
    pub fn discard(&self) {
        self.seen.lock().expect("the screen's lock").discards = true;
    }

    /// The visible rows.
    ///
    /// # Panics
    /// The reader panicked.
    #[must_use]
    pub fn rows(&self) -> Vec<String> {
        self.seen.lock().expect("the screen's lock").screen.text()
    }

    /// Marks this moment in the recording, once the screen has come to rest.
    ///
    /// # Panics
    /// The reader panicked.
    pub fn mark(&self, name: &str) {
        let mut rows = self.rows();
        loop {
            wait::pause(Duration::from_millis(150));
            let now = self.rows();
            if now == rows {
                break;
            }
            rows = now;
        }
        let mut seen = self.seen.lock().expect("the screen's lock");
        seen.cast.mark(name);
    }

    /// The recording so far.
    ///
    /// # Panics
    /// The reader panicked.
    #[must_use]
    pub fn cast(&self) -> Cast {
        let seen = self.seen.lock().expect("the screen's lock");
        seen.cast.clone()
    }

    /// All bytes so far.
    ///
    /// # Panics
    /// The reader panicked.
    #[must_use]
    pub fn raw(&self) -> Vec<u8> {
        self.seen.lock().expect("the screen's lock").raw.clone()
    }

    /// How many bytes there were so far.
    ///
    /// # Panics
    /// The reader panicked.
    #[must_use]
    pub fn received(&self) -> usize {
        self.seen.lock().expect("the screen's lock").raw.len()
    }

    /// The bytes after the first so many.
    ///
    /// # Panics
    /// The reader panicked.
    #[must_use]
    pub fn since(&self, received: usize) -> Vec<u8> {
        let seen = self.seen.lock().expect("the screen's lock");
        seen.raw.get(received..).unwrap_or_default().to_vec()
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

    /// Waits until a text was among the output, whether or not it is on the screen still.
    ///
    /// # Panics
    /// It was not in time; the screen is in the message.
    pub fn wait_output(&self, needle: &str) {
        self.wait_until(&format!("{needle:?} in the output"), |_| {
            String::from_utf8_lossy(&self.raw()).contains(needle)
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

    /// The modes before the program began.
    #[must_use]
    pub fn first_modes(&self) -> &Termios {
        &self.first
    }

    /// What escape sequences set, and whether the cursor is shown.
    ///
    /// # Panics
    /// The reader panicked.
    #[must_use]
    pub fn screen_modes(&self) -> (Modes, bool) {
        let seen = self.seen.lock().expect("the screen's lock");
        (seen.screen.modes(), seen.screen.cursor().is_some())
    }

    /// Process id of the program: `setsid` becomes it.
    ///
    /// # Panics
    /// Never: process ids are positive.
    #[must_use]
    pub fn program(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a process id")
    }

    /// Waits until all that was written is on the screen: what is written last is read last.
    fn drain(&self) {
        let mark = b"\x1b]7777;end of output\x1b\\";
        let mut slave = File::from(self.slave.try_clone().expect("cloning the slave"));
        slave.write_all(mark).expect("writing to the terminal");
        wait::until_true("the end of the output", SOON, || {
            let seen = self.seen.lock().expect("the screen's lock");
            let tail = seen.raw.len().saturating_sub(4 * mark.len());
            seen.raw[tail..]
                .windows(mark.len())
                .any(|piece| piece == mark)
        });
    }

    /// Waits for the program's end and all of its output.
    ///
    /// # Panics
    /// It goes on for too long; the screen is in the message.
    pub fn wait_exit(&mut self) -> ExitStatus {
        let start = std::time::Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("waiting for the program") {
                self.drain();
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
