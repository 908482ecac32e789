//! What the tests of process faults share: an instance that fails on order, and the audit of all
//! that a fault may leave behind.
//!
//! The audit compares what the engine, the state volume and this machine have with what `podbay ls
//! -a` says, and waits until they agree: nothing may be there that nobody knows of.

use e2e::{
    engine,
    instance::{self, Instance, SLOW, faults_image, text},
    processes,
    programs::numbers,
    wait,
};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

/// Starts an instance of the image with failpoints and waits for its API.
pub fn start(config: &str) -> Instance {
    let instance = Instance::prepare(config);
    let image = faults_image();
    let file = instance.config_file();
    let up = ["up", "--image", &image, "--volume", instance.volume()];
    let mut command = instance.command(up);
    let output = command.arg("--config").arg(file).output().expect("podbay");
    assert!(
        output.status.success(),
        "podbay up failed: {}{}",
        text(&output.stderr),
        instance.parent_log()
    );
    instance
}

/// Who is to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// The coordinator.
    Coordinator,
    /// The mounter.
    Mounter,
}

impl Who {
    fn file(self, instance: &Instance) -> PathBuf {
        match self {
            Self::Coordinator => instance.state().join("failpoints"),
            Self::Mounter => instance.state().join("run/failpoints"),
        }
    }
}

/// Gives orders: `name=action`, a line each.
pub fn order(instance: &Instance, who: Who, orders: &str) {
    place(&who.file(instance), orders);
}

/// Whether the last orders were taken.
pub fn taken(instance: &Instance, who: Who) -> bool {
    !who.file(instance).exists()
}

/// Writes orders so that nobody reads half of them.
pub fn place(file: &Path, orders: &str) {
    let fresh = file.with_extension("fresh");
    fs::write(&fresh, orders).expect("writing orders");
    fs::rename(&fresh, file).expect("placing orders");
}

/// Kills the coordinator at once; another one follows.
pub fn kill_coordinator(instance: &Instance) -> i32 {
    let pid = wait::until("a coordinator", SLOW, || instance.coordinator());
    assert!(processes::signal(pid, Signal::SIGKILL), "no process {pid}");
    pid
}

/// Waits until another coordinator than this one answers, and knows what there is.
pub fn wait_other_coordinator(instance: &Instance, former: i32) {
    wait::until_true("another coordinator", SLOW, || {
        instance.coordinator().is_some_and(|pid| pid != former)
    });
    wait_answer(instance);
}

/// Waits until the coordinator answers.
pub fn wait_answer(instance: &Instance) {
    wait::until_true("the coordinator's answer", SLOW, || {
        instance.ask(["status", "--json"]).is_some()
    });
}

/// Asserts that a session's recording has every number from 1 on, once and in order, and gives how
/// many.
pub fn assert_no_gap(instance: &Instance, name: &str) -> usize {
    let recorded = numbers(&instance.ok(["logs", name]));
    let wrong = recorded
        .iter()
        .zip(1u64..)
        .find(|(found, expected)| **found != *expected);
    assert!(wrong.is_none(), "{name}: found, expected: {wrong:?}");
    recorded.len()
}

/// Runs a `podbay` command on the socket, whatever comes of it.
pub fn direct(instance: &Instance, args: &[&str]) -> Output {
    instance.direct(args).output().expect("running podbay")
}

/// Runs a `podbay` command on the socket until it succeeds.
pub fn insist(instance: &Instance, args: &[&str]) -> String {
    let start = Instant::now();
    loop {
        let output = direct(instance, args);
        if output.status.success() {
            return text(&output.stdout);
        }
        assert!(
            start.elapsed() < SLOW,
            "{args:?} fails on and on: {}{}",
            text(&output.stderr),
            instance.parent_log()
        );
        wait::pause(Duration::from_millis(100));
    }
}

/// `podbay spawn -d` arguments for a session that is found by its mark.
pub fn spawn_args<'a>(name: &'a str, mark: &'a str, project: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["spawn", "-d", "-n", name, "-e", mark];
    if project.is_empty() {
        args.extend(["--isolation", "none"]);
    }
    args.extend(project);
    args.push("--");
    args
}

/// Host pid of a container's PID 1.
pub fn pid_of(container: &str) -> i32 {
    let pid = engine::docker(&["inspect", "-f", "{{.State.Pid}}", container]);
    pid.parse().expect("a process id")
}

/// A number out of `/proc/<pid>/status`, in KiB for sizes.
pub fn status_of(pid: i32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or_default()
}

