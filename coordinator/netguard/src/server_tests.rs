//! The guard's answers, with rules in a kernel: a network namespace of the test's own.

use super::*;
use crate::needs;
use nix::sched::{CloneFlags, unshare};

fn worker(uid: u32, egress: &str) -> Guarded {
    Guarded {
        uid,
        egress: egress.parse().unwrap(),
        ports: (20_000, 20),
    }
}

fn guard(forget: fn(&Socket, u32) -> io::Result<()>) -> Guard {
    Guard {
        forget,
        boot: 1,
        namespace: 1,
        counts: Arc::default(),
        lists: Arc::default(),
        state: Mutex::default(),
    }
}

fn in_a_namespace(test: impl FnOnce() + Send + 'static) {
    let run = std::thread::spawn(move || {
        let own = unshare(CloneFlags::CLONE_NEWNET);
        if needs::met("a network namespace of its own", own) {
            test();
        }
    });
    run.join().unwrap();
}

fn cannot(_: &Socket, _: u32) -> io::Result<()> {
    Err(io::Error::from_raw_os_error(22))
}

#[test]
fn a_kernel_that_does_not_forget_says_so_each_time_and_works_once_it_does() {
    in_a_namespace(|| {
        let mut guard = guard(cannot);
        let uid = FIRST_UID;
        guard.execute(GuardRequest::Replace(Vec::new())).unwrap();
        let add = || GuardRequest::Add(worker(FIRST_UID, "none"));
        guard.execute(add()).unwrap();
        // Removed, but what the kernel remembers of it is not.
        for request in [GuardRequest::Remove { uid }, add(), add()] {
            let error = guard.execute(request).unwrap_err();
            assert!(error.contains("does not forget"), "{error}");
        }
        guard.forget = table::forget;
        guard.execute(add()).unwrap();
        guard.execute(GuardRequest::Remove { uid }).unwrap();
        guard.execute(GuardRequest::Remove { uid }).unwrap();
        guard.execute(add()).unwrap();
    });
}

#[test]
fn a_list_in_parts_is_in_effect_with_its_last_part() {
    in_a_namespace(|| {
        let guard = guard(table::forget);
        let part = |first, last, n| GuardRequest::ReplacePart {
            first,
            last,
            workers: vec![worker(FIRST_UID + n, "a.example.com,198.51.100.2:8443")],
        };
        let known = || {
            guard
                .lock()
                .workers
                .as_ref()
                .map(|w| w.keys().copied().collect::<Vec<_>>())
        };
        assert!(guard.execute(part(false, true, 9)).is_err(), "no beginning");
        guard.execute(part(true, false, 0)).unwrap();
        assert_eq!(known(), None);
        // Begun again: what was gathered before is void.
        guard.execute(part(true, false, 1)).unwrap();
        guard.execute(part(false, false, 2)).unwrap();
        guard.execute(part(false, true, 3)).unwrap();
        assert_eq!(
            known(),
            Some(vec![FIRST_UID + 1, FIRST_UID + 2, FIRST_UID + 3])
        );
        assert!(guard.execute(part(false, true, 4)).is_err());
    });
}

/// A connection to the guard; what it answers to these bytes, and how the connection ends.
fn talk(guard: &Guard, bytes: &[u8]) -> (Vec<GuardReport>, io::Result<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let client = async {
            // Byte by byte: a frame's parts do not come together.
            for byte in bytes {
                if ours.write_all(&[*byte]).await.is_err() {
                    break;
                }
            }
            ours.shutdown().await.ok();
            let mut answers = Vec::new();
            ours.read_to_end(&mut answers).await.unwrap();
            let mut decoder = FrameDecoder::new();
            decoder.push(&answers);
            let mut reports = Vec::new();
            while let Some(report) = decoder.next_frame().unwrap() {
                reports.push(report);
            }
            assert!(decoder.into_rest().is_empty(), "half an answer");
            reports
        };
        tokio::join!(client, guard.talk(theirs))
    })
}

