//! Handed clients that are slow, that flood, and that lose their coordinator, on the real binary.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods
)]

mod support;

use podbay_protocol::*;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};
use support::{
    Worker, attach,
    handed::{Handed, Said},
    session, wait_until,
};
use worker_agent::screen::{Screen, ScreenOptions};

/// A program on pipes with a handed client.
fn on_pipes(worker: &mut Worker, id: &str, script: &str, mode: AttachMode) -> Handed {
    let mut start = session(id, &["/bin/sh", "-c", script]);
    start.io = SessionIo::Pipes;
    let mut first = attach(id, &format!("{id}-0"), mode);
    first.handed = true;
    start.attach = Some(first);
    worker.start_session(start);
    let mut client = worker.hand(&format!("{id}-0"), b"");
    assert_eq!(client.greeted(), (mode != AttachMode::ReadOnly, true));
    client
}

fn shown(bytes: &[u8]) -> String {
    let mut screen = Screen::new(80, 24, ScreenOptions { scrollback: 100 });
    screen.process(bytes);
    screen.text().join("\n")
}

#[test]
fn a_client_that_does_not_read_gets_a_whole_frame_and_then_the_screen() {
    let mut worker = Worker::start();
    // Lines of many lengths, so that frames end anywhere.
    let script = "stty -echo; i=0; while read x; do n=$((i+4000)); while [ $i -lt $n ]; do \
                  printf '\\033[3%dm%*d\\n' $((i%7)) $((i%200)) $i; i=$((i+1)); done; \
                  printf 'END %d\\n' $n; done";
    let (_, mut fast) = worker.handed_shell("s", script);
    let mut slow = [("w", AttachMode::Write), ("r", AttachMode::ReadOnly)].map(|(id, mode)| {
        let (_, client) = worker.attach_handed(attach("s", id, mode));
        client
    });
    for burst in 1..=10 {
        fast.type_in("\n");
        fast.until(&format!("END {}\r\n", burst * 4000));
    }
    let mut seen = slow.each_mut().map(|client| client.until("END 40000"));
    fast.type_in("\n");
    fast.until("END 44000\r\n");
    for (client, seen) in slow.iter_mut().zip(&mut seen) {
        // Up to date, and from here on it gets what everybody gets.
        let more = client.until("END 44000\r\n");
        assert!(more.len() < 1 << 20, "{}", more.len());
        seen.push_str(&more);
        // Less than everything came, and it is the screen all the same.
        assert!(
            seen.contains("\x1bc") && seen.len() < 4 << 20,
            "{}",
            seen.len()
        );
        assert_eq!(
            shown(seen.as_bytes()).trim_end(),
            worker.screen("s").trim_end()
        );
    }
}

#[test]
fn a_slow_client_of_pipes_loses_nothing_of_either_stream() {
    let mut worker = Worker::start();
    let script = "seq 1 300000 & seq 300001 600000 >&2; wait; exec cat";
    let mut client = on_pipes(&mut worker, "s", script, AttachMode::Write);
    let lines = |from: u32, to: u32| -> Vec<u8> {
        (from..=to)
            .flat_map(|n| format!("{n}\n").into_bytes())
            .collect()
    };
    // The program is held up, and its client with it: until somebody reads.
    let bytes = |worker: &mut Worker| worker.info("s").output_bytes;
    let mut before = 0;
    wait_until("the program waits", || {
        let now = bytes(&mut worker);
        std::mem::replace(&mut before, now) == now && now > 0
    });
    assert!(before < 2_000_000, "{before} bytes wait for a client");
    let typed = lines(1, 200_000);
    let expected = [lines(1, 300_000), typed.clone()].concat();
    let mut writer = Handed::new(client.socket.try_clone().unwrap());
    // Echoes are read here while the input goes out there: one connection, both ways at once.
    client.type_all(&typed);
    client.say(ClientMessage::Eof);
    let said = client.rest();
    let of = |wanted: fn(&Said) -> Option<&Vec<u8>>| -> Vec<u8> {
        said.iter().filter_map(wanted).flatten().copied().collect()
    };
    let main = of(|said| match said {
        Said::Main(bytes) => Some(bytes),
        _ => None,
    });
    let error = of(|said| match said {
        Said::Error(bytes) => Some(bytes),
        _ => None,
    });
    assert!(
        main == expected,
        "{} of {} bytes",
        main.len(),
        expected.len()
    );
    assert!(error == lines(300_001, 600_000), "{} bytes", error.len());
    let exited = SessionMessage::Exited {
        status: ExitStatus::Code(0),
        oom: false,
    };
    assert_eq!(said.last(), Some(&Said::Message(exited)));
    assert!(!writer.read(), "closed");
}

#[test]
fn an_end_of_input_is_the_writers_and_waits_for_who_becomes_it() {
    let mut worker = Worker::start();
    let script = "cat; echo over";
    let mut a = on_pipes(&mut worker, "s", script, AttachMode::Write);
    let (_, mut b) = worker.attach_handed(attach("s", "b", AttachMode::Write));
    let (_, mut watcher) = worker.attach_handed(attach("s", "w", AttachMode::ReadOnly));
    assert_eq!(b.greeted(), (false, true));
    watcher.greeted();
    watcher.say(ClientMessage::Eof);
    b.say(ClientMessage::Eof);
    b.type_in("too late");
    a.type_in("still open\n");
    a.until("still open\n");
    // Typed and gone: it is still typed. The end that the other one said is in effect then.
    a.type_in("last words\n");
    drop(a);
    let seen = b.until("over\n");
    assert!(seen.ends_with("last words\nover\n"), "{seen}");
    let last = b.rest();
    assert!(
        matches!(last[..], [Said::Message(SessionMessage::Exited { .. })]),
        "{last:?}"
    );
}

