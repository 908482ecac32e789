//! The real binary in a real shell on a real terminal: nothing of a paste, and nothing that was typed
//! ahead, is ever run by that shell.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods
)]

mod cli_support;

use cli_support::{Peer, wait_until};
use nix::{
    pty::{OpenptyResult, Winsize, openpty},
    sys::signal::{Signal, kill},
    unistd::{Pid, read, write},
};
use std::{
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// An interactive shell, in which the binary runs.
struct Shell {
    master: OwnedFd,
    written: Arc<Mutex<Vec<u8>>>,
    shell: Child,
    folder: tempfile::TempDir,
}

impl Drop for Shell {
    fn drop(&mut self) {
        drop(self.shell.kill());
        drop(self.shell.wait());
    }
}

impl Shell {
    fn start(peer: &Peer) -> Self {
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let OpenptyResult { master, slave } = openpty(&size, None).unwrap();
        let end = || Stdio::from(slave.try_clone().unwrap());
        let folder = tempfile::tempdir().unwrap();
        let shell = Command::new("setsid")
            .args(["--ctty", "--wait", "bash", "--norc", "--noprofile", "-i"])
            .env("PODBAY", env!("CARGO_BIN_EXE_podbay"))
            .env("PODBAY_SOCKET", &peer.socket)
            .env("RAN", folder.path().join("ran"))
            .env("HISTFILE", "/dev/null")
            .env("PS1", "OUTER$ ")
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
                to.lock().unwrap().extend_from_slice(&buffer[..n]);
            }
        });
        let shell = Self {
            master,
            written,
            shell,
            folder,
        };
        shell.shows("OUTER$ ");
        shell
    }

    /// Attaches to a session of this name.
    fn attach(&self, name: &str) {
        self.forget();
        self.types(
            format!(
                "\"$PODBAY\" attach {name} --detach-keys 'ctrl-p,ctrl-q' --detach-keys 'ctrl-\\'\r"
            )
            .as_bytes(),
        );
        self.shows("ready");
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().unwrap()).into_owned()
    }

    fn forget(&self) {
        self.written.lock().unwrap().clear();
    }

    fn shows(&self, part: &str) {
        wait_until(part, || self.text().contains(part));
    }

    fn types(&self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let n = write(&self.master, bytes).unwrap();
            bytes = &bytes[n..];
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("ran")
    }

    /// The shell has the terminal again; nothing was run by it before it was asked to run something.
    fn ran_nothing(&self, after: &str) {
        wait_until("the shell", || self.text().contains("OUTER$ "));
        // Typed behind all that was thrown away.
        self.types(b"echo back-$((40 + 2)) `cat \"$RAN\" 2>/dev/null | wc -l`\r");
        wait_until("the shell's answer", || self.text().contains("back-42"));
        let text = self.text();
        assert!(
            text.contains("back-42 0"),
            "after {after}: lines were run: {text:?}"
        );
        assert!(!self.file().exists(), "after {after}: {text:?}");
    }

    /// The binary's process.
    fn program(&self) -> Pid {
        let mut found = None;
        wait_until("the client's process", || {
            found = std::fs::read_dir("/proc")
                .unwrap()
                .flatten()
                .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
                .find(|pid| {
                    let file =
                        |name| std::fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
                    let ours = format!("RAN={}\0", self.file().display());
                    let environ = String::from_utf8_lossy(&file("environ")).into_owned();
                    let argv = String::from_utf8_lossy(&file("cmdline")).into_owned();
                    environ.contains(&ours) && argv.contains("\0attach\0")
                });
            found.is_some()
        });
        Pid::from_raw(found.unwrap())
    }
}

/// 300 lines, each of which tells on itself when a shell runs it; each holds keys that detach.
fn lines(keys: &str) -> Vec<u8> {
    (0..300)
        .map(|n| format!("{keys} x\recho {n} >>\"$RAN\"\r\n"))
        .collect::<String>()
        .into_bytes()
}

fn bracketed(paste: &[u8]) -> Vec<u8> {
    [&b"\x1b[200~"[..], paste, b"\x1b[201~"].concat()
}

