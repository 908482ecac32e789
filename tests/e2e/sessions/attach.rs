//! Attaching: a real terminal on both ends.

use e2e::{
    instance::{self, Instance},
    podbay, processes,
    terminal::{SOON, Terminal},
    unique, wait,
};
use nix::sys::signal::Signal;
use std::ffi::OsStr;
use worker_agent::screen::Mouse;

const DETACH: &[u8] = b"\x10\x11";

/// Detaches and checks that the terminal is as it was.
fn detach(mut terminal: Terminal, keys: &[u8]) {
    let before = terminal.first_modes().clone();
    terminal.send(keys);
    terminal.wait_for("detached");
    assert_eq!(terminal.wait_exit().code(), Some(0));
    assert_eq!(terminal.modes(), before, "modes were not restored");
    clean(&terminal);
}

/// Whether the terminal shows a shell's screen again: no mouse, paste, alternate screen.
fn clean(terminal: &Terminal) {
    let (modes, cursor) = terminal.screen_modes();
    let mouse = modes.mouse != Mouse::Off;
    assert!(
        !modes.alt_screen && !mouse && !modes.bracketed_paste && !modes.app_cursor,
        "{modes:?}"
    );
    assert!(
        cursor && modes.kitty_flags == 0 && !modes.focus_events,
        "{modes:?}"
    );
}

/// Waits until the session called `sh` has this size: keys and sizes go separate ways.
fn inside(instance: &Instance, cols: u16, rows: u16) {
    wait::until_true(&format!("{cols}x{rows} inside"), SOON, || {
        let worker = instance.worker("sh").expect("the worker");
        worker["size"]["cols"] == cols && worker["size"]["rows"] == rows
    });
}

#[test]
fn detaching_and_attaching_again_shows_the_same_screen_at_the_right_size() {
    let instance = Instance::start(&instance::config(2, 2));
    let args = [
        "spawn",
        "-n",
        "sh",
        "--isolation",
        "none",
        "--",
        "bash",
        "--norc",
    ];
    let mut first = instance.terminal(&args, 80, 24);
    first.send("PS1='two lines\\n> '; clear\r");
    first.wait_until("the prompt", |rows| {
        rows[0].starts_with("two lines") && rows[1] == ">"
    });
    first.send("stty size; printf '\\e[31mred\\e[m \\e[?2004h'\r");
    first.wait_for("24 80");
    first.wait_until("the prompt after it", |rows| {
        rows[5] == ">" || rows[4] == ">"
    });
    let shown = first.rows();
    detach(first, DETACH);

    let again = instance.terminal(&["attach", "sh"], 80, 24);
    again.wait_until("the same screen", |rows| rows == shown);
    detach(again, b"\x1c");

    // Another size, from the first byte on and after a resize.
    let mut wide = instance.terminal(&["attach", "sh"], 132, 43);
    wide.send("stty size\r");
    wide.wait_for("43 132");
    wide.resize(61, 17);
    inside(&instance, 61, 17);
    wide.send("stty size\r");
    wide.wait_for("17 61");
    // A full-screen program: its screen comes back, and the shell's under it.
    wide.send("seq 1 500 | less\r");
    wide.wait_until("less", |rows| rows[0] == "1" && rows[15] == "16");
    wide.send("G");
    wide.wait_until("the end of less", |rows| {
        rows.iter().any(|row| row.starts_with("(END)"))
    });
    let shown = wide.rows();
    detach(wide, b"\x1b[112;5u\x1b[113;5u");
    let mut again = instance.terminal(&["attach", "sh"], 61, 17);
    again.wait_until("less as it was", |rows| rows == shown);
    again.send("q");
    again.wait_for("17 61");
    detach(again, DETACH);

    // As small as can be: nobody dies of it.
    let mut tiny = instance.terminal(&["attach", "sh"], 1, 1);
    // Before it is raw, a terminal keeps Ctrl-Q for itself.
    wait::until_true("a raw terminal with the session on it", SOON, || {
        tiny.modes() != *tiny.first_modes() && !tiny.raw().is_empty()
    });
    tiny.send("clear\r");
    tiny.resize(2, 1);
    tiny.resize(1, 2);
    tiny.resize(1, 1);
    tiny.send(DETACH);
    assert_eq!(tiny.wait_exit().code(), Some(0));
    let mut back = instance.terminal(&["attach", "sh"], 80, 24);
    back.send("stty size; echo still-$((40+2))\r");
    back.wait_for("still-42");
    back.wait_for("24 80");
    // The session's end ends the client, with the session's code.
    let before = back.first_modes().clone();
    back.send("printf '\\e[?1049h\\e[?1000h\\e[?25l'; exit 6\r");
    assert_eq!(back.wait_exit().code(), Some(6));
    assert_eq!(back.modes(), before);
    clean(&back);
}

