//! Row 2: a crash at every step that makes, changes or removes something.
//!
//! Each failpoint of the sources has a story here that leads to it. Whoever reaches it dies as in a
//! power cut; afterwards the story is told to its end, and the audit must find nothing left over,
//! torn or twice. A session is there with all it has or not at all.

use crate::process_kit::{
    Who, audit, direct, insist, kill_coordinator, order, pid_of, place, spawn_args, start, taken,
    wait_answer, wait_other_coordinator,
};
use crate::process_points::{
    AGENT, COORDINATOR, MOUNTER, REVIEWER,
    Story::{
        self, Apply, Discard, DiscardLive, Leftover, Refill, Remove, Rename, Restart, RestartEnded,
        Spawn, SpawnBind, SpawnLimits, SpawnOverlay, Start, Stop, StopOverlay,
    },
};
use e2e::{
    engine,
    instance::{self, Instance, SLOW, text},
    processes,
    project::Project,
    unique, wait,
};
use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::Output,
    time::{Duration, Instant},
};

/// Warm workers that there are between two stories.
const WARM: usize = 2;

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

/// One instance for many stories; what they need.
struct Stage {
    instance: Instance,
    /// How long the coordinator was away, or the worker that died was seen, in each story.
    slowest: Duration,
}

/// A session of a story.
struct Actor {
    name: String,
    value: String,
    mark: String,
}

impl Actor {
    fn new() -> Self {
        let value = unique("mark");
        Self {
            name: unique("actor"),
            mark: format!("E2E_MARK={value}"),
            value,
        }
    }

    fn alive(&self) -> usize {
        processes::marked("E2E_MARK", &self.value).len()
    }
}

const SCRIPT: [&str; 3] = ["sh", "-c", "echo said; exec sleep 1000"];
const CHANGES: [&str; 3] = [
    "sh",
    "-c",
    "echo more >> hello.txt; rm src/main.c; rmdir src; echo new > new.txt; echo said; exec sleep 1000",
];

impl Stage {
    fn new() -> Self {
        let instance = start(&instance::config(2, 2));
        audit(&instance, WARM);
        Self {
            instance,
            slowest: Duration::ZERO,
        }
    }

    fn spawn(&self, actor: &Actor, project: &[&str], script: &[&str]) -> Output {
        let mut args = spawn_args(&actor.name, &actor.mark, project);
        args.extend(script);
        direct(&self.instance, &args)
    }

    /// A session that runs and has said its word.
    fn running(&self, actor: &Actor, project: &[&str], script: &[&str]) {
        let output = self.spawn(actor, project, script);
        assert!(output.status.success(), "{}", text(&output.stderr));
        wait::until_true("the session's word", SLOW, || {
            text(&direct(&self.instance, &["logs", &actor.name]).stdout).contains("said")
        });
        self.instance.wait_warm("default", WARM as u64);
        // What follows a claim beside its path is over once the record is on disk.
        audit(&self.instance, WARM);
    }

    fn stop(&self, actor: &Actor) {
        insist(&self.instance, &["stop", "--grace", "0s", &actor.name]);
    }

