//! Another name for a worker, kept whatever happens to the coordinator.

use crate::daemon::survival::kill_coordinator;
use e2e::{
    engine,
    instance::{self, Instance, SLOW, text},
    wait,
};

fn named(instance: &Instance, worker: &serde_json::Value) -> String {
    let container = worker["container"].as_str().expect("a container");
    let name = engine::docker(&["inspect", "-f", "{{.Name}}", container]);
    let prefix = format!("/{}.w.", instance.name);
    name.trim_start_matches(&prefix).to_owned()
}

#[test]
fn a_name_changes_everywhere_and_survives_the_coordinator() {
    let instance = Instance::start(&instance::config(2, 3));
    instance.session("first", &["bash", "-c", "sleep 1000 & wait"]);
    instance.session("other", &["sleep", "1000"]);
    let before = instance.wait_state("first", "running");

    assert_eq!(instance.ok(["rename", "first", "second"]), "second\n");
    let after = instance.wait_state("second", "running");
    assert_eq!(
        (&after["id"], &after["pid"]),
        (&before["id"], &before["pid"])
    );
    assert!(instance.worker("first").is_none());
    wait::until_true("the container's new name", SLOW, || {
        named(&instance, &after) == "second"
    });

    for (new, code, says) in [("other", 1, "in use"), ("Not A Name", 2, "use 1 to 63")] {
        let refused = instance.run(["rename", "second", new]);
        let err = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(code), "{err}");
        assert!(err.contains(says), "{err}");
    }
    instance.wait_warm("default", 2);
    let warm = instance
        .workers()
        .into_iter()
        .find(|w| w["state"] == "warm");
    let warm = warm.unwrap()["name"].as_str().unwrap().to_owned();
    let refused = instance.run(["rename", &warm, "mine"]);
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused.stderr));

    // Killed at the very moment it is renamed once more.
    instance.ok(["rename", "second", "third"]);
    kill_coordinator(&instance);
    let back = instance.wait_state("third", "running");
    assert_eq!((&back["id"], &back["pid"]), (&before["id"], &before["pid"]));
    assert!(instance.worker("second").is_none() && instance.worker("first").is_none());
    instance.session("first", &["sleep", "1000"]);

    // The name stays with what follows: a restart, the end.
    instance.ok(["restart", "third"]);
    kill_coordinator(&instance);
    let again = instance.wait_state("third", "running");
    assert_eq!(
        (&again["id"], &again["restarts"]),
        (&before["id"], &1.into())
    );
    instance.ok(["stop", "third"]);
    instance.wait_state("third", "exited");
    instance.ok(["rename", "third", "past"]);
    kill_coordinator(&instance);
    assert_eq!(instance.wait_state("past", "exited")["id"], before["id"]);
}
