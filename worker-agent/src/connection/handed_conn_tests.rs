//! Frames on a socket that was handed over: borders, first words, what is told.

use super::*;
use podbay_protocol::{AttachPiece, ErrorCode};
use std::{io::Read, os::unix::net::UnixStream};

const EXITED: SessionMessage = SessionMessage::Exited {
    status: podbay_protocol::ExitStatus::Code(0),
    oom: false,
};

fn words() -> [SessionMessage; 2] {
    let bytes = INPUT_WINDOW;
    let (writer, pipes) = (true, false);
    [
        SessionMessage::Window { bytes },
        SessionMessage::Attached { writer, pipes },
    ]
}

fn conn() -> (HandedConn, Reactor) {
    let source = Source::Client(1, 2, crate::event_loop::reactor::Lane::Main);
    (HandedConn::new(source), Reactor::new().unwrap())
}

/// Hands it a socket; the client's end.
fn handed(conn: &mut HandedConn, reactor: &mut Reactor) -> UnixStream {
    let (own, theirs) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    conn.adopt(theirs.into(), (true, false), b"", reactor)
        .unwrap();
    own.set_nonblocking(true).unwrap();
    own
}

#[derive(Debug, PartialEq)]
enum Said {
    Main(usize),
    Error(usize),
    Message(SessionMessage),
}

/// All that comes until nothing more does, output joined.
fn read(
    conn: &mut HandedConn,
    reactor: &Reactor,
    own: &mut UnixStream,
    decoder: &mut AttachDecoder,
) -> Vec<Said> {
    let (mut said, mut chunk) = (Vec::new(), vec![0; 50_000]);
    loop {
        let count = match own.read(&mut chunk) {
            Ok(0) => return said,
            Ok(count) => count,
            Err(_) if conn.queued() == 0 => return said,
            Err(_) => 0,
        };
        decoder.push(&chunk[..count]);
        while let Some(piece) = decoder.next_piece().unwrap() {
            match (piece, said.last_mut()) {
                (AttachPiece::Main(bytes), Some(Said::Main(all))) => *all += bytes.len(),
                (AttachPiece::Main(bytes), _) => said.push(Said::Main(bytes.len())),
                (AttachPiece::Error(bytes), _) => said.push(Said::Error(bytes.len())),
                (AttachPiece::Message(json), _) => {
                    said.push(Said::Message(serde_json::from_slice(json).unwrap()));
                }
            }
        }
        conn.flush(reactor).unwrap();
    }
}

fn decoder() -> AttachDecoder {
    AttachDecoder::new(MAX_ATTACH_MESSAGE)
}

#[test]
fn what_waited_for_the_socket_comes_behind_the_first_words() {
    let (mut conn, mut reactor) = conn();
    conn.send(AttachKind::Main, &[b'x'; 200_000], &reactor)
        .unwrap();
    conn.send(AttachKind::Error, b"error", &reactor).unwrap();
    conn.say_exited(&EXITED, &reactor).unwrap();
    conn.say_exited(&EXITED, &reactor).unwrap();
    let mut own = handed(&mut conn, &mut reactor);
    let [window, attached] = words().map(Said::Message);
    let expected = [
        window,
        attached,
        Said::Main(200_000),
        Said::Error(5),
        Said::Message(EXITED),
    ];
    assert_eq!(
        read(&mut conn, &reactor, &mut own, &mut decoder()),
        expected
    );
}

