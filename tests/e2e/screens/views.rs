//! What a dashboard asks for: ports, changes, what a worker runs with, folders of the host.

use e2e::{
    instance::{self, Instance, SLOW},
    project::Project,
    wait,
};
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
};

/// One request on the API's socket: the status and the body.
fn call(instance: &Instance, method: &str, path: &str) -> (u16, Value) {
    let mut stream = UnixStream::connect(instance.socket()).unwrap();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: podbay\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

fn wait_view(instance: &Instance, name: &str, field: &str, expected: &Value) {
    wait::until_true(&format!("{field} of {name} to be {expected}"), SLOW, || {
        instance.worker(name).is_some_and(|w| w[field] == *expected)
    });
}

#[test]
fn each_worker_shows_its_own_ports_and_what_it_runs_with() {
    let instance = Instance::start(&instance::config(2, 2));
    let listen = "IO::Socket::INET->new(Listen => 1, LocalAddr => $ARGV[0], LocalPort => \
                  $ENV{PORT} + $ARGV[1]) or die $!; sleep 1000";
    let program = ["perl", "-MIO::Socket::INET", "-e"];
    let script = format!("$keep = {listen}");
    for (name, address, offset) in [("one", "127.0.0.1", "0"), ("two", "0.0.0.0", "3")] {
        let argv: Vec<&str> = program
            .into_iter()
            .chain([script.as_str(), address, offset])
            .collect();
        instance.session(name, &argv);
    }
    let (one, two) = (
        instance.worker("one").unwrap(),
        instance.worker("two").unwrap(),
    );
    let port = |w: &Value, offset: u64| {
        // 20 ports a worker, by its uid.
        let slot = w["uid"].as_u64().unwrap() - 200_000;
        20_000 + slot * 20 % 40_000 + offset
    };
    let listening = |address: &str, port: u64| json!([{ "address": address, "port": port }]);
    wait_view(
        &instance,
        "one",
        "ports",
        &listening("127.0.0.1", port(&one, 0)),
    );
    wait_view(
        &instance,
        "two",
        "ports",
        &listening("0.0.0.0", port(&two, 3)),
    );

    let view = instance.worker("one").unwrap();
    let security = view["security"].as_str().unwrap();
    assert!(
        security.contains("no capabilities; no new privileges"),
        "{security}"
    );
    assert!(
        view["network"]
            .as_str()
            .unwrap()
            .contains("shared with the parent")
    );
    let status = instance.ok(["exec", "one", "cat", "/proc/self/status"]);
    for line in ["CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"] {
        assert!(status.contains(line), "{line}: {status}");
    }
    let mounts = view["mounts"].as_array().unwrap();
    assert!(
        mounts
            .iter()
            .any(|m| m.as_str().unwrap().contains("/home/podbay"))
    );
    let pool = instance.pool("default").unwrap();
    assert_eq!(
        pool["recent_claims_us"].as_array().unwrap().len(),
        2,
        "{pool}"
    );
}

#[test]
fn changes_are_counted_when_it_rests_and_after_a_review() {
    let instance = Instance::start(&instance::config(1, 2));
    let project = Project::new();
    let folder = project.text();
    let script = "read line; printf 'a\\nb\\n' > new.txt; rm hello.txt; mkdir empty; echo written; \
                  sleep 1000";
    let args = [
        "spawn",
        "-d",
        "-n",
        "work",
        "--isolation",
        "overlay",
        &folder,
        "--",
        "bash",
        "-c",
        script,
    ];
    instance.ok(args);
    let view = instance.wait_state("work", "running");
    assert_eq!(
        view["mounts"][0],
        format!("{folder} → /workspace (copy-on-write)")
    );
    let mut terminal = instance.terminal(&["attach", "work"], 80, 24);
    terminal.send("\n");
    terminal.wait_for("written");
    let counted = json!({ "files": 2, "added": 2, "removed": 1 });
    wait_view(&instance, "work", "changes", &counted);
    instance.ok(["apply", "work", "new.txt"]);
    let left = json!({ "files": 1, "added": 0, "removed": 1 });
    wait_view(&instance, "work", "changes", &left);
    instance.ok(["stop", "work"]);
    instance.wait_state("work", "exited");
    wait_view(&instance, "work", "changes", &left);
    instance.ok(["discard", "--yes", "work"]);
    let none = json!({ "files": 0, "added": 0, "removed": 0 });
    wait_view(&instance, "work", "changes", &none);
}

#[test]
fn folders_of_the_host_are_completed_and_the_last_projects_remembered() {
    let instance = Instance::start(&instance::config(1, 1));
    let (first, second) = (Project::new(), Project::new());
    first.git();
    for name in ["build", "bundle", ".hidden"] {
        first.write(&format!("{name}/x"), "");
    }
    let names = |path: &str| {
        let (status, found) = call(&instance, "GET", &format!("/v1/folders?path={path}"));
        assert_eq!(status, 200, "{found}");
        assert_eq!(found["truncated"], false);
        let folders = found["folders"].as_array().unwrap().clone();
        let name = |f: &Value| (f["path"].as_str().unwrap().to_owned(), f["is_git"] == true);
        folders.iter().map(name).collect::<Vec<_>>()
    };
    let folder = first.text();
    assert_eq!(names(&folder), [(folder.clone(), true)]);
    let inside = |name: &str| (format!("{folder}/{name}"), false);
    assert_eq!(
        names(&format!("{folder}/bu")),
        [inside("build"), inside("bundle")]
    );
    assert_eq!(names(&format!("{folder}/.h")), [inside(".hidden")]);
    let top = names("/");
    assert!(top.iter().any(|(path, _)| path == "/var"), "{top:?}");
    for refused in ["/proc", "/sys", "/dev", "/etc"] {
        assert!(!top.iter().any(|(path, _)| path == refused), "{top:?}");
    }
    let state = instance.state().to_string_lossy().into_owned();
    let (status, error) = call(&instance, "GET", &format!("/v1/folders?path={state}/"));
    assert_eq!(status, 403, "{error}");
    for (path, says) in [("?path=relative", "absolute"), ("", "no path")] {
        let (status, error) = call(&instance, "GET", &format!("/v1/folders{path}"));
        assert_eq!(status, 400, "{error}");
        assert!(error["message"].as_str().unwrap().contains(says), "{error}");
    }

    let recent = || call(&instance, "GET", "/v1/projects/recent").1["recent"].clone();
    assert_eq!(recent(), json!([]));
    for project in [&first, &second, &first] {
        let folder = project.text();
        let output = instance.run(["spawn", "--isolation", "bind", &folder, "--", "true"]);
        assert!(output.status.success());
    }
    assert_eq!(recent(), json!([first.text(), second.text()]));
}

#[test]
fn done_is_idle_once_a_person_has_seen_it() {
    let instance = Instance::start(&instance::config(1, 1));
    instance.session("job", &["bash", "-c", "echo finished; sleep 1000"]);
    let activity = |state: &str| {
        wait::until_true(&format!("activity {state}"), SLOW, || {
            instance
                .worker("job")
                .is_some_and(|w| w["activity"]["state"] == state)
        });
    };
    activity("done");
    assert_eq!(call(&instance, "GET", "/v1/workers/job/screen").0, 200);
    assert_eq!(instance.worker("job").unwrap()["activity"]["state"], "done");
    assert_eq!(call(&instance, "POST", "/v1/workers/job/seen").0, 204);
    activity("idle");
    assert_eq!(call(&instance, "POST", "/v1/workers/nobody/seen").0, 404);
}
