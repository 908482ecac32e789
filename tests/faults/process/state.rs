//! Rows 19 and 21: the clock jumps, and files of the state volume are torn. Neither is believed
//! more than engine and agents are.

use crate::{
    process::kill::counter,
    process::kit::{
        assert_no_gap, audit, direct, insist, kill_coordinator, place, spawn_args, start,
        wait_other_coordinator,
    },
};
use e2e::{
    instance::{self, Instance, SLOW, text},
    processes,
    project::Project,
    unique, wait,
};
use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

const DAY: i64 = 86_400;

/// Lets the wall clock of the coordinator and of every agent be so many seconds off.
fn offset(instance: &Instance, seconds: i64) {
    let state = instance.state();
    let mut folders = vec![state.clone()];
    for worker in fs::read_dir(state.join("workers")).unwrap().flatten() {
        folders.push(worker.path().join("run"));
    }
    for folder in folders {
        place(&folder.join("clock-offset"), &seconds.to_string());
    }
}

#[test]
fn row_19_the_clock_jumps_by_a_day_and_nothing_fires() {
    let rounds = e2e::times(10, 1);
    let config = format!(
        "{}idle_timeout = \"1h\"\nmax_age = \"1h\"\ncheck_interval = \"1s\"\n",
        instance::config(2, 2)
    );
    let instance = start(&config);
    let mark = counter(&instance, "kept");
    let session = processes::marked("E2E_MARK", &mark)[0];
    let args = [
        "spawn",
        "-d",
        "-n",
        "timed",
        "--timeout",
        "1h",
        "--isolation",
        "none",
    ];
    insist(&instance, &[&args[..], &["--", "sleep", "10000"]].concat());
    audit(&instance, 2);
    for round in 0..rounds {
        for seconds in [DAY, -DAY, 0, -DAY, DAY, 0] {
            instance.wait_warm("default", 2);
            let warm = instance.warm();
            offset(&instance, seconds);
            // Several ticks, probes and listings long.
            let until = Instant::now() + Duration::from_secs(3);
            while Instant::now() < until {
                assert_eq!(instance.warm(), warm, "after {seconds} s");
                for name in ["kept", "timed"] {
                    let worker = instance.worker(name).expect("the worker");
                    assert_eq!(worker["state"], "running", "after {seconds} s: {worker}");
                }
                wait::pause(Duration::from_millis(200));
            }
            assert_eq!(processes::marked("E2E_MARK", &mark), [session]);
            // What begins and ends meanwhile has an age that can be.
            let name = format!("short-{round}-{}", seconds + DAY);
            let args = instance::spawn(&name, &[], &["echo", "fine"]);
            let output = direct(&instance, &args);
            assert_eq!(text(&output.stdout), "fine\n", "{}", text(&output.stderr));
            instance.wait_state(&name, "exited");
            for args in [&["ls", "-a"][..], &["top", "-i", "500ms"], &["status"]] {
                let shown = direct(&instance, args);
                let all = text(&shown.stdout) + &text(&shown.stderr);
                assert!(
                    shown.status.success() && !all.contains("panicked"),
                    "{args:?}: {all}"
                );
                let absurd = all.split_whitespace().find(|word| {
                    let digits = word
                        .trim_start_matches('-')
                        .trim_end_matches(['d', 'h', 's', 'm', 'y']);
                    let number = digits.parse::<u64>().unwrap_or(0);
                    (word.starts_with('-') && number > 0) || (word.ends_with('d') && number > 1)
                });
                assert!(absurd.is_none(), "{absurd:?} in {all}");
            }
            // A pool that was used is filled with the same clock; its workers are the ones to see.
            insist(&instance, &["rm", &name]);
        }
        offset(&instance, 0);
    }
    // A coordinator that starts in the past or the future finds the same.
    for seconds in [-DAY, DAY, 0] {
        offset(&instance, seconds);
        let former = kill_coordinator(&instance);
        wait_other_coordinator(&instance, former);
        instance.wait_state("kept", "running");
        audit(&instance, 2);
        assert_eq!(processes::marked("E2E_MARK", &mark), [session]);
    }
    insist(&instance, &["stop", "--grace", "0s", "kept", "timed"]);
    assert_no_gap(&instance, "kept");
    e2e::measured(
        19,
        format!("{} jumps of a day, 3 starts: nothing fired", 6 * rounds),
    );
}

/// What a file may hold instead of what was written: cut at many places, garbage, zeros.
fn torn(whole: &[u8]) -> Vec<Vec<u8>> {
    let step = if e2e::times(1, 0) == 1 {
        1
    } else {
        whole.len() / 3
    };
    let mut all: Vec<Vec<u8>> = (0..whole.len())
        .step_by(step.max(1))
        .map(|cut| whole[..cut].to_vec())
        .collect();
    all.push(vec![0; whole.len()]);
    all.push(b"\xff\xfe garbage {\"claim\": 1}".to_vec());
    all.push(b"{}".to_vec());
    all.push(b"null".to_vec());
    all
}

/// Whether all is well again after a file was torn.
type Check<'a> = &'a dyn Fn(&Instance) -> bool;

