//! What a session, or a client that types into it, makes wait: answers that are not read, input that is not
//! read, words that are kept. None of it grows without a bound, and none of it holds up what controls
//! the session.

use e2e::{
    engine,
    instance::{self, Instance, SLOW, text},
    podbay, processes,
    terminal::{SOON, Terminal},
    unique, wait,
};
use nix::sys::signal::Signal;
use std::{
    ffi::OsStr,
    io::{Read, Write},
    os::unix::process::ExitStatusExt,
    process::Stdio,
    time::Instant,
};

/// Most that PID 1 of a worker takes, in MiB: a few at rest, the screen with its scrollback, and the
/// queues that are bounded.
const MOST: u64 = 32;

/// The same where nothing of the screen or of input is long.
const MOST_OF_OUTPUT: u64 = 12;

/// What PID 1 of a worker takes, in MiB.
fn agent_memory(instance: &Instance, name: &str) -> u64 {
    let worker = instance.worker(name).expect("the worker");
    let container = worker["container"].as_str().expect("a container");
    let pid = engine::docker(&["inspect", "-f", "{{.State.Pid}}", container]);
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.trim())).unwrap();
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u64 = rss.unwrap().trim().trim_end_matches(" kB").parse().unwrap();
    kib / 1024
}

/// What the session shows, as JSON.
fn screen(instance: &Instance, name: &str) -> String {
    let mut curl = instance.curl(&format!("/v1/workers/{name}/screen"));
    text(&curl.output().unwrap().stdout)
}

/// Runs a program that prints to its terminal until it says `done`, and says what PID 1 took.
fn flooded(instance: &Instance, name: &str, perl: &str) -> u64 {
    let script =
        format!("stty raw -echo; perl -e '$| = 1; {perl}; print \"\\r\\ndone\\r\\n\"'; sleep 1000");
    instance.session(name, &["bash", "-c", &script]);
    wait::until_true("the end of the flood", SLOW, || {
        screen(instance, name).contains("\"done\"")
    });
    let took = agent_memory(instance, name);
    println!("{name}: PID 1 takes {took} MiB");
    took
}

#[test]
fn what_a_session_prints_takes_no_more_of_its_agent_than_its_bounds() {
    let instance = Instance::start(&instance::config(1, 2));
    for (name, perl) in [
        // Questions whose answers are never read: 4 million of them, with 24 MB of answers.
        ("replies", "print \"\\e[6n\" x 10000 for 1..400"),
        // Titles of 1 MB, and stacks of them.
        (
            "titles",
            "print \"\\e]2;\", \"x\" x 1e6, \"\\a\\e[22;0t\" for 1..40",
        ),
        // A string that never ends.
        (
            "string",
            "print \"\\e]52;c;\"; print \"x\" x 1e6 for 1..40; print \"\\e\\\\\"",
        ),
        // A link with a long address under each cell of a long scrollback.
        (
            "links",
            "print \"\\e]8;;http://$_/\", \"x\" x 60000, \"\\e\\\\y\" for 1..600",
        ),
        // Combining characters without an end.
        (
            "marks",
            "binmode STDOUT, \":utf8\"; print chr(0x301) x 100000 for 1..20",
        ),
    ] {
        let took = flooded(&instance, name, perl);
        assert!(took < MOST_OF_OUTPUT, "{name}: {took} MiB");
        assert_eq!(instance.worker(name).unwrap()["state"], "running");
        instance.ok(["rm", "--force", name]);
    }
}

#[test]
fn what_is_typed_and_not_read_is_refused_once_it_is_much() {
    let instance = Instance::start(&instance::config(1, 1));
    deaf(&instance);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("input");
    std::fs::write(&file, vec![b'x'; 700_000]).unwrap();
    let data = format!("@{}", file.display());
    let mut refused = 0;
    for _ in 0..60 {
        let mut curl = instance.curl("/v1/workers/deaf/input");
        let output = curl.args(["--data-binary", &data]).output().unwrap();
        let said = text(&output.stdout);
        refused += usize::from(said.contains("has not read"));
    }
    let took = agent_memory(&instance, "deaf");
    println!("input of 42 MB: {refused} of 60 refused, PID 1 takes {took} MiB");
    assert!(refused >= 58 && took < MOST, "{refused} {took}");
}

/// A session with a raw terminal that reads nothing.
fn deaf(instance: &Instance) {
    instance.session(
        "deaf",
        &["bash", "-c", "stty raw -echo; echo up; exec sleep 1000"],
    );
    wait::until_true("the session", SOON, || {
        screen(instance, "deaf").contains("up")
    });
}

