//! The dashboard on a PTY, and what a terminal would show of it.

use super::Script;
use nix::{
    pty::{OpenptyResult, Winsize, openpty},
    sys::{
        signal::{Signal, kill},
        termios::{Termios, tcgetattr},
    },
    unistd::Pid,
};
use std::{
    fs::File,
    io::{Read, Write},
    os::fd::OwnedFd,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    time::{Duration, Instant},
};
use worker_agent::screen::{Screen, ScreenOptions};

const PATIENCE: Duration = Duration::from_secs(20);

/// A running dashboard.
pub struct Dashboard {
    child: Child,
    terminal: File,
    slave: OwnedFd,
    before: Termios,
    bytes: Receiver<Vec<u8>>,
    screen: Screen,
    written: Vec<u8>,
    hung: Arc<AtomicBool>,
}

impl Dashboard {
    pub fn start(script: &Script, cols: u16, rows: u16, env: &[(&str, &str)]) -> Self {
        let size = Winsize {
            ws_row: rows,
            ws_col: cols,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let OpenptyResult { master, slave } = openpty(&size, None).unwrap();
        let before = tcgetattr(&slave).unwrap();
        let stdio = || Stdio::from(slave.try_clone().unwrap());
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_dashboard_itself", "--nocapture", "--quiet"])
            .env("PODBAY_TEST_SOCKET", &script.socket)
            .env("TERM", "xterm-256color")
            .env_remove("NO_COLOR")
            .envs(env.iter().copied())
            .stdin(stdio())
            .stdout(stdio())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let terminal = File::from(master);
        let mut reader = terminal.try_clone().unwrap();
        let (to, bytes) = channel();
        let hung = Arc::new(AtomicBool::new(false));
        let hangs = hung.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 65536];
            loop {
                while hangs.load(Ordering::Relaxed) {
                    std::thread::park_timeout(Duration::from_millis(20));
                }
                let Ok(n @ 1..) = reader.read(&mut buffer) else {
                    return;
                };
                if to.send(buffer[..n].to_vec()).is_err() {
                    return;
                }
            }
        });
        let screen = Screen::new(cols, rows, ScreenOptions::default());
        Self {
            child,
            terminal,
            slave,
            before,
            bytes,
            screen,
            written: Vec::new(),
            hung,
        }
    }

    pub fn keys(&mut self, keys: &str) {
        self.terminal.write_all(keys.as_bytes()).unwrap();
    }

    /// Gives the terminal another size.
    pub fn resize(&mut self, cols: u16, rows: u16) {
        let size = rustix::termios::Winsize {
            ws_row: rows,
            ws_col: cols,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        self.screen.resize(cols, rows);
        rustix::termios::tcsetwinsize(&self.terminal, size).unwrap();
        // The terminal is not the controlling one of that process: the kernel tells nobody.
        self.signal(Signal::SIGWINCH);
    }

    /// Reads what is there, until nothing has come for a while.
    pub fn settle(&mut self) {
        while let Ok(bytes) = self.bytes.recv_timeout(Duration::from_millis(30)) {
            self.screen.process(&bytes);
            self.written.extend(bytes);
        }
    }

    /// Whether it has not ended.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// The terminal of the dashboard.
    pub fn screen(&self) -> &Screen {
        &self.screen
    }

    /// Every byte that the dashboard wrote and that was looked at.
    pub fn written(&self) -> String {
        String::from_utf8_lossy(&self.written).into_owned()
    }

    /// Column and row, from 1, of a text on the screen.
    pub fn place(&self, wanted: &str) -> (usize, usize) {
        let rows = self.screen.text();
        let found = rows.iter().enumerate().find_map(|(row, text)| {
            let at = text.find(wanted)?;
            Some((text[..at].chars().count() + 1, row + 1))
        });
        found.unwrap_or_else(|| panic!("no {wanted:?} on the screen:\n{}", self.text()))
    }

    /// Waits until the terminal is set so.
    pub fn until_set(&mut self, what: &str, done: impl Fn(&Screen) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !done(&self.screen) {
            assert!(
                Instant::now() < end,
                "waiting for {what}: {:?}",
                self.screen.modes()
            );
            if let Ok(bytes) = self.bytes.recv_timeout(Duration::from_millis(100)) {
                self.screen.process(&bytes);
                self.written.extend(bytes);
            }
        }
    }

    /// Reads nothing more of what the dashboard writes, until the next call.
    pub fn hang(&self, hung: bool) {
        self.hung.store(hung, Ordering::Relaxed);
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the terminal's line is as it was before.
    pub fn lets_go_within(&mut self, patience: Duration) {
        let end = Instant::now() + patience;
        while tcgetattr(&self.slave).unwrap().local_flags != self.before.local_flags {
            assert!(Instant::now() < end, "it did not let go of the terminal");
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    pub fn text(&self) -> String {
        self.screen.text().join("\n")
    }

    fn wait(&mut self, what: &str, done: impl Fn(&str) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !done(&self.text()) {
            match self
                .bytes
                .recv_timeout(end.saturating_duration_since(Instant::now()))
            {
                Ok(bytes) => {
                    self.screen.process(&bytes);
                    self.written.extend(bytes);
                }
                Err(_) => panic!("waiting for {what}; the screen:\n{}", self.text()),
            }
        }
    }

    pub fn until(&mut self, wanted: &str) {
        self.wait(wanted, |text| text.contains(wanted));
    }

    pub fn until_not(&mut self, unwanted: &str) {
        self.wait(&format!("the end of {unwanted}"), |text| {
            !text.contains(unwanted)
        });
    }

    /// Nothing is written for so long, after at most one second of settling.
    pub fn quiet_for(&mut self, quiet: Duration) {
        while self.bytes.recv_timeout(Duration::from_secs(1)).is_ok() {}
        match self.bytes.recv_timeout(quiet) {
            Err(RecvTimeoutError::Timeout) => {}
            other => panic!("not quiet: {other:?}"),
        }
    }

    /// It ended, the modes are as before, and so is the screen.
    pub fn left_cleanly(&mut self, success: bool) {
        let end = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(
                Instant::now() < end,
                "it did not end; the screen:\n{}",
                self.text()
            );
            while let Ok(bytes) = self.bytes.recv_timeout(Duration::from_millis(20)) {
                self.screen.process(&bytes);
                self.written.extend(bytes);
            }
        };
        assert_eq!(status.success(), success, "{status}");
        while let Ok(bytes) = self.bytes.recv_timeout(Duration::from_millis(200)) {
            self.screen.process(&bytes);
            self.written.extend(bytes);
        }
        let after = tcgetattr(&self.slave).unwrap();
        assert_eq!(after.local_flags, self.before.local_flags);
        assert_eq!(after.input_flags, self.before.input_flags);
        assert_eq!(after.output_flags, self.before.output_flags);
        let modes = self.screen.modes();
        assert!(!modes.alt_screen && !modes.bracketed_paste, "{modes:?}");
        assert!(self.screen.cursor().is_some(), "the cursor is hidden");
        assert_eq!(
            modes,
            worker_agent::screen::Modes::default(),
            "the terminal is set as it was not"
        );
        assert_eq!(self.screen.title(), "", "the title is not as it was");
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
