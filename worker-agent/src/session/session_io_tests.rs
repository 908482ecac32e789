//! A program's descriptors: real pipes and a real terminal, with the test as the program.

use super::*;
use crate::session::stdio::open_stdio;
use podbay_protocol::StartSession;
use std::{fs::File, io::Read};

const SIZE: Size = Size { cols: 80, rows: 24 };

fn start() -> StartSession {
    serde_json::from_value(serde_json::json!({
        "session": "s", "argv": ["x"], "env": {}, "cwd": "/", "user": "u", "home": "/",
        "uid": nix::unistd::geteuid().as_raw(), "gid": nix::unistd::getegid().as_raw(),
        "io": {"kind": "pipes"}, "record": false, "primary": false
    }))
    .unwrap()
}

/// The agent's side, and the program's stdin, stdout and stderr.
fn pipes(reactor: &mut Reactor) -> (ProgramIo, [File; 3]) {
    let Stdio::Pipes { child, own } = open_stdio(&start(), None).unwrap() else {
        panic!("no pipes")
    };
    let [stdin, stdout, stderr] = child.each_ref().map(|fd| fd.try_clone().unwrap());
    let io = ProgramIo::new(Stdio::Pipes { child, own }, 1, reactor);
    (io, [stdin, stdout, stderr].map(File::from))
}

/// What is ready now.
fn ready(reactor: &mut Reactor) -> Vec<(Source, EpollFlags)> {
    let mut tokens = Vec::new();
    reactor.wait(Some(std::time::Duration::ZERO), &mut tokens);
    let known = tokens
        .iter()
        .filter_map(|(token, flags)| Some((reactor.source(*token)?, *flags)));
    known.collect()
}

#[test]
fn the_end_of_the_input_comes_behind_what_waits_for_a_slow_program() {
    let mut reactor = Reactor::new().unwrap();
    let (mut io, [mut stdin, _stdout, _stderr]) = pipes(&mut reactor);
    let sent: Vec<u8> = (0..700_000_u32).map(|n| (n >> 4) as u8).collect();
    for piece in sent.chunks(99_999) {
        io.write(piece, &mut reactor);
    }
    assert!(io.waiting() > 0);
    io.end_input(&mut reactor);
    assert!(io.waiting() > 0, "it is not cut off");
    assert_eq!(ready(&mut reactor), [], "the pipe is full");
    let (mut got, mut chunk) = (Vec::new(), vec![0; 30_000]);
    loop {
        let count = stdin.read(&mut chunk).unwrap();
        if count == 0 {
            break;
        }
        got.extend_from_slice(&chunk[..count]);
        io.writable(&mut reactor);
    }
    assert!(got == sent, "{} of {} bytes", got.len(), sent.len());
    assert_eq!(io.waiting(), 0);
    // Typed too late: nobody reads it, and nothing waits for ever.
    io.write(b"late", &mut reactor);
    assert_eq!(io.waiting(), 0);
}

#[test]
fn a_program_that_closes_its_input_takes_all_and_gets_none() {
    let mut reactor = Reactor::new().unwrap();
    let (mut io, [stdin, mut stdout, _stderr]) = pipes(&mut reactor);
    io.write(&vec![b'x'; 200_000], &mut reactor);
    assert!(io.waiting() > 0);
    drop(stdin);
    io.writable(&mut reactor);
    assert_eq!(io.waiting(), 0, "what waited is thrown away");
    io.write(b"more", &mut reactor);
    io.end_input(&mut reactor);
    // Its output is another matter.
    use std::io::Write;
    stdout.write_all(b"said").unwrap();
    assert_eq!(io.unread(Source::Stdout(1)), 4);
    assert_eq!(io.unread(Source::Stderr(1)), 0);
    assert_eq!(
        ready(&mut reactor),
        [(Source::Stdout(1), EpollFlags::EPOLLIN)]
    );
    io.set_reading(false, &mut reactor);
    assert_eq!(ready(&mut reactor), [], "a slow client slows the program");
    io.set_reading(true, &mut reactor);
    let ProgramIo::Pipes {
        stdout: Some(pipe), ..
    } = &io
    else {
        panic!("no stdout")
    };
    let mut buffer = [0; 3];
    assert_eq!(pipe.read(&mut buffer), (3, ReadOutcome::BufferFull));
    assert_eq!(pipe.read(&mut buffer), (1, ReadOutcome::NothingNow));
    drop(stdout);
    assert_eq!(pipe.read(&mut buffer), (0, ReadOutcome::Closed));
    io.close(&mut reactor);
    io.close(&mut reactor);
    assert_eq!(ready(&mut reactor), []);
    assert_eq!(io.unread(Source::Stdout(1)), 0);
}

#[test]
fn a_terminal_has_a_size_and_no_end_of_input() {
    let mut reactor = Reactor::new().unwrap();
    let stdio = open_stdio(&start(), Some(SIZE)).unwrap();
    let [program, ..] = stdio.child();
    let program = program.try_clone_to_owned().unwrap();
    let mut io = ProgramIo::new(stdio, 1, &mut reactor);
    assert!(io.resize(Size {
        cols: 132,
        rows: 50
    }));
    let size = rustix::termios::tcgetwinsize(&program).unwrap();
    assert_eq!((size.ws_col, size.ws_row), (132, 50));
    io.end_input(&mut reactor);
    io.write(b"line\n", &mut reactor);
    assert_eq!(io.waiting(), 0);
    let mut buffer = [0; 16];
    let count = nix::unistd::read(&program, &mut buffer).unwrap();
    assert_eq!(&buffer[..count], b"line\n");
    let ProgramIo::Terminal { master, slave } = &mut io else {
        panic!("no terminal")
    };
    // Typed characters are shown: that is the terminal's doing.
    let mut shown = [0; 16];
    assert_eq!(master.read(&mut shown), (6, ReadOutcome::NothingNow));
    assert_eq!(&shown[..6], b"line\r\n");
    // Once nobody has it open any more, it is closed, and not an error.
    drop((slave.take(), program));
    assert_eq!(master.read(&mut shown), (0, ReadOutcome::Closed));
    io.close(&mut reactor);
    assert!(!io.resize(SIZE));
}
