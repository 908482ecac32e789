//! Requests that fail: what they cost, what they say, and what is there afterwards.

use e2e::{
    engine,
    instance::{self, Instance, SLOW, text},
    processes,
    project::Project,
    unique, wait,
};
use std::{collections::BTreeMap, fs};

/// Arguments, exit code, and a part of what is said.
type Bad<'a> = (Vec<&'a str>, i32, &'a str);

#[test]
fn requests_that_are_refused_cost_no_warm_worker_and_say_why() {
    let instance = Instance::start(&instance::config(3, 3));
    let project = Project::new();
    let folder = project.text();
    let missing = format!("{folder}/missing");
    let file = format!("{folder}/hello.txt");
    let numbers: Vec<String> = (1..=90_000).map(|n: u32| n.to_string()).collect();
    instance.session("taken", &["sleep", "1000"]);
    instance.wait_warm("default", 3);
    let warm = instance.warm();

    let none = ["spawn", "--isolation", "none"];
    let with = |more: &[&'static str]| [&none[..], more].concat();
    let mut bad: Vec<Bad> = vec![
        (vec!["spawn", &missing, "--", "true"], 2, "no such folder"),
        (vec!["spawn", &file, "--", "true"], 2, "hello.txt"),
        (vec!["spawn", "/", "--", "true"], 6, "root"),
        (with(&["-n", "taken", "--", "true"]), 1, "in use"),
        (with(&["-n", "no name", "--", "true"]), 2, "invalid"),
        (with(&["--", "no-such-program"]), 127, "not found"),
        (with(&["--", "/etc/passwd"]), 126, "ermission"),
        (with(&["-e", "=x", "--", "true"]), 2, "variable"),
        (with(&["--cpus", "many", "--", "true"]), 2, "many"),
        (
            with(&["--no-limits", "--pids", "9", "--", "true"]),
            2,
            "limit",
        ),
        (
            with(&["--timeout", "300000000000years", "--", "true"]),
            2,
            "too long",
        ),
        (with(&["--timeout", "2years", "--", "true"]), 2, "too long"),
        (with(&["--timeout", "0s", "--", "true"]), 2, "at once"),
        (with(&["-p", "nosuch", "--", "true"]), 5, "no profile"),
        (with(&["--memory", "lots", "--", "true"]), 2, "lots"),
    ];
    for isolation in ["bind", "overlay"] {
        let claim = ["spawn", "--isolation", isolation, &folder, "--"];
        bad.push((
            [&claim[..], &["no-such-program"]].concat(),
            127,
            "not found",
        ));
        bad.push(([&claim[..], &["./hello.txt"]].concat(), 126, "ermission"));
        bad.push(([&claim[..], &["./no/such"]].concat(), 127, "not found"));
    }
    let mut large = with(&["--", "echo"]);
    large.extend(numbers.iter().map(String::as_str));
    bad.push((large, 2, "too large"));
    assert!(bad.len() > 20);
    for (args, code, part) in &bad {
        let output = instance.run(args);
        let said = text(&output.stderr);
        let shown: Vec<String> = args
            .iter()
            .take(9)
            .map(|a| a.chars().take(40).collect())
            .collect();
        assert_eq!(output.status.code(), Some(*code), "{shown:?}: {said}");
        assert!(said.contains(part), "{shown:?}: {part:?} is not in {said}");
        assert_eq!(instance.warm(), warm, "{shown:?} cost a warm worker");
    }
    println!("{} bad requests: 3 of 3 warm workers kept", bad.len());

    // The workers that were tried are as good as before.
    for isolation in ["bind", "overlay", "none"] {
        let args = ["spawn", "--isolation", isolation, &folder, "--", "ls"];
        let args = if isolation == "none" {
            vec!["spawn", "--isolation", "none", "--", "pwd"]
        } else {
            args.to_vec()
        };
        let output = instance.run(&args);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(
            output.status.success() && !err.contains("cold"),
            "{out}{err}"
        );
        assert_eq!(out.contains("hello.txt"), isolation != "none", "{out}");
    }
}

#[test]
fn a_spawn_request_over_the_bound_is_refused_with_the_bound() {
    let instance = Instance::start(&instance::config(1, 1));
    let argument = "z".repeat(131_000);
    let mut args = vec!["spawn", "--isolation", "none", "--", "echo"];
    args.extend(std::iter::repeat_n(argument.as_str(), 9));
    for mut command in [instance.command(&args), instance.direct(&args)] {
        let output = command.output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("1048576"), "the bound is not in {said}");
        assert!(!said.contains("cannot reach"), "{said}");
    }
    // An ordinary client that sends on is answered, too.
    let body = tempfile::NamedTempFile::new().unwrap();
    fs::write(body.path(), vec![b'x'; 5 << 20]).unwrap();
    let mut curl = instance.curl("/v1/workers");
    let data = format!("@{}", body.path().display());
    curl.args([
        "-H",
        "content-type: application/json",
        "--data-binary",
        &data,
    ]);
    let answer = text(&curl.output().unwrap().stdout);
    assert!(answer.contains("\"too_large\""), "{answer}");
    // What fits the API and not the worker's agent is the request's fault, and no fault of ours.
    let mut curl = instance.curl("/v1/workers");
    let words = vec!["w".repeat(100_000); 6];
    let request = serde_json::json!({ "isolation": "none", "argv": words });
    fs::write(body.path(), request.to_string()).unwrap();
    curl.args([
        "-H",
        "content-type: application/json",
        "--data-binary",
        &data,
    ]);
    let answer = text(&curl.output().unwrap().stdout);
    assert!(
        answer.contains("\"invalid\"") && answer.contains("counts twice"),
        "{answer}"
    );
    assert_eq!(instance.warm().len(), 1);
}

