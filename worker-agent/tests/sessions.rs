//! Sessions on the real binary: start, refusal, end, pipes, recording, hooks.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods
)]

mod support;

use base64::{Engine, engine::general_purpose::STANDARD};
use podbay_protocol::*;
use std::{
    io::{Read, Write},
    time::{Duration, Instant},
};
use support::{BOUND, Stream, Worker, attach, needs, session, wait_until};

#[test]
fn a_terminal_session_says_everything_and_ends() {
    let mut worker = Worker::start();
    let (pid, mut client) = worker.shell(
        "s",
        "tty; echo $TERM $USER; stty size; read x; echo got $x; exit 3",
    );
    let seen = client.until("24 80");
    assert!(
        seen.contains("/dev/pts/") && seen.contains("xterm-256color dev"),
        "{seen}"
    );
    assert_eq!(worker.info("s").pid, pid);
    client.type_in("hello\n");
    assert_eq!(worker.exited("s"), ExitStatus::Code(3));
    assert!(String::from_utf8_lossy(&client.rest()).contains("got hello"));
    let info = worker.info("s");
    assert_eq!(info.exit, Some(ExitStatus::Code(3)));
    assert_eq!(info.activity.state, ActivityState::Error);
    assert!(
        worker.screen("s").contains("got hello"),
        "an ended session keeps its screen"
    );
}

#[test]
fn every_exit_code_is_exact() {
    let mut worker = Worker::start();
    for code in 0..256 {
        let mut start = session(
            &format!("c{code}"),
            &["/bin/sh", "-c", &format!("exit {code}")],
        );
        start.record = false;
        worker.start_session(start);
        assert_eq!(worker.exited(&format!("c{code}")), ExitStatus::Code(code));
    }
}

#[test]
fn every_signal_is_exact() {
    let mut worker = Worker::start();
    // Those whose default is to be ignored, or to stop, end nothing.
    let harmless = [17, 18, 19, 20, 21, 22, 23, 28];
    for signal in (1..=64).filter(|s| !harmless.contains(s) && *s != 32 && *s != 33) {
        let id = format!("s{signal}");
        let mut start = session(&id, &["sleep", "1000"]);
        start.record = false;
        worker.start_session(start);
        worker
            .ask(ToAgentBody::Signal {
                session: id.clone(),
                signal,
            })
            .unwrap();
        assert_eq!(worker.exited(&id), ExitStatus::Signal(signal));
        assert_eq!(worker.info(&id).exit.unwrap().shell_code(), 128 + signal);
    }
}

