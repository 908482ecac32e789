//! Rows 5, 9: what happens to workers from outside, with and without the engine's events.

use crate::engine::kit::{behind, quantiles};
use e2e::{
    instance::Instance,
    measured, promised,
    proxy::{Mode, Proxy},
    times, wait,
};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const BOUND: Duration = Duration::from_secs(30);

/// Waits until no warm worker is young: one that dies right after its start counts against its
/// image, and the next is made later and later.
fn grown(instance: &Instance) {
    wait::until_true("warm workers of some age", BOUND, || {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("a clock");
        let old = now.saturating_sub(Duration::from_secs(7)).as_millis();
        let mut warm = instance.workers();
        warm.retain(|w| w["state"] == "warm");
        warm.len() == 2
            && warm.iter().all(|w| {
                w["created_ms"]
                    .as_u64()
                    .is_some_and(|at| u128::from(at) < old)
            })
    });
}

/// A worker that dies from outside: until it is no longer shown as warm.
fn kill_one(instance: &Instance) -> Duration {
    let before = instance.warm();
    let victim = before.first().expect("a warm worker").clone();
    instance.engine.docker(&["kill", &victim]);
    let began = Instant::now();
    wait::until_true("the dead worker to be noticed", BOUND, || {
        !instance.warm().contains(&victim)
    });
    began.elapsed()
}

#[test]
fn row_05_an_external_death_is_noticed_and_replaced() {
    let proxy = Proxy::of_the_machine();
    let instance = behind(&proxy, 2, 2);
    let (mut noticed, mut full) = (Vec::new(), Vec::new());
    for _ in 0..times(30, 5) {
        grown(&instance);
        let began = Instant::now();
        noticed.push(kill_one(&instance));
        instance.wait_warm("default", 2);
        full.push(began.elapsed());
    }
    measured(5, format!("death noticed: {}", quantiles(noticed.clone())));
    measured(
        5,
        format!("pool full after losing one: {}", quantiles(full.clone())),
    );
    let slowest = |all: &[Duration]| all.iter().max().copied().unwrap_or_default();
    promised("death noticed", slowest(&noticed), Duration::from_secs(2));
    promised("pool full again", slowest(&full), Duration::from_secs(5));

    let mut all = Vec::new();
    for _ in 0..times(5, 1) {
        grown(&instance);
        let warm = instance.warm();
        let began = Instant::now();
        for id in &warm {
            instance.engine.docker(&["kill", id]);
        }
        wait::until_true("a whole new pool", Duration::from_secs(30), || {
            let now = instance.warm();
            now.len() == 2 && now.iter().all(|id| !warm.contains(id))
        });
        all.push(began.elapsed());
    }
    measured(5, format!("pool full after losing all: {}", quantiles(all)));
}

#[test]
fn row_09_without_events_a_listing_tells() {
    let proxy = Proxy::of_the_machine();
    let instance = behind(&proxy, 2, 2);
    for (mode, words) in [
        (Mode::DropEvents, "every event dropped"),
        (
            Mode::EndEvents,
            "the stream of events ended again and again",
        ),
    ] {
        proxy.set(mode);
        proxy.reset();
        let began = Instant::now();
        let mut noticed = Vec::new();
        for _ in 0..times(15, 3) {
            grown(&instance);
            noticed.push(kill_one(&instance));
            instance.wait_warm("default", 2);
        }
        let busiest = proxy.busiest_second();
        let again = proxy
            .calls()
            .get("GET /events")
            .copied()
            .unwrap_or_default();
        let listens = format!(
            "events asked for {again} times in {:.0?}, busiest second {busiest} calls",
            began.elapsed()
        );
        measured(
            9,
            format!("{words}: noticed {}; {listens}", quantiles(noticed.clone())),
        );
        let slowest = noticed.iter().max().copied().unwrap_or_default();
        promised(words, slowest, Duration::from_secs(3));
        assert!(busiest < 60, "a storm of calls: {busiest} a second");
    }
    // The agent's word comes without the engine's: what it cannot tell is a pause.
    proxy.set(Mode::DropEvents);
    let paused = instance.warm()[0].clone();
    instance.engine.docker(&["pause", &paused]);
    let began = Instant::now();
    wait::until_true(
        "the paused warm worker to be unpaused or replaced",
        BOUND,
        || {
            let state =
                instance
                    .engine
                    .try_docker(&["inspect", "-f", "{{.State.Status}}", &paused]);
            let state = e2e::instance::text(&state.stdout);
            state.trim() != "paused" && instance.warm().len() == 2
        },
    );
    measured(
        23,
        format!(
            "paused warm worker, events dropped: mended after {:.1?}",
            began.elapsed()
        ),
    );
}
