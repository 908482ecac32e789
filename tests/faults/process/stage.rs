//! One instance on which stories are told in which somebody dies; each is told to its end.

use crate::process::kit::{
    Who, audit, direct, insist, kill_coordinator, order, spawn_args, start, taken, wait_answer,
};
use crate::process::points::Story::{
    self, Apply, Discard, DiscardLive, Leftover, Refill, Remove, Rename, Restart, RestartEnded,
    Spawn, SpawnBind, SpawnLimits, SpawnOverlay, Start, Stop, StopOverlay,
};
use e2e::{
    engine,
    instance::{self, Instance, SLOW, text},
    processes,
    project::Project,
    unique, wait,
};
use std::{
    fs,
    process::Output,
    time::{Duration, Instant},
};

/// Warm workers that there are between two stories.
pub(super) const WARM: usize = 2;

/// One instance for many stories; what they need.
pub(super) struct Stage {
    pub(super) instance: Instance,
    /// How long the coordinator was away, or the worker that died was seen, in each story.
    pub(super) slowest: Duration,
}

/// A session of a story.
pub(super) struct Actor {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) mark: String,
}

impl Actor {
    pub(super) fn new() -> Self {
        let value = unique("mark");
        Self {
            name: unique("actor"),
            mark: format!("E2E_MARK={value}"),
            value,
        }
    }

    pub(super) fn alive(&self) -> usize {
        processes::marked("E2E_MARK", &self.value).len()
    }
}

pub(super) const SCRIPT: [&str; 3] = ["sh", "-c", "echo said; exec sleep 1000"];

pub(super) const CHANGES: [&str; 3] = [
    "sh",
    "-c",
    "echo more >> hello.txt; rm src/main.c; rmdir src; echo new > new.txt; echo said; exec sleep 1000",
];

impl Stage {
    pub(super) fn new() -> Self {
        let instance = start(&instance::config(2, 2));
        audit(&instance, WARM);
        Self {
            instance,
            slowest: Duration::ZERO,
        }
    }

    pub(super) fn spawn(&self, actor: &Actor, project: &[&str], script: &[&str]) -> Output {
        let mut args = spawn_args(&actor.name, &actor.mark, project);
        args.extend(script);
        direct(&self.instance, &args)
    }

    /// A session that runs and has said its word.
    pub(super) fn running(&self, actor: &Actor, project: &[&str], script: &[&str]) {
        let output = self.spawn(actor, project, script);
        assert!(output.status.success(), "{}", text(&output.stderr));
        wait::until_true("the session's word", SLOW, || {
            text(&direct(&self.instance, &["logs", &actor.name]).stdout).contains("said")
        });
        self.instance.wait_warm("default", WARM as u64);
        // What follows a claim beside its path is over once the record is on disk.
        audit(&self.instance, WARM);
    }

    pub(super) fn stop(&self, actor: &Actor) {
        insist(&self.instance, &["stop", "--grace", "0s", &actor.name]);
    }

    /// Tells a story in which `who` dies at `point`.
    pub(super) fn crash(&mut self, who: Who, point: &str, story: Story) {
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
    pub(super) fn victim(&self, who: Who) -> Option<String> {
        match who {
            Who::Coordinator => Some(self.instance.coordinator()?.to_string()),
            Who::Mounter => {
                let container = engine::containers(&self.instance.name, "mounter").concat();
                (!container.is_empty()).then_some(container)
            }
        }
    }

    pub(super) fn wait_death(&self, who: Who, before: &str, point: &str, ran: Option<&Output>) {
        let said = ran.map(|ran| text(&ran.stdout) + &text(&ran.stderr));
        let what = format!("the death of {before} at {point}; the command said {said:?}");
        wait::until_true(&what, SLOW, || {
            taken(&self.instance, who) && self.victim(who).is_some_and(|now| now != before)
        });
        wait_answer(&self.instance);
    }

    /// Whatever was cut short is done now, or was done then; never half.
    pub(super) fn told_to_its_end(
        &self,
        story: Story,
        actor: &Actor,
        project: &Project,
        succeeded: bool,
    ) {
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
    pub(super) fn clear(&self, project: &Project) {
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
