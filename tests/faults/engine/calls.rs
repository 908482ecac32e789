//! Row 20: an engine that is slow, refuses, hangs, or says nonsense. And row 6's other half: an
//! engine that makes its socket anew.

use crate::engine::kit::{Counting, behind, on, reachable, wait_reachable};
use e2e::{
    instance::{Instance, SLOW, text},
    measured,
    private_engine::PrivateEngine,
    promised,
    proxy::{Mode, Proxy},
    times, wait,
};
use std::time::{Duration, Instant};

/// The API answers from what the coordinator knows; a slow machine is allowed for.
const ANSWER: Duration = Duration::from_secs(2);

/// Asks the API again and again for so long: the slowest answer.
fn slowest_answer(instance: &Instance, time: Duration) -> Duration {
    let (began, mut slowest) = (Instant::now(), Duration::ZERO);
    while began.elapsed() < time {
        let asked = Instant::now();
        for question in [&["ls", "--json"][..], &["status", "--json"]] {
            assert!(
                instance.ask(question).is_some(),
                "no answer to {question:?}"
            );
        }
        slowest = slowest.max(asked.elapsed());
        wait::pause(Duration::from_millis(100));
    }
    slowest
}

#[test]
fn row_20_a_sick_engine_blocks_nobody_and_is_outlived() {
    let proxy = Proxy::of_the_machine();
    let instance = behind(&proxy, 2, 2);
    let counting = Counting::start(&instance, "count");
    instance.wait_warm("default", 2);
    let mut dashboard = instance.direct_terminal(&["dashboard"], 100, 30);
    dashboard.wait_for("count");
    let sick = [
        (Mode::Refuse, "status 500", false),
        (Mode::HalfOpen, "half-open", false),
        (Mode::Garbage, "garbage", false),
        (Mode::GarbledBody, "a garbled body", false),
        (Mode::Truncate(40), "truncated", false),
        (Mode::Down, "closed connections", false),
        (Mode::Delay(Duration::from_millis(700)), "700 ms late", true),
    ];
    for (mode, words, usable) in sick {
        proxy.reset();
        proxy.set(mode);
        let began = Instant::now();
        if !usable {
            wait_reachable(&instance, false, SLOW);
        }
        let seen = began.elapsed();
        // A worker dies while nobody can ask: known when the engine is back, not before.
        let victim = instance.warm().first().cloned();
        if let Some(victim) = &victim {
            instance.engine.docker(&["kill", victim]);
        }
        let slowest = slowest_answer(&instance, Duration::from_secs(3));
        counting.goes_on(5);
        assert!(counting.lives(), "{words}: the session ended");
        // A claim that needs the engine says so in time, or is served by what is warm.
        let asked = Instant::now();
        let claim = [
            "spawn",
            "--isolation",
            "none",
            "--when-empty",
            "cold",
            "--timeout",
            "20s",
            "--",
            "sh",
            "-c",
            "echo fine",
        ];
        let output = instance.direct(claim).output().expect("running podbay");
        let said = text(&output.stderr);
        assert!(
            asked.elapsed() < Duration::from_secs(30),
            "{words}: {:?}",
            asked.elapsed()
        );
        assert!(
            output.stdout == b"fine\n" || said.contains("engine") || said.contains("warm"),
            "{words}: {} {said}",
            output.status
        );
        let busiest = proxy.busiest_second();
        assert!(
            busiest < 60,
            "{words}: a storm of {busiest} calls a second: {:?}",
            proxy.calls()
        );
        dashboard.send("?");
        dashboard.wait_for("help");
        dashboard.send("\x1b");
        proxy.set(Mode::Pass);
        let began = Instant::now();
        wait_reachable(&instance, true, SLOW);
        let back = began.elapsed();
        instance.wait_warm("default", 2);
        let full = began.elapsed();
        if let Some(victim) = victim {
            assert!(
                !instance.warm().contains(&victim),
                "{words}: a dead worker is shown as warm"
            );
        }
        measured(
            20,
            format!(
                "{words}: noticed after {seen:.1?}; slowest answer of the API {slowest:.0?}, at \
                 most {busiest} calls a second; back {back:.1?}, pool full {full:.1?} after"
            ),
        );
        assert!(slowest < ANSWER, "{words}: {slowest:?}");
        promised(words, full, Duration::from_secs(30));
    }
    counting.goes_on(5);
    counting.no_gap();
    drop(dashboard);
}

