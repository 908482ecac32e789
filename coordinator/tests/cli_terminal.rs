//! The real binary on a real terminal: raw while attached, and as it was on every way out.

#![allow(clippy::unwrap_used, clippy::panic)]

mod cli_support;

use cli_support::{Peer, wait_until};
use nix::{
    pty::{OpenptyResult, Winsize, openpty},
    sys::{
        signal::{Signal, kill},
        termios::{LocalFlags, Termios, tcgetattr},
    },
    unistd::{Pid, read, write},
};
use std::{
    os::fd::{AsFd, OwnedFd},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

/// A terminal with the binary on it, and everything that was written to it.
struct Terminal {
    master: OwnedFd,
    slave: OwnedFd,
    before: Termios,
    written: Arc<Mutex<Vec<u8>>>,
    child: Child,
}

impl Terminal {
    fn run(peer: &Peer, args: &[&str]) -> Self {
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let OpenptyResult { master, slave } = openpty(&size, None).unwrap();
        let end = || Stdio::from(slave.try_clone().unwrap());
        let before = tcgetattr(&slave).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_podbay"))
            .args(args)
            .env("PODBAY_SOCKET", &peer.socket)
            .env_remove("PODBAY_DETACH_KEYS")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        let written = Arc::new(Mutex::new(Vec::new()));
        let (from, to) = (master.try_clone().unwrap(), written.clone());
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = read(from.as_fd(), &mut buffer) {
                to.lock()
                    .unwrap()
                    .extend_from_slice(buffer.get(..n).unwrap());
            }
        });
        Self {
            master,
            slave,
            before,
            written,
            child,
        }
    }

    fn attached(peer: &Peer, name: &str) -> Self {
        let terminal = Self::run(peer, &["attach", name]);
        terminal.shows("ready");
        terminal.is_raw();
        terminal
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().unwrap()).into_owned()
    }

    fn shows(&self, part: &str) {
        wait_until(part, || self.text().contains(part));
    }

    fn types(&self, bytes: &[u8]) {
        assert_eq!(write(&self.master, bytes).unwrap(), bytes.len());
    }

    fn is_raw(&self) {
        wait_until("raw mode", || {
            !tcgetattr(&self.slave)
                .unwrap()
                .local_flags
                .contains(LocalFlags::ICANON)
        });
    }

    fn signal(&self, signal: Signal) {
        kill(
            Pid::from_raw(i32::try_from(self.child.id()).unwrap()),
            signal,
        )
        .unwrap();
    }

    /// Waits for the end; the terminal must be as it was.
    fn ends_with(&mut self, code: i32) -> String {
        let mut status = None;
        wait_until("the end", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        assert_eq!(status.unwrap().code(), Some(code), "{}", self.text());
        let after = tcgetattr(&self.slave).unwrap();
        assert_eq!(after.local_flags, self.before.local_flags);
        assert_eq!(after.input_flags, self.before.input_flags);
        assert_eq!(after.output_flags, self.before.output_flags);
        self.shows("\x1b[?25h");
        let text = self.text();
        assert!(
            text.contains("\x1b[?1049l") && text.contains("\x1b[?2004l"),
            "{text:?}"
        );
        text
    }
}

#[test]
fn detach_keys_return_and_the_session_goes_on() {
    for keys in [&b"\x10\x11"[..], b"\x01d"] {
        let peer = Peer::start();
        let mut terminal = Terminal::attached(&peer, "one");
        terminal.types(b"ab");
        terminal.shows("ab");
        terminal.types(keys);
        terminal.ends_with(0);
        terminal.shows("detached from one");
        peer.seen.wait_for("closed");
        assert!(
            peer.seen
                .has("attach one AttachQuery { mode: Write, cols: Some(80), rows: Some(24)")
        );
    }
}

