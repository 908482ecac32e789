//! Claims: what a session gets, and what is left of it.

use e2e::{
    instance::{self, Instance, SLOW, text},
    project::{OWNER, Project},
    unique, wait,
};
use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::Path,
    process::Output,
};

/// Runs a command in a fresh worker on pipes.
pub fn spawn(instance: &Instance, flags: &[&OsStr], command: &[&str]) -> Output {
    let mut args: Vec<OsString> = vec!["spawn".into()];
    args.extend(flags.iter().map(OsString::from));
    args.push("--".into());
    args.extend(command.iter().map(OsString::from));
    instance.run(args)
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Every regular file of a folder that has a text in it.
fn files_with(folder: &Path, needle: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(files_with(&path, needle));
        } else if path.is_file() {
            let content = fs::read(&path).unwrap_or_default();
            if content.windows(needle.len()).any(|piece| piece == needle) {
                found.push(path.to_string_lossy().into_owned());
            }
        }
    }
    found
}

#[test]
fn a_warm_claim_binds_the_project_and_its_files_keep_their_owner() {
    let instance = Instance::start(&instance::config(2, 3));
    let project = Project::new();
    project.git();
    let script = "cat hello.txt; pwd; id -un; git status --porcelain; mkdir -p new/deep; \
                  echo made > new/deep/file; echo more >> hello.txt; git status --porcelain";
    let folder = project.text();
    let output = spawn(
        &instance,
        &["-n".as_ref(), "one".as_ref(), folder.as_ref()],
        &["sh", "-c", script],
    );
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    assert!(
        !err.contains("dubious") && !err.contains("cold start"),
        "{err}"
    );
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(&lines[..2], ["hello", "/workspace"], "{out}");
    assert!(
        !lines[2].is_empty() && lines[2].parse::<u32>().is_err(),
        "no name: {out}"
    );
    assert_eq!(lines[3..], [" M hello.txt", "?? new/"], "{out}");
    assert_eq!(project.read("hello.txt").as_deref(), Some("hello\nmore\n"));
    for made in ["new", "new/deep", "new/deep/file", "hello.txt"] {
        let meta = fs::metadata(project.path().join(made)).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (OWNER, OWNER), "{made}");
    }
    let worker = instance.wait_state("one", "exited");
    assert_eq!(worker["warm_start"], true, "{worker}");
    assert_eq!(worker["isolation"], "bind", "{worker}");
    assert_eq!(worker["exit"]["value"], 0, "{worker}");

    // While it runs, both see what the other writes.
    let follow = "until test -e asked; do sleep 0.05; done; cat asked > answered; sleep 1000";
    let live = [
        "spawn", "-d", "-n", "live", &folder, "--", "sh", "-c", follow,
    ];
    assert_eq!(instance.ok(live).trim(), "live");
    project.write("asked", "a question");
    wait::until_true("the answer", SLOW, || {
        project.read("answered").as_deref() == Some("a question")
    });
    instance.ok(["stop", "live"]);
    assert_eq!(instance.wait_state("live", "exited")["state"], "exited");
}

#[test]
fn projects_with_spaces_newlines_and_odd_bytes_are_bound_and_none_is_none() {
    let instance = Instance::start(&instance::config(1, 1));
    let base = Project::new();
    for name in [
        &b"with space"[..],
        b"new\nline",
        b"odd\xff\xfebytes",
        b"-dash 'quote'",
    ] {
        let folder = base.path().join(OsStr::from_bytes(name));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("which"), name).unwrap();
        instance.wait_warm("default", 1);
        let read = spawn(
            &instance,
            &[folder.as_os_str()],
            &["sh", "-c", "cat which; touch seen"],
        );
        assert_eq!(read.stdout, name, "{}", text(&read.stderr));
        assert!(
            !text(&read.stderr).contains("cold start"),
            "{}",
            text(&read.stderr)
        );
        assert!(folder.join("seen").exists(), "{folder:?}");
    }
    let listed = instance.ok(["ls", "-a"]);
    assert!(
        listed.contains("new\\nline"),
        "a newline in a path forges a line: {listed}"
    );

    let none = spawn(
        &instance,
        &["--isolation".as_ref(), "none".as_ref()],
        &[
            "sh",
            "-c",
            "pwd; ls -A /workspace | wc -l; test -w . && echo writable",
        ],
    );
    let (out, err) = (text(&none.stdout), text(&none.stderr));
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 3, "{out}{err}");
    assert_ne!(lines[0], "/workspace", "{out}");
    assert_eq!(lines[1..], ["0", "writable"], "{out}");
}

