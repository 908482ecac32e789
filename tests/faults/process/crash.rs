//! Row 2: a crash at every step that makes, changes or removes something.
//!
//! Each failpoint of the sources has a story here that leads to it. Whoever reaches it dies as in a
//! power cut; afterwards the story is told to its end, and the audit must find nothing left over,
//! torn or twice. A session is there with all it has or not at all.

use super::stage::{Actor, CHANGES, SCRIPT, Stage, WARM};
use crate::process::kit::{
    Who, audit, direct, insist, kill_coordinator, order, pid_of, place, spawn_args, start, taken,
    wait_other_coordinator,
};
use crate::process::points::{
    AGENT, COORDINATOR, MOUNTER, REVIEWER,
    Story::{self, Apply, DiscardLive, Restart},
};
use e2e::{
    engine,
    instance::{self, SLOW, text},
    project::Project,
    wait,
};
use std::{collections::BTreeSet, fs, path::Path};
#[test]
fn row_02_every_failpoint_of_the_sources_has_a_story() {
    let mut found = BTreeSet::new();
    for package in [
        "coordinator/src",
        "coordinator/mounter/src",
        "worker-agent/src",
    ] {
        failpoints(&e2e::root().join(package), &mut found);
    }
    let here = [COORDINATOR, MOUNTER, REVIEWER, AGENT].concat();
    let names = here.iter().map(|(name, _)| *name);
    let told: BTreeSet<String> = names
        .chain(crate::parent::MOVES)
        .chain(crate::claims::HERE)
        .map(str::to_owned)
        .collect();
    assert!(found.len() > 40, "{found:?}");
    assert_eq!(found, told);
}

fn failpoints(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            failpoints(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let source = fs::read_to_string(&path).unwrap();
            let calls = source.split("failpoint!(\"").skip(1);
            found.extend(calls.map(|rest| rest.split('"').next().unwrap().to_owned()));
        }
    }
}

/// Stories that take part: all of them, or in the ordinary suite the first of each point.
fn stories(points: &'static [(&str, &[Story])]) -> Vec<(&'static str, Story)> {
    let full = e2e::times(1, 0) == 1;
    let only = std::env::var("PODBAY_FAILPOINT").ok();
    let chosen = points
        .iter()
        .filter(|(name, _)| only.as_ref().is_none_or(|only| name.contains(only)));
    chosen
        .flat_map(|(name, stories)| {
            let count = if full || only.is_some() {
                stories.len()
            } else {
                1
            };
            stories.iter().take(count).map(|story| (*name, *story))
        })
        .collect()
}

#[test]
fn row_02_the_coordinator_dies_at_every_step() {
    let mut stage = Stage::new();
    let stories = stories(COORDINATOR);
    for (point, story) in &stories {
        stage.crash(Who::Coordinator, point, *story);
    }
    e2e::measured(
        2,
        format!(
            "coordinator: {} crashes at {} points, nothing left over or twice; slowest answer of \
             the next one {:.1?} after the order",
            stories.len(),
            COORDINATOR.len(),
            stage.slowest
        ),
    );
}

#[test]
fn row_02_the_mounter_dies_at_every_step() {
    let mut stage = Stage::new();
    let stories = stories(MOUNTER);
    for (point, story) in &stories {
        stage.crash(Who::Mounter, point, *story);
    }
    e2e::measured(
        2,
        format!(
            "mounter: {} crashes at {} points, nothing left over or half; slowest {:.1?} until \
             another one served",
            stories.len(),
            MOUNTER.len(),
            stage.slowest
        ),
    );
}