#[test]
fn refusals_name_what_is_wrong() {
    let mut worker = Worker::start();
    let dir = worker.dir.path().to_owned();
    std::fs::write(dir.join("plain"), "text").unwrap();
    std::fs::write(dir.join("loader"), "#!/no/such/interpreter\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(dir.join("loader"), mode).unwrap();
    let plain = dir.join("plain").to_str().unwrap().to_owned();
    let loader = dir.join("loader").to_str().unwrap().to_owned();
    let mut ask = |argv: &[&str], cwd: &str| {
        let mut start = session("x", argv);
        start.cwd = cwd.to_owned();
        start.env.insert("PATH".into(), "/nowhere:/bin".into());
        let error = worker.ask(ToAgentBody::Start(Box::new(start))).unwrap_err();
        (error.code, error.message)
    };
    let (code, message) = ask(&["no-such-program"], "/");
    assert_eq!(code, ErrorCode::CommandNotFound);
    assert_eq!(
        message,
        "no-such-program: not found in the worker (PATH=/nowhere:/bin)"
    );
    assert_eq!(ask(&["/no/such"], "/").0, ErrorCode::CommandNotFound);
    assert_eq!(ask(&[&plain], "/").0, ErrorCode::NotExecutable);
    assert_eq!(ask(&["/tmp"], "/").0, ErrorCode::NotExecutable);
    let (code, message) = ask(&[&loader], "/");
    assert!(
        code == ErrorCode::NotExecutable && message.contains("interpreter"),
        "{message}"
    );
    let (code, message) = ask(&["sh"], "/no/such/folder");
    assert!(
        code == ErrorCode::Invalid && message.contains("/no/such/folder"),
        "{message}"
    );
    assert_eq!(ask(&[], "/").0, ErrorCode::Invalid);
    assert_eq!(ask(&["sh", "a\0b"], "/").0, ErrorCode::Invalid);
    worker.start_session(session("x", &["true"]));
    let again = worker
        .ask(ToAgentBody::Start(Box::new(session("x", &["true"]))))
        .unwrap_err();
    assert_eq!(again.code, ErrorCode::Exists);
    let unknown = worker
        .ask(ToAgentBody::Screen {
            session: "y".into(),
        })
        .unwrap_err();
    assert_eq!(unknown.code, ErrorCode::NoSuchSession);
}

#[test]
fn a_script_without_an_interpreter_line_runs_as_in_a_shell() {
    let mut worker = Worker::start();
    let path = worker.dir.path().join("script");
    std::fs::write(&path, "echo \"script $1\"; exit 5\n").unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    worker.start_session(session("s", &[path.to_str().unwrap(), "arg"]));
    assert_eq!(worker.exited("s"), ExitStatus::Code(5));
    assert!(worker.screen("s").contains("script arg"));
}

#[test]
fn sessions_run_as_their_user_and_below_the_agent_for_the_oom_killer() {
    if !needs::root() {
        return;
    }
    let mut worker = Worker::start();
    let mut start = session(
        "s",
        &[
            "/bin/sh",
            "-c",
            "id -u; id -g; id -G; stat -c %u:%g $(tty); cat /proc/self/oom_score_adj; umask; grep SigBlk /proc/self/status; ls /proc/self/fd | wc -l; touch $(tty) && echo mine",
        ],
    );
    (start.uid, start.gid) = (12345, 23456);
    worker.start_session(start);
    assert_eq!(worker.exited("s"), ExitStatus::Code(0));
    let screen = worker.screen("s");
    let lines: Vec<_> = screen
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    assert_eq!(lines[..3], ["12345", "23456", "23456"]);
    assert!(lines[3].starts_with("12345:"), "{screen}");
    assert_eq!(lines[4..6], ["500", "0022"]);
    assert!(lines[6].ends_with("0000000000000000"), "{screen}");
    assert_eq!(lines[7..], ["4", "mine"]);
}

#[test]
fn stop_ends_also_what_ignores_it() {
    let mut worker = Worker::start();
    let script = "trap '' TERM HUP; (trap '' TERM HUP; sleep 1000; sleep 1000) & echo child $!; while :; do sleep 1000; done";
    let (_, mut client) = worker.shell("s", script);
    let seen = client.until("\n");
    let child: i32 = seen.trim().trim_start_matches("child ").parse().unwrap();
    worker
        .ask(ToAgentBody::Stop {
            session: "s".into(),
            grace_ms: 50,
        })
        .unwrap();
    assert_eq!(worker.exited("s"), ExitStatus::Signal(9));
    wait_until("the child's end", || {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(child), None).is_err()
    });
}

#[test]
fn an_interactive_shell_is_stopped_by_its_hang_up_long_before_the_grace_is_over() {
    let mut worker = Worker::start();
    let (_, mut client) = worker.shell("s", "PS1='ready> ' exec bash --norc --noprofile -i");
    client.until("ready> ");
    worker
        .ask(ToAgentBody::Stop {
            session: "s".into(),
            grace_ms: 3_600_000,
        })
        .unwrap();
    assert_eq!(worker.exited("s"), ExitStatus::Signal(1));
}

/// Stops `sh -c SCRIPT` with a long grace once it says "ready"; gives its end.
fn stopped_when_ready(script: &str) -> ExitStatus {
    let mut worker = Worker::start();
    let (_, mut client) = worker.shell("s", script);
    client.until("ready");
    worker
        .ask(ToAgentBody::Stop {
            session: "s".into(),
            grace_ms: 3_600_000,
        })
        .unwrap();
    worker.exited("s")
}

#[test]
fn a_shell_that_missed_its_hang_up_is_told_again() {
    // As bash does when the first one comes just before it waits for a key.
    let script = "trap '' TERM TTOU; n=0; trap 'n=$((n+1)); [ $n = 2 ] && exit 5' HUP; \
                  echo ready; while :; do read x; done";
    assert_eq!(stopped_when_ready(script), ExitStatus::Code(5));
}

#[test]
fn a_shell_that_lost_its_term_is_hung_up() {
    // As a shell does that was about to ignore it.
    let script = "trap \"trap '' TERM TTOU\" TERM; echo ready; while :; do read x; done";
    assert_eq!(stopped_when_ready(script), ExitStatus::Signal(1));
}

#[test]
fn a_program_that_cleans_up_after_its_term_is_left_in_peace() {
    let script = "trap \"trap '' TERM; sleep 0.7; exit 4\" TERM; \
                  echo ready; while :; do read x; done";
    assert_eq!(stopped_when_ready(script), ExitStatus::Code(4));
}

#[test]
fn a_session_is_stopped_when_its_time_is_up() {
    let mut worker = Worker::start();
    let mut start = session("s", &["sleep", "1000"]);
    start.timeout_s = Some(1);
    worker.start_session(start);
    assert_eq!(worker.exited("s"), ExitStatus::Signal(15));
}

