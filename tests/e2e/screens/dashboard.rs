//! The dashboard in a real terminal.

use e2e::{
    instance::{self, Instance, SLOW},
    processes,
    terminal::Terminal,
    wait,
};
use nix::sys::signal::Signal;
use std::ffi::OsStr;
use worker_agent::screen::Mouse;

/// The terminal as it was before, on the normal screen.
fn clean(terminal: &Terminal) {
    assert_eq!(
        terminal.modes(),
        *terminal.first_modes(),
        "modes were not restored"
    );
    let (modes, cursor) = terminal.screen_modes();
    assert!(
        !modes.alt_screen && !modes.bracketed_paste && modes.mouse == Mouse::Off,
        "{modes:?}"
    );
    assert!(
        cursor && modes.kitty_flags == 0 && !modes.focus_events,
        "{modes:?}"
    );
}

fn has(rows: &[String], words: &[&str]) -> bool {
    rows.iter()
        .any(|row| words.iter().all(|word| row.contains(word)))
}

#[test]
fn the_dashboard_spawns_types_zooms_stops_and_leaves_a_clean_terminal() {
    let instance = Instance::start(&instance::config(2, 2));
    let exec = ["docker", "exec", "-it", &instance.name, "dashboard"];
    let mut terminal = Terminal::start(&exec.map(OsStr::new), &[], 120, 40);
    terminal.wait_until("the pool", |rows| {
        has(rows, &[&instance.name]) && has(rows, &["pool default", "2/2"])
    });
    // Spawn: name and command, no project.
    terminal.send("n");
    terminal.wait_for("Spawn a worker");
    terminal.send("\tfirst\t\t\tsh -c 'echo inside-$((40+2)); exec cat'\r");
    terminal.wait_until("the worker", |rows| has(rows, &["first"]));
    wait::until_true("a running worker", SLOW, || {
        instance
            .worker("first")
            .is_some_and(|w| w["state"] == "running")
    });
    // Its screen is beside the list, and Enter types into it there.
    terminal.wait_for("inside-42");
    terminal.send("\r");
    terminal.wait_for("all other keys go to the worker");
    terminal.send("typed\r");
    let twice = |rows: &[String]| rows.iter().filter(|r| r.ends_with("typed")).count() == 2;
    terminal.wait_until("an answer", twice);
    // The leave key, and keys of the dashboard right behind it: full screen.
    terminal.send("\x11z");
    terminal.wait_until("the session in full", |rows| {
        rows[0].starts_with("inside-42")
    });
    terminal.send("more\r");
    terminal.wait_until("an answer", |rows| {
        rows.iter().filter(|r| r.starts_with("more")).count() == 2
    });
    terminal.send(b"\x1c");
    terminal.wait_until("the list again", |rows| has(rows, &["pool default"]));
    assert_eq!(instance.worker("first").unwrap()["state"], "running");
    // A resize draws anew; the help and back.
    terminal.resize(100, 30);
    terminal.wait_until("the footer in the last row", |rows| {
        rows[29].contains("quit")
    });
    terminal.send("?");
    terminal.wait_for("─ Help");
    terminal.send("\x1b");
    terminal.wait_until("no help", |rows| !has(rows, &["─ Help"]));
    // Another name, by key.
    terminal.send(",");
    terminal.wait_for("Rename first");
    terminal.send("\x15second\r");
    terminal.wait_until("the new name", |rows| has(rows, &["second"]));
    // Stop asks first, and Cancel is the first answer.
    terminal.send("x");
    terminal.wait_for("Stop second?");
    terminal.send("\r");
    terminal.wait_until("no question", |rows| !has(rows, &["Stop second?"]));
    assert_eq!(instance.worker("second").unwrap()["state"], "running");
    terminal.send("x");
    terminal.wait_for("Stop second?");
    terminal.send("y");
    instance.wait_state("second", "exited");
    terminal.wait_until("no running worker", |rows| {
        !has(rows, &["second", "output"])
    });
    terminal.send("q");
    assert_eq!(terminal.wait_exit().code(), Some(0));
    clean(&terminal);
}

#[test]
fn signals_end_the_dashboard_cleanly_and_a_dead_coordinator_does_not() {
    let instance = Instance::start(&instance::config(1, 2));
    instance.session("there", &["sh", "-c", "echo shown; exec cat"]);
    for (signal, name) in [
        (Signal::SIGTERM, "TERM"),
        (Signal::SIGHUP, "HUP"),
        (Signal::SIGINT, "INT"),
    ] {
        let mut terminal = instance.terminal(&["dashboard"], 100, 30);
        terminal.wait_until("the worker", |rows| has(rows, &["there"]));
        assert!(processes::signal(terminal.program(), signal));
        terminal.wait_exit();
        clean(&terminal);
        assert_eq!(
            instance.worker("there").unwrap()["state"],
            "running",
            "after {name}"
        );
    }
    // While it is typed into, and in the full screen of a session, too.
    for (key, sign) in [("\r", "all other keys go to the worker"), ("z", "shown")] {
        let mut terminal = instance.terminal(&["dashboard", "there"], 100, 30);
        terminal.wait_until("the worker", |rows| has(rows, &["there"]));
        terminal.wait_for("shown");
        terminal.send(key);
        match key {
            "z" => terminal.wait_until("the session in full", |rows| rows[0].starts_with(sign)),
            _ => terminal.wait_for(sign),
        }
        assert!(processes::signal(terminal.program(), Signal::SIGTERM));
        terminal.wait_exit();
        clean(&terminal);
    }

    let mut terminal = instance.terminal(&["dashboard"], 100, 30);
    terminal.wait_until("the worker", |rows| has(rows, &["there"]));
    // Held dead, so that what is said of it can be read.
    let coordinator = instance.coordinator().unwrap();
    let parent = e2e::engine::docker(&["inspect", "-f", "{{.State.Pid}}", &instance.name]);
    let parent: i32 = parent.parse().unwrap();
    processes::stop(parent);
    assert!(processes::signal(coordinator, Signal::SIGKILL));
    terminal.wait_for("unreachable");
    assert!(has(&terminal.rows(), &["there"]), "what was known is gone");
    assert!(processes::signal(parent, Signal::SIGCONT));
    terminal.wait_until("no banner", |rows| {
        !has(rows, &["unreachable"]) && has(rows, &["pool default"]) && has(rows, &["there"])
    });
    terminal.send("q");
    assert_eq!(terminal.wait_exit().code(), Some(0));
    clean(&terminal);

    // Not a terminal: said, and nothing drawn.
    let output = instance.run(["dashboard"]);
    assert!(!output.status.success() && output.stdout.is_empty());
    // Two dashboards at once do no harm.
    let one = instance.terminal(&["dashboard"], 80, 24);
    let mut two = instance.terminal(&["dashboard"], 40, 12);
    one.wait_until("the worker", |rows| has(rows, &["there"]));
    two.wait_until("the worker", |rows| has(rows, &["there"]));
    two.send("q");
    two.wait_exit();
    clean(&two);
}
