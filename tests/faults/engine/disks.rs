//! Rows 16, 17: disks that are full.

use crate::engine::kit::{Counting, quick};
use e2e::{
    instance::{self, Instance, SLOW, spawn, text},
    loopfs::{LoopFs, fill, make_room},
    measured,
    private_engine::{EngineOptions, PrivateEngine, small_config},
    times, wait,
};
use serde_json::Value;
use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

/// Every JSON file of the state that is not whole.
fn torn(state: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![state.join("workers"), state.join("sessions")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() && folder.ends_with("workers") {
                folders.push(path);
            } else if name.ends_with(".json") {
                let text = fs::read(&path).unwrap_or_default();
                if serde_json::from_slice::<Value>(&text).is_err() {
                    found.push(path.to_string_lossy().into_owned());
                }
            }
        }
    }
    found
}

/// Numbers in a recording of a counting session are in order, whatever is missing.
fn in_order(text: &str) -> usize {
    let lines = text.lines().map(|line| line.trim_end_matches('\r'));
    let numbers: Vec<u64> = lines
        .filter_map(|line| line.strip_prefix("n=")?.parse().ok())
        .collect();
    assert!(numbers.is_sorted(), "out of order");
    numbers.len()
}

/// Kills the coordinator; the next one has to know these sessions.
fn another_coordinator(instance: &Instance, sessions: &[String]) {
    let before = instance.coordinator().expect("a coordinator");
    e2e::processes::signal(before, nix::sys::signal::Signal::SIGKILL);
    wait::until_true("another coordinator", SLOW, || {
        instance.coordinator().is_some_and(|pid| pid != before)
    });
    for name in sessions {
        instance.wait_state(name, "running");
    }
}

#[test]
fn row_16_a_full_state_disk_costs_no_session_and_no_record() {
    let disk = LoopFs::new(256);
    let config = instance::config(2, 2);
    let mut instance =
        Instance::prepare_on(e2e::engine::Engine::default(), Some(&disk.path()), &config);
    instance.image = instance::faults_image();
    instance.up_or_panic(&[], &[]);
    instance.wait_warm("default", 2);
    let counting = Counting::start(&instance, "count");
    instance.wait_warm("default", 2);
    let mut told = String::new();
    let mut longest = Duration::ZERO;
    for round in 0..times(5, 1) {
        disk.fill();
        wait::until_true(
            "the warning that the state volume is nearly full",
            SLOW,
            || {
                let status = instance.ask(["status", "--json"]);
                status.is_some_and(|s| {
                    s["warnings"]
                        .to_string()
                        .contains("state volume is nearly full")
                })
            },
        );
        counting.goes_on(20);
        // What is warm is used up, and then something is said.
        let (mut refused, mut served) = (None, vec!["count".to_owned()]);
        for attempt in 0..6 {
            let name = format!("full-{round}-{attempt}");
            let flags = ["-d", "--when-empty", "cold", "--timeout", "15s"];
            let claim = spawn(&name, &flags, &["sleep", "1000"]);
            let output = instance.direct(claim).output().expect("running podbay");
            if !output.status.success() {
                refused = Some(text(&output.stderr));
                break;
            }
            served.push(name);
        }
        told = refused.expect("a claim that needs a new worker was served by a full disk");
        assert!(
            told.contains("space") || told.contains("disk") || told.contains("full"),
            "the reason is not told: {told}"
        );
        assert_eq!(
            torn(&disk.path()),
            Vec::<String>::new(),
            "torn while the disk was full"
        );
        assert!(counting.lives());
        // A coordinator that starts on a full disk comes up and knows its sessions, those as well
        // that were claimed without a record; the next one has nothing to ask for.
        another_coordinator(&instance, &served);
        counting.goes_on(20);
        disk.make_room();
        let began = Instant::now();
        instance.wait_warm("default", 2);
        longest = longest.max(began.elapsed());
        wait::until_true("the recording to go on", SLOW, || {
            let log = instance.ok(["logs", "count"]);
            log.matches("recording goes on").count() > round as usize
        });
        another_coordinator(&instance, &served);
        for worker in instance.workers() {
            let name = worker["name"].as_str().unwrap_or_default();
            if name.starts_with("full-") && worker["state"] == "running" {
                instance.ok(["stop", name]);
            }
        }
    }
    counting.goes_on(5);
    assert!(counting.lives());
    instance.ok(["stop", "count"]);
    let log = instance.ok(["logs", "count"]);
    let recorded = in_order(&log);
    assert!(log.contains("recording goes on"), "the gap is not told");
    assert_eq!(torn(&disk.path()), Vec::<String>::new(), "torn");
    measured(
        16,
        format!(
            "session lived and {recorded} numbers are recorded in order, what is missing is told; creation refused with \
             {:?}; no torn record; pool full {longest:.1?} after there was space",
            told.lines().next().unwrap_or_default()
        ),
    );
}

#[test]
fn row_17_a_full_engine_disk_is_told_and_outlived_by_making_anew() {
    let engine = PrivateEngine::start(EngineOptions {
        live_restore: true,
        data_mib: Some(1200),
    });
    // The disk that is full is not the state's: that is row 16.
    let state = tempfile::tempdir_in("/var/tmp").unwrap();
    let config = quick(small_config(2, 2));
    let mut instance = Instance::prepare_on(engine.engine(), Some(state.path()), &config);
    instance.image = instance::faults_image();
    instance.up_or_panic(
        &[],
        &["--engine-socket", &engine.socket().to_string_lossy()],
    );
    let counting = Counting::start(&instance, "count");
    instance.wait_warm("default", 2);
    let data = engine.seen_from_here(&engine.data());
    let before = instance.warm();
    fill(&data);
    for id in &before {
        instance.engine.docker(&["kill", id]);
    }
    // That young workers died is the first thing to tell, and the truth; once the engine has
    // refused a new one, the full disk is told, and stays so.
    let seen = std::cell::RefCell::new(Vec::<String>::new());
    let told = || {
        let failure = instance.pool("default")?["last_failure"].clone();
        let reason = failure["reason"].as_str()?.to_owned();
        if seen.borrow().last() != Some(&reason) {
            println!("told: {reason}");
            seen.borrow_mut().push(reason.clone());
        }
        (!failure["retry_in_ms"].is_null() && reason.contains("space")).then_some(reason)
    };
    let reason = wait::until("the full disk to be told", SLOW, told);
    counting.goes_on(5);
    assert!(
        told().is_some(),
        "no longer told: {}",
        instance.pool("default").unwrap()
    );
    assert!(counting.lives());
    make_room(&data);
    let began = Instant::now();
    instance.wait_warm("default", 2);
    let full = began.elapsed();
    let now = instance.warm();
    assert!(
        now.iter().all(|id| !before.contains(id)),
        "a dead container was started again"
    );
    // Nothing is left of the ones that could not be made.
    wait::until_true("what failed to be gone", SLOW, || {
        instance.engine.containers(&instance.name, "worker").len() == 3
    });
    measured(
        17,
        format!("told: {reason:?}; made anew, pool full {full:.1?} after there was space"),
    );
    counting.goes_on(5);
    counting.no_gap();
}
