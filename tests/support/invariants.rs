//! What holds of an instance whatever happened to it, once it has settled.
//!
//! Reads the API, the engine, the state volume and the process table, and compares them. Says every
//! difference; changes nothing.

use crate::{
    instance::{Instance, text},
    processes, wait,
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::{Duration, Instant},
};

/// Every difference, in words; empty when all holds.
#[must_use]
pub fn broken(instance: &Instance) -> Vec<String> {
    let mut found = Vec::new();
    let Some(shown) = instance.ask(["ls", "-a", "--json"]) else {
        return vec!["no coordinator answers".to_owned()];
    };
    let shown = shown.as_array().cloned().unwrap_or_default();
    let listed = containers(instance);
    agree_with_the_engine(&shown, &listed, &mut found);
    nothing_twice(&shown, &mut found);
    folders(instance, &shown, &mut found);
    pools(instance, &mut found);
    found
}

/// Waits until nothing is broken.
///
/// # Panics
/// Something still is after `bound`.
pub fn settle(instance: &Instance, bound: Duration, what: &str) -> Duration {
    let began = Instant::now();
    loop {
        let found = broken(instance);
        if found.is_empty() {
            return began.elapsed();
        }
        assert!(
            began.elapsed() < bound,
            "{bound:?} after {what}:\n  {}",
            found.join("\n  ")
        );
        wait::pause(Duration::from_millis(50));
    }
}

/// One container as the engine has it.
struct Container {
    worker: String,
    state: String,
    uid: String,
}

/// By id; workers only.
fn containers(instance: &Instance) -> BTreeMap<String, Container> {
    let filter = format!("label=dev.podbay.instance={}", instance.name);
    let format = "{{.ID}} {{.State}} {{.Label \"dev.podbay.role\"}} {{.Label \"dev.podbay.worker\"}} {{.Label \"dev.podbay.uid\"}}";
    let args = [
        "ps",
        "-a",
        "--no-trunc",
        "--filter",
        &filter,
        "--format",
        format,
    ];
    let output = instance.engine.try_docker(&args);
    let mut found = BTreeMap::new();
    for line in text(&output.stdout).lines() {
        let words: Vec<&str> = line.split(' ').collect();
        if let [id, state, "worker", worker, uid] = words[..] {
            let container = Container {
                worker: worker.to_owned(),
                state: state.to_owned(),
                uid: uid.to_owned(),
            };
            found.insert(id.to_owned(), container);
        }
    }
    found
}

fn word<'a>(worker: &'a Value, key: &str) -> &'a str {
    worker[key].as_str().unwrap_or_default()
}

fn agree_with_the_engine(
    shown: &[Value],
    listed: &BTreeMap<String, Container>,
    found: &mut Vec<String>,
) {
    let mut owned = BTreeSet::new();
    for worker in shown {
        let (name, state) = (word(worker, "name"), word(worker, "state"));
        let why = word(worker, "why");
        let container = worker["container"].as_str().and_then(|id| {
            owned.insert(id.to_owned());
            listed.get(id)
        });
        let actual = container.map_or("absent", |c| c.state.as_str());
        let agrees = match state {
            "warm" => actual == "running",
            "running" => actual == "running" || (actual == "paused" && why.contains("paused")),
            // Its container may be there, stopped or gone: that is what is being told.
            "lost" | "exited" | "failed" => true,
            // On the way: not settled.
            _ => false,
        };
        if !agrees {
            found.push(format!(
                "{name} is shown {state} ({why}), the engine says {actual}"
            ));
        }
    }
    let mut uids = BTreeMap::new();
    for (id, container) in listed {
        if let Some(other) = uids.insert(&container.uid, &container.worker) {
            let (worker, uid) = (&container.worker, &container.uid);
            found.push(format!("workers {other} and {worker} have uid {uid}"));
        }
        if !owned.contains(id) {
            let (worker, state) = (&container.worker, &container.state);
            found.push(format!(
                "container {id:.12} of worker {worker} ({state}) is nobody's"
            ));
        }
    }
}

/// Names, containers and uids of workers that live.
fn nothing_twice(shown: &[Value], found: &mut Vec<String>) {
    let live = |w: &&Value| matches!(word(w, "state"), "warm" | "running" | "lost" | "claiming");
    for key in ["id", "name", "container", "session"] {
        let mut seen = BTreeMap::new();
        for worker in shown.iter().filter(live) {
            let Some(value) = worker[key].as_str() else {
                continue;
            };
            if let Some(other) = seen.insert(value.to_owned(), word(worker, "id").to_owned()) {
                let id = word(worker, "id");
                found.push(format!(
                    "workers {other} and {id} have the same {key} {value}"
                ));
            }
        }
    }
    let mut pids = BTreeMap::new();
    for worker in shown.iter().filter(live) {
        let Some(session) = worker["session"].as_str() else {
            continue;
        };
        if let Some(other) = pids.insert(session, word(worker, "name")) {
            found.push(format!(
                "session {session} is in {other} and {}",
                word(worker, "name")
            ));
        }
    }
}

/// Each worker's folder is of a worker that is shown, and the other way round.
fn folders(instance: &Instance, shown: &[Value], found: &mut Vec<String>) {
    let state = instance.state();
    let ids: BTreeSet<&str> = shown.iter().map(|w| word(w, "id")).collect();
    for id in names(&state.join("workers")) {
        if !ids.contains(id.as_str()) {
            found.push(format!("folder workers/{id} is nobody's"));
        }
    }
    for file in names(&state.join("sessions")) {
        let id = file.trim_end_matches(".json");
        if !ids.contains(id) || !file.ends_with(".json") {
            found.push(format!("record sessions/{file} is nobody's"));
        }
    }
    for worker in shown {
        let id = word(worker, "id");
        let live = matches!(word(worker, "state"), "warm" | "running");
        if live && !state.join("workers").join(id).join("run").is_dir() {
            found.push(format!("worker {id} has no folder"));
        }
    }
    let bound: Vec<String> = names(&state.join("run"))
        .into_iter()
        .filter(|name| {
            !matches!(
                name.as_str(),
                "podbay.sock" | "mounter.sock" | "netguard.sock"
            )
        })
        .filter(|name| name.ends_with(".sock"))
        .collect();
    for name in bound {
        found.push(format!("socket run/{name} is nobody's"));
    }
}

fn pools(instance: &Instance, found: &mut Vec<String>) {
    let Some(pools) = instance.ask(["pool", "status", "--json"]) else {
        found.push("no coordinator answers".to_owned());
        return;
    };
    for pool in pools.as_array().into_iter().flatten() {
        let numbers = ["warm", "target", "creating", "queued"].map(|key| pool[key].as_u64());
        let [warm, target, creating, queued] = numbers.map(Option::unwrap_or_default);
        if warm < target || creating > 0 || queued > 0 {
            let name = word(pool, "profile");
            found.push(format!(
                "pool {name}: {warm} warm of {target}, {creating} on the way, {queued} waiting"
            ));
        }
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// Open descriptors and resident KiB of a process, for flatness over many rounds.
#[must_use]
pub fn weight(pid: i32) -> (usize, u64) {
    let descriptors = names(Path::new(&format!("/proc/{pid}/fd"))).len();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    (descriptors, resident.unwrap_or_default())
}

/// Processes of a marked session: exactly one tree while it lives.
#[must_use]
pub fn session_pids(mark: &str) -> Vec<i32> {
    processes::marked("E2E_MARK", mark)
}
