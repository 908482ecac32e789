//! Clients whose sockets their session's agent has: the coordinator may end, and they do not notice.

use e2e::{
    engine,
    instance::{self, Instance, SLOW},
    processes,
    programs::{COUNTER, numbers},
    terminal::Terminal,
    wait,
};
use nix::sys::signal::Signal;
use std::{collections::BTreeSet, fs, io::Write, process::Stdio};

/// How often the coordinator is killed.
const KILLS: usize = 3;

/// The sockets that a process has, by their inodes.
fn sockets(pid: i32) -> BTreeSet<String> {
    let folder = fs::read_dir(format!("/proc/{pid}/fd")).expect("the client's descriptors");
    folder
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .map(|link| link.to_string_lossy().into_owned())
        .filter(|link| link.starts_with("socket:"))
        .collect()
}

fn last(terminal: &Terminal) -> u64 {
    let printed = String::from_utf8_lossy(&terminal.raw()).into_owned();
    numbers(&printed).last().copied().unwrap_or(0)
}

/// Kills the coordinator; gives once another one answers.
fn kill(instance: &Instance) {
    let former = wait::until("a coordinator", SLOW, || instance.coordinator());
    assert!(processes::signal(former, Signal::SIGKILL));
    wait::until_true("another coordinator", SLOW, || {
        instance.coordinator().is_some_and(|pid| pid != former)
            && instance.ask(["status", "--json"]).is_some()
    });
}

#[test]
fn a_coordinator_that_is_killed_takes_no_client_and_no_byte_along() {
    let instance = Instance::start(&instance::config(2, 2));
    instance.session("counter", &["bash", "-c", COUNTER]);
    let mut writer = instance.direct_terminal(&["attach", "counter"], 80, 24);
    let watcher = instance.direct_terminal(&["attach", "counter", "--read-only"], 80, 24);
    // Through `podbay relay` as well: its connection is the one that is handed over.
    let host = instance.terminal(&["attach", "counter", "--read-only"], 80, 24);
    let clients = [&writer, &watcher, &host];
    for client in clients {
        client.wait_for("n=");
    }
    let from = clients.map(Terminal::received);
    let before = clients.map(|client| sockets(client.program()));
    assert!(before.iter().all(|held| !held.is_empty()), "{before:?}");
    for _ in 0..KILLS {
        let seen = last(&writer);
        kill(&instance);
        wait::until_true("news of the session", SLOW, || {
            [&writer, &watcher, &host]
                .iter()
                .all(|client| last(client) > seen + 50)
        });
    }
    let clients = [&writer, &watcher, &host];
    assert_eq!(
        clients.map(|client| sockets(client.program())),
        before,
        "a client has connected again"
    );
    for (client, from) in clients.into_iter().zip(from) {
        let printed = String::from_utf8_lossy(&client.since(from)).into_owned();
        // The first and the last one may be there in part.
        let found = numbers(&printed);
        let whole = found.get(1..found.len() - 1).expect("many numbers");
        let gap = whole.windows(2).find(|pair| pair[1] != pair[0] + 1);
        assert!(gap.is_none(), "bytes are missing: {gap:?}");
        assert!(!printed.contains("went away"), "{printed}");
    }
    // The new coordinator knows who is attached, and hears who leaves.
    wait::until_true("three clients", SLOW, || {
        instance
            .worker("counter")
            .is_some_and(|w| w["clients"] == 3)
    });
    drop(watcher);
    drop(host);
    wait::until_true("one client", SLOW, || {
        instance
            .worker("counter")
            .is_some_and(|w| w["clients"] == 1)
    });
    writer.send("typed\r");
    writer.wait_for("TYPED TYPED");
    instance.ok(["stop", "counter"]);
    assert!(!writer.wait_exit().success());
}