/// A counting session on an engine that may be killed, the pool full.
fn counting() -> (PrivateEngine, Instance, Counting) {
    let engine = PrivateEngine::live_restoring();
    let instance = on(&engine, 2, 2);
    let counting = Counting::start(&instance, "count");
    instance.wait_warm("default", 2);
    (engine, instance, counting)
}

#[test]
fn row_06_an_engine_that_makes_its_socket_anew_is_found_again() {
    let (mut engine, instance, counting) = counting();
    let (warm, mut back) = (instance.warm(), Vec::new());
    // Asked once while the engine can tell: it is remembered.
    assert!(instance.coordinator().is_some());
    for _ in 0..times(5, 2) {
        engine.kill_daemon();
        wait_reachable(&instance, false, SLOW);
        engine.start_daemon();
        back.push(wait_reachable(&instance, true, SLOW));
        assert_eq!(instance.warm(), warm);
        // The same for a coordinator that starts while the engine is away.
        engine.kill_daemon();
        wait_reachable(&instance, false, SLOW);
        let before = instance.coordinator().expect("a coordinator");
        e2e::processes::signal(before, nix::sys::signal::Signal::SIGKILL);
        wait::until_true("another coordinator", SLOW, || {
            instance.coordinator().is_some_and(|pid| pid != before)
        });
        engine.start_daemon();
        wait_reachable(&instance, true, SLOW);
        wait::until_true("the same warm workers", SLOW, || instance.warm() == warm);
    }
    // The parent is not the worse for it: one socket is mounted there, not one a restart.
    let pid = ["inspect", "-f", "{{.State.Pid}}", &instance.name];
    let parent = instance.engine.docker(&pid);
    let table = std::fs::read_to_string(format!("/proc/{parent}/mountinfo")).unwrap();
    let mounted = table
        .lines()
        .filter(|line| line.contains("docker.sock"))
        .count();
    assert_eq!(mounted, 1, "{table}");
    let longest = back.iter().max().unwrap();
    measured(
        6,
        format!(
            "socket made anew {} times: in use again at most {longest:.1?} after",
            back.len()
        ),
    );
    promised("the new socket in use", *longest, Duration::from_secs(10));
    assert!(counting.lives());
}

#[test]
fn row_08_an_engine_without_its_containerd_is_shown_as_degraded() {
    let (mut engine, instance, counting) = counting();
    engine.kill_containerd();
    let began = Instant::now();
    let degraded = wait::until("the engine to be shown as degraded", SLOW, || {
        let error = instance.ask(["status", "--json"])?["engine"]["error"].clone();
        error.as_str().map(str::to_owned)
    });
    let shown = began.elapsed();
    assert!(degraded.contains("containerd"), "{degraded}");
    assert_eq!(reachable(&instance), Some(true));
    let status = text(&instance.direct(["status"]).output().unwrap().stdout);
    assert!(status.contains("degraded"), "{status}");
    let doctor = instance.run(["doctor"]);
    let all = text(&doctor.stdout) + &text(&doctor.stderr);
    assert!(
        all.contains("degraded") || all.contains("containerd"),
        "{all}"
    );
    // A claim takes a warm worker; the refill fails, with the reason, and is not tried for ever.
    let output = instance
        .direct([
            "spawn",
            "--isolation",
            "none",
            "--",
            "sh",
            "-c",
            "echo fine",
        ])
        .output()
        .unwrap();
    assert_eq!(text(&output.stdout), "fine\n", "{}", text(&output.stderr));
    let failure = wait::until("the refill to fail", SLOW, || {
        let failure = instance.pool("default")?["last_failure"].clone();
        (!failure.is_null()).then_some(failure)
    });
    assert!(
        failure["reason"].as_str().is_some_and(|r| !r.is_empty()),
        "{failure}"
    );
    counting.goes_on(5);
    engine.start_containerd();
    let began = Instant::now();
    wait::until_true("the engine to work again", SLOW, || {
        instance
            .ask(["status", "--json"])
            .is_some_and(|s| s["engine"]["error"].is_null())
    });
    let mended = began.elapsed();
    instance.wait_warm("default", 2);
    measured(
        8,
        format!(
            "degraded shown after {shown:.1?}; sound again {mended:.1?} and pool full {:.1?} after \
             containerd was",
            began.elapsed()
        ),
    );
    counting.goes_on(5);
    counting.no_gap();
}
