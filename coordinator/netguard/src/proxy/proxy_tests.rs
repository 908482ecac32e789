//! The proxy on real sockets: clients of a worker's uid, and a host in another network namespace.

use super::*;
use crate::{needs, wire::Denied};
use nix::{
    sched::{CloneFlags, unshare},
    unistd::{Uid, gettid, setfsuid},
};
use std::{
    io::{ErrorKind, Read, Write},
    net::{self, Shutdown},
    process::Command,
    sync::mpsc::channel,
};

const WORKER: u32 = FIRST_UID + 3;
/// The proxy's own address, and its host's, on a link between two namespaces.
const OWN: &str = "198.51.100.1";
const HOST: &str = "198.51.100.2";
/// A read that takes so long has failed.
const BOUND: Duration = Duration::from_secs(20);

/// One connection to the proxy, which serves it to its end.
fn through<T: Send>(
    lists: &Arc<Lists>,
    counts: &Counts,
    uid: u32,
    talk: impl FnOnce(net::TcpStream) -> T + Send,
) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    std::thread::scope(|scope| {
        let client = scope.spawn(move || {
            setfsuid(Uid::from_raw(uid));
            let stream = net::TcpStream::connect(to).unwrap();
            stream.set_read_timeout(Some(BOUND)).unwrap();
            talk(stream)
        });
        let (accepted, from) = listener.accept().unwrap();
        accepted.set_nonblocking(true).unwrap();
        runtime.block_on(async {
            let accepted = TcpStream::from_std(accepted).unwrap();
            serve(accepted, from, lists, counts).await;
        });
        client.join().unwrap()
    })
}

fn lists(egress: &str) -> Arc<Lists> {
    let lists = Arc::new(Lists::default());
    lists.set(WORKER, &egress.parse().unwrap());
    lists
}

fn counts() -> Counts {
    let counts = Counts::default();
    counts.begin(WORKER);
    counts
}

fn rest(stream: &mut net::TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    all
}

/// Says something, ends, and gives the whole answer.
fn said(mut stream: net::TcpStream, bytes: &[u8]) -> Vec<u8> {
    stream.write_all(bytes).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    rest(&mut stream)
}

/// Status and reason of a refusal, which is a whole answer that a client can tell from a host's.
fn refusal(answer: &[u8]) -> (u16, String) {
    let mut headers = [httparse::EMPTY_HEADER; 16];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(answer).unwrap();
    let httparse::Status::Complete(length) = parsed else {
        panic!("{}", String::from_utf8_lossy(answer))
    };
    let body = String::from_utf8(answer[length..].to_vec()).unwrap();
    let header = |name: &str| {
        let named: Vec<_> = response.headers.iter().filter(|h| h.name == name).collect();
        assert_eq!(named.len(), 1, "{name}");
        String::from_utf8(named[0].value.to_vec()).unwrap()
    };
    assert_eq!(header("Content-Length"), body.len().to_string());
    assert_eq!(header("Connection"), "close");
    let reason = header("X-Podbay-Reason");
    assert!(reason.is_ascii());
    assert_eq!(body, format!("podbay: {reason}\n"));
    assert_eq!(response.headers.len(), 4);
    (response.code.unwrap(), reason)
}

fn asked(lists: &Arc<Lists>, counts: &Counts, uid: u32, request: &[u8]) -> (u16, String) {
    refusal(&through(lists, counts, uid, |stream| said(stream, request)))
}

/// A request whose head has exactly so many bytes.
fn head_of(length: usize) -> Vec<u8> {
    let mut head = b"CONNECT b.example.com:443 HTTP/1.1\r\nA: ".to_vec();
    head.resize(length - 4, b'x');
    head.extend(b"\r\n\r\n");
    head
}

#[test]
fn only_workers_uids_are_served() {
    if !needs::root() {
        return;
    }
    let (lists, counts) = (lists("none"), counts());
    let request = b"CONNECT a.example.com:443 HTTP/1.1\r\n\r\n";
    for uid in [0, FIRST_UID - 1, FIRST_UID + UIDS] {
        let (status, reason) = asked(&lists, &counts, uid, request);
        assert_eq!(status, 403, "{uid}");
        assert!(reason.contains("only workers"), "{uid}: {reason}");
    }
    // A worker that nobody announced has no list, and so no way out.
    for uid in [FIRST_UID, FIRST_UID + UIDS - 1] {
        let (status, reason) = asked(&lists, &counts, uid, request);
        assert_eq!(status, 403, "{uid}");
        assert!(reason.contains("egress is none"), "{uid}: {reason}");
    }
    assert_eq!(counts.report(), []);
}

