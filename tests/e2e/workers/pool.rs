//! The pool: distinct workers, unique names, failures that are said, replacements.

use e2e::{
    engine,
    instance::{self, Instance, SLOW, text},
    unique, wait,
};
use serde_json::Value;
use std::{
    collections::HashSet,
    process::{Child, Output, Stdio},
    time::Instant,
};

/// How often the storm of claims is repeated.
fn rounds() -> usize {
    std::env::var("PODBAY_E2E_ROUNDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(50)
}

/// Starts a detached claim without waiting for it.
fn claim(instance: &Instance, flags: &[&str], command: &[&str]) -> Child {
    let mut args = vec!["spawn", "-d", "--json", "--isolation", "none"];
    args.extend(flags);
    args.push("--");
    args.extend(command);
    let mut claim = instance.direct(args);
    claim
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starting podbay")
}

fn answers(claims: Vec<Child>) -> Vec<Output> {
    claims
        .into_iter()
        .map(|claim| claim.wait_with_output().expect("waiting for podbay"))
        .collect()
}

fn spawned(output: &Output) -> Value {
    assert!(
        output.status.success(),
        "{}: {}",
        output.status,
        text(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Eight claims at once on four warm workers: all get one of their own, four of them warm.
fn storm(instance: &Instance, when_empty: &str, given: &mut HashSet<String>) {
    instance.wait_warm("default", 4);
    let warm: HashSet<String> = instance.warm().into_iter().collect();
    // So that no refill comes in between.
    instance
        .ask(["pool", "pause", "--json"])
        .expect("a coordinator");
    let flags = ["--when-empty", when_empty];
    let mut claims: Vec<Child> = (0..8).map(|_| claim(instance, &flags, &["true"])).collect();
    if when_empty == "queue" {
        wait::until_true("four claims in the queue", SLOW, || {
            for claim in &mut claims {
                let ended = claim.try_wait().expect("waiting for podbay");
                assert!(
                    ended.is_none_or(|s| s.success()),
                    "a claim failed: {ended:?}"
                );
            }
            instance
                .pool("default")
                .is_some_and(|pool| pool["queued"] == 4)
        });
    }
    instance
        .ask(["pool", "resume", "--json"])
        .expect("a coordinator");
    let answers: Vec<Value> = answers(claims).iter().map(spawned).collect();
    let mut from_the_pool = 0;
    for answer in &answers {
        let id = answer["worker"]["id"].as_str().expect("an id").to_owned();
        assert!(given.insert(id), "given twice: {answer}");
        let container = answer["worker"]["container"].as_str().unwrap_or_default();
        from_the_pool += usize::from(warm.contains(container));
    }
    let at_once = answers
        .iter()
        .filter(|answer| answer["warm"] == true)
        .count();
    assert_eq!(from_the_pool, 4, "{answers:#?}");
    if when_empty == "cold" {
        assert!(at_once >= 4, "{answers:#?}");
    }
}

#[test]
fn parallel_claims_always_get_distinct_workers_warm_ones_first() {
    let instance = Instance::start(&instance::config(4, 4));
    let mut given = HashSet::new();
    let (began, rounds) = (Instant::now(), rounds());
    for round in 0..rounds {
        storm(
            &instance,
            if round % 2 == 0 { "cold" } else { "queue" },
            &mut given,
        );
    }
    println!(
        "{rounds} rounds of 8 claims on 4 warm workers: {:.1?}",
        began.elapsed()
    );
    assert_eq!(given.len(), rounds * 8);

    // The third way: not to wait at all.
    instance.wait_warm("default", 4);
    instance.ok(["pool", "pause"]);
    let none = ["--when-empty", "fail"];
    let claims: Vec<Child> = (0..6).map(|_| claim(&instance, &none, &["true"])).collect();
    let answers = answers(claims);
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|o| o.status.success());
    assert_eq!(won.len(), 4);
    for output in lost {
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
        let said = text(&output.stderr);
        assert!(said.contains("no warm worker"), "{said}");
    }
}

#[test]
fn of_two_claims_of_one_name_exactly_one_wins() {
    let instance = Instance::start(&instance::config(3, 3));
    for round in 0..5 {
        let name = format!("same-{round}");
        let claims = (0..4)
            .map(|_| claim(&instance, &["-n", &name], &["sleep", "1000"]))
            .collect();
        let answers = answers(claims);
        let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|o| o.status.success());
        assert_eq!(won.len(), 1, "{answers:?}");
        for output in lost {
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.contains(&name) && said.contains("in use"), "{said}");
        }
        let named = instance
            .workers()
            .into_iter()
            .filter(|w| w["name"] == name)
            .count();
        assert_eq!(named, 1);
        instance.ok(["stop", &name]);
    }
    // A name is free again when its worker has ended.
    assert!(
        spawned(&answers(vec![claim(&instance, &["-n", "same-0"], &["true"])])[0])["warm"] == true
    );
}

#[test]
fn a_pool_without_its_image_says_so_and_recovers_when_it_is_there() {
    let tag = format!("{}:latest", unique("podbay-e2e-absent"));
    let instance = Instance::prepare(&instance::profile("default", &tag, 1, 2));
    let up = instance.up(&[]);
    let said = text(&up.stderr);
    assert!(said.contains(&tag), "{said}");

    let output = instance.run(["spawn", "-d", "--isolation", "none", "--", "true"]);
    let said = text(&output.stderr);
    assert!(
        matches!(output.status.code(), Some(1 | 3)),
        "{}: {said}",
        output.status
    );
    assert!(said.contains(&tag), "{said}");
    assert!(
        said.contains("build") || said.contains("pull"),
        "no way out: {said}"
    );
    let status = instance.ok(["status"]);
    assert!(status.contains(&tag), "{status}");
    let pool = instance.pool("default").unwrap();
    assert!(
        pool["last_failure"]["in_a_row"].as_u64() >= Some(1),
        "{pool}"
    );

    engine::docker(&["tag", &instance::worker_image(), &tag]);
    let untag = Untag(&tag);
    instance.wait_warm("default", 1);
    let answer = spawned(&answers(vec![claim(&instance, &[], &["true"])])[0]);
    assert_eq!(answer["warm"], true, "{answer}");
    assert!(instance.pool("default").unwrap()["last_failure"]["retry_in_ms"].is_null());
    drop(untag);
}

struct Untag<'a>(&'a str);

