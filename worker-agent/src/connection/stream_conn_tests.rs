//! A connection with its queue, on real sockets.

use super::*;
use std::{io::Write, os::unix::net::UnixListener, time::Duration};

struct Bench {
    conn: StreamConn,
    reactor: Reactor,
    listener: UnixListener,
    folder: tempfile::TempDir,
}

fn bench() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    Bench {
        conn: StreamConn::new(Source::Control),
        reactor: Reactor::new().unwrap(),
        listener: UnixListener::bind(folder.path().join("s")).unwrap(),
        folder,
    }
}

impl Bench {
    fn dial(&mut self) -> UnixStream {
        let path = self.folder.path().join("s");
        self.conn.dial(&path, &mut self.reactor).unwrap();
        let (stream, _) = self.listener.accept().unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream
    }
}

fn numbers(range: std::ops::Range<u32>) -> Vec<u8> {
    range.flat_map(u32::to_be_bytes).collect()
}

#[test]
fn what_waited_for_the_dial_comes_behind_the_greeting() {
    let mut bench = bench();
    bench.conn.send(b"first ", &bench.reactor).unwrap();
    bench.conn.send(b"second", &bench.reactor).unwrap();
    assert!(!bench.conn.connected());
    assert_eq!(bench.conn.queued(), 12);
    assert_eq!(bench.conn.receive(&mut [0; 8]).unwrap(), Received::Nothing);
    bench.conn.flush(&bench.reactor).unwrap();
    assert_eq!(bench.conn.queued(), 12, "nobody has it yet");
    let mut stream = bench.dial();
    bench.conn.greet(b"hello ");
    bench.conn.flush(&bench.reactor).unwrap();
    assert_eq!(bench.conn.queued(), 0);
    bench.conn.shut();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"hello first second");
}

#[test]
fn a_slow_peer_gets_every_byte_once_and_in_order() {
    let mut bench = bench();
    let mut stream = bench.dial();
    let (mut sent, mut got) = (0, Vec::new());
    let mut chunk = vec![0; 50_000];
    // More is sent than is read, until there is much, and then the rest is taken.
    while sent < 600_000 {
        bench
            .conn
            .send(&numbers(sent..sent + 20_000), &bench.reactor)
            .unwrap();
        sent += 20_000;
        let count = stream.read(&mut chunk).unwrap();
        got.extend_from_slice(&chunk[..count]);
        bench.conn.flush(&bench.reactor).unwrap();
        let there = got.len() + bench.conn.queued();
        assert!(there <= sent as usize * 4, "{there}");
    }
    assert!(bench.conn.queued() > 0);
    while got.len() < sent as usize * 4 {
        let count = stream.read(&mut chunk).unwrap();
        assert!(count > 0);
        got.extend_from_slice(&chunk[..count]);
        bench.conn.flush(&bench.reactor).unwrap();
    }
    assert!(got == numbers(0..sent));
    assert_eq!(bench.conn.queued(), 0);
}

#[test]
fn room_is_watched_for_only_while_something_waits() {
    let mut bench = bench();
    let mut stream = bench.dial();
    let mut ready = Vec::new();
    let flags = |reactor: &mut Reactor, ready: &mut Vec<(u64, EpollFlags)>| {
        reactor.wait(Some(Duration::ZERO), ready);
        ready
            .iter()
            .fold(EpollFlags::empty(), |all, (_, flags)| all | *flags)
    };
    assert_eq!(flags(&mut bench.reactor, &mut ready), EpollFlags::empty());
    bench.conn.want_room(true, &bench.reactor);
    assert_eq!(flags(&mut bench.reactor, &mut ready), EpollFlags::EPOLLOUT);
    bench.conn.want_room(false, &bench.reactor);
    assert_eq!(flags(&mut bench.reactor, &mut ready), EpollFlags::empty());
    stream.write_all(b"x").unwrap();
    assert_eq!(flags(&mut bench.reactor, &mut ready), EpollFlags::EPOLLIN);
    bench.conn.set_reading(false, &bench.reactor);
    assert_eq!(flags(&mut bench.reactor, &mut ready), EpollFlags::empty());
    // Full: there is no room, and once the peer has read there is.
    bench.conn.send(&vec![0; 4 << 20], &bench.reactor).unwrap();
    assert!(bench.conn.queued() > 0);
    assert_eq!(flags(&mut bench.reactor, &mut ready), EpollFlags::empty());
    let mut chunk = vec![0; 1 << 20];
    stream.read_exact(&mut chunk).ok();
    assert_eq!(flags(&mut bench.reactor, &mut ready), EpollFlags::EPOLLOUT);
    bench.conn.close(&mut bench.reactor);
    assert_eq!(bench.conn.queued(), 0);
    assert_eq!(flags(&mut bench.reactor, &mut ready), EpollFlags::empty());
}

#[test]
fn an_ended_input_is_not_a_peer_that_is_gone() {
    let mut bench = bench();
    let mut stream = bench.dial();
    stream.write_all(b"last").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut buffer = [0; 8];
    assert_eq!(bench.conn.receive(&mut buffer).unwrap(), Received::Bytes(4));
    assert_eq!(bench.conn.receive(&mut buffer).unwrap(), Received::End);
    assert!(!bench.conn.hung_up());
    bench.conn.send(b"answer", &bench.reactor).unwrap();
    bench.conn.shut();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"answer");
    drop(stream);
    assert!(bench.conn.hung_up());
}

#[test]
fn a_peer_that_is_gone_is_an_error_and_no_signal() {
    let mut bench = bench();
    drop(bench.dial());
    assert!(bench.conn.hung_up());
    assert_eq!(bench.conn.send(b"x", &bench.reactor), Err(Errno::EPIPE));
    assert_eq!(bench.conn.receive(&mut [0; 8]).unwrap(), Received::End);
    bench.conn.close(&mut bench.reactor);
    assert!(!bench.conn.connected() && !bench.conn.hung_up());
    // The listener is gone as well.
    let path = bench.folder.path().join("s");
    drop(bench.listener);
    let refused = bench.conn.dial(&path, &mut bench.reactor);
    assert_eq!(refused, Err(Errno::ECONNREFUSED));
    let nowhere = bench.folder.path().join("nowhere");
    assert_eq!(
        bench.conn.dial(&nowhere, &mut bench.reactor),
        Err(Errno::ENOENT)
    );
    assert!(!bench.conn.connected());
}
