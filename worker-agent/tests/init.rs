//! The agent as PID 1: orphans, stop, shut-down, an image with nothing in it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods
)]

mod support;

use podbay_protocol::*;
use std::process::Command;
use support::{Worker, attach, needs, session, wait_until};

/// The agent's own process id here: `unshare` is between.
fn agent_pid(worker: &Worker) -> i32 {
    let path = format!("/proc/{0}/task/{0}/children", worker.agent.id());
    std::fs::read_to_string(path)
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}

fn term(pid: i32) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGTERM).unwrap();
}

#[test]
fn ten_thousand_orphans_leave_no_zombie() {
    if !needs::root() {
        return;
    }
    let mut worker = Worker::start_as_init();
    let script = "i=0; while [ $i -lt 10000 ]; do (true &) ; i=$((i+1)); done; exit 4";
    let mut start = session("s", &["/bin/sh", "-c", script]);
    start.record = false;
    start.io = SessionIo::Pipes;
    worker.start_session(start);
    // A long job on a busy machine: the event's own bound is not enough.
    let until = std::time::Instant::now() + std::time::Duration::from_secs(120);
    while worker.info("s").exit.is_none() {
        assert!(
            std::time::Instant::now() < until,
            "10,000 forks took too long"
        );
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(worker.info("s").exit, Some(ExitStatus::Code(4)));
    let agent = agent_pid(&worker);
    wait_until("no child left", || {
        std::fs::read_to_string(format!("/proc/{agent}/task/{agent}/children"))
            .unwrap()
            .is_empty()
    });
    assert_eq!(worker.ask(ToAgentBody::Ping), Ok(Reply::Done));
}

#[test]
fn stop_takes_at_most_its_grace_also_with_those_who_ignore_it() {
    if !needs::root() {
        return;
    }
    let mut worker = Worker::start_as_init();
    let (_, mut client) = worker.shell(
        "s",
        "trap '' TERM HUP; setsid sh -c 'trap \"\" TERM HUP; while :; do sleep 1; done' & echo up; while :; do sleep 1; done",
    );
    client.until("up");
    let agent = agent_pid(&worker);
    term(agent);
    assert_eq!(worker.exited("s"), ExitStatus::Signal(9));
    assert_eq!(worker.wait().code(), Some(0));
    assert!(client.rest().len() < 1000, "the client gets its end");
}

#[test]
fn shutdown_leaves_at_once_when_all_is_gone() {
    if !needs::root() {
        return;
    }
    let mut worker = Worker::start_as_init();
    worker.start_session(session("s", &["sleep", "1000"]));
    // Were the grace waited for, the bound of the wait would be over.
    assert_eq!(
        worker.ask(ToAgentBody::Shutdown { grace_ms: 600_000 }),
        Ok(Reply::Done)
    );
    assert_eq!(worker.exited("s"), ExitStatus::Signal(15));
    assert_eq!(worker.wait().code(), Some(0));
}

#[test]
fn an_idle_agent_stops_on_a_signal() {
    let mut worker = Worker::start();
    term(i32::try_from(worker.agent.id()).unwrap());
    assert_eq!(worker.wait().code(), Some(0));
}

#[test]
fn what_a_primary_session_leaves_behind_is_killed() {
    let mut worker = Worker::start();
    let script = "set -m; trap '' HUP; sleep 1000 & echo left $!; exit 0";
    let mut start = session("s", &["/bin/bash", "-c", script]);
    start.primary = true;
    worker.start_session(start);
    assert_eq!(worker.exited("s"), ExitStatus::Code(0));
    let screen = worker.screen("s");
    let pid: i32 = screen
        .split("left ")
        .nth(1)
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap();
    wait_until("the end of what was left", || {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None).is_err()
    });
}