#[test]
fn sizes_and_detaching_are_not_behind_input_that_is_not_read() {
    const ROUNDS: usize = 3;
    let instance = Instance::start(&instance::config(1, 1));
    deaf(&instance);
    let clients = |count: u64| {
        wait::until_true(&format!("{count} clients"), SOON, || {
            instance.worker("deaf").unwrap()["clients"] == count
        });
    };
    let mut took = Vec::new();
    for round in 0..ROUNDS {
        let mut terminal = instance.direct_terminal(&["attach", "deaf"], 80, 24);
        terminal.wait_for("up");
        clients(1);
        let ten = b"z".repeat(10 << 20);
        terminal.send(&ten);
        let (cols, rows) = (70 + u16::try_from(round).unwrap(), 20);
        terminal.resize(cols, rows);
        wait::until_true("the size", SOON, || {
            let worker = instance.worker("deaf").unwrap();
            worker["size"]["cols"] == cols && worker["size"]["rows"] == rows
        });
        let began = Instant::now();
        terminal.send(b"\x10\x11");
        terminal.wait_exit();
        took.push(began.elapsed());
        terminal.wait_for("detached");
        // Nobody is left who counts, or who types.
        clients(0);
    }
    took.sort();
    println!("detach with 10 MB unread, to the client's end: {took:?}");
    let next = instance.direct_terminal(&["attach", "deaf"], 80, 24);
    next.wait_for("up");
    clients(1);
    assert!(!text(&next.raw()).contains("someone else types"));
    assert!(agent_memory(&instance, "deaf") < MOST);
    // One that is killed leaves nothing behind either.
    let mut killed = instance.direct_terminal(&["attach", "deaf", "--takeover"], 80, 24);
    killed.wait_for("up");
    killed.send(b"z".repeat(1 << 20));
    clients(2);
    assert!(processes::signal(killed.program(), Signal::SIGKILL));
    clients(1);
}

#[test]
fn signals_are_not_behind_input_that_is_not_read() {
    let instance = Instance::start(&instance::config(1, 1));
    instance.session("host", &["sleep", "1000"]);
    // How the program takes the signal; how often it is sent; how the client ends.
    for (program, signals, code) in [
        (
            "trap 'exit 9' INT; echo up; while :; do sleep 0.05; done",
            1,
            9,
        ),
        ("echo up; exec sleep 1000", 1, 130),
        ("trap '' INT; echo up; while :; do sleep 0.05; done", 3, 130),
    ] {
        let mut command = instance.direct(["exec", "-T", "host", "--", "bash", "-c", program]);
        let mut client = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = client.stdin.take().unwrap();
        // As `yes` does it: until nobody reads any more.
        let writer = std::thread::spawn(move || {
            let mut written = 0;
            while let Ok(more) = stdin.write(&[b'y'; 4096]) {
                written += more;
            }
            written
        });
        let mut said = [0; 3];
        client
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut said)
            .unwrap();
        assert_eq!(&said, b"up\n");
        // The pipe, the window and the sockets are full by then.
        wait::pause(std::time::Duration::from_millis(300));
        let pid = i32::try_from(client.id()).unwrap();
        let began = Instant::now();
        for _ in 0..signals {
            assert!(processes::signal(pid, Signal::SIGINT));
            // Each is a signal of its own only once the one before was taken.
            wait::pause(std::time::Duration::from_millis(50));
        }
        let mut status = None;
        wait::until_true("the client's end", SOON, || {
            status = client.try_wait().unwrap();
            status.is_some()
        });
        println!(
            "{signals} × INT with unread input, to the client's end: {:?}",
            began.elapsed()
        );
        let status = status.unwrap();
        assert_eq!(
            status.code().or(status.signal().map(|s| 128 + s)),
            Some(code),
            "{program}"
        );
        assert!(writer.join().unwrap() < 2 << 20, "input is held back");
        if signals == 1 {
            let left = "pgrep -f 'sleep 100[0]' | wc -l";
            wait::until_true("the program's end", SOON, || {
                let run = instance.direct(["exec", "-T", "host", "--", "bash", "-c", left]);
                text(&{ run }.output().unwrap().stdout).trim() == "1"
            });
        }
    }
}

#[test]
fn a_paste_never_reaches_the_users_own_shell() {
    let instance = Instance::start(&instance::config(1, 1));
    instance.session(
        "cat",
        &["bash", "-c", "stty raw -echo; echo up; exec cat -v"],
    );
    let folder = tempfile::tempdir().unwrap();
    let ran = folder.path().join("ran");
    let (program, socket) = (podbay(), instance.socket());
    let env = [
        ("PODBAY_SOCKET", socket.to_str().unwrap()),
        ("RAN", ran.to_str().unwrap()),
        ("PS1", "OUTER$ "),
    ];
    let shell = ["bash", "--norc", "--noprofile", "-i"].map(OsStr::new);
    let mut terminal = Terminal::start(&shell, &env, 80, 24);
    terminal.wait_for("OUTER$");
    let attach = format!("'{}' attach cat\r", program.display());
    for keys in ["\x1c", "\x10\x11"] {
        let received = terminal.received();
        terminal.send(&attach);
        // The screen is restored: the terminal is raw, and the session's.
        wait::until_true("the session", SOON, || {
            text(&terminal.since(received)).contains("\x1bc")
        });
        let lines: String = (0..300)
            .map(|n| format!("{keys} tail\r\necho {n} >>\"$RAN\"\r\n"))
            .collect();
        let received = terminal.received();
        let mark = unique("end");
        terminal.send(format!(
            "\x1b[200~{}{lines}{mark}\x1b[201~",
            "x".repeat(3000)
        ));
        wait::until_true("the paste in the session", SOON, || {
            text(&terminal.since(received)).contains(&mark)
        });
        let shown = text(&terminal.since(received));
        assert!(
            !shown.contains("detached") && !shown.contains("200~"),
            "{shown}"
        );
        terminal.send(keys);
        terminal.wait_for("detached from cat");
        terminal.send("clear; echo back-$((40 + 2))\r");
        terminal.wait_for("back-42");
        assert!(!ran.exists(), "{:?}", std::fs::read_to_string(&ran));
    }
}
