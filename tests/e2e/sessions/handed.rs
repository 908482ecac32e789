//! Clients whose sockets their session's agent has: the coordinator may end, and they do not notice.

use e2e::{
    instance::{self, Instance, SLOW},
    processes,
    programs::{COUNTER, numbers},
    terminal::Terminal,
    wait,
};
use nix::sys::signal::Signal;
use std::{collections::BTreeSet, fs};

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
