//! Rows 6, 7, 8: the engine's own processes die.

use crate::engine::kit::{Counting, longest_silence, on, on_behind, quantiles, up, wait_reachable};
use e2e::{
    instance::{Instance, SLOW, text},
    invariants, measured,
    private_engine::{EngineOptions, PrivateEngine},
    promised,
    proxy::{Mode, Proxy},
    times, wait,
};
use std::time::{Duration, Instant};

/// On the API's socket: without containerd the engine starts nothing, no `podbay relay` either.
fn scale(instance: &Instance, min_warm: &str) {
    let args = ["pool", "scale", min_warm, "4"];
    let output = instance.direct(args).output().expect("running podbay");
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn row_06_sessions_do_not_blink_when_the_engine_is_killed() {
    let mut engine = PrivateEngine::live_restoring();
    let proxy = Proxy::start(&engine.socket());
    let instance = on_behind(&engine, &proxy, 2, 2);
    let counting = Counting::start(&instance, "count");
    instance.wait_warm("default", 2);
    let warm = instance.warm();
    let parent = instance.coordinator().expect("a coordinator");
    let (mut silences, mut returns) = (Vec::new(), Vec::new());
    let mut busiest = 0;
    for _ in 0..times(20, 2) {
        proxy.reset();
        engine.kill_daemon();
        let until = Instant::now() + Duration::from_secs(3);
        silences.push(longest_silence(&counting, || Instant::now() > until));
        wait_reachable(&instance, false, SLOW);
        busiest = busiest.max(proxy.busiest_second());
        assert!(counting.lives(), "the session is another process");
        engine.start_daemon();
        returns.push(wait_reachable(&instance, true, SLOW));
        invariants::settle(&instance, SLOW, "the engine's return");
    }
    assert_eq!(instance.coordinator(), Some(parent), "another coordinator");
    assert_eq!(instance.warm(), warm, "warm workers were made anew");
    // A claim of a warm worker needs no engine.
    engine.kill_daemon();
    wait_reachable(&instance, false, SLOW);
    let claimed = Instant::now();
    let args = ["spawn", "--isolation", "none", "--", "sh", "-c", "exit 7"];
    let output = instance.direct(args).output().expect("running podbay");
    let claimed = claimed.elapsed();
    assert_eq!(output.status.code(), Some(7), "{}", text(&output.stderr));
    engine.start_daemon();
    wait_reachable(&instance, true, SLOW);
    invariants::settle(&instance, SLOW, "a claim without an engine");
    counting.goes_on(10);
    let numbers = counting.no_gap();
    let silent = silences.iter().max().unwrap();
    let back = returns.iter().max().unwrap();
    measured(
        6,
        format!(
            "{} kills of dockerd: {numbers} numbers attached, none missing, same process; \
             longest silence {silent:.0?}; busiest second without it {busiest} calls; engine back in use at most {back:.1?} after it answers; \
             claim and run without it {claimed:.0?}",
            silences.len()
        ),
    );
    promised("longest silence", *silent, Duration::from_secs(1));
    assert!(busiest < 60, "a storm of calls: {busiest} a second");
}

#[test]
fn row_07_a_restart_that_ends_containers_is_reported_and_mended() {
    let mut engine = PrivateEngine::start(EngineOptions::default());
    let instance = on(&engine, 2, 2);
    let mut longest = Duration::ZERO;
    for round in 0..times(3, 1) {
        let name = format!("work-{round}");
        let counting = Counting::start(&instance, &name);
        instance.wait_warm("default", 2);
        engine.kill_daemon();
        engine.start_daemon();
        wait::until_true("the session's end", SLOW, || !counting.lives());
        // The parent died as well; its restart policy or `podbay up` starts it again.
        let began = Instant::now();
        up(&instance, &engine.socket());
        instance.wait_warm("default", 2);
        let full = began.elapsed();
        longest = longest.max(full);
        promised("pool full again", full, Duration::from_secs(30));
        let worker = wait::until("the loss to be told", SLOW, || {
            let worker = instance.worker(&name)?;
            (worker["state"] != "running").then_some(worker)
        });
        let why = worker["why"].as_str().unwrap_or_default();
        println!("{name}: {} because {why:?}", worker["state"]);
        assert!(
            worker["state"] == "lost" || worker["state"] == "exited",
            "{worker}"
        );
        assert!(
            !why.is_empty() || !worker["exit"].is_null(),
            "no reason: {worker}"
        );
        instance.ok(["stop", &name]);
        invariants::settle(&instance, SLOW, "the engine's restart");
    }
    measured(
        7,
        format!("loss told with its reason; pool full at most {longest:.1?} after `podbay up`"),
    );
}

#[test]
fn row_08_a_dead_containerd_is_shown_and_outlived() {
    let mut engine = PrivateEngine::live_restoring();
    let proxy = Proxy::start(&engine.socket());
    let instance = on_behind(&engine, &proxy, 2, 2);
    let counting = Counting::start(&instance, "count");
    instance.wait_warm("default", 2);
    let (mut told, mut full) = (Vec::new(), Vec::new());
    let mut busiest = 0;
    for round in 0..times(10, 1) {
        proxy.reset();
        engine.kill_containerd();
        assert!(
            instance.engine.try_docker(&["version"]).status.success(),
            "the engine was to answer still"
        );
        // More workers than were asked for: where they are not there yet, a creation has to fail.
        let began = Instant::now();
        let wanted = (3 + round % 2).to_string();
        scale(&instance, &wanted);
        let warning = wait::until("the trouble to be shown", SLOW, || {
            let status = instance.ask(["status", "--json"])?;
            let shown = [&status["warnings"][0], &status["engine"]["error"]];
            shown
                .iter()
                .find_map(|text| text.as_str().map(str::to_owned))
        });
        told.push(began.elapsed());
        println!("shown: {warning}");
        counting.goes_on(50);
        assert!(counting.lives());
        let asked = Instant::now();
        assert!(instance.ask(["ls", "--json"]).is_some());
        let answered = asked.elapsed();
        promised("an answer", answered, Duration::from_secs(1));
        busiest = busiest.max(proxy.busiest_second());
        engine.start_containerd();
        let began = Instant::now();
        let settled = Duration::from_secs(60);
        wait::until_true("a full pool", settled, || {
            invariants::broken(&instance).is_empty()
        });
        full.push(began.elapsed());
        scale(&instance, "2");
        // What is shown next is to be of the next time.
        wait::until_true("the engine to be shown as sound", settled, || {
            let status = instance.ask(["status", "--json"]);
            status.is_some_and(|status| status["engine"]["error"].is_null())
        });
    }
    let numbers = counting.no_gap();
    measured(
        8,
        format!(
            "containerd killed {} times: shown after {}; {numbers} numbers attached, none missing; \
             busiest second {busiest} calls; pool full after its return {}",
            told.len(),
            quantiles(told),
            quantiles(full)
        ),
    );
    assert!(busiest < 60, "a storm of calls: {busiest} a second");
}

#[test]
fn row_23_a_worker_paused_while_the_engine_dies_is_mended() {
    for live_restore in [true, false] {
        let mut engine = PrivateEngine::start(EngineOptions {
            live_restore,
            ..EngineOptions::default()
        });
        let proxy = Proxy::start(&engine.socket());
        let instance = on_behind(&engine, &proxy, 2, 2);
        let paused = instance.warm()[0].clone();
        // Out of the coordinator's sight, so that it cannot mend it before.
        proxy.set(Mode::Down);
        instance.engine.docker(&["pause", &paused]);
        engine.kill_daemon();
        wait_reachable(&instance, false, SLOW);
        proxy.set(Mode::Pass);
        engine.start_daemon();
        if !live_restore {
            up(&instance, proxy.socket());
        }
        let began = Instant::now();
        wait::until_true("two warm workers that are not paused", SLOW, || {
            instance.warm().len() == 2 && invariants::broken(&instance).is_empty()
        });
        let words = if live_restore { "with" } else { "without" };
        measured(
            23,
            format!(
                "paused warm worker, dockerd killed, {words} live-restore: mended after {:.1?}",
                began.elapsed()
            ),
        );
        let left = instance
            .engine
            .docker(&["ps", "-q", "--filter", "status=paused"]);
        assert_eq!(left, "", "still paused");
    }
}