#[test]
fn each_wrong_request_gets_its_status_and_only_denials_are_counted() {
    if !needs::root() {
        return;
    }
    let (lists, counts) = (lists("a.example.com"), counts());
    for (request, status, part) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], 400, "this is a proxy"),
        (
            b"GET https://a.example.com/ HTTP/1.1\r\n\r\n",
            400,
            "use CONNECT",
        ),
        (
            b"\x16\x03\x01\x02\x00\x01\x00",
            400,
            "not an HTTP/1.1 request",
        ),
        (
            b"CONNECT a.example.com:0 HTTP/1.1\r\n\r\n",
            400,
            "HOST:PORT",
        ),
        (
            b"CONNECT a.example.com:443 HTTP/1.1\r\nHo",
            400,
            "ends before",
        ),
        (&head_of(MOST_HEAD + 1), 431, "over 16384 bytes"),
        (&vec![b'A'; 3 * MOST_HEAD], 431, "over 16384 bytes"),
    ] {
        let (found, reason) = asked(&lists, &counts, WORKER, request);
        assert_eq!(found, status, "{reason}");
        assert!(reason.contains(part), "{reason}");
    }
    assert_eq!(counts.report(), []);
    // The largest head there may be is read, and what it asks for is judged.
    let (status, reason) = asked(&lists, &counts, WORKER, &head_of(MOST_HEAD));
    assert_eq!(status, 403);
    assert!(reason.contains("b.example.com:443 (not on"), "{reason}");
    let expected = Denied {
        uid: WORKER,
        count: 1,
        last: "b.example.com:443 (not on the profile's list)".to_owned(),
    };
    assert_eq!(counts.report(), [expected]);
}

#[test]
fn a_client_that_says_nothing_gets_nothing() {
    if !needs::root() {
        return;
    }
    let answer = through(&lists("none"), &counts(), WORKER, |stream| {
        said(stream, b"")
    });
    assert_eq!(answer, b"");
}

#[test]
fn a_refusal_reaches_a_client_that_is_still_sending() {
    if !needs::root() {
        return;
    }
    let (lists, counts) = (lists("none"), counts());
    let answer = through(&lists, &counts, WORKER, |mut stream| {
        stream.write_all(b"POST / HTTP/1.1\r\n\r\n").unwrap();
        stream.write_all(&vec![b'x'; 200 << 10]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        rest(&mut stream)
    });
    assert_eq!(refusal(&answer).0, 400);
}

#[test]
fn connections_are_bounded_for_each_worker_and_given_back() {
    let lists = Arc::new(Lists::default());
    let mut own: Vec<_> = (0..CONNECTIONS_EACH)
        .map(|_| lists.enter(WORKER).unwrap())
        .collect();
    assert!(lists.enter(WORKER).is_none());
    // Another worker is not kept out by it, until there are too many of all.
    let others: Vec<_> = (1..)
        .map(|n| WORKER + n)
        .flat_map(|uid| (0..CONNECTIONS_EACH).map(move |_| uid))
        .map_while(|uid| lists.enter(uid))
        .collect();
    assert_eq!(own.len() + others.len(), CONNECTIONS);
    drop(others);
    assert!(lists.enter(WORKER).is_none());
    own.pop();
    let again = lists.enter(WORKER);
    assert!(again.is_some());
    drop((own, again));
    assert!(!lists.lock().open.contains_key(&WORKER));
}

/// Runs with a host beyond a link, which handles one connection to each of its ports in turn.
fn beyond(
    serve_host: impl FnOnce(net::TcpListener) + Send + 'static,
    test: impl FnOnce() + Send + 'static,
) {
    let run = std::thread::spawn(move || {
        let own = unshare(CloneFlags::CLONE_NEWNET);
        if !needs::met("a network namespace of its own", own) {
            return;
        }
        let (thread, its) = channel();
        let (linked, wait) = channel::<()>();
        let (listening, ready) = channel();
        let host = std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            thread.send(gettid()).unwrap();
            wait.recv().unwrap();
            sh(&format!(
                "ip link set lo up && ip addr add {HOST}/24 dev other && ip link set other up"
            ));
            let listener = net::TcpListener::bind((HOST, 80)).unwrap();
            listening.send(()).unwrap();
            serve_host(listener);
        });
        let host_thread = its.recv().unwrap();
        sh(&format!(
            "ip link set lo up && ip link add out type veth peer name other && \
             ip link set other netns {host_thread} && ip addr add {OWN}/24 dev out && \
             ip link set out up"
        ));
        linked.send(()).unwrap();
        ready.recv().unwrap();
        test();
        host.join().unwrap();
    });
    run.join().unwrap();
}

fn sh(script: &str) {
    let done = Command::new("sh").args(["-c", script]).status().unwrap();
    assert!(done.success(), "{script}");
}

/// What the next client of a host sends until it ends, and the connection.
fn heard(listener: &net::TcpListener) -> (Vec<u8>, net::TcpStream) {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    let all = rest(&mut stream);
    (all, stream)
}

