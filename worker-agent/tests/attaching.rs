//! Clients on the real binary: attach, restore, writers, slow clients, a coordinator that goes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods
)]

mod support;

use podbay_protocol::*;
use std::io::Read;
use support::{Worker, attach, session, wait_until};

#[test]
fn detach_and_attach_restores_the_screen_and_goes_on() {
    let mut worker = Worker::start();
    let (pid, mut client) = worker.shell(
        "s",
        "stty -echo; echo first; while read x; do echo \"<$x>\"; done",
    );
    client.until("first");
    client.type_in("one\n");
    client.until("<one>");
    drop(client);
    assert_eq!(worker.detached("s-0"), 0);
    worker
        .ask(ToAgentBody::Input {
            session: "s".into(),
            data: b"two\n".to_vec(),
        })
        .unwrap();
    wait_until("the screen", || worker.screen("s").contains("<two>"));
    let (writer, mut client) = worker.attach(attach("s", "again", AttachMode::Write));
    assert!(writer);
    let seen = client.until("<two>");
    assert!(seen.contains("first") && seen.contains("<one>"), "{seen}");
    client.type_in("three\n");
    client.until("<three>");
    assert_eq!(worker.info("s").pid, pid);
}

#[test]
fn one_writes_others_read_and_takeover_moves_the_size() {
    let mut worker = Worker::start();
    let size = |cols, rows| Some(Size { cols, rows });
    let script =
        "stty -echo; trap 'stty size' WINCH; echo up; while :; do read x && echo \"<$x>\"; done";
    let mut start = session("s", &["/bin/sh", "-c", script]);
    let mut first = attach("s", "a", AttachMode::Write);
    first.size = size(100, 30);
    start.attach = Some(first);
    worker.start_session(start);
    let mut a = worker.stream("a");
    a.until("up");
    assert_eq!(
        worker.info("s").size,
        size(100, 30),
        "the first client's size is set before exec"
    );
    let mut second = attach("s", "b", AttachMode::Write);
    second.size = size(60, 20);
    let (writer, mut b) = worker.attach(second);
    assert!(!writer);
    b.until("up");
    b.type_in("ignored\n");
    a.type_in("from a\n");
    assert!(!b.until("<from a>").contains("ignored"));
    worker
        .ask(ToAgentBody::Resize {
            stream: "b".into(),
            size: Size { cols: 61, rows: 21 },
        })
        .unwrap();
    assert_eq!(
        worker.info("s").size,
        size(100, 30),
        "a reader's size is not followed"
    );
    worker
        .ask(ToAgentBody::Takeover { stream: "b".into() })
        .unwrap();
    assert_eq!(worker.info("s").size, size(61, 21));
    b.type_in("from b\n");
    assert!(!a.until("<from b>").contains("ignored"));
    drop(b);
    assert_eq!(worker.detached("b"), 1);
    assert_eq!(
        worker.info("s").size,
        size(100, 30),
        "the oldest writer inherits"
    );
    a.type_in("a again\n");
    a.until("<a again>");
    let (writer, mut c) = worker.attach(attach("s", "c", AttachMode::ReadOnly));
    assert!(!writer);
    c.until("<a again>");
    let gone = worker
        .ask(ToAgentBody::Takeover { stream: "b".into() })
        .unwrap_err();
    assert_eq!(gone.code, ErrorCode::NoSuchSession);
}

#[test]
fn attaching_makes_a_full_screen_program_repaint() {
    let mut worker = Worker::start();
    let script = "trap 'stty size' WINCH; echo up; while :; do read x; done";
    let (_, mut client) = worker.shell("s", script);
    client.until("up");
    drop(client);
    worker.detached("s-0");
    let (_, mut client) = worker.attach(attach("s", "b", AttachMode::Write));
    client.until("23 80");
    client.until("24 80");
}

#[test]
fn a_stopped_client_blocks_nobody_and_gets_a_fresh_screen() {
    let mut worker = Worker::start();
    // In bursts well below a client's bound, so that who reads each of them is never too slow.
    let script = "stty -echo -onlcr; i=0; while read x; do n=$((i+10000)); \
                  while [ $i -lt $n ]; do echo \"line $i of the flood that goes on and on\"; i=$((i+1)); done; \
                  echo \"END $n\"; done";
    let (_, mut fast) = worker.shell("s", script);
    let (_, mut slow) = worker.attach(attach("s", "slow", AttachMode::ReadOnly));
    let mut all = String::new();
    for burst in 1..=20 {
        fast.type_in("\n");
        all.push_str(&fast.until(&format!("END {}\n", burst * 10_000)));
    }
    let lines: Vec<_> = all.lines().filter(|l| l.starts_with("line ")).collect();
    assert_eq!(lines.len(), 200_000);
    for (at, line) in lines.iter().enumerate() {
        assert!(
            line.starts_with(&format!("line {at} ")),
            "line {at}: {line}"
        );
    }
    // Only now does the slow one read: what was sent first, then a reset and the screen.
    let seen = slow.until("END 200000");
    assert!(seen.len() < all.len(), "{} of {}", seen.len(), all.len());
    // So little that a watcher who reads slowly on purpose is up to date soon.
    println!("{} bytes until the watcher is up to date", seen.len());
    assert!(seen.len() < 1 << 20, "{} bytes to catch up", seen.len());
    assert!(
        seen.contains("\x1bc"),
        "a reset comes before the fresh screen"
    );
    fast.type_in("\n");
    slow.until("END 210000");
}

