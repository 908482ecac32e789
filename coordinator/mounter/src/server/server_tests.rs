//! The mounter's socket: what wrong requests, too many of them and clients that go away are answered
//! with. No project is mounted here.

use super::*;
use crate::{
    needs,
    rpc::{MounterRequest, ResponseFrame},
    wire::{MounterErrorKind, Policy, PrepareRequest},
};
use podbay_protocol::{MAX_FRAME, encode};
use std::net::Shutdown;

const WORKER: &str = "0123456789ab";
const BOUND: Duration = Duration::from_secs(20);

/// What connections hand requests to, and who takes them: here the test.
struct Bench {
    hands: Arc<Hands>,
    claims: Receiver<Job>,
    _browse: Receiver<Job>,
    host: Arc<Host>,
    folder: tempfile::TempDir,
}

fn bench() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::open(folder.path()).unwrap();
    let (claims, taken) = sync_channel(MAX_QUEUE);
    let (browse, browsed) = sync_channel(MAX_QUEUE);
    let program = ReviewProgram {
        args: vec!["no-such-test".into(), "--exact".into()],
    };
    Bench {
        hands: Arc::new(Hands {
            claims,
            ahead: sync_channel(MAX_QUEUE).0,
            browse,
            reviews: Reviews::new(&host, program),
        }),
        claims: taken,
        _browse: browsed,
        host,
        folder,
    }
}

/// The coordinator's end of a connection.
struct Client {
    stream: UnixStream,
    decoder: FrameDecoder,
}

impl Client {
    fn new(bench: &Bench, open: &Arc<AtomicUsize>) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(BOUND)).unwrap();
        connection(theirs, open, &bench.hands);
        Self {
            stream: ours,
            decoder: FrameDecoder::new(),
        }
    }

    fn ask(&mut self, id: u64, body: MounterRequest) {
        let frame = encode(&RequestFrame { id, body }).unwrap();
        self.stream.write_all(&frame).unwrap();
    }

    /// The next frame; `None` at the connection's end.
    fn frame(&mut self) -> Option<ResponseFrame> {
        let mut chunk = vec![0; 64 << 10];
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                return Some(frame);
            }
            match self.stream.read(&mut chunk).unwrap() {
                0 => return None,
                count => self.decoder.push(&chunk[..count]),
            }
        }
    }

    fn answer(&mut self) -> (u64, MounterResponse) {
        let frame = self.frame().expect("an answer");
        (frame.id, *frame.body.expect("a whole one"))
    }

    fn refusal(&mut self, id: u64) -> MounterError {
        match self.answer() {
            (of, MounterResponse::Failed(error)) if of == id => error,
            other => panic!("{other:?}"),
        }
    }
}

/// Resolves once no connection is open.
fn all_closed(open: &AtomicUsize) {
    let until = std::time::Instant::now() + BOUND;
    while open.load(Ordering::Relaxed) > 0 {
        assert!(std::time::Instant::now() < until, "a connection stays");
        std::thread::yield_now();
    }
}

#[test]
fn one_request_more_than_the_queue_holds_is_answered_as_busy_and_none_is_lost() {
    if !needs::root() {
        return;
    }
    let (bench, open) = (bench(), Arc::default());
    let mut client = Client::new(&bench, &open);
    let most = MAX_QUEUE as u64;
    for id in 0..most + 2 {
        client.ask(id, MounterRequest::Probe);
    }
    for id in [most, most + 1] {
        assert_eq!(client.refusal(id).kind, MounterErrorKind::Busy);
    }
    // Those that wait are answered, in the order in which they are done.
    for id in 0..most {
        let job = bench.claims.recv_timeout(BOUND).unwrap();
        assert_eq!(job.frame.id, id);
        job.answer(&MounterResponse::Done).unwrap();
        assert_eq!(client.answer(), (id, MounterResponse::Done));
    }
    // There is room again, and a client that ends is no fault.
    client.ask(7, MounterRequest::Probe);
    assert_eq!(bench.claims.recv_timeout(BOUND).unwrap().frame.id, 7);
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert!(client.frame().is_none());
    all_closed(&open);
}

