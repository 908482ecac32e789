//! A program that ends at the very key that its user types, so that the next ones, meant for it,
//! become commands of the dashboard.

use e2e::{
    instance::{self, Instance, SLOW},
    project::Project,
    terminal::Terminal,
    wait,
};
use std::time::Duration;

/// Ends with the first byte that is typed.
const LURE: &str = "stty -icanon -echo; echo 'continue? [y/n]'; head -c 1 >/dev/null";

fn shown(rows: &[String], words: &str) -> bool {
    rows.iter().any(|row| row.contains(words))
}

/// A dashboard in which someone has begun to type into the lure, which is gone by then.
fn lured(instance: &Instance) -> Terminal {
    let mut terminal = instance.terminal(&["dashboard", "lure"], 120, 40);
    terminal.wait_for("continue? [y/n]");
    terminal.send("\r");
    terminal.wait_for("all other keys go to the worker");
    terminal.send("g");
    instance.wait_state("lure", "exited");
    terminal.wait_until("the end of typing", |rows| {
        !shown(rows, "all other keys go to the worker")
    });
    terminal
}

/// What was typed is through: the help that comes behind it is shown, and closed again.
fn through(terminal: &mut Terminal) {
    terminal.send("\x1b");
    terminal.wait_until("keys that are heard", |rows| {
        !shown(rows, "keys are ignored")
    });
    // Only time tells an Esc by itself from the beginning of Alt-?.
    wait::pause(Duration::from_millis(300));
    terminal.send("?");
    terminal.wait_for("─ Help");
    terminal.send("\x1b");
    terminal.wait_until("no help", |rows| !shown(rows, "─ Help"));
}

#[test]
fn a_program_that_ends_under_the_keys_has_no_worker_stopped() {
    let instance = Instance::start(&instance::config(2, 2));
    for name in ["before", "behind"] {
        instance.session(name, &["sh", "-c", "exec sleep 1000"]);
    }
    instance.session("lure", &["sh", "-c", LURE]);
    let mut terminal = lured(&instance);
    // All that are listed, marked, stopped, and yes.
    terminal.send("*xy");
    through(&mut terminal);
    terminal.wait_until("nothing under way", |rows| !shown(rows, "workers…"));
    for name in ["before", "behind"] {
        assert_eq!(instance.worker(name).unwrap()["state"], "running", "{name}");
        instance.ok(["exec", name, "--", "true"]);
    }
    terminal.send("q");
    assert_eq!(terminal.wait_exit().code(), Some(0));
}

#[test]
fn a_program_that_ends_under_the_keys_has_nothing_applied() {
    let instance = Instance::start(&instance::config(2, 2));
    let project = Project::new();
    let evil = format!("echo evil > evil.txt; echo more > more.txt; {LURE}");
    let folder = project.text();
    let flags = ["-d", "-n", "lure", "--isolation", "overlay", &folder];
    let command = ["--", "bash", "-c", &evil];
    instance.ok([&["spawn"][..], &flags, &command].concat());
    let mut terminal = lured(&instance);
    wait::until_true("changes to apply", SLOW, || {
        instance
            .worker("lure")
            .is_some_and(|worker| worker["unapplied"] == true)
    });
    // As a person types: the changes are there by the time of an `a`.
    for key in ["d", "a", "a", "a", "a", "a"] {
        terminal.send(key);
        wait::pause(Duration::from_millis(300));
    }
    through(&mut terminal);
    assert_eq!(project.read("evil.txt"), None);
    terminal.send("d");
    terminal.wait_for("evil.txt");
    // Asked for on purpose, it asks first; and No is No.
    terminal.send("a");
    terminal.wait_for("Apply 2 files to");
    terminal.send("n");
    terminal.wait_until("no question", |rows| !shown(rows, "Apply 2 files to"));
    assert_eq!(project.read("evil.txt"), None);
    assert_eq!(project.read("more.txt"), None);
}