/// The numbers `nN.` in a text; a piece without its end is left out.
fn numbers(bytes: &[u8]) -> Vec<u32> {
    let text = plain(&String::from_utf8_lossy(bytes));
    let parts = text.split('n').skip(1);
    parts
        .filter_map(|part| part.split_once('.')?.0.parse().ok())
        .collect()
}

/// A text without its control sequences: a restored screen may end in the middle of a line, and
/// what sets the modes then stands before the rest of it.
fn plain(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, sequence)) = rest.split_once('\x1b') {
        out.push_str(before);
        let end = match sequence.chars().next() {
            Some('[') => sequence[1..]
                .find(|c| ('@'..='~').contains(&c))
                .map(|n| n + 2),
            Some(']') => sequence.find(['\x07', '\x1b']).map(|n| n + 1),
            Some('(' | ')' | '#') => Some(2),
            _ => Some(1),
        };
        rest = end.and_then(|end| sequence.get(end..)).unwrap_or_default();
    }
    out + rest
}

#[test]
fn restore_and_live_bytes_meet_without_gap_or_double() {
    let mut worker = Worker::start();
    let stop = worker.dir.path().join("stop");
    let script = "i=0; while [ ! -e STOP ]; do echo \"n$i.\"; i=$((i+1)); done; echo END; read x";
    let script = script.replace("STOP", stop.to_str().unwrap());
    worker.start_session(session("s", &["/bin/sh", "-c", &script]));
    for round in 0..10 {
        let id = format!("r{round}");
        let (_, mut client) = worker.attach(attach("s", &id, AttachMode::ReadOnly));
        let (mut buffer, mut seen) = (vec![0; 65536], Vec::new());
        // A blob has no more lines than scrollback and screen, 5024: the rest came live.
        while numbers(&seen).len() < 8000 {
            let count = client.socket.read(&mut buffer).unwrap();
            assert!(count > 0, "the stream ended");
            seen.extend_from_slice(&buffer[..count]);
        }
        let found = numbers(&seen);
        if let Some(gap) = found.windows(2).find(|w| w[1] != w[0] + 1) {
            panic!("round {round}: {gap:?} among {} numbers", found.len());
        }
    }
    std::fs::write(&stop, "").unwrap();
}

#[test]
fn a_coordinator_that_goes_and_comes_back_finds_everything() {
    let mut worker = Worker::start();
    let (pid, mut client) = worker.shell("s", "echo up; i=0; while read x; do echo \"<$x>\"; done");
    client.until("up");
    worker.start_session(session("gone", &["/bin/sh", "-c", "sleep 0.2; exit 9"]));
    let mut start = session("claimed", &["sleep", "1000"]);
    start.claim = Some(serde_json::json!({"project": "/p"}));
    start.primary = true;
    worker.start_session(start);
    worker.coordinator_dies();
    assert!(client.rest().is_empty(), "streams end with the coordinator");
    worker.coordinator_returns();
    wait_until("the exit", || {
        worker.info("gone").exit == Some(ExitStatus::Code(9))
    });
    let claimed = worker.info("claimed");
    assert_eq!(claimed.claim, Some(serde_json::json!({"project": "/p"})));
    assert!(claimed.primary);
    assert_eq!((worker.info("s").pid, worker.info("s").clients), (pid, 0));
    let (_, mut client) = worker.attach(attach("s", "again", AttachMode::Write));
    client.until("up");
    client.type_in("still\n");
    client.until("<still>");
}