#[test]
fn what_is_no_request_ends_the_connection_behind_those_that_were() {
    if !needs::root() {
        return;
    }
    let (bench, open) = (bench(), Arc::default());
    let too_long = u32::try_from(MAX_FRAME + 1).unwrap().to_be_bytes().to_vec();
    for nonsense in [
        encode(&"probe").unwrap(),
        encode(&serde_json::json!({"id": 1, "body": "of_the_future"})).unwrap(),
        encode(&serde_json::json!({"id": -1, "body": "probe"})).unwrap(),
        vec![0, 0, 0, 1, b'{'],
        too_long,
    ] {
        let mut client = Client::new(&bench, &open);
        client.ask(1, MounterRequest::Probe);
        client.stream.write_all(&nonsense).unwrap();
        let job = bench.claims.recv_timeout(BOUND).unwrap();
        // The answer to what was asked before still goes out.
        all_closed(&open);
        job.answer(&MounterResponse::Done).unwrap();
        drop(job);
        assert_eq!(client.answer(), (1, MounterResponse::Done));
        assert!(client.frame().is_none());
        assert!(bench.claims.try_recv().is_err());
    }
}

#[test]
fn answers_in_parts_are_not_mixed() {
    if !needs::root() {
        return;
    }
    let (bench, open) = (bench(), Arc::default());
    let mut client = Client::new(&bench, &open);
    for id in 0..4 {
        client.ask(id, MounterRequest::Probe);
    }
    let text = |id: u64| format!("{id}").repeat(2 * MAX_FRAME);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let job = bench.claims.recv_timeout(BOUND).unwrap();
            scope.spawn(move || {
                let error = system("x", text(job.frame.id));
                job.answer(&MounterResponse::Failed(error)).unwrap();
            });
        }
        let mut seen = Vec::new();
        while seen.len() < 4 {
            let (mut whole, mut id) = (String::new(), None);
            loop {
                let frame = client.frame().unwrap();
                assert_eq!(*id.get_or_insert(frame.id), frame.id, "another's part");
                whole.push_str(&frame.part.unwrap());
                if !frame.more {
                    break;
                }
            }
            let id = id.unwrap();
            let answer: MounterResponse = serde_json::from_str(&whole).unwrap();
            let MounterResponse::Failed(error) = answer else {
                panic!("{id}")
            };
            assert!(error.message == format!("x: {}", text(id)));
            seen.push(id);
        }
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2, 3]);
    });
}

#[test]
fn a_connection_too_many_is_closed_and_one_that_ends_makes_room() {
    if !needs::root() {
        return;
    }
    let (bench, open) = (bench(), Arc::<AtomicUsize>::default());
    let mut clients: Vec<_> = (0..MAX_CONNECTIONS)
        .map(|_| Client::new(&bench, &open))
        .collect();
    let mut one_more = Client::new(&bench, &open);
    assert!(one_more.frame().is_none());
    assert_eq!(open.load(Ordering::Relaxed), MAX_CONNECTIONS);
    // The others work.
    let last = clients.last_mut().unwrap();
    last.ask(1, MounterRequest::Probe);
    let job = bench.claims.recv_timeout(BOUND).unwrap();
    job.answer(&MounterResponse::Done).unwrap();
    drop(job);
    assert_eq!(last.answer(), (1, MounterResponse::Done));
    drop(clients);
    all_closed(&open);
    let mut again = Client::new(&bench, &open);
    again.ask(2, MounterRequest::Probe);
    assert_eq!(bench.claims.recv_timeout(BOUND).unwrap().frame.id, 2);
}

/// A bench whose claims are carried out.
fn working() -> (Bench, Arc<AtomicUsize>) {
    let mut bench = bench();
    let caps = Arc::new(MounterCaps::default());
    let hands = Hands {
        claims: pool("claims", 1, &bench.host, &caps).unwrap(),
        ahead: pool("ahead", 1, &bench.host, &caps).unwrap(),
        browse: pool("browse", 1, &bench.host, &caps).unwrap(),
        reviews: Reviews::new(&bench.host, ReviewProgram::default()),
    };
    bench.hands = Arc::new(hands);
    (bench, Arc::default())
}

