//! Clients whose sockets the agent has, on the real binary.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods
)]

mod support;

use podbay_protocol::*;
use support::{
    Worker, attach,
    handed::{Said, frame},
    session, wait_until,
};

#[test]
fn a_handed_client_gets_screen_output_and_exit_on_its_own_socket() {
    let mut worker = Worker::start();
    let script = "stty -echo; echo first; while read x; do echo \"<$x>\"; \
                  [ $x = end ] && exit 7; done";
    let (pid, mut client) = worker.handed_shell("s", script);
    assert_eq!(client.greeted(), (true, false));
    client.until("first");
    client.type_in("one\n");
    client.until("<one>");
    assert_eq!(worker.info("s").streams, ["s-0"]);
    drop(client);
    assert_eq!(worker.detached("s-0"), 0);
    // What waits for the socket: the screen, and what came before it.
    let mut again = attach("s", "again", AttachMode::Write);
    again.handed = true;
    let attached = worker.ask(ToAgentBody::Attach(again));
    assert_eq!(attached, Ok(Reply::Attached { writer: true }));
    let typed = worker.ask(ToAgentBody::Input {
        session: "s".into(),
        data: b"two\n".to_vec(),
    });
    assert_eq!(typed, Ok(Reply::Done));
    wait_until("the screen", || worker.screen("s").contains("<two>"));
    // What the coordinator read of the client's is heard first.
    let first = frame(AttachKind::Main, b"thr");
    let mut client = worker.hand("again", &first);
    assert_eq!(client.greeted(), (true, false));
    client.type_in("ee\n");
    let seen = client.until("<three>");
    let order = ["first", "<one>", "<two>"].map(|text| seen.find(text).unwrap());
    assert!(order.is_sorted(), "{seen}");
    assert_eq!(worker.info("s").pid, pid);
    client.type_in("end\n");
    let said = client.rest();
    let Some((Said::Message(last), [Said::Main(output)])) = said.split_last() else {
        panic!("{said:?}");
    };
    assert!(String::from_utf8_lossy(output).contains("<end>"));
    let status = ExitStatus::Code(7);
    assert_eq!(*last, SessionMessage::Exited { status, oom: false });
    assert_eq!(worker.exited("s"), status);
    drop(client);
    assert_eq!(worker.detached("again"), 0);
    // Who attaches afterwards gets the last screen and the exit.
    let (writer, mut late) = worker.attach_handed(attach("s", "late", AttachMode::Write));
    assert!(!writer);
    assert_eq!(late.greeted(), (false, false));
    let said = late.rest();
    assert!(
        matches!(&said[0], Said::Main(screen) if String::from_utf8_lossy(screen).contains("<end>"))
    );
    assert_eq!(
        said[1..],
        [Said::Message(SessionMessage::Exited { status, oom: false })]
    );
}