#[test]
fn row_02_a_review_dies_at_every_step_and_nothing_else_does() {
    let stage = Stage::new();
    let instance = &stage.instance;
    let stories = stories(REVIEWER);
    let mounter = stage.victim(Who::Mounter);
    for (point, story) in &stories {
        println!("{point}: {story:?}");
        let (actor, project) = (Actor::new(), Project::new());
        let (name, folder) = (actor.name.as_str(), project.text());
        stage.running(&actor, &["--isolation", "overlay", &folder], &CHANGES);
        if *story != DiscardLive {
            stage.stop(&actor);
        }
        audit(instance, WARM);
        let id = instance.worker(name).unwrap()["id"].clone();
        let changes = instance.state().join("workers").join(id.as_str().unwrap());
        let orders = changes.join("changes/failpoints");
        place(&orders, &format!("{point}=1*return\n"));
        let ran = match story {
            Apply => direct(instance, &["apply", name]),
            _ => direct(instance, &["discard", "-y", name]),
        };
        let said = text(&ran.stderr);
        assert!(!orders.exists(), "{point} was not reached: {said}");
        assert!(
            !ran.status.success() && said.contains("its process ended"),
            "{point}: {said}"
        );
        assert_eq!(
            stage.victim(Who::Mounter),
            mounter,
            "{point}: the mounter died"
        );
        stage.told_to_its_end(*story, &actor, &project, false);
        stage.clear(&project);
    }
    e2e::measured(
        2,
        format!(
            "reviews: {} crashes at {} points, nothing half",
            stories.len(),
            REVIEWER.len()
        ),
    );
}

#[test]
fn row_02_an_agent_dies_at_every_step() {
    let stage = Stage::new();
    let instance = &stage.instance;
    let stories = stories(AGENT);
    for (point, story) in &stories {
        println!("{point}: {story:?}");
        let actor = Actor::new();
        let name = actor.name.as_str();
        let orders = format!("{point}=1*return\n");
        if *story == Restart {
            stage.running(&actor, &[], &SCRIPT);
        }
        // Whichever worker it will be.
        let runs = instance.state().join("workers");
        for entry in fs::read_dir(runs).unwrap().flatten() {
            place(&entry.path().join("run/failpoints"), &orders);
        }
        let before: Vec<i32> = instance.warm().iter().map(|c| pid_of(c)).collect();
        match story {
            Restart => drop(direct(instance, &["restart", name])),
            _ => drop(stage.spawn(&actor, &[], &SCRIPT)),
        }
        // The claim may have found a sound worker after the ones that died; a restart has not.
        wait::until_true("the agents' death or another worker", SLOW, || {
            let shown = instance.worker(name);
            match story {
                Restart => shown.is_some_and(|w| w["state"] == "lost"),
                _ => !before
                    .iter()
                    .all(|pid| Path::new(&format!("/proc/{pid}")).exists()),
            }
        });
        audit(instance, WARM);
        let alive = actor.alive();
        let shown = instance.worker(name);
        let runs = shown.as_ref().is_some_and(|w| w["state"] == "running");
        assert_eq!(runs, alive == 1, "{alive} processes, shown as {shown:?}");
        if *story == Restart {
            // A person may have it again; what it said is still there.
            assert!(insist(instance, &["logs", name]).contains("said"));
            insist(instance, &["restart", name]);
            assert_eq!(actor.alive(), 0, "without its environment there is no mark");
            instance.wait_state(name, "running");
        }
        stage.clear(&Project::new());
        // A claim is not given to one worker after the other: those that were not used still have
        // their orders.
        for container in instance.warm() {
            engine::docker(&["rm", "-f", &container]);
        }
        instance.wait_warm("default", WARM as u64);
    }
    e2e::measured(2, format!("agent: {} crashes, none half", stories.len()));
}

#[test]
fn row_02_a_coordinator_that_dies_while_it_comes_up_is_followed_by_one_that_does() {
    let instance = start(&instance::config(2, 2));
    audit(&instance, WARM);
    let actor = Actor::new();
    let mut args = spawn_args(&actor.name, &actor.mark, &[]);
    args.extend(SCRIPT);
    insist(&instance, &args);
    audit(&instance, WARM);
    for _ in 0..e2e::times(10, 3) {
        order(&instance, Who::Coordinator, "adopt.listed=1*return\n");
        let former = kill_coordinator(&instance);
        wait::until_true("the orders to be taken", SLOW, || {
            taken(&instance, Who::Coordinator)
        });
        wait_other_coordinator(&instance, former);
        instance.wait_state(&actor.name, "running");
        assert_eq!(actor.alive(), 1);
    }
    audit(&instance, WARM);
}
