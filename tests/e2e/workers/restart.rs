//! A command is started again: in its worker while it runs, in a new one once it has ended.

use crate::daemon::survival::kill_coordinator;
use e2e::{
    engine,
    instance::{self, Instance, SLOW, text},
    processes,
    project::Project,
    unique, wait,
};
use serde_json::Value;
use std::{fs, os::unix::fs::PermissionsExt, process::Stdio};

/// What a session printed so far.
fn logs(instance: &Instance, name: &str) -> String {
    let output = instance.direct(["logs", name]).output().unwrap();
    text(&output.stdout)
}

fn wait_logs(instance: &Instance, name: &str, needle: &str) {
    wait::until_true(&format!("{needle:?} from {name}"), SLOW, || {
        logs(instance, name).contains(needle)
    });
}

fn worker(instance: &Instance, name: &str) -> Value {
    instance.worker(name).expect("a worker")
}

#[test]
fn a_running_session_is_started_again_in_its_own_worker() {
    let instance = Instance::start(&instance::config(2, 3));
    let project = Project::new();
    let folder = project.text();
    let mark = unique("restart");
    let marked = format!("E2E_MARK={mark}");
    let script = "trap '' HUP; sleep 1000 & echo run of $SECRET in $(pwd); \
                  echo again >> hello.txt; wait";
    let spawn = [
        "spawn",
        "-d",
        "-n",
        "job",
        "--isolation",
        "overlay",
        "-e",
        &marked,
        "-e",
        "SECRET=kept",
        &folder,
        "--",
        "bash",
        "-c",
        script,
    ];
    instance.ok(spawn);
    wait_logs(&instance, "job", "run of kept in /workspace");
    let before = worker(&instance, "job");
    let leftovers = processes::marked("E2E_MARK", &mark);
    assert!(leftovers.len() >= 2, "{leftovers:?}");
    let mut watcher = instance.terminal(&["attach", "job"], 80, 24);
    watcher.wait_for("run of kept");

    assert_eq!(instance.ok(["restart", "job"]), "job\n");
    let after = worker(&instance, "job");
    for same in ["id", "container", "state", "argv", "isolation", "project"] {
        assert_eq!(after[same], before[same], "{same}");
    }
    assert_eq!(after["restarts"], 1);
    assert_ne!(after["pid"], before["pid"]);
    assert_ne!(after["session"], before["session"]);
    assert!(after["exit"].is_null() && after["why"].is_null(), "{after}");
    wait_logs(&instance, "job", "run of kept in /workspace");
    wait::until_true("the end of what ran before", SLOW, || {
        let now = processes::marked("E2E_MARK", &mark);
        !now.iter().any(|pid| leftovers.contains(pid))
    });
    let status = watcher.wait_exit();
    assert_eq!(status.code(), Some(143), "attached clients see the end");
    let diff = instance.ok(["diff", "job"]);
    assert_eq!(diff.matches("+again").count(), 2, "both runs: {diff}");

    // The agent has all it needs: a new coordinator can do it as well.
    kill_coordinator(&instance);
    let again = instance.wait_state("job", "running");
    assert_eq!(again["session"], after["session"]);
    assert_eq!(again["restarts"], 1);
    instance.ok(["restart", "job"]);
    assert_eq!(worker(&instance, "job")["restarts"], 2);
    wait_logs(&instance, "job", "run of kept");

    // The record on disk is that of the last start.
    let session = worker(&instance, "job")["session"].clone();
    kill_coordinator(&instance);
    let again = instance.wait_state("job", "running");
    assert_eq!(
        (&again["session"], &again["restarts"]),
        (&session, &2.into())
    );
    instance.ok(["stop", "job"]);
    let ended = instance.wait_state("job", "exited");
    assert_eq!(ended["restarts"], 2);
    assert_eq!(ended["unapplied"], true);
    let workers = engine::containers(&instance.name, "worker");
    let container = after["container"].as_str().unwrap();
    assert!(!workers.iter().any(|id| container.starts_with(id.as_str())));
}

#[test]
fn a_restart_is_finished_also_when_the_coordinator_is_killed_in_the_middle() {
    let instance = Instance::start(&instance::config(1, 2));
    let deaf = "trap '' TERM HUP INT; echo deaf; while :; do sleep 1; done";
    instance.session("deaf", &["bash", "-c", deaf]);
    wait_logs(&instance, "deaf", "deaf");
    let before = worker(&instance, "deaf");
    let mut restart = instance.direct(["restart", "deaf", "--grace", "5s"]);
    let mut restart = restart
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait::until_true("the restart's beginning", SLOW, || {
        worker(&instance, "deaf")["why"]
            .as_str()
            .is_some_and(|why| why.contains("started again"))
    });
    let twice = instance.run(["restart", "deaf"]);
    assert!(text(&twice.stderr).contains("already"), "{twice:?}");
    kill_coordinator(&instance);
    assert!(!restart.wait().unwrap().success());
    wait::until_true("its end", SLOW, || {
        instance
            .worker("deaf")
            .is_some_and(|w| w["restarts"] == 1 && w["state"] == "running")
    });
    let after = worker(&instance, "deaf");
    assert_eq!(after["id"], before["id"]);
    assert_ne!(after["pid"], before["pid"]);
    // It is not taken for an end a moment later either.
    instance.ok(["exec", "deaf", "true"]);
    assert_eq!(worker(&instance, "deaf")["state"], "running");
}