#[test]
fn several_clients_share_a_session_and_none_waits_for_another() {
    let instance = Instance::start(&instance::config(2, 2));
    let args = [
        "spawn",
        "-n",
        "sh",
        "--isolation",
        "none",
        "--",
        "bash",
        "--norc",
    ];
    let mut first = instance.terminal(&args, 80, 24);
    first.send("PS1='$ '; clear; echo ready-$((1+1))\r");
    first.wait_for("ready-2");
    let mut watcher = instance.terminal(&["attach", "sh", "--read-only"], 100, 30);
    watcher.wait_for("ready-2");
    watcher.send("echo from-watcher\r");
    first.send("echo from-first\r");
    watcher.wait_for("from-first");
    first.wait_for("from-first");
    assert!(
        !first.rows().iter().any(|row| row.contains("watcher")),
        "{:?}",
        first.rows()
    );

    // Someone else types here: said. A takeover changes that, and the size with it.
    let second = instance.terminal(&["attach", "sh"], 90, 20);
    second.wait_for("--takeover");
    first.send("stty size\r");
    first.wait_for("24 80");
    detach(second, DETACH);
    let mut taker = instance.terminal(&["attach", "sh", "--takeover"], 90, 20);
    taker.wait_for("from-first");
    inside(&instance, 90, 20);
    taker.send("clear; stty size\r");
    taker.wait_for("20 90");
    wait::until_true("three clients", SOON, || {
        instance.worker("sh").unwrap()["clients"] == 3
    });

    // A client that is stopped holds nobody up, whatever comes out.
    let stopped = watcher.program();
    processes::stop(stopped);
    taker.send("seq 1 300000 > /tmp/n; clear; cat /tmp/n; echo all-$((2+1))\r");
    taker.wait_for("all-3");
    assert!(processes::signal(stopped, Signal::SIGCONT));
    watcher.wait_for("all-3");

    // A client that is killed is no loss either; one that is told to go leaves a clean terminal.
    let before = taker.first_modes().clone();
    taker.send("printf '\\e[?1049h\\e[?1002h\\e[?2004hfull'\r");
    taker.wait_for("full");
    assert!(processes::signal(taker.program(), Signal::SIGTERM));
    assert_eq!(taker.wait_exit().code(), Some(143));
    assert_eq!(taker.modes(), before);
    clean(&taker);
    assert!(processes::signal(watcher.program(), Signal::SIGKILL));
    watcher.wait_exit();
    let mut last = instance.terminal(&["attach", "sh", "--takeover"], 80, 24);
    last.send("printf '\\e[?1049l\\e[?1002l'; echo here-$((3+1))\r");
    last.wait_for("here-4");
    assert!(processes::signal(last.program(), Signal::SIGHUP));
    assert_eq!(last.wait_exit().code(), Some(129));
    wait::until_true("no dead client is counted", SOON, || {
        instance.worker("sh").unwrap()["clients"].as_u64() <= Some(1)
    });
}