#[test]
fn what_is_dropped_ends_at_a_frame_and_never_takes_the_first_words_along() {
    // Nothing of it, a part of a frame, or several frames have been sent.
    for (frames, size, reads) in [
        (0, 0, 0),
        (1, 60_000, 0),
        (40, 64 << 10, 1),
        (4000, 900, 3),
        (9, 64 << 10, 9),
    ] {
        let (mut conn, mut reactor) = conn();
        let mut own = handed(&mut conn, &mut reactor);
        let (mut decoder, mut chunk, mut early) = (decoder(), vec![0; 30_000], Vec::new());
        for _ in 0..frames {
            conn.send(AttachKind::Main, &vec![b'x'; size], &reactor)
                .unwrap();
        }
        for _ in 0..reads {
            let count = own.read(&mut chunk).unwrap();
            early.extend_from_slice(&chunk[..count]);
            conn.flush(&reactor).unwrap();
        }
        let waited = conn.queued();
        conn.drop_waiting(&reactor).unwrap();
        assert!(
            conn.queued() <= size + AttachHead::LEN,
            "{} of {waited}",
            conn.queued()
        );
        conn.send(AttachKind::Error, b"restored", &reactor).unwrap();
        decoder.push(&early);
        let mut seen = 0;
        while let Some(piece) = decoder.next_piece().unwrap() {
            seen += usize::from(matches!(piece, AttachPiece::Message(_)));
        }
        let said = read(&mut conn, &reactor, &mut own, &mut decoder);
        seen += said
            .iter()
            .filter(|said| matches!(said, Said::Message(_)))
            .count();
        assert_eq!(seen, 2, "both first words");
        assert_eq!(said.last(), Some(&Said::Error(8)));
    }
}

#[test]
fn first_words_that_wait_are_kept_and_so_is_what_was_told() {
    let (mut conn, mut reactor) = conn();
    let (mut own, theirs) = UnixStream::pair().unwrap();
    own.set_nonblocking(true).unwrap();
    theirs.set_nonblocking(true).unwrap();
    // The socket is full before the agent has it.
    let mut filled = 0;
    while let Ok(count) = std::io::Write::write(&mut &theirs, &[0; 4096]) {
        filled += count;
    }
    conn.adopt(theirs.into(), (true, false), b"", &mut reactor)
        .unwrap();
    conn.count(INPUT_WINDOW as usize, &reactor).unwrap();
    let waited = conn.queued();
    conn.drop_waiting(&reactor).unwrap();
    assert_eq!(conn.queued(), waited, "told again");
    let error = AgentError {
        code: ErrorCode::Invalid,
        message: "no ".repeat(MAX_ATTACH_MESSAGE),
    };
    for round in 0..1000 {
        conn.refuse(error.clone(), &reactor).unwrap();
        conn.set_writer(round % 2 == 1, &reactor).unwrap();
        conn.count(INPUT_WINDOW as usize, &reactor).unwrap();
    }
    assert!(
        conn.queued() < 1000 + MAX_REASON,
        "one of each waits: {}",
        conn.queued()
    );
    conn.send(AttachKind::Main, &[b'x'; 100], &reactor).unwrap();
    conn.set_writer(false, &reactor).unwrap();
    conn.drop_waiting(&reactor).unwrap();
    let mut skipped = vec![0; filled];
    let mut at = 0;
    while at < filled {
        at += own.read(&mut skipped[at..]).unwrap();
    }
    conn.flush(&reactor).unwrap();
    let said = read(&mut conn, &reactor, &mut own, &mut decoder());
    let [window, attached] = words().map(Said::Message);
    let total = 1001 * u64::from(INPUT_WINDOW);
    let taken = Said::Message(SessionMessage::Taken { total });
    let writer = Said::Message(SessionMessage::Writer { writer: false });
    assert_eq!(said, [window, attached, writer, taken]);
    // Once it was read, the next one is told.
    conn.refuse(error, &reactor).unwrap();
    let said = read(&mut conn, &reactor, &mut own, &mut decoder());
    assert!(
        matches!(said[..], [Said::Message(SessionMessage::Refused(_))]),
        "{said:?}"
    );
}

#[test]
fn taken_input_is_told_with_each_quarter_of_the_window() {
    let (mut conn, mut reactor) = conn();
    let mut own = handed(&mut conn, &mut reactor);
    let mut decoder = decoder();
    read(&mut conn, &reactor, &mut own, &mut decoder);
    let mut told = 0;
    for byte in 1..=INPUT_WINDOW {
        conn.count(1, &reactor).unwrap();
        for said in read(&mut conn, &reactor, &mut own, &mut decoder) {
            assert_eq!(
                said,
                Said::Message(SessionMessage::Taken { total: byte.into() })
            );
            told += 1;
        }
    }
    assert_eq!(told, 4);
    assert!(conn.keep_input(&vec![0; INPUT_WINDOW as usize]));
    assert!(!conn.keep_input(b"x"));
    assert_eq!(conn.take_input().len(), INPUT_WINDOW as usize);
    assert!(conn.keep_input(b"x"));
}