#[test]
fn a_tunnel_carries_all_bytes_both_ways_and_each_end_by_itself() {
    const BYTES: usize = 3 << 20;
    let pattern =
        |seed: usize| -> Vec<u8> { (0..BYTES).map(|n| ((n * seed) >> 3) as u8).collect() };
    beyond(
        move |listener| {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(BOUND)).unwrap();
            let mut answering = stream.try_clone().unwrap();
            let answer = std::thread::spawn(move || answering.write_all(&pattern(7)).unwrap());
            assert!(rest(&mut stream) == pattern(3), "what the client sent");
            answer.join().unwrap();
            // The client has ended, and is answered all the same.
            stream.write_all(b"and that was all").unwrap();
        },
        move || {
            let lists = lists(&format!("{HOST}:80"));
            let got = through(&lists, &counts(), WORKER, |mut stream| {
                // The first bytes come along with the head.
                let mut first = format!("CONNECT {HOST}:80 HTTP/1.1\r\n\r\n").into_bytes();
                let sent = pattern(3);
                first.extend(&sent[..1000]);
                stream.write_all(&first).unwrap();
                let mut sending = stream.try_clone().unwrap();
                let send = std::thread::spawn(move || {
                    sending.write_all(&sent[1000..]).unwrap();
                    sending.shutdown(Shutdown::Write).unwrap();
                });
                let all = rest(&mut stream);
                send.join().unwrap();
                all
            });
            let mut expected = b"HTTP/1.1 200 Connection established\r\n\r\n".to_vec();
            expected.extend(pattern(7));
            expected.extend(b"and that was all");
            assert!(got == expected, "{} of {} bytes", got.len(), expected.len());
        },
    );
}

#[test]
fn a_plain_request_gets_its_hosts_own_words() {
    beyond(
        |listener| {
            let (request, mut stream) = heard(&listener);
            let request = String::from_utf8(request).unwrap();
            assert!(request.starts_with("POST /a?b HTTP/1.1\r\n"), "{request}");
            assert!(request.ends_with("\r\n\r\nbody"), "{request}");
            assert!(!request.contains("Proxy-Authorization"), "{request}");
            stream.write_all(b"HTTP/1.1 204 No\r\n\r\n").unwrap();
        },
        || {
            let request = format!(
                "POST http://{HOST}/a?b HTTP/1.1\r\nProxy-Authorization: x\r\n\
                 Content-Length: 4\r\n\r\nbody"
            );
            let lists = lists(&format!("{HOST}:80"));
            let answer = through(&lists, &counts(), WORKER, |s| said(s, request.as_bytes()));
            assert_eq!(answer, b"HTTP/1.1 204 No\r\n\r\n");
        },
    );
}

#[test]
fn a_host_that_breaks_off_ends_its_client() {
    beyond(
        |listener| {
            let (stream, _) = listener.accept().unwrap();
            let mut head = [0; 5];
            (&stream).read_exact(&mut head).unwrap();
            // Closed with unread bytes: the other end sees a reset.
            (&stream).write_all(b"part").unwrap();
        },
        || {
            let lists = lists(&format!("{HOST}:80"));
            through(&lists, &counts(), WORKER, |mut stream| {
                let head = format!("CONNECT {HOST}:80 HTTP/1.1\r\n\r\nfirst and more");
                stream.write_all(head.as_bytes()).unwrap();
                let mut all = Vec::new();
                match stream.read_to_end(&mut all) {
                    Ok(_) => {}
                    Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
                }
            });
            assert!(lists.lock().open.is_empty());
        },
    );
}

#[test]
fn a_listed_address_that_is_the_parents_own_or_does_not_answer_is_no_way() {
    beyond(drop, || {
        let own = net::TcpListener::bind((OWN, 80)).unwrap();
        let loopback = net::TcpListener::bind("127.0.0.1:443").unwrap();
        let (lists, counts) = (lists("0.0.0.0/0"), counts());
        for listener in [&own, &loopback] {
            listener.set_nonblocking(true).unwrap();
            let at = listener.local_addr().unwrap();
            let request = format!("CONNECT {at} HTTP/1.1\r\n\r\n");
            let (status, reason) = asked(&lists, &counts, WORKER, request.as_bytes());
            assert_eq!(status, 403, "{at}: {reason}");
            assert!(!reason.contains("not on the profile's list"), "{reason}");
        }
        // The way to loopback is not even tried.
        assert_eq!(loopback.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        let request = format!("CONNECT {HOST}:443 HTTP/1.1\r\n\r\n");
        let (status, reason) = asked(&lists, &counts, WORKER, request.as_bytes());
        assert_eq!(status, 502, "{reason}");
        assert!(reason.contains("refused"), "{reason}");
        let denied: Vec<u64> = counts.report().iter().map(|denied| denied.count).collect();
        assert_eq!(denied, [2], "what does not answer is no denial");
    });
}