#[test]
fn who_detaches_from_a_command_says_so_or_it_would_be_ended() {
    let peer = Peer::start();
    let detach = |args: &[&str]| {
        let mut terminal = Terminal::run(&peer, args);
        terminal.shows("ready");
        terminal.is_raw();
        terminal.types(b"\x10\x11");
        terminal.ends_with(0);
    };
    // The main session needs no client.
    detach(&["attach", "one"]);
    peer.seen.wait_for("closed");
    assert!(!peer.seen.has(r#""detach""#));
    detach(&["exec", "one", "--", "sh"]);
    peer.seen.wait_for(r#"{"type":"detach"}"#);
}

#[test]
fn keys_that_only_begin_a_detach_reach_the_session() {
    let peer = Peer::start();
    let mut terminal = Terminal::attached(&peer, "one");
    terminal.types(b"\x10");
    peer.seen.wait_for("typed b\"\\x10\"");
    terminal.types(b"\x1b");
    peer.seen.wait_for("typed b\"\\x1b\"");
    terminal.types(b"\x10q");
    terminal.ends_with(7);
}

#[test]
fn the_sessions_end_is_the_end_with_its_code() {
    let peer = Peer::start();
    let mut terminal = Terminal::attached(&peer, "one");
    terminal.types(b"q");
    terminal.ends_with(7);
}

#[test]
fn signals_restore_the_terminal() {
    for signal in [
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGQUIT,
    ] {
        let peer = Peer::start();
        let mut terminal = Terminal::attached(&peer, "one");
        terminal.signal(signal);
        terminal.ends_with(128 + signal as i32);
        peer.seen.wait_for("broken off");
    }
}

#[test]
fn the_size_is_told_at_once_and_when_it_changes() {
    let peer = Peer::start();
    let mut terminal = Terminal::attached(&peer, "one");
    let size = rustix::termios::Winsize {
        ws_row: 33,
        ws_col: 111,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    rustix::termios::tcsetwinsize(&terminal.master, size).unwrap();
    // The terminal is not the process's controlling one here, so the kernel does not signal.
    terminal.signal(Signal::SIGWINCH);
    peer.seen.wait_for(r#""size":{"cols":111,"rows":33}"#);
    terminal.types(b"q");
    terminal.ends_with(7);
}

#[test]
fn a_size_that_changes_while_the_connection_is_made_is_told() {
    let peer = Peer::start();
    let mut terminal = Terminal::run(&peer, &["attach", "slow"]);
    peer.seen.wait_for("attach slow");
    // `docker exec -it` tells it about now, and nobody hears SIGWINCH yet.
    let size = rustix::termios::Winsize {
        ws_row: 19,
        ws_col: 77,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    rustix::termios::tcsetwinsize(&terminal.master, size).unwrap();
    peer.seen.wait_for(r#""size":{"cols":77,"rows":19}"#);
    terminal.types(b"q");
    terminal.ends_with(7);
}

#[test]
fn a_coordinator_that_comes_back_is_attached_to_again() {
    let mut peer = Peer::start();
    let mut terminal = Terminal::attached(&peer, "one");
    peer.stop();
    terminal.shows("went away");
    terminal.types(b"meanwhile");
    peer.restart();
    peer.seen.wait_for("meanwhile");
    wait_until("a second attach", || {
        peer.seen
            .all()
            .iter()
            .filter(|line| line.starts_with("attach one"))
            .count()
            == 2
    });
    terminal.types(b"q");
    terminal.ends_with(7);
}

#[test]
fn detach_keys_work_while_the_coordinator_is_away() {
    let mut peer = Peer::start();
    let mut terminal = Terminal::attached(&peer, "one");
    peer.stop();
    terminal.shows("went away");
    terminal.types(b"\x10\x11");
    terminal.ends_with(0);
}

#[test]
fn a_break_in_the_connection_alone_is_not_the_end() {
    let peer = Peer::start();
    let mut terminal = Terminal::attached(&peer, "one");
    terminal.types(b"Q");
    wait_until("a second attach", || {
        peer.seen
            .all()
            .iter()
            .filter(|line| line.starts_with("attach one"))
            .count()
            == 2
    });
    terminal.types(b"q");
    terminal.ends_with(7);
}

#[test]
fn an_attached_spawn_uses_the_terminals_size() {
    let peer = Peer::start();
    let mut terminal = Terminal::run(&peer, &["spawn", "/x", "-n", "me"]);
    terminal.shows("ready");
    peer.seen.wait_for(r#""size":{"cols":80,"rows":24}"#);
    terminal.is_raw();
    terminal.types(b"q");
    terminal.ends_with(7);
}

#[test]
fn logs_on_a_terminal_are_text_and_colours_alone() {
    let peer = Peer::start();
    let mut terminal = Terminal::run(&peer, &["logs", "one"]);
    terminal.shows("three");
    assert!(terminal.child.wait().unwrap().success());
    let text = terminal.text();
    assert!(
        text.contains("\x1b[31mtwo\x1b[m") && !text.contains("]52"),
        "{text:?}"
    );
}
