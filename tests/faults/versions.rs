//! Row 22: the workers' agents and the coordinator are one version apart.
//!
//! Agents that run are made ones of another version (`worker-agent/failpoints/src/version_skew.rs`), then the
//! coordinator dies and another one finds them: so it is after an upgrade. Everything that a person
//! can ask for is tried with each of the four kinds, and works or is refused in words that say why.
//! Whatever comes of it, no session is lost.

use crate::process::kit::{assert_no_gap, direct, kill_coordinator, place, wait_other_coordinator};
use e2e::{
    engine,
    instance::{self, Instance, SLOW, faults_image, text},
    measured,
    programs::{COUNTER, numbers},
    project::Project,
    wait,
};
use serde_json::{Value, json};
use std::{fmt::Write, fs};

/// Says what it was started with, changes the project, then counts and answers what is typed: two
/// loops, since a `read` that times out may lose what it read.
const SCRIPT: &str = "echo run of $GIVEN; echo changed >> hello.txt; \
    { n=0; while :; do n=$((n+1)); echo \"n=$n\"; sleep 0.02; done; } & \
    while read -r line; do echo \"TYPED ${line^^}\"; done";
const WORKS: &str = "works";
/// Said where the environment was the former agent's alone to give.
const NO_ENV: &str = "without the environment variables";

/// An agent that is one version apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Apart {
    Older,
    Newer,
    OlderProtocol,
    NewerProtocol,
}

impl Apart {
    const ALL: [Self; 4] = [
        Self::Older,
        Self::Newer,
        Self::OlderProtocol,
        Self::NewerProtocol,
    ];

    fn order(self) -> &'static str {
        match self {
            Self::Older => "older",
            Self::Newer => "newer",
            Self::OlderProtocol => "older-protocol",
            Self::NewerProtocol => "newer-protocol",
        }
    }

    /// What people are told of it.
    fn words(self) -> String {
        let own = podbay_protocol::PROTOCOL_VERSION;
        let (age, build, protocol) = match self {
            Self::Older => ("an older version", "0.0.1", own),
            Self::Newer => ("a newer version", "99.0.0", own),
            Self::OlderProtocol => ("an older version", "0.0.1", own - 1),
            Self::NewerProtocol => ("a newer version", "99.0.0", own + 1),
        };
        let coordinator = env!("CARGO_PKG_VERSION");
        format!(
            "{age} ({build}, protocol {protocol}; the coordinator: {coordinator}, protocol {own})"
        )
    }

    /// Whether a warm worker with such an agent is given to claims.
    fn serves_claims(self) -> bool {
        matches!(self, Self::Older | Self::Newer)
    }

    /// Whether it tells another agent's coordinator what its session was started with.
    fn tells_origin(self) -> bool {
        matches!(self, Self::OlderProtocol | Self::NewerProtocol)
    }
}

/// One row of the matrix.
struct Row {
    apart: Apart,
    instance: Instance,
    project: Project,
    /// What was found of each operation.
    cells: Vec<(&'static str, String)>,
    /// The main session's process, as it was before all of it.
    pid: Value,
}

impl Row {
    fn start(apart: Apart) -> Self {
        let mut config = instance::config(2, 4);
        writeln!(config, "rehome = \"auto\"").unwrap();
        let instance = Instance::start_of(&config, &faults_image());
        let project = Project::new();
        let given = ["spawn", "-d", "-n", "work", "-e", "GIVEN=kept"];
        let folder = project.text();
        let command = [
            "--isolation",
            "overlay",
            &folder,
            "--",
            "bash",
            "-c",
            SCRIPT,
        ];
        instance.ok(given.iter().chain(&command));
        instance.session("ends", &["sleep", "1000"]);
        instance.wait_warm("default", 2);
        wait_logs(&instance, "work", "run of kept");
        let pid = instance.worker("work").unwrap()["pid"].clone();
        let cells = Vec::new();
        Self {
            apart,
            instance,
            project,
            cells,
            pid,
        }
    }

    fn cell(&mut self, operation: &'static str, outcome: impl Into<String>) {
        self.cells.push((operation, outcome.into()));
    }