#[test]
fn workers_named_like_helpers_are_left_alone_and_helpers_work() {
    let image = instance::worker_image();
    let config =
        instance::config(1, 1) + &instance::profile("ro", &image, 0, 1) + "read_only = true\n";
    let instance = Instance::start(&config);
    let project = Project::new();
    let names = ["accounts", "installer", "mounter", "netguard"];
    let mut pids = BTreeMap::new();
    for name in names {
        instance.session(name, &["sleep", "1000"]);
        let worker = instance.wait_state(name, "running");
        pids.insert(name, worker["pid"].clone());
        let container = worker["container"].as_str().unwrap().to_owned();
        let named = format!("/{}.w.{name}", instance.name);
        wait::until_true("its container to be named", SLOW, || {
            engine::docker(&["inspect", "-f", "{{.Name}}", &container]) == named
        });
    }
    // Each of the helpers is created again alongside the worker of its name.
    let read_only = [
        "spawn",
        "-p",
        "ro",
        "--isolation",
        "none",
        "--",
        "id",
        "-un",
    ];
    assert_eq!(instance.ok(read_only).trim(), "podbay");
    let refused = instance.run(["upgrade", &image]);
    assert!(
        !refused.status.success(),
        "the worker's image is no parent's"
    );
    for role in ["mounter", "netguard"] {
        for container in engine::containers(&instance.name, role) {
            engine::docker(&["rm", "-f", &container]);
        }
    }
    for role in ["mounter", "netguard"] {
        wait::until_true(&format!("another {role}"), SLOW, || {
            engine::containers(&instance.name, role).len() == 1
        });
    }
    wait::until_true("projects to get into workers", SLOW, || {
        let output = instance.run(["spawn", &project.text(), "--", "cat", "hello.txt"]);
        text(&output.stdout) == "hello\n"
    });
    for name in names {
        let worker = instance.wait_state(name, "running");
        assert_eq!(worker["pid"], pids[name], "{name}: {worker}");
    }
}

#[test]
fn a_restart_that_cannot_succeed_ends_nothing_and_the_next_one_has_the_environment() {
    let config = instance::config(1, 2) + "rehome = \"ask\"\n";
    let instance = Instance::start(&config);
    let project = Project::new();
    let moved = format!("{}-moved", project.text());
    let mark = unique("replace");
    let marked = format!("E2E_MARK={mark}");
    let script = "echo $FOO of $(pwd) port $PORT; exec sleep 1000";
    let folder = project.text();
    let spawn = [
        "spawn",
        "-d",
        "-n",
        "job",
        "-e",
        "FOO=kept",
        "-e",
        &marked,
        "--isolation",
        "bind",
        &folder,
        "--",
        "sh",
        "-c",
        script,
    ];
    instance.ok(spawn);
    let said = |needle: &str| {
        wait::until_true(needle, SLOW, || {
            text(&instance.direct(["logs", "job"]).output().unwrap().stdout).contains(needle)
        });
    };
    said("kept of /workspace");
    let alive = processes::marked("E2E_MARK", &mark);
    assert_eq!(alive.len(), 1);
    engine::docker(&["restart", "-t", "5", &instance.name]);
    wait::until_true("the loss to be noticed", SLOW, || {
        instance.worker("job").is_some_and(|w| w["state"] == "lost")
    });
    fs::rename(project.path(), &moved).unwrap();
    let refused = instance.run(["restart", "job"]);
    assert!(!refused.status.success());
    assert!(
        text(&refused.stderr).contains("no such folder"),
        "{refused:?}"
    );
    assert_eq!(processes::marked("E2E_MARK", &mark), alive, "it was ended");
    fs::rename(&moved, project.path()).unwrap();
    instance.ok(["restart", "job"]);
    instance.wait_state("job", "running");
    said("kept of /workspace");
    assert_eq!(processes::marked("E2E_MARK", &mark).len(), 1);

    // One that has ended keeps its container and record when its claim cannot be served again.
    let args = [
        "spawn",
        "-d",
        "-n",
        "ends",
        "--no-rm",
        "--isolation",
        "bind",
        &folder,
        "--",
        "true",
    ];
    instance.ok(args);
    let ended = instance.wait_state("ends", "exited");
    fs::rename(project.path(), &moved).unwrap();
    let refused = instance.run(["restart", "ends"]);
    fs::rename(&moved, project.path()).unwrap();
    assert!(!refused.status.success());
    let still = instance.worker("ends").unwrap();
    assert_eq!(still["container"], ended["container"], "{still}");
}

