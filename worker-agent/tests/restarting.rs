//! Starting a main session again on the real binary.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods
)]

mod support;

use podbay_protocol::*;
use support::{Worker, attach, session, wait_until};

fn restart(worker: &mut Worker, next: &str, grace_ms: u64) -> Result<Reply, AgentError> {
    worker.ask(ToAgentBody::Restart {
        session: "s".into(),
        next: next.into(),
        grace_ms,
        claim: serde_json::json!({ "run": 2 }),
    })
}

fn outcome(worker: &mut Worker) -> Result<i32, AgentError> {
    worker.event("the restart", |event| match event {
        AgentEvent::Restarted { outcome, .. } => Some(outcome.clone()),
        _ => None,
    })
}

fn primary(script: &str) -> StartSession {
    let mut start = session("s", &["/bin/sh", "-c", script]);
    start.primary = true;
    start.claim = Some(serde_json::json!({ "run": 1 }));
    start
}

#[test]
fn the_same_program_runs_again_with_its_environment_as_another_session() {
    let mut worker = Worker::start();
    let mut start = primary("sleep 1000 & echo child $! is $SECRET; stty size; wait");
    start.env.insert("SECRET".into(), "kept".into());
    start.attach = Some(attach("s", "c1", AttachMode::Write));
    let first = worker.start_session(start);
    let mut client = worker.stream("c1");
    let seen = client.until("\n");
    let child: i32 = seen.split_whitespace().nth(1).unwrap().parse().unwrap();
    worker
        .ask(ToAgentBody::Resize {
            stream: "c1".into(),
            size: Size { cols: 99, rows: 33 },
        })
        .unwrap();
    restart(&mut worker, "s-1", 1000).unwrap();
    let second = outcome(&mut worker).unwrap();
    assert_eq!(worker.exited("s"), ExitStatus::Signal(15));
    assert_ne!(first, second);
    client.rest();
    wait_until("the end of what ran beside it", || {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(child), None).is_err()
    });
    wait_until("the size it had", || worker.screen("s-1").contains("33 99"));
    let (writer, mut again) = worker.attach(attach("s-1", "c2", AttachMode::Write));
    assert!(writer);
    again.until("is kept");
    let sessions = worker.describe().sessions;
    let main: Vec<_> = sessions.iter().filter(|s| s.primary).collect();
    assert_eq!(main.len(), 1, "one main session");
    assert_eq!((main[0].session.as_str(), main[0].pid), ("s-1", second));
    assert_eq!(main[0].claim, Some(serde_json::json!({ "run": 2 })));
}

#[test]
fn what_ignores_term_is_killed_after_the_grace_and_started_again() {
    let mut worker = Worker::start();
    worker.start_session(primary("trap '' TERM HUP; while :; do sleep 1000; done"));
    wait_until("the trap", || worker.info("s").pid > 0);
    restart(&mut worker, "s-1", 100).unwrap();
    assert!(outcome(&mut worker).unwrap() > 0);
    assert!(matches!(worker.exited("s"), ExitStatus::Signal(9 | 15)));
}

#[test]
fn a_program_that_is_gone_is_said_so_and_nothing_is_ended() {
    let mut worker = Worker::start();
    let program = worker.dir.path().join("program");
    std::fs::copy("/bin/sleep", &program).unwrap();
    let mut start = session("s", &[program.to_str().unwrap(), "1000"]);
    start.primary = true;
    worker.start_session(start);
    std::fs::remove_file(&program).unwrap();
    let error = restart(&mut worker, "s-1", 1000).unwrap_err();
    assert_eq!(error.code, ErrorCode::CommandNotFound);
    let info = worker.info("s");
    assert!(info.primary && info.exit.is_none());
    assert_eq!(worker.describe().sessions.len(), 1);
}

#[test]
fn a_stop_in_between_calls_the_second_start_off() {
    let mut worker = Worker::start();
    let (_, mut client) = {
        let mut start = primary("trap '' TERM HUP; echo deaf; while :; do sleep 1000; done");
        start.attach = Some(attach("s", "c1", AttachMode::Write));
        (worker.start_session(start), worker.stream("c1"))
    };
    client.until("deaf");
    restart(&mut worker, "s-1", 3_600_000).unwrap();
    let refused = restart(&mut worker, "s-2", 0).unwrap_err();
    assert_eq!(refused.code, ErrorCode::Invalid);
    worker
        .ask(ToAgentBody::Stop {
            session: "s".into(),
            grace_ms: 50,
        })
        .unwrap();
    assert_eq!(worker.exited("s"), ExitStatus::Signal(9));
    let sessions = worker.describe().sessions;
    assert_eq!(sessions.len(), 1, "{sessions:?}");
}

#[test]
fn only_a_main_session_that_runs_is_restarted() {
    let mut worker = Worker::start();
    let code = |result: Result<Reply, AgentError>| result.unwrap_err().code;
    assert_eq!(code(restart(&mut worker, "n", 0)), ErrorCode::NoSuchSession);
    worker.start_session(primary("exit 0"));
    worker.exited("s");
    assert_eq!(code(restart(&mut worker, "n", 0)), ErrorCode::Invalid);
    worker.start_session(session("x", &["sleep", "1000"]));
    let beside = worker.ask(ToAgentBody::Restart {
        session: "x".into(),
        next: "n".into(),
        grace_ms: 0,
        claim: serde_json::Value::Null,
    });
    assert_eq!(code(beside), ErrorCode::Invalid);
}

#[test]
fn a_claim_record_is_replaced() {
    let mut worker = Worker::start();
    worker.start_session(primary("sleep 1000"));
    worker
        .ask(ToAgentBody::UpdateClaim {
            session: "s".into(),
            claim: serde_json::json!({ "name": "new" }),
        })
        .unwrap();
    let claim = worker.info("s").claim.unwrap();
    assert_eq!(claim, serde_json::json!({ "name": "new" }));
}