#[test]
fn what_does_not_listen_is_killed_and_what_has_no_command_is_refused() {
    let instance = Instance::start(&instance::config(1, 2));
    let deaf = "trap '' TERM HUP INT; echo deaf; while :; do sleep 1; done";
    instance.session("deaf", &["bash", "-c", deaf]);
    wait_logs(&instance, "deaf", "deaf");
    instance.ok(["restart", "deaf", "--grace", "100ms"]);
    wait_logs(&instance, "deaf", "deaf");
    let running = worker(&instance, "deaf");
    assert_eq!(
        (&running["state"], &running["restarts"]),
        (&"running".into(), &1.into())
    );

    instance.wait_warm("default", 1);
    let warm = instance
        .workers()
        .into_iter()
        .find(|w| w["state"] == "warm");
    let warm = warm.unwrap()["name"].as_str().unwrap().to_owned();
    let refused = instance.run(["restart", &warm]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        text(&refused.stderr).contains("is warm"),
        "{}",
        text(&refused.stderr)
    );
    let unknown = instance.run(["restart", "nobody"]);
    assert_eq!(unknown.status.code(), Some(5));

    // A program that is gone meanwhile: the session goes on, and that is said.
    let project = Project::new();
    let program = project.path().join("nap.sh");
    project.write("nap.sh", "#!/bin/sh\necho napping\nsleep 1000\n");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let folder = project.text();
    instance.ok([
        "spawn",
        "-d",
        "-n",
        "nap",
        &folder,
        "--",
        "/workspace/nap.sh",
    ]);
    wait_logs(&instance, "nap", "napping");
    let before = instance.wait_state("nap", "running");
    fs::remove_file(&program).unwrap();
    let failed = instance.run(["restart", "nap"]);
    let err = text(&failed.stderr);
    assert_eq!(failed.status.code(), Some(127), "{err}");
    assert!(
        err.contains("nothing was ended") && err.contains("nap.sh"),
        "{err}"
    );
    let after = instance.wait_state("nap", "running");
    assert_eq!(
        (&after["pid"], &after["session"]),
        (&before["pid"], &before["session"])
    );
}

#[test]
fn an_ended_session_is_claimed_anew_under_its_name_and_leaves_no_changes_behind() {
    let instance = Instance::start(&instance::config(2, 3));
    let project = Project::new();
    let folder = project.text();
    let script = "test -e again && { echo second run $SECRET; sleep 1000; }; echo made > new.txt";
    let output = instance.run([
        "spawn",
        "-n",
        "done",
        "--isolation",
        "overlay",
        "--memory",
        "200m",
        "-e",
        "SECRET=s",
        &folder,
        "--",
        "sh",
        "-c",
        script,
    ]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let ended = instance.wait_state("done", "exited");
    assert_eq!(ended["unapplied"], true);
    project.write("again", "");

    let refused = instance.run(["restart", "done"]);
    let err = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{err}");
    assert!(
        err.contains("not applied") && err.contains("podbay apply done"),
        "{err}"
    );
    assert_eq!(instance.wait_state("done", "exited")["id"], ended["id"]);

    instance.ok(["discard", "--yes", "done"]);
    let output = instance.run(["restart", "done"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("without the environment"));
    let running = instance.wait_state("done", "running");
    assert_ne!(running["id"], ended["id"]);
    for same in [
        "profile",
        "project",
        "isolation",
        "limits",
        "argv",
        "remove",
    ] {
        assert_eq!(running[same], ended[same], "{same}");
    }
    assert_eq!(running["restarts"], 1);
    let called = |w: &Value| w["name"] == "done";
    assert_eq!(instance.workers().iter().filter(|w| called(w)).count(), 1);
    wait_logs(&instance, "done", "second run");
    assert!(!logs(&instance, "done").contains("run s"), "kept nowhere");

    // One that was kept with its container goes the same way.
    instance.ok([
        "spawn",
        "-d",
        "-n",
        "kept",
        "--no-rm",
        "--isolation",
        "none",
        "--",
        "sh",
        "-c",
        "exit 7",
    ]);
    let kept = instance.wait_state("kept", "exited");
    assert!(kept["container"].is_string());
    instance.ok(["restart", "kept"]);
    wait::until_true("another worker of the name", SLOW, || {
        let all = instance.workers();
        let mut named = all.iter().filter(|w| w["name"] == "kept");
        named.next().is_some_and(|w| w["id"] != kept["id"]) && named.next().is_none()
    });
}