/// `docker exec -it` tells the size after the start, and gives up when the start takes long.
#[test]
fn a_terminal_that_was_not_told_its_size_is_asked() {
    let instance = Instance::start(&instance::config(2, 2));
    instance.session("sh", &["bash", "--norc"]);
    let program = podbay();
    let env = [("PODBAY_PARENT", instance.name.as_str())];
    let start = |args: &[&str], cols, rows| {
        let argv = std::iter::once(program.as_os_str()).chain(args.iter().map(OsStr::new));
        Terminal::untold(&argv.collect::<Vec<_>>(), &env, cols, rows)
    };
    let mut attached = start(&["attach", "sh"], 77, 19);
    inside(&instance, 77, 19);
    // The answer is not typed into the session.
    attached.send("PS1='$ '; clear; stty size; echo in-$((4+1))\r");
    attached.wait_for("in-5");
    assert_eq!(attached.rows()[0], "19 77");
    attached.resize(66, 22);
    inside(&instance, 66, 22);
    attached.send(DETACH);
    attached.wait_for("detached");
    attached.wait_exit();

    let mut dashboard = start(&["dashboard"], 100, 31);
    dashboard.wait_until("the keys in the last of 31 rows", |rows| {
        rows[0].contains("podbay") && !rows[30].is_empty()
    });
    dashboard.send("q");
    dashboard.wait_exit();
}

#[test]
fn attaching_works_through_docker_exec_and_inside_tmux() {
    let instance = Instance::start(&instance::config(2, 2));
    instance.session("sh", &["bash", "--norc"]);
    let exec = [
        "docker",
        "exec",
        "-it",
        &instance.name,
        "podbay",
        "attach",
        "sh",
    ];
    let mut through = Terminal::start(&exec.map(OsStr::new), &[], 77, 19);
    // The engine tells the size a moment after the start.
    inside(&instance, 77, 19);
    through.send("PS1='$ '; clear; stty size; echo in-$((4+1))\r");
    through.wait_for("in-5");
    through.wait_for("19 77");
    through.resize(66, 22);
    inside(&instance, 66, 22);
    through.send("clear; stty size\r");
    through.wait_for("22 66");
    // The engine's own keys come first there; the coordinator's other ones work.
    through.send(b"\x1c");
    through.wait_for("detached");
    through.wait_exit();

    let server = unique("podbay-e2e");
    let tmux = Tmux(&server);
    let line = format!(
        "exec '{}' --parent '{}' attach sh",
        podbay().display(),
        instance.name
    );
    let args = [
        "tmux",
        "-L",
        &server,
        "-f",
        "/dev/null",
        "new-session",
        "-x",
        "80",
        "-y",
        "24",
    ];
    let argv: Vec<&str> = args.into_iter().chain([line.as_str()]).collect();
    let argv: Vec<&OsStr> = argv.into_iter().map(OsStr::new).collect();
    let mut nested = Terminal::start(&argv, &[], 80, 24);
    inside(&instance, 80, 23);
    nested.send("clear; stty size; echo nested-$((5+1))\r");
    nested.wait_for("nested-6");
    // One row is tmux's status line.
    nested.wait_for("23 80");
    nested.resize(100, 31);
    inside(&instance, 100, 30);
    nested.send("clear; stty size; seq 1 200 | less\r");
    nested.wait_until("less in tmux", |rows| rows[0] == "1");
    nested.send("q");
    nested.wait_for("30 100");
    nested.send(DETACH);
    // tmux ends with its only command.
    nested.wait_exit();
    assert_eq!(instance.worker("sh").unwrap()["state"], "running");
    drop(tmux);
}

/// A tmux server that goes with the test.
struct Tmux<'a>(&'a str);

impl Drop for Tmux<'_> {
    fn drop(&mut self) {
        let mut kill = std::process::Command::new("tmux");
        drop(kill.args(["-L", self.0, "kill-server"]).output());
    }
}
