//! A seed is one run, each time: in another thread, in another process, beside anything else.

use super::{live, world};
use std::process::Command;

/// Of the run that is compared: some lives long.
const SEED: u64 = 5;
const STEPS: u64 = 1_000;
/// Where the other process writes its trace.
const TRACE_FILE: &str = "PODBAY_WORLD_TRACE";
const NAME: &str = "daemon::tests::same::a_seed_is_one_run_in_every_thread_and_process";

/// All that was asked of the outside, that it reported, and that people were answered.
fn trace() -> Vec<String> {
    let (dir, world) = world(SEED);
    world.lock().trace = Some(Vec::new());
    live(&world, STEPS);
    let mut inner = world.lock();
    assert!(inner.wrong.is_empty(), "{:?}", inner.wrong);
    let lines = inner.trace.take().unwrap().into_iter();
    // The only thing that two runs have not in common.
    let dir = dir.path().to_str().unwrap();
    lines.map(|line| line.replace(dir, "STATE")).collect()
}

fn compare(what: &str, one: &[String], other: &[String]) {
    let same = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    let near = |all: &[String]| all[same.saturating_sub(10)..all.len().min(same + 3)].join("\n");
    let lines = (one.len(), other.len());
    assert!(
        one == other,
        "{what}: the runs part at line {same} of {lines:?}:\n{}\n\nand\n\n{}",
        near(one),
        near(other)
    );
}

#[test]
fn a_seed_is_one_run_in_every_thread_and_process() {
    match std::env::var_os(TRACE_FILE) {
        // This is the other process.
        Some(file) => std::fs::write(file, trace().join("\n")).unwrap(),
        None => compare_all(),
    }
}

fn compare_all() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("trace");
    let mut other = Command::new(std::env::current_exe().unwrap());
    let other = other.args(["--exact", NAME]).env(TRACE_FILE, &file);
    let mut other = other.spawn().unwrap();
    let beside = std::thread::spawn(trace);
    let one = trace();
    compare("another thread", &one, &beside.join().unwrap());
    assert!(other.wait().unwrap().success());
    // A line may hold line breaks, in both.
    let one: Vec<String> = one.join("\n").lines().map(str::to_owned).collect();
    let found = std::fs::read_to_string(file).unwrap();
    let found: Vec<String> = found.lines().map(str::to_owned).collect();
    compare("another process", &one, &found);
    assert!(one.len() > 10_000, "{} lines are few", one.len());
}