#[test]
fn unknown_operations_are_answered_and_garbage_is_not_survived() {
    let mut worker = Worker::start();
    let body = br#"{"id":77,"op":"levitate","height":3}"#;
    worker.send_raw(&u32::try_from(body.len()).unwrap().to_be_bytes());
    worker.send_raw(body);
    assert_eq!(worker.answer(77).unwrap_err().code, ErrorCode::Unsupported);
    // A coordinator of the next version says more than is known.
    let body = br#"{"id":76,"op":"ping","urgently":true,"trace":{"a":[1]}}"#;
    worker.send_raw(&u32::try_from(body.len()).unwrap().to_be_bytes());
    worker.send_raw(body);
    assert_eq!(worker.answer(76), Ok(Reply::Done));
    let body = br#"{"id":78,"op":"signal","session":5}"#;
    worker.send_raw(&u32::try_from(body.len()).unwrap().to_be_bytes());
    worker.send_raw(body);
    assert_eq!(worker.answer(78).unwrap_err().code, ErrorCode::Invalid);
    for garbage in [
        &b"\xff\xff\xff\xffgarbage"[..],
        b"\0\0\0\x05hello",
        b"\0\0\0\x02{}",
    ] {
        worker.send_raw(garbage);
        worker.greet();
        assert_eq!(worker.ask(ToAgentBody::Ping), Ok(Reply::Done));
    }
}

#[test]
fn queries_are_answered_while_nobody_is_attached() {
    let mut worker = Worker::start();
    let script = "stty raw -echo; printf '\\033[c'; dd bs=1 count=1 2>/dev/null | od -c | head -1; exec sleep 1000";
    worker.start_session(session("s", &["/bin/sh", "-c", script]));
    wait_until("the answer", || worker.screen("s").contains("033"));
}

/// What programs ask their terminal, and what the model says to the last question.
const QUERIES: &str = "\\033[6n\\033[c\\033[>c\\033[?25$p\\033]10;?\\007\\033]11;?\\007\\033[18t";
const LAST_ANSWER: &str = "\x1b[8;24;80t";

#[test]
fn exactly_one_side_answers_queries_whoever_is_attached() {
    let mut worker = Worker::start();
    let (heard, ask) = (
        worker.dir.path().join("heard"),
        worker.dir.path().join("ask"),
    );
    let script = format!(
        "stty raw -echo; exec 3<&0; cat <&3 > {} & \
         while :; do if [ -e {ask} ]; then rm {ask}; printf '{QUERIES}'; fi; sleep 0.01; done",
        heard.display(),
        ask = ask.display(),
    );
    worker.start_session(session("s", &["/bin/sh", "-c", &script]));
    wait_until("the program", || heard.exists());
    let ask = || std::fs::write(&ask, "").unwrap();
    // What was typed into the program since the last call, once `last` is there.
    let mut before = 0;
    let mut typed = |last: &str| {
        let mut all = String::new();
        wait_until(last, || {
            all = std::fs::read_to_string(&heard).unwrap();
            all.get(before..).is_some_and(|new| new.contains(last))
        });
        let new = all[before..].to_owned();
        before = all.len();
        new
    };
    let answers = |new: &str| {
        for answer in [
            "\x1b[1;1R",
            "\x1b[?6c",
            "\x1b[>0;",
            "\x1b[?25;1$y",
            "\x1b]10;rgb:",
            "\x1b]11;rgb:",
            LAST_ANSWER,
        ] {
            assert_eq!(new.matches(answer).count(), 1, "{answer:?} in {new:?}");
        }
    };
    ask();
    answers(&typed(LAST_ANSWER));
    // Who only watches is never heard; a dashboard draws what it gets.
    let (_, _watcher) = worker.attach(attach("s", "watcher", AttachMode::ReadOnly));
    ask();
    answers(&typed(LAST_ANSWER));
    let terminal = |stream: &str, mode| Attach {
        size: Some(Size { cols: 80, rows: 24 }),
        ..attach("s", stream, mode)
    };
    let mut dashboard = terminal("dashboard", AttachMode::Write);
    dashboard.silent = true;
    let (writer, dashboard) = worker.attach(dashboard);
    assert!(writer);
    ask();
    answers(&typed(LAST_ANSWER));
    // The terminal of the one who types gets the questions, and answers.
    let (writer, mut real) = worker.attach(terminal("real", AttachMode::Takeover));
    assert!(writer);
    ask();
    real.until("\x1b[18t");
    real.type_in("its answer");
    assert_eq!(typed("its answer"), "its answer");
    // A terminal that does not type is not heard, so it does not count.
    worker
        .ask(ToAgentBody::Takeover {
            stream: "dashboard".into(),
        })
        .unwrap();
    ask();
    answers(&typed(LAST_ANSWER));
    drop(dashboard);
    worker.detached("dashboard");
    real.until("\x1b[18t");
    ask();
    real.until("\x1b[18t");
    real.type_in("another");
    assert_eq!(typed("another"), "another");
    drop(real);
    worker.detached("real");
    ask();
    answers(&typed(LAST_ANSWER));
}