#[test]
fn what_is_no_workers_id_or_process_is_a_bad_target_and_makes_nothing() {
    if !needs::root() {
        return;
    }
    let (bench, open) = working();
    let mut client = Client::new(&bench, &open);
    for id in [
        "",
        "..",
        "../0123456789ab",
        "0123456789a",
        "0123456789abc",
        "0123456789aB",
        "0123456789a/",
    ] {
        let worker = id.to_owned();
        for body in [
            MounterRequest::Prepare(PrepareRequest {
                worker: worker.clone(),
                uid: 1,
                gid: 1,
            }),
            MounterRequest::Unmount {
                worker: worker.clone(),
                pid: 1,
            },
        ] {
            client.ask(1, body);
            assert_eq!(
                client.refusal(1).kind,
                MounterErrorKind::BadTarget,
                "{id:?}"
            );
        }
        let mut removing = Client::new(&bench, &open);
        removing.ask(2, MounterRequest::RemoveWorker { worker });
        assert_eq!(
            removing.refusal(2).kind,
            MounterErrorKind::BadTarget,
            "{id:?}"
        );
    }
    assert_eq!(std::fs::read_dir(bench.folder.path()).unwrap().count(), 0);
    client.ask(
        3,
        MounterRequest::Prepare(PrepareRequest {
            worker: WORKER.to_owned(),
            uid: 1234,
            gid: 1234,
        }),
    );
    assert_eq!(client.answer(), (3, MounterResponse::Done));
    // No process, one that is gone, and one that is in no container of this worker.
    let gone = {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        i32::try_from(child.id()).unwrap()
    };
    let own = i32::try_from(std::process::id()).unwrap();
    for pid in [0, -1, i32::MIN, i32::MAX, gone, own] {
        client.ask(
            4,
            MounterRequest::Unmount {
                worker: WORKER.to_owned(),
                pid,
            },
        );
        assert_eq!(client.refusal(4).kind, MounterErrorKind::BadTarget, "{pid}");
    }
    // The thread that was elsewhere for it is back, and works.
    client.ask(5, MounterRequest::Probe);
    assert_eq!(
        client.answer(),
        (5, MounterResponse::Caps(MounterCaps::default()))
    );
}

#[test]
fn a_folder_is_removed_wholly_and_one_that_is_not_there_is_no_error() {
    use std::os::unix::fs::symlink;
    if !needs::root() {
        return;
    }
    let (bench, open) = working();
    let mut client = Client::new(&bench, &open);
    let prepare = PrepareRequest {
        worker: WORKER.to_owned(),
        uid: 1234,
        gid: 1234,
    };
    client.ask(1, MounterRequest::Prepare(prepare));
    assert_eq!(client.answer(), (1, MounterResponse::Done));
    let folder = bench.folder.path().join("workers").join(WORKER);
    let outside = bench.folder.path().join("outside");
    std::fs::write(&outside, "kept").unwrap();
    std::fs::create_dir_all(folder.join("home/a/b/c")).unwrap();
    symlink(&outside, folder.join("home/a/link")).unwrap();
    symlink(bench.folder.path(), folder.join("home/up")).unwrap();
    for id in [2, 3] {
        let mut removing = Client::new(&bench, &open);
        let worker = WORKER.to_owned();
        removing.ask(id, MounterRequest::RemoveWorker { worker });
        assert_eq!(removing.answer(), (id, MounterResponse::Done));
        assert!(removing.frame().is_none(), "one request a connection");
        assert!(!folder.exists());
    }
    assert_eq!(std::fs::read_to_string(outside).unwrap(), "kept");
}

#[test]
fn a_project_is_checked_and_nothing_else_is_one() {
    if !needs::root() {
        return;
    }
    let (bench, open) = working();
    let mut client = Client::new(&bench, &open);
    let projects = tempfile::tempdir().unwrap();
    let folder = projects.path().join("p");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(projects.path().join("file"), "").unwrap();
    let policy = Policy {
        allow: vec![HostPath::new(projects.path())],
        ..Policy::default()
    };
    let mut check = |path: &Path| {
        let project = HostPath::new(path);
        let policy = policy.clone();
        client.ask(1, MounterRequest::Check { project, policy });
        client.answer().1
    };
    for wrong in ["file", "none", "file/below"] {
        let answer = check(&projects.path().join(wrong));
        let not_a_folder = matches!(
            &answer,
            MounterResponse::Failed(error) if error.kind == MounterErrorKind::NotAFolder
        );
        assert!(not_a_folder, "{wrong}: {answer:?}");
    }
    for (refused, kind) in [
        ("/etc", MounterErrorKind::Refused),
        ("/", MounterErrorKind::Refused),
    ] {
        let answer = check(Path::new(refused));
        assert!(
            matches!(&answer, MounterResponse::Failed(error) if error.kind == kind),
            "{refused}: {answer:?}"
        );
    }
}