/// Removes an image when it goes.
struct Untag(String);

impl Drop for Untag {
    fn drop(&mut self) {
        drop(engine::try_docker(&["rmi", "-f", &self.0]));
    }
}

#[test]
fn every_session_of_a_worker_has_podbays_variables_whatever_the_image_says() {
    let tag = Untag(format!("podbay/worker:{}", unique("env")));
    let made = engine::docker(&["create", &instance::worker_image()]);
    let changes = [
        "PORT=8080",
        "HOME=/nowhere",
        "USER=app",
        "TERM=dumb",
        "PODBAY_NAME=forged",
        "PODBAY_PORT_BASE=1",
        "KEPT=yes",
    ];
    let mut commit = vec!["commit".to_owned()];
    for change in changes {
        commit.extend(["--change".to_owned(), format!("ENV {change}")]);
    }
    commit.extend([made.clone(), tag.0.clone()]);
    engine::docker(&commit.iter().map(String::as_str).collect::<Vec<_>>());
    engine::docker(&["rm", &made]);
    let config = instance::profile("default", &tag.0, 1, 2)
        + "env = { FROM = \"profile\", BOTH = \"profile\" }\nrehome = \"ask\"\n";
    let instance = Instance::start(&config);
    let script = "env | sort; touch ~/here && echo writable; exec sleep 1000";
    instance.ok([
        "spawn",
        "-d",
        "-n",
        "vars",
        "--isolation",
        "none",
        "-e",
        "BOTH=request",
        "--",
        "sh",
        "-c",
        script,
    ]);
    let variables = |printed: &str| -> BTreeMap<String, String> {
        let pairs = printed.lines().filter_map(|l| l.trim().split_once('='));
        pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
    };
    let logs = |needle: &str| {
        wait::until("its variables", SLOW, || {
            let said = text(&instance.direct(["logs", "vars"]).output().unwrap().stdout);
            said.contains(needle).then_some(said)
        })
    };
    let main = variables(&logs("writable"));
    let id = instance.worker("vars").unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let exec = variables(&instance.ok(["exec", "-e", "BOTH=request", "vars", "--", "env"]));
    for env in [&main, &exec] {
        let port: u16 = env["PORT"].parse().unwrap();
        assert!((20_000..60_000).contains(&port), "{env:?}");
        for (key, value) in [
            ("PODBAY_PORT_BASE", env["PORT"].as_str()),
            ("PODBAY_NAME", "vars"),
            ("PODBAY_WORKER", id.as_str()),
            ("HOME", "/home/podbay"),
            ("USER", "podbay"),
            ("KEPT", "yes"),
            ("FROM", "profile"),
            ("BOTH", "request"),
            ("LANG", "C.UTF-8"),
        ] {
            assert_eq!(env.get(key).map(String::as_str), Some(value), "{key}");
        }
        assert_ne!(env["TERM"], "dumb");
    }
    assert_eq!(main["PORT"], exec["PORT"]);
    // The same in another container and under another name.
    instance.ok(["rename", "vars", "other"]);
    engine::docker(&["restart", "-t", "5", &instance.name]);
    wait::until_true("the loss to be noticed", SLOW, || {
        instance
            .worker("other")
            .is_some_and(|w| w["state"] == "lost")
    });
    instance.ok(["restart", "other"]);
    let again = wait::until("its variables", SLOW, || {
        let said = text(&instance.direct(["logs", "other"]).output().unwrap().stdout);
        said.contains("writable").then_some(said)
    });
    let again = variables(&again);
    for key in ["PORT", "HOME", "BOTH", "KEPT", "PODBAY_WORKER"] {
        assert_eq!(again.get(key), main.get(key), "{key}");
    }
    assert_eq!(again["PODBAY_NAME"], "other");
}
