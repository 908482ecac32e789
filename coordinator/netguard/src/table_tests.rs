//! The rules in a kernel: a network namespace of the test's own, sockets of several uids.

use super::*;
use crate::{count::Counts, needs, nflog, peer};
use nix::{
    sched::{CloneFlags, unshare},
    unistd::{Uid, setfsuid},
};
use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

const A: u32 = FIRST_UID;
const B: u32 = FIRST_UID + 1;
const LISTED: u32 = FIRST_UID + 2;
const STRANGER: u32 = FIRST_UID + 3;
/// An address that is this machine's own, but not a loopback one.
const OWN: &str = "198.51.100.1";
/// Beyond a link of this namespace: packets leave by it.
const OUTSIDE: &str = "198.51.100.2";

/// Runs with the rules in effect, which takes root.
fn in_a_namespace(test: impl FnOnce(&Socket) + Send + 'static) {
    let run = std::thread::spawn(move || {
        if !needs::met(
            "a network namespace of its own",
            unshare(CloneFlags::CLONE_NEWNET),
        ) {
            return;
        }
        let link = format!(
            "ip link set lo up && ip link add out type veth peer name other && ip link set other up && ip addr add {OWN}/24 dev out && \
             ip addr add 2001:db8::1/64 dev out nodad && ip addr add 10.9.0.1/24 dev out && \
             ip link set out up && ip route add default dev out && \
             ip -6 route add default dev out"
        );
        let done = Command::new("sh").args(["-c", &link]).status().unwrap();
        assert!(done.success(), "{link}");
        let socket = Socket::open().unwrap();
        replace(&socket, &workers(), true).unwrap();
        test(&socket);
    });
    run.join().unwrap();
}

fn worker(uid: u32, egress: &str) -> Guarded {
    let slot = u16::try_from(uid - FIRST_UID).unwrap();
    Guarded {
        uid,
        egress: egress.parse().unwrap(),
        ports: (20_000 + slot * 20, 20),
    }
}

fn workers() -> Vec<Guarded> {
    vec![
        worker(A, "open"),
        worker(B, "none"),
        worker(LISTED, "a.example.com,198.51.100.2:8443,[2001:db8::/32]:7"),
    ]
}

/// What `make` opens is this uid's.
fn by<T>(uid: u32, make: impl FnOnce() -> T) -> T {
    let before = setfsuid(Uid::from_raw(uid));
    let made = make();
    setfsuid(before);
    made
}

fn listen(uid: u32, at: &str) -> TcpListener {
    by(uid, || TcpListener::bind(at).unwrap())
}

fn connect(uid: u32, to: SocketAddr) -> Result<TcpStream, ErrorKind> {
    by(uid, || {
        TcpStream::connect_timeout(&to, Duration::from_secs(10)).map_err(|e| e.kind())
    })
}

/// Whether an attempt leaves the machine: nobody answers out there.
fn leaves(uid: u32, to: &str) -> bool {
    let to: SocketAddr = to.parse().unwrap();
    let tried = by(uid, || {
        TcpStream::connect_timeout(&to, Duration::from_millis(300)).map_err(|e| e.kind())
    });
    match tried.unwrap_err() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock | ErrorKind::HostUnreachable => true,
        ErrorKind::ConnectionRefused => false,
        other => panic!("{to}: {other:?}"),
    }
}

#[test]
fn a_worker_reaches_its_own_listeners_and_no_siblings() {
    in_a_namespace(|_| {
        for at in [
            "127.0.0.1:0",
            "[::1]:0",
            &format!("{OWN}:0"),
            "[2001:db8::1]:0",
        ] {
            for (listener, client, reached) in [
                (A, A, true),
                (B, B, true),
                (A, B, false),
                (B, A, false),
                (0, A, false),
                (0, STRANGER, false),
                (STRANGER, A, false),
                (A, 0, false),
                (0, 0, true),
            ] {
                let listening = listen(listener, at);
                let to = listening.local_addr().unwrap();
                let begun = Instant::now();
                let got = connect(client, to);
                let took = begun.elapsed();
                assert_eq!(
                    got.is_ok(),
                    reached,
                    "{client} to {listener} at {to}: {got:?}"
                );
                if let Err(kind) = got {
                    assert_eq!(kind, ErrorKind::ConnectionRefused);
                    assert!(took < Duration::from_secs(4), "{took:?}");
                    // AppliedLists by now: refused at once.
                    let begun = Instant::now();
                    assert!(connect(client, to).is_err());
                    // Sooner than a SYN is sent again.
                    assert!(begun.elapsed() < Duration::from_millis(900));
                }
            }
        }
    });
}