    fn worker(&self, name: &str) -> Value {
        let found = self.instance.worker(name);
        found.unwrap_or_else(|| panic!("{:?}: no worker {name}", self.apart))
    }

    /// The process is the one it began with, and every number it printed is on record.
    fn session_lives(&self, name: &str) {
        let worker = self.worker(name);
        assert_eq!(worker["state"], "running", "{worker}");
        assert_eq!(worker["pid"], self.pid, "{worker}");
        let so_far = assert_no_gap(&self.instance, name);
        wait::until_true("the session to go on", SLOW, || {
            numbers(&logs(&self.instance, name)).len() > so_far
        });
    }

    /// Makes all agents that run ones of another version, and puts another coordinator in force.
    fn adoption(&mut self) -> Vec<String> {
        let warm = self.instance.warm();
        order(&self.instance, self.apart.order());
        another_coordinator(&self.instance);
        let words = self.apart.words();
        wait::until_true("the sessions to be found again", SLOW, || {
            ["work", "ends"].iter().all(|name| {
                self.instance
                    .worker(name)
                    .is_some_and(|w| w["state"] == "running" && w["agent"] == words.as_str())
            })
        });
        self.session_lives("work");
        if self.apart == Apart::Newer {
            // A state that nobody here knows.
            assert_eq!(self.worker("work")["activity"]["state"], "unknown");
        }
        let doctor = text(&direct(&self.instance, &["doctor", "--json"]).stdout);
        assert!(
            doctor.contains(&format!("work has an agent of {words}")),
            "{doctor}"
        );
        let former = |now: &[String]| now.iter().filter(|id| warm.contains(id)).count();
        let expected = if self.apart.serves_claims() { 2 } else { 0 };
        wait::until_true("a full pool of the right workers", SLOW, || {
            let now = self.instance.warm();
            now.len() == 2 && former(&now) == expected
        });
        self.cell("adoption", WORKS);
        let kept = match expected {
            0 => "replaced",
            _ => "kept",
        };
        self.cell("warm workers", kept);
        warm
    }

    /// Claims of warm workers: one without and one with a secret.
    fn claims(&mut self, warm: &[String]) {
        self.instance.session("plain", &["sleep", "1000"]);
        let plain = self.worker("plain");
        assert_eq!(plain["warm_start"], true, "{plain}");
        let former = warm.iter().any(|id| plain["container"] == id.as_str());
        assert_eq!(former, self.apart.serves_claims(), "{plain}");
        self.cell("spawn", WORKS);

        let show = "echo secret-$(wc -c < $TOKEN_FILE)-bytes; sleep 1000";
        let args = [
            "spawn",
            "-d",
            "-n",
            "holds",
            "--isolation",
            "none",
            "--secret",
            "TOKEN",
        ];
        let mut spawn = self
            .instance
            .command(args.iter().chain(&["--", "bash", "-c", show]));
        let spawned = spawn.env("TOKEN", "0123456789").output().unwrap();
        let said = text(&spawned.stderr);
        assert!(spawned.status.success(), "{said}");
        // Wherever it went, it has what it needs.
        wait_logs(&self.instance, "holds", "secret-10-bytes");
        let holds = self.worker("holds");
        let former = warm.iter().any(|id| holds["container"] == id.as_str());
        if self.apart == Apart::Older {
            let why = format!(
                "cold start: \"start_with_secrets\" does not work with the worker's agent, which is of {}",
                self.apart.words()
            );
            assert!(said.contains(&why), "{said}");
            assert!(!former && holds["warm_start"] == false, "{holds}");
            assert_eq!(holds["agent"], Value::Null, "{holds}");
            wait::until_true("the refusing worker to be replaced", SLOW, || {
                let now = self.instance.warm();
                now.len() == 2 && !now.iter().any(|id| warm.contains(id))
            });
            self.cell("spawn with secrets", "on a worker made for it");
        } else {
            assert_eq!(former, self.apart.serves_claims(), "{holds}");
            assert_eq!(holds["warm_start"], true, "{said}");
            self.cell("spawn with secrets", WORKS);
        }
    }