#[test]
fn a_paste_with_detach_keys_in_it_goes_to_the_session_and_nowhere_else() {
    let peer = Peer::start();
    let shell = Shell::start(&peer);
    for keys in ["\x1c", "\x10\x11", "\x1b[92;5u"] {
        shell.attach("one");
        // The finding's recipe: in two writes, with a pause between them.
        let first = format!("\x1b[200~{}{keys} tail\r\n", "x".repeat(3000));
        shell.types(first.as_bytes());
        shell.shows("tail");
        std::thread::sleep(Duration::from_millis(50));
        shell.types(b"echo outside >>\"$RAN\"\r\nend-of-paste\x1b[201~");
        shell.shows("end-of-paste");
        // And 300 lines in one.
        shell.types(&bracketed(&[&lines(keys)[..], b"last-one"].concat()));
        shell.shows("last-one");
        assert!(!shell.text().contains("detached"), "{keys:?}");
        assert!(
            !peer.seen.has("\\x1b[200~"),
            "the program did not ask for brackets"
        );
        shell.forget();
        shell.types(b"\x10\x11");
        shell.shows("detached from one");
        shell.ran_nothing(&format!("a paste with {keys:?}"));
    }
}

#[test]
fn a_paste_without_brackets_is_thrown_away_behind_the_keys_and_said() {
    let peer = Peer::start();
    let shell = Shell::start(&peer);
    for keys in ["\x1c", "\x10\x11"] {
        shell.attach("one");
        shell.types(&lines(keys));
        shell.shows("detached from one");
        shell.shows("typed or pasted ahead were thrown away");
        shell.ran_nothing(&format!("a paste with {keys:?}"));
    }
}

#[test]
fn what_is_typed_ahead_is_thrown_away_however_the_attach_ends() {
    let mut peer = Peer::start();
    let shell = Shell::start(&peer);
    // The session ends, with most of it not sent.
    shell.attach("deaf");
    shell.types(&[&b"END"[..], &lines("y").repeat(50)].concat());
    shell.shows("thrown away");
    shell.ran_nothing("the session's end");
    // In a paste, whose end comes later.
    shell.attach("deaf");
    shell.types(&[&b"\x1b[200~END"[..], &lines("z").repeat(50)].concat());
    std::thread::sleep(Duration::from_millis(100));
    shell.types(&[&lines("z")[..], b"\x1b[201~"].concat());
    shell.shows("thrown away");
    shell.ran_nothing("the session's end in a paste");
    // A signal.
    shell.attach("deaf");
    let program = shell.program();
    shell.types(&lines("z").repeat(50));
    kill(program, Signal::SIGTERM).unwrap();
    shell.shows("thrown away");
    shell.ran_nothing("a signal");
    // The loss of the coordinator, and the keys while it is away.
    shell.attach("one");
    peer.stop();
    shell.shows("went away");
    shell.types(&[&lines("z")[..], b"\x1c", &lines("z")].concat());
    shell.shows("detached from one");
    shell.shows("thrown away");
    shell.ran_nothing("the coordinator's loss");
}

#[test]
fn detaching_is_answered_with_ten_megabytes_unread() {
    const ROUNDS: usize = 12;
    let peer = Peer::start();
    let shell = Shell::start(&peer);
    let ten = bracketed(&[&b"z".repeat(10 << 20)[..], b"\x1c\x10\x11"].concat());
    for name in ["deaf", "stuck"] {
        let mut took: Vec<Duration> = (0..ROUNDS)
            .map(|round| {
                shell.attach(name);
                shell.types(&ten);
                let began = Instant::now();
                let keys = if round % 2 == 0 {
                    &b"\x1c"[..]
                } else {
                    b"\x10\x11"
                };
                shell.types(keys);
                shell.shows("detached from");
                let took = began.elapsed();
                shell.shows("thrown away");
                shell.ran_nothing("ten megabytes");
                took
            })
            .collect();
        took.sort();
        println!(
            "detach with 10 MB unread ({name}): p50 {:?}, max of {ROUNDS} {:?}",
            took[ROUNDS / 2],
            took[ROUNDS - 1]
        );
    }
    assert_eq!(
        peer.seen
            .all()
            .iter()
            .filter(|line| *line == "closed")
            .count(),
        ROUNDS
    );
}