#[test]
fn requests_are_answered_in_turn_and_what_is_no_request_ends_the_connection() {
    let guard = guard(cannot);
    let frame = |request: &GuardRequest| encode(request).unwrap();
    let mut bytes = frame(&GuardRequest::Report);
    bytes.extend(frame(&GuardRequest::Add(worker(FIRST_UID - 1, "none"))));
    bytes.extend(frame(&GuardRequest::Report));
    let (reports, ended) = talk(&guard, &bytes);
    ended.unwrap();
    let errors: Vec<bool> = reports
        .iter()
        .map(|report| report.error.is_some())
        .collect();
    assert_eq!(errors, [false, true, false]);
    assert!(
        reports
            .iter()
            .all(|report| !report.ready && report.boot == 1)
    );
    // What was asked before the nonsense is answered, and nothing behind it.
    let too_long = u32::try_from(podbay_protocol::MAX_FRAME + 1).unwrap();
    for nonsense in [
        encode(&"report of what").unwrap(),
        too_long.to_be_bytes().to_vec(),
    ] {
        let mut bytes = frame(&GuardRequest::Report);
        bytes.extend(nonsense);
        bytes.extend(frame(&GuardRequest::Report));
        let (reports, ended) = talk(&guard, &bytes);
        assert!(ended.is_err());
        assert_eq!(reports.len(), 1);
    }
}

#[test]
fn before_all_workers_are_known_none_is_changed() {
    in_a_namespace(|| {
        let guard = guard(cannot);
        for request in [
            GuardRequest::Add(worker(FIRST_UID, "none")),
            GuardRequest::Remove { uid: FIRST_UID },
        ] {
            assert_eq!(guard.execute(request).unwrap_err(), UNTOLD);
        }
        guard.execute(GuardRequest::Replace(Vec::new())).unwrap();
        assert!(guard.answer(GuardRequest::Report).ready);
        // Cleared is as if nothing had been said.
        guard.execute(GuardRequest::Clear).unwrap();
        assert!(!guard.answer(GuardRequest::Report).ready);
        let add = GuardRequest::Add(worker(FIRST_UID, "none"));
        assert_eq!(guard.execute(add).unwrap_err(), UNTOLD);
    });
}

#[test]
fn a_uid_that_is_no_workers_refuses_the_whole_request() {
    in_a_namespace(|| {
        let guard = guard(table::forget);
        let last = FIRST_UID + UIDS - 1;
        let all = |uids: &[u32]| {
            let workers = uids.iter().map(|uid| Guarded {
                uid: *uid,
                egress: "none".parse().unwrap(),
                ports: (20_000, 20),
            });
            GuardRequest::Replace(workers.collect())
        };
        guard.execute(all(&[FIRST_UID, last])).unwrap();
        for wrong in [0, FIRST_UID - 1, last + 1, u32::MAX] {
            let error = guard.execute(all(&[FIRST_UID + 1, wrong])).unwrap_err();
            assert!(error.contains(&wrong.to_string()), "{error}");
        }
        let known: Vec<u32> = guard
            .lock()
            .workers
            .as_ref()
            .unwrap()
            .keys()
            .copied()
            .collect();
        assert_eq!(known, [FIRST_UID, last]);
    });
}

#[test]
fn a_list_in_parts_has_no_more_workers_than_there_are_uids() {
    let guard = guard(cannot);
    let part = |first, workers| GuardRequest::ReplacePart {
        first,
        last: false,
        workers,
    };
    let most = vec![worker(FIRST_UID, "none"); UIDS as usize];
    guard.execute(part(true, most.clone())).unwrap();
    let one = vec![worker(FIRST_UID, "none")];
    let error = guard.execute(part(false, one.clone())).unwrap_err();
    assert!(error.contains("more workers"), "{error}");
    // What was gathered is gone, so that no part of a list is ever in effect.
    assert!(guard.lock().gathered.is_none());
    assert!(guard.execute(part(false, one)).is_err());
    guard.execute(part(true, most)).unwrap();
}