impl Drop for Untag<'_> {
    fn drop(&mut self) {
        drop(engine::try_docker(&["rmi", "--no-prune", self.0]));
    }
}

#[test]
fn a_pool_is_scaled_paused_resumed_and_drained() {
    let instance = Instance::start(&instance::config(1, 2));
    let pool = || instance.pool("default").unwrap();
    instance.ok(["pool", "scale", "3", "3"]);
    instance.wait_warm("default", 3);
    assert_eq!(
        (&pool()["min_warm"], &pool()["max_warm"]),
        (&3.into(), &3.into())
    );

    instance.ok(["pool", "pause"]);
    instance.session("kept", &["sleep", "1000"]);
    assert_eq!(
        (&pool()["warm"], &pool()["paused"]),
        (&2.into(), &true.into())
    );
    assert!(instance.ok(["pool"]).contains("paused"));
    instance.ok(["pool", "resume"]);
    instance.wait_warm("default", 3);

    instance.ok(["pool", "drain"]);
    wait::until_true("an empty pool", SLOW, || {
        pool()["warm"] == 0 && pool()["creating"] == 0
    });
    assert_eq!(
        instance.worker("kept").unwrap()["state"],
        "running",
        "live work was taken"
    );
    assert_eq!(pool()["draining"], true);
    wait::until_true("no container of a warm worker", SLOW, || {
        engine::containers(&instance.name, "worker").len() == 1
    });
    instance.ok(["pool", "resume"]);
    instance.wait_warm("default", 3);
    instance.ok(["pool", "scale", "0", "0"]);
    wait::until_true("no warm worker", SLOW, || pool()["warm"] == 0);

    assert_eq!(
        instance.run(["pool", "scale", "3", "1"]).status.code(),
        Some(2)
    );
    assert_eq!(
        instance.run(["pool", "scale", "-1", "1"]).status.code(),
        Some(2)
    );
    assert_eq!(
        instance.run(["pool", "scale", "1", "many"]).status.code(),
        Some(2)
    );
    assert_eq!(
        instance
            .run(["pool", "pause", "-p", "nosuch"])
            .status
            .code(),
        Some(5)
    );
}

#[test]
fn what_is_killed_from_outside_is_replaced_or_shown_with_the_reason() {
    let instance = Instance::start(&instance::config(3, 3));
    let first = instance.warm();
    let began = Instant::now();
    engine::docker(&["kill", &first[0]]);
    engine::docker(&["rm", "-f", &first[1]]);
    engine::docker(&["pause", &first[2]]);
    wait::until_true("three other warm workers", SLOW, || {
        let now = instance.warm();
        now.len() == 3 && !now.contains(&first[0]) && !now.contains(&first[1])
    });
    println!(
        "two of three warm workers killed and one paused: full again in {:.1?}",
        began.elapsed()
    );
    // The paused one serves again, or was replaced; it is never handed out dead.
    for name in ["a", "b", "c"] {
        let none = [
            "spawn",
            "-n",
            name,
            "--isolation",
            "none",
            "--",
            "echo",
            "alive",
        ];
        assert_eq!(instance.ok(none), "alive\n");
    }
    assert!(!engine::containers(&instance.name, "worker").contains(&first[0]));

    for (name, how) in [("hit", &["kill"][..]), ("taken", &["rm", "-f"])] {
        instance.session(name, &["sleep", "1000"]);
        let worker = instance.wait_state(name, "running");
        let container = worker["container"].as_str().unwrap();
        let began = Instant::now();
        engine::docker(&[how, &[container]].concat());
        let worker = wait::until(&format!("{name} to be shown as gone"), SLOW, || {
            let worker = instance.worker(name)?;
            (worker["state"] == "lost" || worker["state"] == "exited").then_some(worker)
        });
        println!(
            "docker {}: shown as {} after {:.1?}",
            how[0],
            worker["state"],
            began.elapsed()
        );
        let why = worker["why"].as_str().unwrap_or_default();
        assert!(!why.is_empty(), "no reason: {worker}");
        // Its client is told, its name becomes free, its record can go.
        let output = instance.run(["attach", name]);
        assert!(!output.status.success());
        instance.ok(["rm", "-f", name]);
        assert!(instance.worker(name).is_none());
    }
    instance.wait_warm("default", 3);
}