#[test]
fn a_spawn_returns_the_commands_code_and_a_timeout_ends_it() {
    let instance = Instance::start(&instance::config(2, 4));
    for (script, code) in [
        ("exit 0", 0),
        ("exit 3", 3),
        ("kill -KILL $$", 137),
        ("kill $$", 143),
    ] {
        let none = ["--isolation", "none"].map(OsStr::new);
        let output = spawn(&instance, &none, &["sh", "-c", script]);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{script}: {}",
            text(&output.stderr)
        );
    }
    let late = ["--isolation", "none", "--timeout", "1s", "-n", "late"].map(OsStr::new);
    let began = std::time::Instant::now();
    let output = spawn(&instance, &late, &["sleep", "1000"]);
    assert!(began.elapsed() < SLOW, "{:?}", began.elapsed());
    let code = output.status.code();
    let said = text(&output.stderr);
    assert_eq!(code, Some(124), "{said}");
    assert!(said.contains("late was stopped after 1s"), "{said}");
    instance.wait_state("late", "exited");

    // Killed from inside or by `stop`, the record says how it ended.
    instance.session(
        "killed",
        &[
            "sh",
            "-c",
            "trap '' TERM HUP; echo up; while :; do sleep 1; done",
        ],
    );
    wait::until_true("the session's output", SLOW, || {
        instance.ok(["logs", "killed"]).contains("up")
    });
    instance.ok(["stop", "--grace", "300ms", "killed"]);
    let worker = instance.wait_state("killed", "exited");
    assert_eq!(worker["exit"]["how"], "signal", "{worker}");
    assert_eq!(worker["exit"]["value"], 9, "{worker}");
    assert!(instance.worker("late").is_some());
    instance.ok(["rm", "late", "killed"]);
    assert!(instance.worker("late").is_none() && instance.worker("killed").is_none());
}

