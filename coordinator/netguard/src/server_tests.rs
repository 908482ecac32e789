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