#[test]
fn one_writes_others_read_and_a_takeover_moves_the_size() {
    let mut worker = Worker::start();
    let size = |cols, rows| Some(Size { cols, rows });
    let mut start = session(
        "s",
        &[
            "/bin/sh",
            "-c",
            "stty -echo; echo up; while read x; do echo \"<$x>\"; done",
        ],
    );
    let mut first = attach("s", "a", AttachMode::Write);
    (first.size, first.handed) = (size(100, 30), true);
    start.attach = Some(first);
    worker.start_session(start);
    assert_eq!(
        worker.info("s").size,
        size(100, 30),
        "it is set before exec"
    );
    let mut a = worker.hand("a", b"");
    a.until("up");
    let mut second = attach("s", "b", AttachMode::Write);
    second.size = size(60, 20);
    let (writer, mut b) = worker.attach_handed(second);
    assert_eq!((writer, b.greeted()), (false, (false, false)));
    b.say(ClientMessage::Resize {
        size: Size { cols: 61, rows: 21 },
    });
    // What is not typed is counted, or its sender would wait for ever.
    b.type_all(&vec![b'x'; 3 * INPUT_WINDOW as usize]);
    while b.taken < 2 * u64::from(INPUT_WINDOW) {
        assert!(b.read());
    }
    assert_eq!(
        worker.info("s").size,
        size(100, 30),
        "a reader's size is not followed"
    );
    a.type_in("from a\n");
    let seen = b.until("<from a>");
    assert!(!seen.contains('x'), "{seen}");
    b.say(ClientMessage::Takeover);
    b.type_in("from b\n");
    b.until("<from b>");
    assert_eq!(b.writer, Some(true));
    a.until("<from b>");
    assert_eq!(a.writer, Some(false));
    assert_eq!(worker.new_writer("s"), "b");
    wait_until("the writer's size", || {
        worker.info("s").size == size(61, 21)
    });
    for cols in 62..=90 {
        b.say(ClientMessage::Resize {
            size: Size { cols, rows: 22 },
        });
    }
    wait_until("the last size", || worker.info("s").size == size(90, 22));
    // The coordinator can say the same of any client.
    let takeover = ToAgentBody::Takeover { stream: "a".into() };
    assert_eq!(worker.ask(takeover), Ok(Reply::Done));
    assert_eq!(worker.info("s").size, size(100, 30));
    b.say(ClientMessage::Takeover);
    wait_until("the taker's size", || worker.info("s").size == size(90, 22));
    drop(b);
    assert_eq!(worker.detached("b"), 1);
    assert_eq!(
        worker.info("s").size,
        size(100, 30),
        "the oldest writer inherits"
    );
    // Its terminal may show that somebody else typed: it gets a new screen.
    let mut seen = a.until("\x1bc");
    a.type_in("a again\n");
    seen += &a.until("<a again>");
    let (_, screen) = seen.rsplit_once("\x1bc").unwrap();
    assert!(screen.contains("<from b>"), "{seen}");
    assert_eq!(a.writer, Some(true));
}

#[test]
fn everything_else_is_heard_beside_input_that_the_program_does_not_read() {
    let mut worker = Worker::start();
    let script = "stty raw -echo; trap 'echo usr1' USR1; trap 'echo winch' WINCH; echo up; \
                  while :; do sleep 0.02; done";
    let (pid, mut client) = worker.handed_shell("s", script);
    client.greeted();
    client.until("up");
    // What the program can have waiting is taken; what then is kept is not.
    client.type_in(vec![b'x'; INPUT_WINDOW as usize]);
    while client.taken == 0 {
        assert!(client.read());
    }
    let granted = u64::from(INPUT_WINDOW) - (client.sent - client.taken);
    client.type_in(vec![b'y'; granted as usize]);
    client.say(ClientMessage::Signal { signal: 10 });
    client.until("usr1");
    client.say(ClientMessage::Resize {
        size: Size { cols: 99, rows: 33 },
    });
    client.until("winch");
    assert!(client.sent - client.taken <= u64::from(INPUT_WINDOW));
    // A signal that the system refuses is no reason to part.
    client.say(ClientMessage::Signal { signal: 4000 });
    let SessionMessage::Refused(error) = client.message() else {
        panic!("no refusal");
    };
    assert_eq!(error.code, ErrorCode::System, "{}", error.message);
    let untaken = client.sent - client.taken;
    client.type_in(vec![b'z'; INPUT_WINDOW as usize]);
    client.type_in(vec![b'z'; INPUT_WINDOW as usize]);
    assert_eq!(client.rest(), [], "{untaken} bytes were untaken before");
    assert_eq!(worker.detached("s-0"), 0);
    assert_eq!(worker.info("s").pid, pid, "only the client goes");
}