    /// What a person sees and types.
    fn clients(&mut self) {
        let mut client = self.instance.direct_terminal(&["attach", "work"], 80, 24);
        client.wait_for("n=");
        client.send("hello\r");
        wait_logs(&self.instance, "work", "TYPED HELLO");
        let shown = client.received();
        wait::until_true("the client to be shown more", SLOW, || {
            client.received() > shown
        });
        self.cell("attach", WORKS);
        client.resize(100, 30);
        let wanted = json!({ "cols": 100, "rows": 30 });
        wait::until_true("the new size", SLOW, || {
            self.worker("work")["size"] == wanted
        });
        self.cell("resize", WORKS);
        drop(client);

        let said = self
            .instance
            .ok(["exec", "work", "--", "sh", "-c", "echo exec-$((6*7))"]);
        assert!(said.contains("exec-42"), "{said}");
        self.cell("exec", WORKS);

        let screen = self.instance.curl("/v1/workers/work/screen").output();
        let screen = screen.expect("running curl");
        let screen: Value = serde_json::from_slice(&screen.stdout).expect("a screen");
        assert!(screen["lines"].to_string().contains("n="), "{screen}");
        self.cell("screen", WORKS);

        assert_no_gap(&self.instance, "work");
        self.cell("logs", WORKS);
    }

    fn review(&mut self) {
        let diff = self.instance.ok(["diff", "work"]);
        assert!(diff.contains("+changed"), "{diff}");
        self.instance.ok(["apply", "work"]);
        let applied = self.project.read("hello.txt");
        assert_eq!(applied.as_deref(), Some("hello\nchanged\n"));
        self.cell("review and apply", WORKS);
    }

    /// The name stays, also where the agent does not carry it.
    fn rename(&mut self) {
        self.instance.ok(["rename", "work", "renamed"]);
        another_coordinator(&self.instance);
        wait::until_true("the session under its new name", SLOW, || {
            let found = self.instance.worker("renamed");
            found.is_some_and(|w| w["state"] == "running" && w["pid"] == self.pid)
        });
        assert!(self.instance.worker("work").is_none());
        self.cell("rename", WORKS);
    }

    fn stop(&mut self) {
        // The last two are of this coordinator's own version at times, the first one never is.
        for name in ["ends", "plain", "holds"] {
            let container = self.worker(name)["container"].clone();
            self.instance.ok(["stop", name]);
            let left = engine::containers(&self.instance.name, "worker");
            assert!(
                !left.iter().any(|id| container == id.as_str()),
                "{name} is there"
            );
        }
        self.cell("stop", WORKS);
    }

    /// Nothing before this ended the session; a restart does, or is refused.
    fn restart(&mut self) {
        self.session_lives("renamed");
        let restarted = direct(&self.instance, &["restart", "renamed"]);
        let said = text(&restarted.stderr);
        if self.apart == Apart::Older {
            let why = format!(
                "\"restart\" does not work with the worker's agent, which is of {}",
                self.apart.words()
            );
            assert!(!restarted.status.success() && said.contains(&why), "{said}");
            assert!(said.contains("stop it and spawn it anew"), "{said}");
            self.session_lives("renamed");
            self.cell("restart", "refused");
            return;
        }
        assert!(restarted.status.success(), "{said}");
        wait_logs(&self.instance, "renamed", "run of kept");
        let again = self.worker("renamed");
        assert_ne!(again["pid"], self.pid, "{again}");
        assert_eq!(again["agent"], self.apart.words(), "the same agent did it");
        self.cell("restart", WORKS);
    }