#[test]
fn a_full_queue_does_not_open_a_listener_to_siblings() {
    in_a_namespace(|_| {
        // Every answer to an attempt is a cookie now, as it is when a queue is full.
        std::fs::write("/proc/sys/net/ipv4/tcp_syncookies", "2").unwrap();
        let listening = listen(B, "127.0.0.1:0");
        listening.set_nonblocking(true).unwrap();
        let to = listening.local_addr().unwrap();
        for _ in 0..3 {
            let tried = by(A, || {
                TcpStream::connect_timeout(&to, Duration::from_millis(1500))
            });
            assert!(tried.is_err(), "{tried:?}");
        }
        assert_eq!(
            listening.accept().unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
    });
}

#[test]
fn what_is_sent_to_many_does_not_come_back_to_siblings() {
    in_a_namespace(|_| {
        let heard = by(B, || UdpSocket::bind("0.0.0.0:5353").unwrap());
        let group = std::net::Ipv4Addr::new(224, 0, 0, 251);
        let own: std::net::Ipv4Addr = OWN.parse().unwrap();
        heard.join_multicast_v4(&group, &own).unwrap();
        heard
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        let send = |uid: u32, to: &str| {
            let socket = by(uid, || UdpSocket::bind(("0.0.0.0", 0)).unwrap());
            socket.set_broadcast(true).unwrap();
            socket.send_to(b"x", to).map_err(|e| e.kind())
        };
        for to in ["224.0.0.251:5353", "255.255.255.255:5353"] {
            assert_eq!(send(A, to), Err(ErrorKind::PermissionDenied), "{to}");
        }
        assert!(heard.recv(&mut [0; 8]).is_err());
        send(0, "224.0.0.251:5353").unwrap();
        assert!(heard.recv(&mut [0; 8]).is_ok());
    });
}

#[test]
fn data_passes_both_ways_and_to_the_last_byte() {
    in_a_namespace(|_| {
        let listening = listen(B, "127.0.0.1:0");
        let to = listening.local_addr().unwrap();
        let echo = std::thread::spawn(move || {
            // A connection is its acceptor's.
            let (mut stream, _) = by(B, || listening.accept().unwrap());
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            stream.write_all(&all).unwrap();
        });
        let mut stream = connect(B, to).unwrap();
        let sent = vec![7u8; 3 << 20];
        stream.write_all(&sent).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut back = Vec::new();
        stream.read_to_end(&mut back).unwrap();
        assert!(back == sent);
        echo.join().unwrap();
    });
}

#[test]
fn the_proxys_port_is_everyones_while_the_proxy_itself_listens_there() {
    in_a_namespace(|_| {
        let at = format!("127.0.0.1:{PROXY_PORT}");
        // A root session takes the port while the guard is away: it has no mark and cannot set one.
        let stolen = listen(0, &at);
        for uid in [A, B, LISTED, STRANGER] {
            let tried = connect(uid, stolen.local_addr().unwrap());
            assert!(tried.is_err(), "{uid}");
        }
        assert!(connect(0, stolen.local_addr().unwrap()).is_ok());
        drop(stolen);
        // Those ports are known as a sibling's for a while.
        replace(&Socket::open().unwrap(), &workers(), true).unwrap();
        let proxy = listen(0, &at);
        crate::proxy::mark(&proxy).unwrap();
        for uid in [A, B, LISTED, STRANGER] {
            let stream = connect(uid, proxy.local_addr().unwrap()).unwrap();
            let (accepted, from) = proxy.accept().unwrap();
            let own = accepted.local_addr().unwrap();
            assert_eq!(peer::uid_of(from, own).unwrap(), Some(uid));
            drop(stream);
        }
        drop(proxy);
        let stolen = listen(B, &at);
        assert!(connect(A, stolen.local_addr().unwrap()).is_err());
    });
}

#[test]
fn each_class_leaves_the_machine_where_it_may() {
    in_a_namespace(|_| {
        let elsewhere = "203.0.113.9:443";
        for (uid, to, may) in [
            (0, elsewhere, true),
            (A, elsewhere, true),
            (A, "203.0.113.9:53", true),
            (A, "169.254.169.254:80", false),
            (A, "[fd00:ec2::254]:80", false),
            (B, elsewhere, false),
            (B, "[2001:db9::1]:443", false),
            (LISTED, elsewhere, false),
            (LISTED, &format!("{OUTSIDE}:8443"), true),
            (LISTED, &format!("{OUTSIDE}:443"), false),
            (LISTED, "[2001:db8:7::1]:7", true),
            (LISTED, "[2001:db8:7::1]:8", false),
            (LISTED, "10.9.0.2:443", false),
            (STRANGER, elsewhere, false),
            (STRANGER, "203.0.113.9:53", false),
        ] {
            assert_eq!(leaves(uid, to), may, "{uid} to {to}");
        }
    });
}

#[test]
fn questions_to_resolvers_are_for_open_workers_only() {
    in_a_namespace(|_| {
        let ask = |uid: u32, from: &str, to: &str| {
            by(uid, || {
                let socket = UdpSocket::bind(from).unwrap();
                socket.send_to(b"?", to).map_err(|e| e.kind())
            })
        };
        for to in ["203.0.113.53:53", "198.51.100.53:53"] {
            assert!(ask(A, "0.0.0.0:0", to).is_ok());
            for uid in [B, LISTED, STRANGER] {
                assert_eq!(ask(uid, "0.0.0.0:0", to), Err(ErrorKind::PermissionDenied));
            }
        }
        let local = UdpSocket::bind("127.0.0.11:53").unwrap();
        assert!(ask(A, "127.0.0.1:0", "127.0.0.11:53").is_ok());
        for uid in [B, LISTED, STRANGER] {
            assert!(ask(uid, "127.0.0.1:0", "127.0.0.11:53").is_err());
        }
        drop(local);
        let tcp = listen(0, "127.0.0.11:53");
        assert!(connect(A, tcp.local_addr().unwrap()).is_ok());
        assert!(connect(B, tcp.local_addr().unwrap()).is_err());
    });
}

#[test]
fn datagrams_on_loopback_stay_within_a_workers_own_ports() {
    in_a_namespace(|socket| {
        for (uid, port, passes) in [
            (A, 20_000, true),
            (A, 20_019, true),
            (A, 20_020, false),
            (A, 8125, false),
            (B, 20_020, true),
            (B, 20_000, false),
        ] {
            let to = UdpSocket::bind(("127.0.0.1", port)).unwrap();
            to.set_read_timeout(Some(Duration::from_millis(100)))
                .unwrap();
            let from = by(uid, || UdpSocket::bind("127.0.0.1:0").unwrap());
            let sent = from.send_to(b"x", ("127.0.0.1", port)).is_ok();
            assert_eq!(sent, passes, "{uid} to {port}");
            assert_eq!(to.recv(&mut [0; 8]).is_ok(), passes);
        }
        // Another uid goes on with a flow that was allowed: it is judged by its own rules.
        let (to, port) = ("203.0.113.53:53", 40_000);
        let first = by(A, || UdpSocket::bind(("0.0.0.0", port)).unwrap());
        first.send_to(b"?", to).unwrap();
        drop(first);
        let second = by(B, || UdpSocket::bind(("0.0.0.0", port)).unwrap());
        assert!(second.send_to(b"?", to).is_err());
        drop(second);
        // So is the next worker of that uid, once the first is removed.
        let all = workers();
        remove(socket, &all[0]).unwrap();
        remove(socket, &all[0]).unwrap();
        forget(socket, A).unwrap();
        add(socket, &worker(A, "none"), &mut AppliedLists::default()).unwrap();
        let third = by(A, || UdpSocket::bind(("0.0.0.0", port)).unwrap());
        assert!(third.send_to(b"?", to).is_err());
    });
}

#[test]
fn workers_come_and_go_and_nothing_is_left() {
    in_a_namespace(|socket| {
        let before = listed();
        let extra = worker(STRANGER, "203.0.113.9,203.0.113.0/24:8443");
        let begun = Instant::now();
        let mut known = replace(socket, &workers(), true).unwrap();
        add(socket, &extra, &mut known).unwrap();
        let added = begun.elapsed();
        assert!(leaves(STRANGER, "203.0.113.9:443"));
        let begun = Instant::now();
        remove(socket, &extra).unwrap();
        eprintln!("added in {added:?}, removed in {:?}", begun.elapsed());
        assert!(!leaves(STRANGER, "203.0.113.9:443"));
        replace(socket, &workers(), true).unwrap();
        if let (Some(before), Some(after)) = (before, listed()) {
            assert_eq!(before, after);
        }
        clear(socket).unwrap();
        clear(socket).unwrap();
        if let Some(left) = listed() {
            assert!(!left.contains("podbay"), "{left}");
        }
        assert!(leaves(B, "203.0.113.9:443"));
    });
}

#[test]
fn a_full_house_is_taken_in_one_step() {
    in_a_namespace(|socket| {
        let list = (0..64)
            .map(|n| format!("203.0.113.{n}"))
            .collect::<Vec<_>>()
            .join(",");
        let all: Vec<Guarded> = (0..256).map(|n| worker(FIRST_UID + n, &list)).collect();
        let begun = Instant::now();
        replace(socket, &all, true).unwrap();
        eprintln!("256 workers with 64 addresses each: {:?}", begun.elapsed());
        assert!(leaves(FIRST_UID + 255, "203.0.113.63:443"));
        assert!(!leaves(FIRST_UID + 255, "203.0.113.64:443"));
    });
}

#[test]
fn refusals_are_told_with_uid_and_target() {
    in_a_namespace(|_| {
        let counts = Arc::new(Counts::default());
        counts.keep(&[A, B]);
        let reports = nflog::open().unwrap();
        let counting = counts.clone();
        std::thread::spawn(move || nflog::follow(&reports, &counting));
        let closed = "203.0.113.9:443".parse().unwrap();
        for _ in 0..3 {
            assert!(connect(B, closed).is_err());
        }
        let begun = Instant::now();
        while counts.report().first().is_none_or(|d| d.count < 3) {
            assert!(
                begun.elapsed() < Duration::from_secs(5),
                "{:?}",
                counts.report()
            );
            std::thread::yield_now();
        }
        let report = counts.report();
        assert_eq!((report[0].uid, report.len()), (B, 1));
        assert_eq!(report[0].last, "tcp 203.0.113.9:443");
    });
}

#[test]
fn what_a_connection_costs() {
    in_a_namespace(|socket| {
        let listening = listen(A, "127.0.0.1:0");
        let to = listening.local_addr().unwrap();
        let accept = || by(A, || listening.accept().unwrap());
        let mean = || {
            let begun = Instant::now();
            for _ in 0..500 {
                let stream = connect(A, to).unwrap();
                drop((accept(), stream));
            }
            begun.elapsed() / 500
        };
        let with = mean();
        clear(socket).unwrap();
        let without = mean();
        eprintln!("a connection on loopback: {with:?} with rules, {without:?} without");
    });
}

/// The table as `nft` shows it, without what changes by itself; `None` where there is no `nft`.
fn listed() -> Option<String> {
    let output = Command::new("nft")
        .args(["list", "ruleset"])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then_some(text)
}