/// Every torn form of each file in turn, all files at once, a killed coordinator each time.
fn tear(instance: &Instance, files: &[(PathBuf, Check)]) -> usize {
    let forms: Vec<Vec<Vec<u8>>> = files
        .iter()
        .map(|(file, _)| torn(&fs::read(file).expect("the file")))
        .collect();
    let most = forms.iter().map(Vec::len).max().unwrap_or_default();
    for n in 0..most {
        let mut tearing = Vec::new();
        for ((file, check), forms) in files.iter().zip(&forms) {
            if let Some(form) = forms.get(n) {
                fs::write(file, form).expect("tearing a file");
                tearing.push((file, check, form));
            }
        }
        let former = kill_coordinator(instance);
        wait_other_coordinator(instance, former);
        for (file, check, form) in tearing {
            let what = format!(
                "all to be well after {}: {:?}",
                file.display(),
                String::from_utf8_lossy(form)
            );
            wait::until_true(&what, SLOW, || check(instance));
        }
    }
    forms.iter().map(Vec::len).sum()
}

#[test]
fn row_21_torn_files_are_rebuilt_and_the_coordinator_always_starts() {
    let instance = start(&instance::config(2, 2));
    let state = instance.state();
    let mark = counter(&instance, "live");
    let session = processes::marked("E2E_MARK", &mark)[0];
    let project = Project::new();
    let folder = project.text();
    let marked = format!("E2E_MARK={}", unique("done"));
    let mut args = spawn_args("done", &marked, &["--isolation", "overlay", &folder]);
    args.extend([
        "sh",
        "-c",
        "echo one > one.txt; echo two > two.txt; echo said",
    ]);
    insist(&instance, &args);
    let done = instance.wait_state("done", "exited");
    wait::until_true("the end of its container", SLOW, || {
        instance
            .worker("done")
            .is_some_and(|w| w["container"].is_null())
    });
    insist(&instance, &["apply", "done", "one.txt"]);
    audit(&instance, 2);
    let live = instance.wait_state("live", "running");
    let of = |worker: &serde_json::Value, rest: &str| -> PathBuf {
        let id = worker["id"].as_str().unwrap();
        state.join("workers").join(id).join(rest)
    };

    // A living claim: its agent carries the record.
    let file = of(&live, "worker.json");
    let whole: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let claimed = |instance: &Instance| {
        let known = instance.worker("live").is_some_and(|w| {
            w["state"] == "running" && w["id"] == live["id"] && w["argv"] == live["argv"]
        });
        let read = fs::read(&file).unwrap_or_default();
        known && serde_json::from_slice::<serde_json::Value>(&read).is_ok_and(|now| now == whole)
    };

    // A finished session: its claim is still in its folder.
    let id = done["id"].as_str().unwrap();
    let record = state.join("sessions").join(format!("{id}.json"));
    let listed = |instance: &Instance| {
        let left = direct(instance, &["diff", "--name-only", "done"]).stdout;
        instance
            .worker("done")
            .is_some_and(|w| w["state"] == "exited")
            && text(&direct(instance, &["logs", "done"]).stdout).contains("said")
            && text(&left).contains("two.txt")
    };
    let mut files: Vec<(PathBuf, Check)> = vec![(file.clone(), &claimed), (record, &listed)];

    // A review's journal: what was settled may be shown again; what was not must be.
    let journal = of(&done, "changes/journal.bin");
    if journal.exists() {
        files.push((journal, &listed));
    }
    let mut torn = tear(&instance, &files);
    assert_eq!(processes::marked("E2E_MARK", &mark), [session]);

    // The agent's binary: a worker made of a torn one would never answer.
    let binaries = fs::read_dir(state.join("bin")).unwrap().flatten();
    let mut binaries = binaries.map(|e| e.path());
    let of_agent = |path: &PathBuf| path.to_string_lossy().contains("/worker-agent-");
    let binary = binaries.find(of_agent).expect("the agent's binary");
    let whole = fs::read(&binary).unwrap();
    for form in [
        Vec::new(),
        whole[..whole.len() / 2].to_vec(),
        vec![0; whole.len()],
    ] {
        let fresh = binary.with_extension("torn");
        fs::write(&fresh, form).unwrap();
        fs::rename(&fresh, &binary).unwrap();
        let former = kill_coordinator(&instance);
        wait_other_coordinator(&instance, former);
        wait::until_true("the binary to be whole", SLOW, || {
            fs::read(&binary).is_ok_and(|now| now == whole)
        });
        torn += 1;
    }
    audit(&instance, 2);
    assert_eq!(processes::marked("E2E_MARK", &mark), [session]);
    insist(&instance, &["apply", "--force", "done"]);
    assert_eq!(project.read("two.txt").as_deref(), Some("two\n"));
    insist(&instance, &["stop", "--grace", "0s", "live"]);
    assert_no_gap(&instance, "live");
    instance.session("next", &["sleep", "1000"]);
    e2e::measured(
        21,
        format!("{torn} torn files: the coordinator started each time, nothing was lost"),
    );
}