    /// Tells a story in which `who` dies at `point`.
    fn crash(&mut self, who: Who, point: &str, story: Story) {
        println!("{point}: {story:?}");
        let actor = Actor::new();
        let project = Project::new();
        let folder = project.text();
        let over = ["--isolation", "overlay", folder.as_str()];
        let bind = ["--isolation", "bind", folder.as_str()];
        match story {
            Stop | Restart | Rename => self.running(&actor, &[], &SCRIPT),
            StopOverlay => self.running(&actor, &over, &CHANGES),
            Apply | Discard => {
                self.running(&actor, &over, &CHANGES);
                self.stop(&actor);
            }
            Remove | RestartEnded => {
                self.running(&actor, &[], &SCRIPT);
                self.stop(&actor);
            }
            _ => {}
        }
        audit(&self.instance, WARM);
        let before = wait::until("a victim", SLOW, || self.victim(who));
        let began = Instant::now();
        order(&self.instance, who, &format!("{point}=1*return\n"));
        let name = actor.name.as_str();
        let ran = match story {
            Refill => {
                engine::docker(&["rm", "-f", &self.instance.warm()[0]]);
                None
            }
            Start => {
                kill_coordinator(&self.instance);
                None
            }
            Leftover => {
                let left = self.instance.state().join("workers/00000000dead");
                fs::create_dir_all(left.join("run")).unwrap();
                kill_coordinator(&self.instance);
                None
            }
            Spawn => Some(self.spawn(&actor, &[], &SCRIPT)),
            SpawnLimits => {
                let mut args = spawn_args(name, &actor.mark, &["--isolation", "none"]);
                args.splice(1..1, ["--memory", "128m"]);
                args.extend(SCRIPT);
                Some(direct(&self.instance, &args))
            }
            SpawnBind => Some(self.spawn(&actor, &bind, &SCRIPT)),
            SpawnOverlay => Some(self.spawn(&actor, &over, &SCRIPT)),
            Stop | StopOverlay => Some(direct(&self.instance, &["stop", "--grace", "0s", name])),
            Remove => Some(direct(&self.instance, &["rm", name])),
            Restart | RestartEnded => Some(direct(&self.instance, &["restart", name])),
            Rename => Some(direct(&self.instance, &["rename", name, "renamed"])),
            Apply => Some(direct(&self.instance, &["apply", name])),
            Discard | DiscardLive => Some(direct(&self.instance, &["discard", "-y", name])),
        };
        self.wait_death(who, &before, point, ran.as_ref());
        self.slowest = self.slowest.max(began.elapsed());
        let succeeded = ran.is_some_and(|output| output.status.success());
        self.told_to_its_end(story, &actor, &project, succeeded);
        self.clear(&project);
    }

    /// What tells one life of the victim from the next; `None` while there is none.
    fn victim(&self, who: Who) -> Option<String> {
        match who {
            Who::Coordinator => Some(self.instance.coordinator()?.to_string()),
            Who::Mounter => {
                let container = engine::containers(&self.instance.name, "mounter").concat();
                (!container.is_empty()).then_some(container)
            }
        }
    }

    fn wait_death(&self, who: Who, before: &str, point: &str, ran: Option<&Output>) {
        let said = ran.map(|ran| text(&ran.stdout) + &text(&ran.stderr));
        let what = format!("the death of {before} at {point}; the command said {said:?}");
        wait::until_true(&what, SLOW, || {
            taken(&self.instance, who) && self.victim(who).is_some_and(|now| now != before)
        });
        wait_answer(&self.instance);
    }

