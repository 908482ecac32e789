//! Reviews of more than can be listed: everything keeps a way out.

use e2e::{
    engine,
    instance::{self, Instance, SLOW, text},
    processes,
    project::Project,
    wait,
};
use std::{fs, process::Stdio};

/// 210,000 files in a generated folder, beside what a worker that has ended left. They are put where
/// its session's own are: in a worker of the tests' size it takes minutes to make them.
fn generate(instance: &Instance, name: &str) {
    let worker = instance.worker(name).unwrap();
    let id = worker["id"].as_str().unwrap();
    let upper = instance
        .state()
        .join("workers")
        .join(id)
        .join("changes/upper/nm");
    for folder in 0..210 {
        let folder = upper.join(format!("d{folder}"));
        fs::create_dir_all(&folder).unwrap();
        for file in 0..1000 {
            fs::File::create(folder.join(file.to_string())).unwrap();
        }
    }
}

fn spawn(instance: &Instance, name: &str, project: &Project, script: &str) {
    instance.overlay_session(name, project, &["sh", "-ec", script]);
}

/// The mounter's process.
fn mounter(instance: &Instance) -> i32 {
    let container = engine::containers(&instance.name, "mounter").concat();
    let pid = engine::docker(&["inspect", "-f", "{{.State.Pid}}", &container]);
    pid.trim().parse().unwrap()
}

#[test]
fn over_the_bound_of_a_list_everything_has_a_way_out() {
    let instance = Instance::start(&instance::config(2, 3));
    let project = Project::new();
    spawn(&instance, "a18", &project, "echo real > real");
    instance.wait_state("a18", "exited");
    wait::until_true("its container to go", SLOW, || {
        instance
            .worker("a18")
            .is_some_and(|w| w["container"].is_null())
    });
    generate(&instance, "a18");

    // Counted by folder, for people and for programs.
    let stat = instance.ok(["diff", "--stat", "a18"]);
    assert!(
        stat.contains("nm/  210211 changed") && stat.contains(".  1 changed"),
        "{stat}"
    );
    assert!(stat.contains("podbay diff a18 PATH"), "{stat}");
    let sums = instance.json(["diff", "--stat", "--json", "a18"]);
    assert_eq!(sums[0]["changes"], 210_212, "{sums}");

    // What fits is shown, the one that matters too, and nobody takes it for all.
    let output = instance.run(["diff", "a18"]);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(out.contains("+real") && out.contains("nm/d"), "{err}");
    assert!(
        err.contains("not all of them") && err.contains("--stat a18"),
        "{err}"
    );
    let output = instance.run(["diff", "--json", "a18"]);
    assert_eq!(output.status.code(), Some(1));
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(shown.as_array().is_some_and(|list| list.len() > 1_000));

    // A path has what is below it, and nothing else is looked at.
    assert!(instance.ok(["diff", "a18", "real"]).contains("+real"));
    let below = instance.ok(["diff", "--name-only", "a18", "nm/d7"]);
    assert_eq!(below.lines().count(), 1_001);

    // Everything at once is refused whole; a path is applied, a folder discarded, then all.
    let output = instance.run(["apply", "a18"]);
    let err = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(
        err.contains("--stat") && project.read("real").is_none(),
        "{err}"
    );
    instance.ok(["apply", "a18", "real"]);
    assert_eq!(project.read("real").as_deref(), Some("real\n"));
    instance.ok(["discard", "a18", "nm/d1"]);
    assert_eq!(instance.ok(["diff", "--name-only", "a18", "nm/d1"]), "");
    let output = instance.run(["rm", "a18"]);
    assert!(
        text(&output.stderr).contains("not applied"),
        "{}",
        text(&output.stderr)
    );
    instance.ok(["discard", "-y", "a18"]);
    assert_eq!(instance.ok(["diff", "--name-only", "a18"]), "");
    assert_eq!(instance.worker("a18").unwrap()["unapplied"], false);
    instance.ok(["rm", "a18"]);
    assert!(!project.path().join("nm").exists());
}

#[test]
fn a_review_that_is_killed_costs_that_request_alone() {
    let instance = Instance::start(&instance::config(2, 3));
    let project = Project::new();
    // Sparse files that are compared byte by byte with the project's own.
    for n in 0..8 {
        let name = format!("big{n}");
        project.write(&name, "");
        let file = fs::File::options()
            .write(true)
            .open(project.path().join(name));
        file.unwrap().set_len(1 << 30).unwrap();
    }
    let script = "for f in big*; do chmod +x $f; chmod -x $f; done; echo x > small; sleep 1000";
    spawn(&instance, "slow", &project, script);
    wait::until_true("the worker's change", SLOW, || {
        let shown = instance.run(["diff", "--name-only", "slow", "small"]);
        text(&shown.stdout) == "small\n"
    });
    let before = mounter(&instance);
    let reviews = || processes::children(before);
    let diff = instance
        .direct(["diff", "slow"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Whichever it is: a count's death is nobody's business.
    let mut killed = 0;
    let mut diff = diff;
    wait::until_true("the review to end", SLOW, || {
        for review in reviews() {
            killed += u32::from(processes::signal(review, nix::sys::signal::Signal::SIGKILL));
        }
        diff.try_wait().unwrap().is_some()
    });
    let output = diff.wait_with_output().unwrap();
    let err = text(&output.stderr);
    assert!(killed > 0 && output.status.code() == Some(1), "{err}");
    assert!(err.contains("its process ended (signal 9)"), "{err}");
    assert_eq!(mounter(&instance), before);
    assert_eq!(
        instance.ok(["diff", "--name-only", "slow", "small"]),
        "small\n"
    );

    // One that nobody waits for any more is ended.
    let mut diff = instance
        .direct(["diff", "slow"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait::until_true("a review to begin", SLOW, || !reviews().is_empty());
    diff.kill().unwrap();
    diff.wait().unwrap();
    instance.ok(["stop", "--grace", "0s", "slow"]);
    wait::until_true("no review to be left", SLOW, || reviews().is_empty());
    assert_eq!(mounter(&instance), before);
}