#[test]
fn an_exec_whose_client_outlives_a_coordinator_ends_with_its_own_code() {
    let instance = Instance::start(&instance::config(2, 2));
    instance.session("host", &["sleep", "1000"]);
    let script = "stty -echo; echo ready; read -r line; exit 7";
    let args = ["exec", "-t", "host", "--", "bash", "-c", script];
    let mut client = instance.direct_terminal(&args, 80, 24);
    client.wait_for("ready");
    let before = sockets(client.program());
    kill(&instance);
    assert_eq!(sockets(client.program()), before);
    client.send("go\r");
    assert_eq!(client.wait_exit().code(), Some(7));
}

#[test]
fn whoever_types_and_whoever_watches_is_told_when_that_changes() {
    let instance = Instance::start(&instance::config(2, 2));
    instance.session("sh", &["bash", "--norc"]);
    let mut first = instance.direct_terminal(&["attach", "sh"], 80, 24);
    first.send("PS1='$ '; clear; echo mine-$((1+1))\r");
    first.wait_for("mine-2");
    let mut second = instance.direct_terminal(&["attach", "sh", "--takeover"], 80, 24);
    second.wait_for("mine-2");
    first.wait_for("you are watching");
    second.send("echo theirs-$((2+1))\r");
    first.wait_for("theirs-3");
    // What the former one types is not typed.
    first.send("echo not-$((3+1))\r");
    second.send("echo more-$((4+2))\r");
    first.wait_for("more-6");
    second.send("\x10\x11");
    second.wait_for("detached");
    // It types again: the words are gone, and so is what was typed in vain.
    first.wait_for("you type here now");
    first.wait_until("a screen without the former words", |rows| {
        !rows
            .iter()
            .any(|row| row.contains("you are watching") || row.contains("not-"))
    });
    first.send("clear; echo again-$((4+1))\r");
    first.wait_for("again-5");
}

#[test]
fn a_client_whose_worker_is_removed_from_outside_says_so() {
    let instance = Instance::start(&instance::config(2, 2));
    instance.session("sh", &["bash", "--norc"]);
    let mut client = instance.direct_terminal(&["attach", "sh"], 100, 24);
    client.send("echo here-$((1+1))\r");
    client.wait_for("here-2");
    let container = instance.worker("sh").expect("the worker")["container"].clone();
    let container = container.as_str().expect("its container").to_owned();
    engine::docker(&["rm", "-f", &container]);
    client.wait_for("sh is lost: its container was removed from outside");
    client.wait_for("podbay restart sh");
    assert_eq!(client.wait_exit().code(), Some(1));
    let said = String::from_utf8_lossy(&client.raw()).into_owned();
    assert!(!said.contains("went away"), "{said}");
}

/// Attaches to `sh` with this as stdin, and waits for the end.
fn type_piped(instance: &Instance, text: &[u8]) {
    let mut attach = instance.direct(["attach", "sh"]);
    let attach = attach.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = attach.spawn().expect("attach");
    let mut input = child.stdin.take().expect("its input");
    input.write_all(text).expect("typing");
    drop(input);
    assert!(child.wait().expect("attach").success());
}

#[test]
fn the_end_of_an_input_that_is_no_terminal_detaches() {
    let instance = Instance::start(&instance::config(2, 2));
    instance.session("sh", &["bash", "--norc"]);
    let mut attach = instance.direct(["attach", "sh"]);
    let ended = attach.stdin(Stdio::null()).output().expect("attach");
    assert!(ended.status.success(), "{ended:?}");
    assert!(instance::text(&ended.stderr).contains("detached from sh"));
    // What it has is typed first, all of it.
    let long = format!(": {}\n", "x".repeat(300)).repeat(1_000);
    type_piped(&instance, (long + "echo all-$((5+2))\n").as_bytes());
    wait::until_true("all of it", SLOW, || {
        instance.ok(["logs", "sh", "--tail", "2"]).contains("all-7")
    });
    // Who only watches has nothing to end.
    let mut watcher = instance.direct(["attach", "sh", "--read-only"]);
    let mut watcher = watcher
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("a watcher");
    wait::until_true("a watcher", SLOW, || {
        instance.worker("sh").is_some_and(|w| w["clients"] == 1)
    });
    type_piped(&instance, b"exit 3\n");
    assert_eq!(watcher.wait().expect("a watcher").code(), Some(3));
}