#[test]
fn supervise_restarts_upgrades_and_stops() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let script = format!(
        "echo start >> {0}; trap 'echo term >> {0}; exit 0' TERM; trap 'echo hup >> {0}' HUP; while :; do sleep 0.01; done",
        log.display()
    );
    let mut supervisor = Command::new(support::BIN)
        .args(["supervise", "--", "/bin/sh", "-c", &script])
        .spawn()
        .unwrap();
    let lines = |word: &str| {
        std::fs::read_to_string(&log)
            .unwrap_or_default()
            .lines()
            .filter(|l| *l == word)
            .count()
    };
    let pid = i32::try_from(supervisor.id()).unwrap();
    let children = format!("/proc/{pid}/task/{pid}/children");
    let child = || {
        std::fs::read_to_string(&children)
            .unwrap()
            .trim()
            .parse::<i32>()
    };
    let signal = |pid: i32, s| nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), s).unwrap();
    wait_until("the start", || lines("start") == 1);
    signal(child().unwrap(), nix::sys::signal::SIGKILL);
    wait_until("the restart", || lines("start") == 2);
    // The line is written before the traps are set: only what reacts to HUP reacts to TERM.
    let settle = |n: usize| {
        wait_until("the traps", || {
            signal(pid, nix::sys::signal::SIGHUP);
            lines("hup") >= n || lines("start") > n + 1
        })
    };
    settle(1);
    signal(pid, nix::sys::signal::SIGUSR2);
    wait_until("the upgrade", || lines("start") >= 3 && lines("term") == 1);
    signal(pid, nix::sys::signal::SIGTERM);
    let status = supervisor.wait().unwrap();
    assert!(status.code() == Some(0), "{status}");
}

#[test]
fn supervise_reports_a_configuration_error_and_tries_again() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let script = format!("echo x >> {}; exit 78", log.display());
    let mut supervisor = Command::new(support::BIN)
        .args(["supervise", "--", "/bin/sh", "-c", &script])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    wait_until("several tries", || {
        std::fs::read_to_string(&log)
            .unwrap_or_default()
            .lines()
            .count()
            >= 3
    });
    term(i32::try_from(supervisor.id()).unwrap());
    let mut text = String::new();
    std::io::Read::read_to_string(&mut supervisor.stderr.take().unwrap(), &mut text).unwrap();
    assert!(
        text.contains("exited with 78") && text.contains("configuration"),
        "{text}"
    );
    // TERM may meet it just as it fails by itself; a failure while stopping is passed on.
    let code = supervisor.wait().unwrap().code();
    assert!(code == Some(0) || code == Some(78), "{code:?}");
}

#[test]
fn a_stopped_program_is_shown_so_and_goes_on_when_somebody_types_or_attaches() {
    let mut worker = Worker::start();
    let script = "stty -echo; echo up; kill -STOP $$; echo on; while read x; do \
                  echo \"<$x>\"; kill -STOP $$; done";
    let (pid, mut client) = worker.shell("s", script);
    client.until("up");
    // Not by events: of a stop right after it was continued the kernel tells the stop alone.
    let stopped = |worker: &mut Worker| {
        wait_until("stopped", || {
            let activity = worker.info("s").activity;
            activity.state == ActivityState::Stopped && activity.why == "stopped by SIGSTOP"
        });
    };
    stopped(&mut worker);
    // The key that continues it is read as any other.
    client.type_in("one\n");
    client.until("<one>");
    stopped(&mut worker);
    drop(client);
    worker.detached("s-0");
    let (_, mut watcher) = worker.attach(attach("s", "watcher", AttachMode::ReadOnly));
    watcher.until("<one>");
    assert_eq!(worker.info("s").activity.state, ActivityState::Stopped);
    let (writer, mut client) = worker.attach(attach("s", "writer", AttachMode::Write));
    assert!(writer);
    worker.event("continued", |event| match event {
        AgentEvent::Activity { activity, .. } if activity.state != ActivityState::Stopped => {
            Some(())
        }
        _ => None,
    });
    client.type_in("two\n");
    client.until("<two>");
    stopped(&mut worker);
    // A signal of anybody else's is seen as well.
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(pid),
        nix::sys::signal::Signal::SIGCONT,
    )
    .unwrap();
    wait_until("it runs", || {
        worker.info("s").activity.state != ActivityState::Stopped
    });
    worker
        .ask(ToAgentBody::Signal {
            session: "s".into(),
            signal: 19,
        })
        .unwrap();
    stopped(&mut worker);
    worker
        .ask(ToAgentBody::Input {
            session: "s".into(),
            data: b"three\n".to_vec(),
        })
        .unwrap();
    client.until("<three>");
    stopped(&mut worker);
    worker
        .ask(ToAgentBody::Signal {
            session: "s".into(),
            signal: 9,
        })
        .unwrap();
    assert_eq!(worker.exited("s"), ExitStatus::Signal(9));
    assert_eq!(worker.info("s").activity.state, ActivityState::Error);
}