#[test]
fn a_child_that_holds_the_output_does_not_hold_the_exit() {
    let mut worker = Worker::start();
    for io in [
        SessionIo::Pipes,
        SessionIo::Pty {
            size: Size::default(),
        },
    ] {
        let id = format!("{io:?}");
        let mut start = session(&id, &["setsid", "-f", "sh", "-c", "sleep 300"]);
        start.io = io;
        worker.start_session(start);
        assert_eq!(worker.exited(&id), ExitStatus::Code(0));
    }
}

#[test]
fn pipes_are_lossless_both_ways_and_stderr_is_apart() {
    let mut worker = Worker::start();
    let mut start = session("p", &["/bin/sh", "-c", "cat; echo done >&2; exit 7"]);
    start.io = SessionIo::Pipes;
    let mut first = attach("p", "p-0", AttachMode::Write);
    first.error_stream = Some("p-e".into());
    start.attach = Some(first);
    worker.start_session(start);
    let (mut client, mut errors) = (worker.stream("p-0"), worker.stream("p-e"));
    let data: Vec<u8> = (0..5_000_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let (sent, mut input) = (data.clone(), client.socket.try_clone().unwrap());
    let writer = std::thread::spawn(move || {
        input.write_all(&sent).unwrap();
        input.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let got = client.rest();
    writer.join().unwrap();
    assert_eq!(got.len(), data.len());
    assert!(got == data, "same length, other bytes");
    assert_eq!(errors.rest(), b"done\n");
    assert_eq!(worker.exited("p"), ExitStatus::Code(7));
    assert!(replay(&worker, "p", ["o", "b"]) == data);
    assert_eq!(replay(&worker, "p", ["e", "d"]), b"done\n");
}

#[test]
fn a_slow_client_of_pipes_slows_the_program_and_loses_nothing() {
    let mut worker = Worker::start();
    let mut start = session("p", &["/bin/sh", "-c", "head -c 3000000 /dev/zero; exit 0"]);
    start.io = SessionIo::Pipes;
    start.attach = Some(attach("p", "p-0", AttachMode::Write));
    worker.start_session(start);
    let mut client = worker.stream("p-0");
    let mut before = 0;
    wait_until("the program to be held", || {
        let now = worker.info("p").output_bytes;
        let held = now > 0 && now == before;
        before = now;
        held
    });
    assert!(before < 2_000_000, "{before}");
    assert_eq!(client.rest().len(), 3_000_000);
    assert_eq!(worker.exited("p"), ExitStatus::Code(0));
}

/// A session of `sh -c SCRIPT` on pipes, with a client for each of stdout and stderr.
fn on_pipes(worker: &mut Worker, id: &str, script: &str) -> (i32, Stream, Stream) {
    let mut start = session(id, &["/bin/sh", "-c", script]);
    start.io = SessionIo::Pipes;
    let (out, err) = (format!("{id}-o"), format!("{id}-e"));
    let mut first = attach(id, &out, AttachMode::Write);
    first.error_stream = Some(err.clone());
    start.attach = Some(first);
    let pid = worker.start_session(start);
    (pid, worker.stream(&out), worker.stream(&err))
}

fn gone(pid: i32) -> bool {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None).is_err()
}

#[test]
fn a_slow_client_gets_all_of_a_program_that_ended_at_once_and_then_its_exit() {
    let mut worker = Worker::start();
    // More than sockets take, less than holds the program.
    let script = "head -c 300000 /dev/zero & head -c 300000 /dev/zero >&2; wait; exit 7";
    for round in 0..5 {
        let id = format!("p{round}");
        let (pid, mut out, mut err) = on_pipes(&mut worker, &id, script);
        wait_until("the program's end", || {
            worker.info(&id).output_bytes == 600_000 && gone(pid)
        });
        for _ in 0..5 {
            let exit = worker.info(&id).exit;
            assert_eq!(exit, None, "told before the client had everything");
        }
        for stream in [&mut err, &mut out] {
            let (mut got, mut piece) = (0, [0; 5000]);
            stream.socket.set_read_timeout(Some(BOUND)).unwrap();
            while let count @ 1.. = stream.socket.read(&mut piece).unwrap() {
                got += count;
                std::thread::yield_now();
                if got == 300_000 {
                    break;
                }
            }
            assert_eq!(got, 300_000, "round {round}");
        }
        assert_eq!(worker.exited(&id), ExitStatus::Code(7));
    }
}

#[test]
fn a_client_that_paused_beyond_the_program_s_end_loses_nothing() {
    let mut worker = Worker::start();
    let (pid, mut out, mut err) = on_pipes(&mut worker, "p", "cat; echo done >&2; exit 7");
    let mut sent = 0;
    loop {
        out.socket.write_all(&[b'x'; 16 << 10]).unwrap();
        sent += 16 << 10;
        let until = Instant::now() + Duration::from_millis(300);
        let mut read = || worker.info("p").output_bytes;
        while read() < sent && Instant::now() < until {}
        if read() < sent {
            break;
        }
    }
    // The last piece stays in the pipe: the program is held, and ends with it there.
    out.socket.shutdown(std::net::Shutdown::Write).unwrap();
    wait_until("the program's end", || gone(pid));
    let ended = Instant::now();
    wait_until("the grace", || {
        ended.elapsed() > Duration::from_millis(1200)
    });
    assert_eq!(out.rest().len() as u64, sent);
    assert_eq!(err.rest(), b"done\n");
    assert_eq!(worker.exited("p"), ExitStatus::Code(7));
}

#[test]
fn a_client_of_pipes_that_never_reads_does_not_hold_a_stop() {
    let mut worker = Worker::start();
    let mut start = session("p", &["cat", "/dev/zero"]);
    start.io = SessionIo::Pipes;
    start.record = false;
    start.attach = Some(attach("p", "p-0", AttachMode::Write));
    worker.start_session(start);
    let _client = worker.stream("p-0");
    wait_until("output", || worker.info("p").output_bytes > 300_000);
    let grace_ms = 100;
    worker
        .ask(ToAgentBody::Stop {
            session: "p".into(),
            grace_ms,
        })
        .unwrap();
    assert_eq!(worker.exited("p"), ExitStatus::Signal(15));
}

#[test]
fn a_description_fits_into_a_frame_whatever_was_started() {
    let mut worker = Worker::start();
    let long = "x".repeat(100_000);
    for round in 0..8 {
        let id = format!("s{round}");
        let mut start = session(&id, &["true", &long, &long]);
        start.record = false;
        worker.start_session(start);
        worker.exited(&id);
    }
    assert_eq!(worker.describe().sessions.len(), 8);
}

fn replay(worker: &Worker, id: &str, codes: [&str; 2]) -> Vec<u8> {
    let mut out = Vec::new();
    let text = std::fs::read_to_string(worker.recording(id)).unwrap();
    for line in text.lines().skip(1) {
        let (_, code, data): (f64, String, String) = serde_json::from_str(line).unwrap();
        if code == codes[0] {
            out.extend(data.bytes());
        } else if code == codes[1] {
            out.extend(STANDARD.decode(data).unwrap());
        }
    }
    out
}

#[test]
fn the_recording_has_every_byte_of_a_terminal() {
    let mut worker = Worker::start();
    let script =
        r"i=0; while [ $i -lt 20000 ]; do printf 'é✳ %s \377\033[1m\n' $i; i=$((i+1)); done";
    let (_, mut client) = worker.shell("s", script);
    let all = client.rest();
    assert_eq!(worker.exited("s"), ExitStatus::Code(0));
    assert!(replay(&worker, "s", ["o", "b"]) == all);
    assert_eq!(worker.info("s").output_bytes, all.len() as u64);
    assert_eq!(worker.info("s").recording.as_deref(), Some("s.cast"));
}

#[test]
fn activity_follows_output_titles_and_hooks() {
    let mut worker = Worker::start();
    let script = r#"read a; printf '\033]0;\342\240\202 busy\007'; read a; echo '{"hook_event_name":"PermissionRequest"}' | "$PODBAY_AGENT" hook; read a; echo '{"hook_event_name":"Stop"}' | "$PODBAY_AGENT" hook; read a"#;
    worker.start_session(session("s", &["/bin/sh", "-c", script]));
    assert_eq!(worker.info("s").activity.state, ActivityState::Unknown);
    let step = |worker: &mut Worker, wanted: ActivityState, why: &str| {
        let data = b"\n".to_vec();
        worker
            .ask(ToAgentBody::Input {
                session: "s".into(),
                data,
            })
            .unwrap();
        worker.event(why, |event| match event {
            AgentEvent::Activity { activity, .. } if activity.state == wanted => {
                activity.why.contains(why).then_some(())
            }
            _ => None,
        });
    };
    step(&mut worker, ActivityState::Working, "output");
    wait_until("the title", || worker.info("s").title.contains("busy"));
    step(
        &mut worker,
        ActivityState::Waiting,
        "hook PermissionRequest",
    );
    step(&mut worker, ActivityState::Done, "hook Stop");
    worker
        .ask(ToAgentBody::Seen {
            session: "s".into(),
        })
        .unwrap();
    assert_eq!(worker.info("s").activity.state, ActivityState::Idle);
}

#[test]
fn quiet_after_output_is_done() {
    let mut worker = Worker::start();
    worker.start_session(session("s", &["/bin/sh", "-c", "echo x; exec sleep 1000"]));
    worker.event("done", |event| match event {
        AgentEvent::Activity { activity, .. } if activity.state == ActivityState::Done => Some(()),
        _ => None,
    });
    assert_eq!(worker.info("s").activity.why, "quiet for 1.5 s");
}
