//! Claims whose start is not answered, agents that describe themselves late, workers that are
//! removed while their containers are being created.
//!
//! A command runs once or not at all, and the answer says which, or that it is unknown.

use crate::process::kit::{
    Who, audit, direct, kill_coordinator, order, place, start, taken, wait_other_coordinator,
};
use e2e::{
    engine,
    instance::{self, Instance, SLOW, text},
    measured,
    project::Project,
    unique, wait,
};
use std::{collections::BTreeSet, fs, process::Stdio, time::Instant};

/// Failpoints that have their stories here.
pub const HERE: [&str; 1] = ["agent.describe"];

/// Gives orders to the agent of every worker.
fn order_agents(instance: &Instance, orders: &str) {
    for entry in fs::read_dir(instance.state().join("workers")).unwrap() {
        place(&entry.unwrap().path().join("run/failpoints"), orders);
    }
}

fn spawn(instance: &Instance, name: &str, folder: &str) -> std::process::Output {
    let script = "echo ran >> ran; exec sleep 1000";
    let args = [
        "spawn",
        "-d",
        "-n",
        name,
        "--isolation",
        "bind",
        folder,
        "--",
        "sh",
        "-c",
        script,
    ];
    direct(instance, &args)
}

fn runs(project: &Project) -> usize {
    project.read("ran").unwrap_or_default().lines().count()
}

fn still_warm(instance: &Instance, before: &[String]) -> usize {
    let now: BTreeSet<String> = instance.warm().into_iter().collect();
    before.iter().filter(|id| now.contains(*id)).count()
}

/// The answer to a start comes after its deadline: it counts, and the command is not run again.
#[test]
fn row_04_a_start_that_is_answered_late_is_not_repeated() {
    let instance = start(&instance::config(3, 3));
    let project = Project::new();
    let before = instance.warm();
    order_agents(&instance, "agent.start.forked=1*sleep(33000)\n");
    let began = Instant::now();
    let output = spawn(&instance, "late", &project.text());
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(instance.wait_state("late", "running")["state"], "running");
    assert_eq!(runs(&project), 1, "the command ran more than once");
    assert!(
        still_warm(&instance, &before) >= 2,
        "other workers were used"
    );
    measured(
        4,
        format!(
            "a start answered after {:.0?}: the command ran once",
            began.elapsed()
        ),
    );
    instance.ok(["stop", "late"]);
}

/// The agent dies after the command was executed: nobody knows what it did, and so it is said.
#[test]
fn row_04_a_start_that_may_have_happened_is_told_and_not_repeated() {
    let instance = start(&instance::config(3, 3));
    let project = Project::new();
    let before = instance.warm();
    order_agents(&instance, "agent.start.forked=1*return\n");
    let output = spawn(&instance, "maybe", &project.text());
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(124), "{said}");
    for part in [
        "may have been started in worker maybe",
        "not repeated",
        "podbay logs maybe",
    ] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    assert!(runs(&project) <= 1, "{} runs", runs(&project));
    assert_eq!(instance.wait_state("maybe", "lost")["name"], "maybe");
    assert_eq!(still_warm(&instance, &before), 2, "one worker was used");
    // The next coordinator knows it, too.
    let former = kill_coordinator(&instance);
    wait_other_coordinator(&instance, former);
    instance.wait_state("maybe", "lost");
    instance.ok(["rm", "--force", "maybe"]);
    measured(
        4,
        "an agent that died during a start: told, 1 worker used, at most 1 run".to_owned(),
    );
}

/// An agent that takes longer than the deadline to describe itself: its worker is not yet known,
/// never lost, and known in the end.
#[test]
fn row_01_an_agent_that_describes_itself_late_is_waited_for() {
    let config = instance::config(1, 1) + "ready_timeout = \"3s\"\n";
    let instance = start(&config);
    instance.session("patient", &["sh", "-c", "echo said; exec sleep 1000"]);
    let before = instance.wait_state("patient", "running");
    instance.wait_warm("default", 1);
    order_agents(&instance, "agent.describe=1*sleep(8000)\n");
    let former = kill_coordinator(&instance);
    wait_other_coordinator(&instance, former);
    let mut seen = BTreeSet::new();
    wait::until_true("the session to be known again", SLOW, || {
        let worker = instance.worker("patient");
        let state = worker.and_then(|w| w["state"].as_str().map(str::to_owned));
        let done = state.as_deref() == Some("running");
        seen.extend(state);
        done
    });
    assert!(!seen.contains("lost"), "{seen:?}");
    assert!(seen.len() > 1, "the agent was not late: {seen:?}");
    let after = instance.worker("patient").unwrap();
    assert_eq!(after["pid"], before["pid"]);
    assert_eq!(after["container"], before["container"]);
    instance.ok(["stop", "patient"]);
}

/// A person stops a lost worker while its new container is being created: none is left.
#[test]
fn row_02_a_worker_that_is_removed_while_its_container_is_created_leaves_none() {
    let config = instance::config(1, 2) + "rehome = \"ask\"\n";
    let instance = start(&config);
    let name = unique("leak");
    instance.session(&name, &["sh", "-c", "echo said; exec sleep 1000"]);
    let id = instance.wait_state(&name, "running")["id"].clone();
    engine::docker(&["restart", "-t", "5", &instance.name]);
    wait::until_true("the loss to be noticed", SLOW, || {
        instance.worker(&name).is_some_and(|w| w["state"] == "lost")
    });
    instance.wait_warm("default", 1);
    let token = format!("workers/{}/run/token", id.as_str().unwrap());
    let token = instance.state().join(token);
    let former = fs::read_to_string(&token).unwrap();
    order(
        &instance,
        Who::Coordinator,
        "create.guarded=1*sleep(8000)\n",
    );
    let mut restart = instance.direct(["restart", &name]);
    let restart = restart.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut restart = restart.unwrap();
    // The new container's token is written right before its creation.
    wait::until_true("a new container to be prepared", SLOW, || {
        let now = fs::read_to_string(&token);
        taken(&instance, Who::Coordinator) && now.is_ok_and(|now| now != former)
    });
    instance.ok(["stop", &name]);
    assert!(
        !restart.wait().unwrap().success(),
        "it was stopped meanwhile"
    );
    audit(&instance, 1);
    let label = format!("label=dev.podbay.worker={}", id.as_str().unwrap());
    let left = engine::docker(&["ps", "-aq", "--filter", &label]);
    assert_eq!(left, "", "a container of a worker that is gone");
}