#[test]
fn the_environment_reaches_the_session_and_is_written_nowhere() {
    let instance = Instance::start(&instance::config(1, 2));
    let (by_flag, by_file, by_name) = (unique("flag"), unique("file"), unique("name"));
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(
        file.path(),
        format!("# a comment\nFROM_FILE={by_file}\nBOTH=file\n"),
    )
    .unwrap();
    let mut command = instance.command(["spawn", "-d", "-n", "secret", "--isolation", "none"]);
    command.env("FROM_HERE", &by_name);
    command.args([
        "-e",
        &format!("FROM_FLAG={by_flag}"),
        "-e",
        "FROM_HERE",
        "-e",
        "BOTH=flag",
    ]);
    command.arg("--env-file").arg(file.path());
    let script = "test -n \"$FROM_FLAG$FROM_FILE\" && echo told; sleep 1000";
    let output = command.args(["--", "sh", "-c", script]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let asked = "printf '%s ' \"$FROM_FLAG\" \"$FROM_FILE\" \"$FROM_HERE\" $BOTH $PODBAY_NAME";
    // The session's own environment, read from its process.
    let read = "tr '\\0' '\\n' < /proc/$(pgrep -o -x sleep)/environ > /tmp/env; . /tmp/env; ";
    let seen = instance.ok(["exec", "secret", "sh", "-c", &format!("{read}{asked}")]);
    assert_eq!(seen, format!("{by_flag} {by_file} {by_name} flag secret "));

    let worker = instance.wait_state("secret", "running");
    let container = worker["container"].as_str().unwrap();
    let record = instance
        .state()
        .join("workers")
        .join(worker["id"].as_str().unwrap());
    wait::until_true("the claim's record", SLOW, || {
        record.join("worker.json").exists()
    });
    let inspected = e2e::engine::docker(&["inspect", container, &instance.name]);
    let shown = instance.ok(["ls", "-a", "--json"]) + &instance.ok(["status", "--json"]);
    for value in [&by_flag, &by_file, &by_name] {
        assert!(!inspected.contains(value.as_str()), "in docker inspect");
        assert!(!shown.contains(value.as_str()), "in ls or status");
        assert_eq!(files_with(&instance.state(), value.as_bytes()), [""; 0]);
    }
    instance.ok(["stop", "secret"]);
    instance.wait_state("secret", "exited");
    for value in [&by_flag, &by_file, &by_name] {
        assert_eq!(files_with(&instance.state(), value.as_bytes()), [""; 0]);
    }
    assert!(!instance.parent_log().contains(&by_flag));
}

#[test]
fn limits_asked_for_are_in_force_in_the_workers_cgroup() {
    let instance = Instance::start(&instance::config(2, 3));
    // Either version of control groups, as the worker sees its own.
    let read = "cd /sys/fs/cgroup; \
        cat memory/memory.limit_in_bytes 2>/dev/null || cat memory.max; \
        cat pids/pids.max 2>/dev/null || cat pids.max; \
        cat cpu/cpu.cfs_quota_us 2>/dev/null || cut -d' ' -f1 cpu.max";
    let limits = |name: &str| instance.ok(["exec", name, "sh", "-c", read]);
    instance.session("plain", &["sleep", "1000"]);
    assert_eq!(limits("plain"), format!("{}\n128\n100000\n", 256 << 20));

    let own = [
        "spawn",
        "-d",
        "-n",
        "own",
        "--isolation",
        "none",
        "--memory",
        "96m",
        "--cpus",
    ];
    instance.ok(own
        .into_iter()
        .chain(["0.5", "--pids-limit", "40", "--", "sleep", "1000"]));
    let asked = format!("{}\n40\n50000\n", 96 << 20);
    wait::until_true("the smaller limits", SLOW, || limits("own") == asked);

    let more = [
        "spawn",
        "-d",
        "-n",
        "more",
        "--isolation",
        "none",
        "--memory",
        "1g",
    ];
    instance.ok(more
        .into_iter()
        .chain(["--pids-limit", "300", "--", "sleep", "1000"]));
    let asked = format!("{}\n300\n100000\n", 1 << 30);
    wait::until_true("the larger limits", SLOW, || limits("more") == asked);

    let none = [
        "spawn",
        "-d",
        "-n",
        "free",
        "--isolation",
        "none",
        "--no-limits",
    ];
    instance.ok(none.into_iter().chain(["--", "sleep", "1000"]));
    wait::until_true("no limits", SLOW, || {
        let read = limits("free");
        let lines: Vec<&str> = read.lines().collect();
        let memory = lines[0] == "max" || lines[0].parse::<u64>().is_ok_and(|n| n >= 1 << 50);
        // A quota of all CPUs is none.
        let cpus = lines[2]
            .parse::<usize>()
            .is_ok_and(|quota| quota >= processors() * 100_000);
        memory && lines[1] == "max" && (cpus || matches!(lines[2], "-1" | "max"))
    });
    // What holds a limit says so: a memory hog is killed and named, and its worker's agent lives.
    let hog = "head -c 400m /dev/zero | tail > /dev/null; echo after";
    let output = instance.run(["exec", "own", "sh", "-c", hog]);
    assert!(text(&output.stdout).contains("after") || !output.status.success());
    assert_eq!(instance.worker("own").unwrap()["state"], "running");
}