    /// Whatever was cut short is done now, or was done then; never half.
    fn told_to_its_end(&self, story: Story, actor: &Actor, project: &Project, succeeded: bool) {
        let instance = &self.instance;
        let name = actor.name.as_str();
        let warm = WARM;
        match story {
            Refill | Start | Leftover => {}
            Spawn | SpawnLimits | SpawnBind | SpawnOverlay => {
                audit(instance, warm);
                let alive = actor.alive();
                assert!(alive <= 1, "{alive} processes of one claim");
                assert!(alive == 1 || !succeeded, "said to run, and does not");
                let shown = instance.worker(name);
                if alive == 1 {
                    let worker = instance.wait_state(name, "running");
                    assert!(insist(instance, &["logs", name]).contains("said"));
                    if story == SpawnLimits {
                        let container = worker["container"].as_str().unwrap();
                        wait::until_true("the limit to be in force", SLOW, || {
                            let of = ["inspect", "-f", "{{.HostConfig.Memory}}", container];
                            engine::docker(&of) == (128 << 20).to_string()
                        });
                    }
                } else {
                    assert!(
                        shown.is_none_or(|w| w["state"] != "running"),
                        "shown to run, and does not"
                    );
                    direct(instance, &["rm", "--force", name]);
                    let folder = project.text();
                    let again = match story {
                        SpawnBind => vec!["--isolation", "bind", folder.as_str()],
                        SpawnOverlay => vec!["--isolation", "overlay", folder.as_str()],
                        _ => Vec::new(),
                    };
                    let output = self.spawn(actor, &again, &SCRIPT);
                    assert!(output.status.success(), "{}", text(&output.stderr));
                    assert_eq!(actor.alive(), 1);
                }
                self.stop(actor);
                assert_eq!(actor.alive(), 0);
            }
            Stop | StopOverlay => {
                // Whoever asked twice is told that it is gone already, which is as good.
                direct(instance, &["stop", "--grace", "0s", name]);
                let worker = instance.wait_state(name, "exited");
                assert_eq!(actor.alive(), 0);
                assert!(insist(instance, &["logs", name]).contains("said"));
                assert_eq!(worker["unapplied"], story == StopOverlay, "{worker}");
                if story == StopOverlay {
                    let changed = insist(instance, &["diff", "--name-only", name]);
                    assert_eq!(changed, "hello.txt\nnew.txt\nsrc\nsrc/main.c\n");
                }
            }
            Remove => {
                direct(instance, &["rm", name]);
                wait::until_true("it to be forgotten", SLOW, || {
                    instance.worker(name).is_none()
                });
            }
            Restart => {
                instance.wait_state(name, "running");
                wait::until_true("one process", SLOW, || actor.alive() == 1);
            }
            RestartEnded => {
                audit(instance, warm);
                let all = instance.workers();
                let of_it: Vec<_> = all.iter().filter(|w| w["name"] == name).collect();
                let live = of_it.iter().filter(|w| w["state"] == "running").count();
                assert!(live <= 1 && !of_it.is_empty(), "{of_it:?}");
            }
            Rename => {
                audit(instance, warm);
                let all = instance.workers();
                let named = |name: &str| all.iter().filter(|w| w["name"] == name).count();
                assert_eq!(named(name) + named("renamed"), 1, "{all:?}");
                assert_eq!(actor.alive(), 1);
            }
            Apply => {
                wait::until_true("the changes to be applied", SLOW, || {
                    direct(instance, &["apply", name]);
                    direct(instance, &["diff", "--name-only", name]).stdout == b""
                        && instance
                            .worker(name)
                            .is_some_and(|w| w["unapplied"] == false)
                });
                assert_eq!(project.read("hello.txt").as_deref(), Some("hello\nmore\n"));
                assert_eq!(project.read("new.txt").as_deref(), Some("new\n"));
                assert!(!project.path().join("src").exists());
            }
            Discard | DiscardLive => {
                wait::until_true("the changes to be discarded", SLOW, || {
                    direct(instance, &["discard", "-y", name]);
                    direct(instance, &["diff", "--name-only", name]).stdout == b""
                        && instance
                            .worker(name)
                            .is_some_and(|w| story == DiscardLive || w["unapplied"] == false)
                });
                assert_eq!(project.read("hello.txt").as_deref(), Some("hello\n"));
                assert!(project.read("src/main.c").is_some());
                assert!(project.read("new.txt").is_none());
            }
        }
        audit(instance, warm);
    }

    /// Everything goes; nothing of a story is left in the project or on the machine.
    fn clear(&self, project: &Project) {
        let instance = &self.instance;
        insist(instance, &["stop", "--all", "--grace", "0s"]);
        for worker in instance.workers() {
            if worker["state"] != "warm" && worker["state"] != "creating" {
                let id = worker["id"].as_str().unwrap();
                direct(instance, &["rm", "--force", id]);
            }
        }
        audit(instance, WARM);
        let left = fs::read_dir(project.path()).unwrap().flatten();
        let names = left.map(|e| e.file_name().to_string_lossy().into_owned());
        let strays: Vec<String> = names.filter(|n| n.starts_with(".podbay-")).collect();
        assert!(strays.is_empty(), "left in the project: {strays:?}");
        let workers = fs::read_dir(instance.state().join("workers")).unwrap();
        assert_eq!(workers.count(), WARM);
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