/// How many descriptors a process has open.
pub fn descriptors(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// Waits until everything that is there is known and everything known is there: so many warm
/// workers, and no container, folder, record, uid, mount or temporary file besides.
pub fn audit(instance: &Instance, warm: usize) {
    let start = Instant::now();
    loop {
        let found = look(instance, warm);
        let Err(wrong) = found else { return };
        assert!(
            start.elapsed() < SLOW,
            "after {SLOW:?} still: {wrong}\n{}\n{:#?}",
            instance.parent_log(),
            instance.workers()
        );
        wait::pause(Duration::from_millis(50));
    }
}

fn look(instance: &Instance, warm: usize) -> Result<(), String> {
    let all = instance
        .ask(["ls", "-a", "--json"])
        .ok_or("no coordinator")?;
    let all: Vec<Value> = all.as_array().cloned().unwrap_or_default();
    let pool = instance.pool("default").ok_or("no pool")?;
    if pool["warm"] != warm || pool["creating"] != 0 {
        return Err(format!("the pool is {pool}"));
    }
    let id_of = |worker: &Value| worker["id"].as_str().unwrap_or_default().to_owned();
    let live: BTreeSet<String> = all
        .iter()
        .filter(|w| w["container"].is_string())
        .map(id_of)
        .collect();
    let known: BTreeSet<String> = all.iter().map(id_of).collect();
    if known.len() != all.len() {
        return Err("an id is listed twice".to_owned());
    }
    containers(instance, &live)?;
    let state = instance.state();
    same("folders", &names(&state.join("workers")), &known)?;
    records(&state, &all)?;
    if let Some(stray) = stray(&state).into_iter().next() {
        return Err(format!("{} is left over", stray.display()));
    }
    let mounts = instance::mounts_below(&state);
    if !mounts.is_empty() {
        return Err(format!("mounts on the host: {mounts:?}"));
    }
    Ok(())
}

fn same(what: &str, there: &BTreeSet<String>, known: &BTreeSet<String>) -> Result<(), String> {
    let unknown: Vec<_> = there.difference(known).collect();
    let missing: Vec<_> = known.difference(there).collect();
    if unknown.is_empty() && missing.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{what}: nobody knows {unknown:?}; {missing:?} are missing"
    ))
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

/// The engine's containers: those of living workers, each with a uid of its own; one mounter.
fn containers(instance: &Instance, live: &BTreeSet<String>) -> Result<(), String> {
    let filter = format!("label=dev.podbay.instance={}", instance.name);
    let format = "{{.Label \"dev.podbay.role\"}} {{.Label \"dev.podbay.worker\"}} \
                  {{.Label \"dev.podbay.uid\"}} {{.State}}";
    let listed = engine::docker(&["ps", "-a", "--filter", &filter, "--format", format]);
    let mut workers = BTreeSet::new();
    let mut uids: BTreeMap<String, u32> = BTreeMap::new();
    let mut mounters = 0;
    for line in listed.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["worker", id, uid, state] => {
                if *state == "created" {
                    return Err(format!("the container of {id} was never started"));
                }
                if !workers.insert((*id).to_owned()) {
                    return Err(format!("two containers of {id}"));
                }
                *uids.entry((*uid).to_owned()).or_default() += 1;
            }
            ["mounter", ..] => mounters += 1,
            _ => {}
        }
    }
    same("containers", &workers, live)?;
    if let Some((uid, times)) = uids.iter().find(|(_, times)| **times > 1) {
        return Err(format!("{times} workers have uid {uid}"));
    }
    if mounters != 1 {
        return Err(format!("{mounters} mounters"));
    }
    Ok(())
}

/// Records parse and are of workers that are known; claimed ones have theirs.
fn records(state: &Path, all: &[Value]) -> Result<(), String> {
    let finished: BTreeSet<String> = all
        .iter()
        .filter(|w| w["container"].is_null() && w["claimed_ms"].is_u64())
        .filter_map(|w| Some(format!("{}.json", w["id"].as_str()?)))
        .collect();
    same("records", &names(&state.join("sessions")), &finished)?;
    let claimed = all
        .iter()
        .filter(|w| w["container"].is_string() && w["claimed_ms"].is_u64());
    let claims = claimed.filter_map(|w| {
        let id = w["id"].as_str()?;
        Some(state.join("workers").join(id).join("worker.json"))
    });
    let ended = finished
        .iter()
        .map(|name| state.join("sessions").join(name));
    for file in claims.chain(ended) {
        let read = fs::read(&file).map_err(|e| format!("{}: {e}", file.display()))?;
        serde_json::from_slice::<Value>(&read).map_err(|e| format!("{}: {e}", file.display()))?;
    }
    Ok(())
}

/// Temporary files of whoever writes records: of the coordinator and the mounter.
fn stray(state: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = ["", "config", "profiles", "bin", "sessions", "net", "run"]
        .iter()
        .map(|name| state.join(name))
        .collect();
    for id in names(&state.join("workers")) {
        let worker = state.join("workers").join(id);
        folders.push(worker.join("changes"));
        folders.push(worker);
    }
    let entries = folders.iter().flat_map(fs::read_dir).flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.ends_with(".tmp") || name.starts_with(".podbay-")
        })
        .collect()
}

/// A process that is ended with its test.
pub struct Running(Child);

impl Running {
    pub fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().expect("starting a program"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.0.kill().is_ok() {
            drop(self.0.wait());
        }
    }
}

pub fn pid_of_worker(worker: &serde_json::Value) -> i32 {
    pid_of(worker["container"].as_str().expect("a container"))
}
