//! The real binary: arguments, output and exit codes.

#![allow(clippy::unwrap_used, clippy::panic)]

mod cli_support;

use cli_support::{Peer, wait_until};
use std::{
    io::{Read, Write},
    process::{Command, Output, Stdio},
};

fn podbay(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_podbay"));
    command.args(args).stdin(Stdio::null());
    for name in ["PODBAY_PARENT", "PODBAY_DETACH_KEYS", "DOCKER_CONTEXT"] {
        command.env_remove(name);
    }
    command.env("PODBAY_SOCKET", "/nowhere/api.sock");
    command
}

fn on(peer: &Peer, args: &[&str]) -> Output {
    podbay(args)
        .env("PODBAY_SOCKET", &peer.socket)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn mistakes_are_usage_errors_before_anything_is_connected() {
    for (args, says) in [
        (&["frobnicate"][..], "unrecognized"),
        (&["spawn", "-n", "../x"], "use 1 to 63"),
        (&["spawn", "--memory", "lots"], "512m"),
        (&["spawn", "--cpus", "0"], "0.01"),
        (&["spawn", "--pids-limit", "-1"], "such as 512"),
        (
            &["spawn", "--no-limits", "--cpus", "2"],
            "cannot be used with",
        ),
        (&["spawn", "--isolation", "magic"], "bind, overlay or none"),
        (&["spawn", "--isolation", "none", "/x"], "takes no project"),
        (&["spawn", "-e", "=x", "/x"], "NAME=VALUE"),
        (&["spawn", "--timeout", "soon"], "timeout"),
        (&["attach", "x", "--detach-keys", "ctrl-!"], "ctrl-p,ctrl-q"),
        (
            &["attach", "x", "--read-only", "--takeover"],
            "cannot be used with",
        ),
        (&["stop"], "required"),
        (&["restart"], "required"),
        (&["rename", "x"], "required"),
        (&["refresh"], "required"),
        (&["stop", "--all", "x"], "cannot be used with"),
        (&["exec", "x"], "required"),
        (&["pool", "scale", "5", "2"], "above the maximum"),
        (&["discard", "x", "y", "z", "--what"], "unexpected"),
    ] {
        let output = podbay(args).output().unwrap();
        let err = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {err}");
        assert!(err.contains(says), "{args:?}: {err}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn failures_have_one_format_and_their_exit_codes() {
    let peer = Peer::start();
    let gone = on(&peer, &["stop", "gone"]);
    assert_eq!(gone.status.code(), Some(5));
    assert_eq!(
        text(&gone.stderr),
        "podbay: no worker gone\n  hint: do it right\n"
    );
    let refused = on(&peer, &["spawn", "-d", "/etc"]);
    assert_eq!(refused.status.code(), Some(6), "{}", text(&refused.stderr));
    let json = on(&peer, &["spawn", "-d", "--json", "/etc"]);
    let error: serde_json::Value = serde_json::from_slice(&json.stderr).unwrap();
    assert_eq!(error["error"]["exit_code"], 6);
    let not_found = on(&peer, &["spawn", "/x", "--", "no-such"]);
    assert_eq!(
        not_found.status.code(),
        Some(127),
        "{}",
        text(&not_found.stderr)
    );
    assert_eq!(podbay(&["ls"]).output().unwrap().status.code(), Some(1));
    let no_engine = podbay(&["ls"])
        .env_remove("PODBAY_SOCKET")
        .env("DOCKER_HOST", "unix:///nowhere/docker.sock")
        .output()
        .unwrap();
    let err = text(&no_engine.stderr);
    assert_eq!(no_engine.status.code(), Some(3), "{err}");
    assert!(
        err.contains("/nowhere/docker.sock (DOCKER_HOST)") && err.contains("hint:"),
        "{err}"
    );
    for command in ["up", "down", "doctor"] {
        let output = podbay(&[command])
            .env_remove("PODBAY_SOCKET")
            .env("DOCKER_HOST", "unix:///nowhere/docker.sock")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(3), "{command}");
    }
}

#[test]
fn restarts_and_renames_print_the_names_and_what_should_be_known() {
    let peer = Peer::start();
    let two = on(&peer, &["restart", "one", "ended", "--grace", "2s"]);
    assert_eq!(two.status.code(), Some(0), "{}", text(&two.stderr));
    assert_eq!(text(&two.stdout), "one\nended\n");
    assert_eq!(
        text(&two.stderr),
        "podbay: ended: without its environment\n"
    );
    assert!(
        peer.seen
            .has("restart one StopRequest { grace_ms: Some(2000) }")
    );
    let some = on(&peer, &["restart", "one", "warm"]);
    assert_eq!(some.status.code(), Some(1));
    assert_eq!(text(&some.stdout), "one\n");
    assert!(text(&some.stderr).contains("warm is warm\n  hint: do it right"));

    let renamed = on(&peer, &["rename", "one", "uno"]);
    assert_eq!(text(&renamed.stdout), "uno\n");
    let taken = on(&peer, &["rename", "one", "taken"]);
    assert_eq!(taken.status.code(), Some(1));
    assert!(text(&taken.stderr).contains("in use"));
    let no_name = on(&peer, &["rename", "one", "../x"]);
    assert_eq!(no_name.status.code(), Some(2));
    assert!(text(&no_name.stderr).contains("use 1 to 63"));
}

#[test]
fn a_refresh_prints_the_names_and_where_there_was_nothing_to_do() {
    let peer = Peer::start();
    let both = on(&peer, &["refresh", "one", "bound"]);
    assert_eq!(both.status.code(), Some(0), "{}", text(&both.stderr));
    assert_eq!(text(&both.stdout), "one\nbound\n");
    assert_eq!(text(&both.stderr), "podbay: bound: a bind is always live\n");
    assert!(peer.seen.has("POST /v1/workers/one/refresh"));
}

#[test]
fn listings_are_tables_names_or_json() {
    let peer = Peer::start();
    let table = text(&on(&peer, &["ls", "-a"]).stdout);
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("NAME  STATE"), "{table}");
    assert!(
        lines[1].starts_with("old ") && lines[1].contains("exited 3"),
        "{table}"
    );
    assert!(
        lines[2].contains("/srv/project") && !table.contains('\x1b'),
        "{table}"
    );
    assert_eq!(text(&on(&peer, &["ls", "-q"]).stdout), "one\ntwo\n");
    let json: serde_json::Value =
        serde_json::from_slice(&on(&peer, &["ls", "--json"]).stdout).unwrap();
    assert_eq!(json[0]["name"], "one");
    assert!(text(&on(&peer, &["status"]).stdout).contains("up 1m 1s"));
    assert!(text(&on(&peer, &["pool"]).stdout).contains("700µs/2.1ms"));
    let pool: serde_json::Value =
        serde_json::from_slice(&on(&peer, &["pool", "scale", "1", "3", "--json"]).stdout).unwrap();
    assert_eq!(pool[0]["warm"], 2);
    assert!(peer.seen.has("POST /v1/pools/default/scale"));
}

#[test]
fn a_detached_spawn_sends_what_was_asked_and_prints_the_name() {
    let peer = Peer::start();
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(folder.path(), &link).unwrap();
    let output = podbay(&[
        "spawn",
        "-d",
        "-n",
        "me",
        "-e",
        "A=1",
        "-e",
        "TOKEN",
        "--no-rm",
        "--timeout",
        "2m",
        "-m",
        "1g",
        ".",
        "--",
        "ls",
        "-l",
    ])
    .env("PODBAY_SOCKET", &peer.socket)
    .env("TOKEN", "t")
    .env("PWD", &link)
    .current_dir(&link)
    .output()
    .unwrap();
    assert_eq!(text(&output.stdout), "me\n", "{}", text(&output.stderr));
    let request = peer
        .seen
        .all()
        .into_iter()
        .find(|line| line.starts_with('{'))
        .unwrap();
    let request: serde_json::Value = serde_json::from_str(&request).unwrap();
    assert_eq!(request["project"], link.to_str().unwrap());
    assert_eq!(request["env"], serde_json::json!({"A": "1", "TOKEN": "t"}));
    assert_eq!(request["argv"], serde_json::json!(["ls", "-l"]));
    assert_eq!(
        (&request["remove"], &request["timeout_s"]),
        (&false.into(), &120.into())
    );
    assert_eq!(request["limits"]["memory"], "1g");
}

#[test]
fn a_path_that_is_not_text_passes() {
    use std::os::unix::ffi::OsStrExt;
    let peer = Peer::start();
    let mut command = podbay(&["spawn", "-d"]);
    command
        .arg(std::ffi::OsStr::from_bytes(b"/srv/\xff"))
        .env("PODBAY_SOCKET", &peer.socket);
    assert!(command.output().unwrap().status.success());
    assert!(peer.seen.has(r#""project":{"base64":"L3Nydi//"}"#));
}

#[test]
fn without_a_terminal_a_spawn_is_a_pipe_with_the_commands_own_exit_code() {
    let peer = Peer::start();
    let mut child = podbay(&["spawn", "/x", "--", "cat"])
        .env("PODBAY_SOCKET", &peer.socket)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let every: Vec<u8> = (0..=255).cycle().take(3_000_042).collect();
    let sent = every.clone();
    let writer = std::thread::spawn(move || input.write_all(&sent).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert_eq!(output.status.code(), Some(42), "{}", text(&output.stderr));
    assert_eq!(output.stdout.len(), every.len());
    assert!(output.stdout == every);
    assert_eq!(text(&output.stderr), "ready\n");
}

#[test]
fn without_stdin_a_loops_own_list_is_left_alone() {
    let peer = Peer::start();
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("list");
    std::fs::write(&list, "1\n2\n3\n").unwrap();
    for args in [
        &["spawn", "--no-stdin", "/x", "--", "cat"][..],
        &["exec", "-n", "pipes", "--", "cat"],
    ] {
        let mut input = std::fs::File::open(&list).unwrap();
        let output = podbay(args)
            .env("PODBAY_SOCKET", &peer.socket)
            .stdin(input.try_clone().unwrap())
            .output()
            .unwrap();
        assert_eq!(
            text(&output.stdout),
            "",
            "{args:?}: {}",
            text(&output.stderr)
        );
        assert_eq!(text(&output.stderr), "ready\n");
        // One place in the file for both: what was not read is still there.
        let mut left = String::new();
        input.read_to_string(&mut left).unwrap();
        assert_eq!(left, "1\n2\n3\n", "{args:?}");
    }
}

#[test]
fn a_signal_reaches_a_session_on_pipes() {
    let peer = Peer::start();
    let mut child = podbay(&["attach", "pipes"])
        .env("PODBAY_SOCKET", &peer.socket)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = [0; 6];
    child
        .stderr
        .as_mut()
        .unwrap()
        .read_exact(&mut ready)
        .unwrap();
    assert_eq!(&ready, b"ready\n");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    peer.seen.wait_for(r#"{"type":"signal","signal":15}"#);
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn logs_pass_as_they_are_into_a_pipe() {
    let peer = Peer::start();
    let output = on(&peer, &["logs", "one", "-n", "3"]);
    assert_eq!(
        output.stdout,
        b"one\n\x1b[31mtwo\x1b[m\n\x1b]52;c;AAAA\x07three\n"
    );
}

#[test]
fn changes_are_summed_up_with_odd_names_escaped() {
    let peer = Peer::start();
    let stat = text(&on(&peer, &["diff", "x", "--stat"]).stdout);
    assert!(
        stat.starts_with("M a.txt  +2 -1\n")
            && stat.contains("2 changed, 4 lines added, 2 removed"),
        "{stat}"
    );
    let names = text(&on(&peer, &["diff", "x", "--name-only", "src/"]).stdout);
    assert!(
        names.starts_with("src/b\\u{1b}") && names.lines().count() == 1,
        "{names}"
    );
    let unasked = on(&peer, &["discard", "x"]);
    assert_eq!(unasked.status.code(), Some(2), "{}", text(&unasked.stderr));
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let peer = Peer::start();
    let mut child = podbay(&["attach", "flood"])
        .env("PODBAY_SOCKET", &peer.socket)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut some = [0; 1000];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut some)
        .unwrap();
    drop(child.stdout.take());
    let mut status = None;
    wait_until("the end", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    assert_eq!(status.unwrap().code(), Some(141));
    let mut err = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut err)
        .unwrap();
    assert_eq!(err, "");
}

#[test]
fn documents_are_generated() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(text(&podbay(&["completions", shell]).output().unwrap().stdout).contains("spawn"));
    }
    let man = text(&podbay(&["man"]).output().unwrap().stdout);
    assert!(
        man.contains(".TH") && man.contains("podbay\\-spawn"),
        "{}",
        &man[..200]
    );
    let help = podbay(&["--help"]).output().unwrap();
    assert!(help.status.success() && text(&help.stdout).contains("Exit codes"));
}

#[test]
fn called_as_dashboard_it_is_the_dashboard() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("dashboard");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_podbay"), &link).unwrap();
    let help = Command::new(link).arg("--help").output().unwrap();
    assert!(
        text(&help.stdout).starts_with("Opens the dashboard"),
        "{}",
        text(&help.stdout)
    );
}