#[test]
fn what_a_writer_typed_before_it_left_is_typed_also_to_a_program_that_reads_later() {
    let mut worker = Worker::start();
    let go = worker.dir.path().join("go");
    let script = "while [ ! -e GO ]; do sleep 0.02; done; wc -c";
    let script = script.replace("GO", go.to_str().unwrap());
    let mut a = on_pipes(&mut worker, "s", &script, AttachMode::Write);
    let (_, mut b) = worker.attach_handed(attach("s", "b", AttachMode::Write));
    b.greeted();
    b.say(ClientMessage::Eof);
    // One window in the pipe, one on its way into it, and a half that is kept for the program.
    let typed = 5 * INPUT_WINDOW as usize / 2;
    a.type_all(&vec![b'x'; typed]);
    assert!(a.taken < a.sent);
    drop(a);
    std::fs::write(&go, "").unwrap();
    b.until(&format!("{typed}\n"));
}

#[test]
fn a_client_does_not_notice_that_the_coordinator_goes_twenty_times() {
    let mut worker = Worker::start();
    let (_, mut client) = worker.handed_shell("s", "stty raw -echo; echo up; exec cat");
    client.greeted();
    client.until("up");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let over = &over;
        let typist = scope.spawn(move || {
            let (mut typed, mut lines) = (String::new(), 0);
            while !over.load(Ordering::Relaxed) || lines < 1000 {
                let line = format!("line {lines}\n");
                client.type_all(line.as_bytes());
                typed.push_str(&line);
                lines += 1;
                // As a person: the echo first.
                while client.output().len() < typed.len() {
                    assert!(client.read(), "the connection ended at line {lines}");
                }
            }
            assert!(client.text() == typed, "a byte is missing, or there twice");
            assert!(client.said.iter().all(|said| matches!(said, Said::Main(_))));
            client
        });
        for round in 0..20 {
            let (_, mut relayed) =
                worker.attach(attach("s", &format!("r{round}"), AttachMode::ReadOnly));
            let mut waits = attach("s", &format!("h{round}"), AttachMode::Write);
            waits.handed = true;
            worker.ask(ToAgentBody::Attach(waits)).unwrap();
            assert_eq!(worker.info("s").clients, 3);
            worker.coordinator_dies();
            relayed.rest();
            worker.coordinator_returns();
            let info = worker.info("s");
            assert_eq!((info.clients, info.streams), (1, vec!["s-0".to_owned()]));
        }
        over.store(true, Ordering::Relaxed);
        let client = typist.join().unwrap();
        drop(client);
    });
    // Its end is told to whoever is there then.
    let gone = worker.event("the detach", |event| match event {
        AgentEvent::Detached { stream, .. } => Some(stream.clone()),
        _ => None,
    });
    assert_eq!(gone, "s-0");
}

#[test]
fn a_flood_of_wishes_keeps_nobody_from_typing() {
    let mut worker = Worker::start();
    let (_, flooder) = worker.handed_shell("flood", "trap '' WINCH; sleep 1000");
    let (_, mut other) = worker.handed_shell("s", "stty raw -echo; echo up; exec cat");
    let began = Instant::now();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let over = &over;
        let mut flood = Handed::new(flooder.socket.try_clone().unwrap());
        scope.spawn(move || {
            let mut cols = 10;
            while !over.load(Ordering::Relaxed) {
                for _ in 0..100 {
                    cols = if cols == 300 { 10 } else { cols + 1 };
                    let size = Size { cols, rows: 40 };
                    flood.say(ClientMessage::Resize { size });
                    flood.say(ClientMessage::Signal { signal: 28 });
                    flood.say(ClientMessage::Takeover);
                    flood.say(ClientMessage::Signal { signal: 4000 });
                }
            }
            let size = Size { cols: 77, rows: 44 };
            flood.say(ClientMessage::Resize { size });
        });
        other.greeted();
        other.until("up");
        for key in 0..500 {
            let key = format!("key {key}.");
            other.type_in(&key);
            other.until(&key);
        }
        over.store(true, Ordering::Relaxed);
    });
    let last = Size { cols: 77, rows: 44 };
    wait_until("the last size", || worker.info("flood").size == Some(last));
    // Sizes that nobody could see are not reported either.
    let resized = worker
        .events
        .iter()
        .filter(|event| matches!(event, AgentEvent::Resized { .. }));
    println!("{} sizes were followed", resized.count());
    // However many they are, the program and its screen are laid out so often and no more.
    let resized = |event: &&AgentEvent| matches!(event, AgentEvent::Resized { .. });
    let resized = worker.events.iter().filter(resized).count() as u128;
    let most = began.elapsed().as_millis() / 20 + 2;
    assert!(resized > 1 && resized <= most, "{resized} of {most}");
}
