//! Requests that aim at what is not theirs: other workers' start-up, the helpers, the pool.

use e2e::{
    engine,
    instance::{self, Instance, SLOW, text},
    wait,
};

/// The mounter's and the guard's containers, and who else is there.
fn helpers(instance: &Instance) -> Vec<String> {
    let roles = ["mounter", "netguard"];
    let found = roles.map(|role| engine::containers(&instance.name, role));
    found.concat()
}

/// A worker takes the name of a helper's container while the helper is away: the helper must come
/// back, and the worker is not taken for it.
#[test]
fn a_worker_cannot_take_a_helpers_place() {
    let instance = Instance::start(&instance::config(2, 3));
    for role in ["mounter", "netguard"] {
        let container = engine::containers(&instance.name, role).concat();
        instance.session(role, &["sleep", "1000"]);
        engine::docker(&["rm", "-f", &container]);
        wait::until_true("the helper to be back", SLOW, || {
            let now = engine::containers(&instance.name, role);
            now.len() == 1 && now[0] != container
        });
        let name = engine::docker(&["inspect", "-f", "{{.Name}}", &helpers(&instance)[0]]);
        assert!(!name.contains(".w."), "{name}");
        let worker = instance.worker(role).unwrap();
        assert_eq!(
            worker["state"], "running",
            "{role} was removed for a helper: {worker}"
        );
    }
}

/// Requests that made a worker's first process end, or its start fail after it was assigned: none
/// of them reaches a worker.
#[test]
fn absurd_requests_do_not_burn_the_pool() {
    let instance = Instance::start(&instance::config(3, 3));
    let warm = instance.warm();
    let coordinator = instance.coordinator();
    let words: Vec<String> = (1..=90_000u32).map(|n| n.to_string()).collect();
    let mut giant = vec!["spawn", "--isolation", "none", "--", "echo"];
    giant.extend(words.iter().map(String::as_str));
    let long = [
        "spawn",
        "--isolation",
        "none",
        "--timeout",
        "300000000000years",
        "--",
        "sleep",
        "5",
    ];
    for (what, args) in [
        ("a giant command", &giant[..]),
        ("an absurd timeout", &long),
    ] {
        let output = instance.direct(args).output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{what}: {said}");
        assert_eq!(instance.warm(), warm, "{what} cost a worker: {said}");
    }
    // The same for the time that a stop may take, in a plain request.
    instance.session("stays", &["sleep", "1000"]);
    let mut curl = instance.curl("/v1/workers/stays/stop");
    curl.args([
        "-H",
        "content-type: application/json",
        "-d",
        "{\"grace_ms\":18446744073709551615}",
    ]);
    let answer = text(&curl.output().unwrap().stdout);
    assert!(answer.contains("\"invalid\""), "{answer}");
    assert_eq!(instance.worker("stays").unwrap()["state"], "running");
    assert_eq!(instance.coordinator(), coordinator);
}

/// Claims of workers that are called as everything that Podbay itself calls a container.
#[test]
fn a_worker_named_as_the_account_reader_survives_the_reading_of_accounts() {
    let config = instance::config(1, 2)
        + &instance::profile("ro", &instance::worker_image(), 0, 1)
        + "read_only = true\n";
    let instance = Instance::start(&config);
    instance.session("accounts", &["sleep", "1000"]);
    let before = instance.wait_state("accounts", "running");
    let read_only = ["spawn", "-p", "ro", "--isolation", "none", "--", "true"];
    instance.ok(read_only);
    let after = instance.worker("accounts").unwrap();
    assert_eq!(
        (&after["state"], &after["pid"]),
        (&before["state"], &before["pid"])
    );
}