    /// In a new container the agent is the coordinator's own again.
    fn rehome(&mut self) {
        let before = self.worker("renamed");
        engine::docker(&["restart", "-t", "5", &self.instance.name]);
        wait::until_true("it to come back by itself", SLOW, || {
            self.instance.worker("renamed").is_some_and(|w| {
                w["state"] == "running" && w["restarts"].as_u64() > before["restarts"].as_u64()
            })
        });
        let now = self.worker("renamed");
        assert_ne!(now["container"], before["container"]);
        assert_eq!(now["agent"], Value::Null, "{now}");
        let why = now["why"].as_str().unwrap_or_default();
        if self.apart.tells_origin() {
            assert!(!why.contains(NO_ENV), "{why}");
            wait_logs(&self.instance, "renamed", "run of kept");
            self.cell("rehome", WORKS);
        } else {
            assert!(why.contains(NO_ENV), "{why}");
            wait_logs(&self.instance, "renamed", "run of");
            assert!(!logs(&self.instance, "renamed").contains("run of kept"));
            self.cell("rehome", "without its environment, which is said");
        }
        // Its home and its changes are there all the same.
        let diff = self.instance.ok(["diff", "renamed"]);
        assert!(diff.contains("+changed"), "{diff}");
    }

    /// What is not simply so, for people.
    fn summary(&self) -> String {
        let others: Vec<String> = self
            .cells
            .iter()
            .filter(|(_, outcome)| outcome != WORKS)
            .map(|(operation, outcome)| format!("{operation} {outcome}"))
            .collect();
        let name = self.apart.order();
        let works = self.cells.len() - others.len();
        format!("{name}: {works} work, {}", others.join(", "))
    }
}

/// Makes all agents that run ones of this version.
fn order(instance: &Instance, version: &str) {
    for folder in fs::read_dir(instance.state().join("workers")).unwrap() {
        let file = folder.unwrap().path().join("run/version-apart");
        place(&file, version);
    }
}

fn another_coordinator(instance: &Instance) {
    let former = kill_coordinator(instance);
    wait_other_coordinator(instance, former);
}

fn logs(instance: &Instance, name: &str) -> String {
    text(&direct(instance, &["logs", name]).stdout)
}

fn wait_logs(instance: &Instance, name: &str, needle: &str) {
    wait::until_true(&format!("{needle:?} from {name}"), SLOW, || {
        logs(instance, name).contains(needle)
    });
}

#[test]
fn row_22_agents_one_version_apart_are_served_or_refuse_in_words_and_lose_nothing() {
    let mut rows = Vec::new();
    for apart in Apart::ALL {
        let mut row = Row::start(apart);
        let warm = row.adoption();
        row.claims(&warm);
        row.clients();
        row.review();
        row.rename();
        row.stop();
        row.restart();
        row.rehome();
        rows.push(row.summary());
    }
    measured(22, format!("sessions lost: none; {}", rows.join("; ")));
}

/// Not even what a worker runs can be asked: it is shown as lost, and left alone.
#[test]
fn row_22_a_session_whose_agent_is_not_understood_goes_on_until_it_is() {
    let mut config = instance::config(1, 2);
    writeln!(config, "rehome = \"auto\"").unwrap();
    let instance = Instance::start_of(&config, &faults_image());
    instance.session("work", &["bash", "-c", COUNTER]);
    instance.wait_warm("default", 1);
    let (before, warm) = (instance.worker("work").unwrap(), instance.warm());

    order(&instance, "foreign");
    another_coordinator(&instance);
    let lost = instance.wait_state("work", "lost");
    let why =
        "\"describe\" does not work with the worker's agent, which is of a newer version (99.0.0,";
    assert!(lost["why"].as_str().unwrap().starts_with(why), "{lost}");
    wait::until_true("a warm worker of this version", SLOW, || {
        let now = instance.warm();
        now.len() == 1 && now != warm
    });
    // Lost ones that come back by themselves are moved at once, and this one is not.
    let counted = numbers(&logs(&instance, "work")).len();
    wait::until_true("the session to go on", SLOW, || {
        numbers(&logs(&instance, "work")).len() > counted + 300
    });
    assert_eq!(instance.worker("work").unwrap()["state"], "lost");

    order(&instance, "its own");
    another_coordinator(&instance);
    let after = instance.wait_state("work", "running");
    for same in ["pid", "container", "restarts"] {
        assert_eq!(after[same], before[same], "{same}");
    }
    let all = assert_no_gap(&instance, "work");
    measured(
        22,
        format!("an agent that is not understood: {all} numbers of its session and none missing"),
    );
}