#[test]
fn nothing_of_a_watcher_reaches_the_session() {
    let mut worker = Worker::start();
    let script = "stty -echo; trap 'echo SIGNAL' USR1 WINCH; echo up; \
                  while :; do read x && echo \"<$x>\"; done";
    let (_, mut writer) = worker.handed_shell("s", script);
    writer.until("up");
    let (writes, mut watcher) = worker.attach_handed(attach("s", "w", AttachMode::ReadOnly));
    assert_eq!((writes, watcher.greeted()), (false, (false, false)));
    let before = worker.info("s").size;
    for _ in 0..200 {
        watcher.say(ClientMessage::Takeover);
        watcher.type_in("typed by a watcher\n");
        watcher.say(ClientMessage::Signal { signal: 10 });
        watcher.say(ClientMessage::Resize {
            size: Size { cols: 33, rows: 33 },
        });
        watcher.say(ClientMessage::Eof);
    }
    // All of it was heard once what was typed behind it is counted.
    watcher.type_all(&vec![b'x'; 2 * INPUT_WINDOW as usize]);
    let SessionMessage::Refused(error) = watcher.message() else {
        panic!("no refusal");
    };
    assert_eq!(error.code, ErrorCode::Invalid);
    while watcher.taken < u64::from(INPUT_WINDOW) {
        assert!(watcher.read());
    }
    writer.type_in("mine\n");
    let seen = writer.until("<mine>");
    assert!(
        !seen.contains("SIGNAL") && !seen.contains("watcher"),
        "{seen}"
    );
    watcher.until("<mine>");
    assert_eq!(watcher.said, [], "one refusal is enough");
    assert_eq!(worker.info("s").size, before);
    drop(writer);
    worker.detached("s-0");
    // Nor does it inherit.
    watcher.type_in("inherited\n");
    watcher.say(ClientMessage::Takeover);
    let (writes, mut next) = worker.attach_handed(attach("s", "n", AttachMode::Write));
    assert!(writes);
    next.type_in("next\n");
    assert!(!next.until("<next>").contains("inherited"));
}

#[test]
fn a_frame_that_no_client_sends_parts_that_client_alone() {
    let mut worker = Worker::start();
    let (_, mut good) = worker.handed_shell("s", "stty -echo; echo up; exec cat");
    good.until("up");
    let long = AttachHead {
        kind: AttachKind::Main,
        len: MAX_ATTACH_DATA + 1,
    };
    let talk = AttachHead {
        kind: AttachKind::Message,
        len: MAX_ATTACH_MESSAGE + 1,
    };
    for (round, bad) in [
        vec![9, 0, 0, 0, 0],
        vec![b'x'; 100_000],
        long.bytes().to_vec(),
        talk.bytes().to_vec(),
        frame(AttachKind::Error, b"no client has a stderr"),
    ]
    .into_iter()
    .enumerate()
    {
        let stream = format!("bad{round}");
        // Once behind the socket, once in front of it.
        let (_, mut client) = worker.attach_handed(attach("s", &stream, AttachMode::Write));
        client.greeted();
        let mut wire = message_frame(&ClientMessage::Takeover).unwrap();
        wire.extend(frame(AttachKind::Main, stream.as_bytes()));
        wire.extend(b"\0\0\0\0\x02{}");
        wire.extend(&bad);
        // Its end may be a reset while it is still being written.
        drop(std::io::Write::write_all(&mut client.socket, &wire));
        client.rest();
        assert_eq!(worker.detached(&stream), 1);
        let mut again = attach("s", &stream, AttachMode::ReadOnly);
        again.handed = true;
        worker.ask(ToAgentBody::Attach(again)).unwrap();
        worker.hand(&stream, &bad).rest();
        assert_eq!(worker.detached(&stream), 1);
        good.type_in(format!("good{round}\n"));
        // What came before the bad frame was typed.
        good.until(&format!("{stream}good{round}"));
    }
}

#[test]
fn a_client_whose_socket_never_comes_is_detached() {
    let mut worker = Worker::start();
    let (_, mut client) = worker.handed_shell("s", "stty -echo; echo up; exec cat");
    client.until("up");
    let mut never = attach("s", "never", AttachMode::Takeover);
    never.handed = true;
    let attached = worker.ask(ToAgentBody::Attach(never));
    assert_eq!(attached, Ok(Reply::Attached { writer: true }));
    // It wrote, and the one that was there inherits.
    assert_eq!(worker.detached("never"), 1);
    client.type_in("mine\n");
    client.until("mine");
}
