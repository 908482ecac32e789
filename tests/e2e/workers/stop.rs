//! Stopping everything, quickly and wholly.

use e2e::{
    engine,
    instance::{self, Instance, SLOW, text},
    processes, unique, wait,
};
use std::{
    process::Stdio,
    time::{Duration, Instant},
};

/// Slow machines may take so many times what is promised.
const SLACK: u32 = 4;
const SESSIONS_GONE: Duration = Duration::from_secs(1);
const CONTAINERS_GONE: Duration = Duration::from_secs(5);
const WORKERS: usize = 16;

#[test]
fn stop_all_ends_sixteen_sessions_and_their_containers() {
    let small = "memory = \"64m\"\n";
    let config = instance::config(4, 8).replace("memory = \"256m\"\n", small);
    let instance = Instance::start(&config);
    let mark = unique("stop");
    let marked = format!("E2E_MARK={mark}");
    // Every other one ignores TERM, and has a child that does.
    let deaf = "trap '' TERM HUP INT; sleep 1000 & while :; do sleep 1; done";
    let claims: Vec<_> = (0..WORKERS)
        .map(|n| {
            let script = if n % 2 == 0 {
                deaf
            } else {
                "sleep 1000 & wait"
            };
            let name = format!("w{n}");
            let flags = ["-d", "-e", &marked];
            let args = instance::spawn(&name, &flags, &["sh", "-c", script]);
            let mut claim = instance.direct(args);
            claim
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for claim in claims {
        let output = claim.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    wait::until_true("every session and its child", SLOW, || {
        processes::marked("E2E_MARK", &mark).len() >= 2 * WORKERS
    });
    let running = || {
        instance
            .workers()
            .into_iter()
            .filter(|w| w["state"] == "running")
    };
    assert_eq!(running().count(), WORKERS);
    let claimed: Vec<String> = running()
        .filter_map(|w| w["container"].as_str().map(str::to_owned))
        .collect();

    // Sessions that listen to TERM are gone at once; the deaf ones when the grace is over.
    let began = Instant::now();
    let mut stop = instance.command(["stop", "--all", "--grace", "500ms"]);
    let stop = stop
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait::until_true("every process of a session to be gone", SLOW, || {
        processes::marked("E2E_MARK", &mark).is_empty()
    });
    let sessions = began.elapsed();
    wait::until_true("every container to be gone", SLOW, || {
        let left = engine::containers(&instance.name, "worker");
        !claimed.iter().any(|container| left.contains(container))
    });
    let containers = began.elapsed();
    let output = stop.wait_with_output().unwrap();
    let answered = began.elapsed();
    println!(
        "stop --all of {WORKERS}: processes gone {sessions:.2?}, containers gone \
         {containers:.2?}, answered {answered:.2?}"
    );
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout).lines().count(), WORKERS);
    assert!(sessions < SESSIONS_GONE * SLACK, "{sessions:?}");
    assert!(containers < CONTAINERS_GONE * SLACK, "{containers:?}");
    assert_eq!(running().count(), 0);
    // The pool goes on.
    instance.wait_warm(
        "default",
        instance.pool("default").unwrap()["target"]
            .as_u64()
            .unwrap(),
    );
    assert_eq!(instance.ok(["stop", "--all"]), "");
}
