//! `podbay down`: what it refuses, and that nothing is left of what it takes down.

use e2e::{
    engine,
    instance::{self, Instance, mounts_below, text},
    processes,
    project::Project,
    unique,
};

/// Containers and volumes that carry the instance's name in any way.
fn traces(instance: &Instance) -> Vec<String> {
    let name = &instance.name;
    let list = |args: &[&str]| engine::docker(args);
    let mut found: Vec<String> = Vec::new();
    let labelled = format!("label=dev.podbay.instance={name}");
    for filter in [&labelled, &format!("name={name}")] {
        found.extend(
            list(&["ps", "-a", "--filter", filter, "--format", "{{.Names}}"])
                .lines()
                .map(str::to_owned),
        );
        let volumes = list(&["volume", "ls", "--filter", filter, "--format", "{{.Name}}"]);
        found.extend(volumes.lines().map(str::to_owned));
        let networks = list(&["network", "ls", "--filter", filter, "--format", "{{.Name}}"]);
        found.extend(networks.lines().map(str::to_owned));
    }
    found
}

#[test]
fn down_refuses_while_something_would_be_lost_and_leaves_nothing_behind() {
    let instance = Instance::start(&instance::config(2, 3));
    let project = Project::new();
    let folder = project.text();
    let state = instance.state();
    let mark = unique("down");
    let marked = format!("E2E_MARK={mark}");
    let busy = [
        "spawn", "-d", "-n", "busy", &folder, "-e", &marked, "--", "sleep", "1000",
    ];
    instance.ok(busy);
    let over = [
        "spawn",
        "-n",
        "edited",
        "--isolation",
        "overlay",
        &folder,
        "--",
        "touch",
        "new",
    ];
    assert!(instance.run(over).status.success());
    instance.wait_state("edited", "exited");

    let output = instance.run(["down", "--volumes"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in ["busy: running", "edited: unapplied changes", "--force"] {
        assert!(said.contains(part), "{part:?} is not in: {said}");
    }
    assert_eq!(instance.worker("busy").unwrap()["state"], "running");

    // Without its coordinator nobody knows what would be lost: refused as well.
    engine::docker(&["stop", "-t", "5", &instance.name]);
    let output = instance.run(["down"]);
    assert!(!output.status.success());
    assert!(
        text(&output.stderr).contains("--force"),
        "{}",
        text(&output.stderr)
    );
    assert_eq!(
        processes::marked("E2E_MARK", &mark).len(),
        1,
        "live work was ended"
    );
    engine::docker(&["start", &instance.name]);

    assert!(state.join("run").exists());
    let output = instance.run(["down", "--force", "--volumes"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(processes::marked("E2E_MARK", &mark), [0; 0]);
    assert_eq!(traces(&instance), [""; 0]);
    assert!(!state.exists(), "the volume's folder is left");
    assert_eq!(mounts_below(&state), [""; 0]);
    assert_eq!(mounts_below(project.path()), [""; 0]);
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(
        !table.contains(&instance.name) && !table.contains(&folder),
        "{table}"
    );
    assert!(project.read("hello.txt").is_some() && project.read("new").is_none());
    let names: Vec<_> = std::fs::read_dir(project.path())
        .unwrap()
        .flatten()
        .collect();
    assert_eq!(names.len(), 3, "{names:?}");

    // Nothing there: said, and an exit code of its own. Up again from nothing works.
    let output = instance.run(["down"]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    let output = instance.run(["ls"]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert!(
        text(&output.stderr).contains("podbay up"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_volume_that_is_kept_has_records_and_changes_for_the_next_parent() {
    let instance = Instance::start(&instance::config(1, 2));
    let project = Project::new();
    let folder = project.text();
    let over = [
        "spawn",
        "-n",
        "edited",
        "--isolation",
        "overlay",
        &folder,
        "--",
        "touch",
        "new",
    ];
    assert!(instance.run(over).status.success());
    instance.ok([
        "spawn",
        "-n",
        "said",
        "--isolation",
        "none",
        "--",
        "echo",
        "hello from before",
    ]);
    instance.wait_state("edited", "exited");
    instance.wait_state("said", "exited");
    instance.ok(["down", "--force"]);
    assert!(engine::containers(&instance.name, "worker").is_empty());
    assert!(engine::containers(&instance.name, "mounter").is_empty());

    let up = instance.up(&[]);
    assert!(up.status.success(), "{}", text(&up.stderr));
    assert_eq!(instance.worker("said").unwrap()["state"], "exited");
    assert!(instance.ok(["logs", "said"]).contains("hello from before"));
    assert_eq!(instance.ok(["diff", "--name-only", "edited"]), "new\n");
    instance.ok(["apply", "edited"]);
    assert!(project.read("new").is_some());
    // Up once more is no harm.
    let up = instance.up(&[]);
    assert!(
        text(&up.stderr).contains("already up"),
        "{}",
        text(&up.stderr)
    );
    // All reviewed, nothing running: down needs no force.
    instance.ok(["down", "--volumes"]);
    assert_eq!(traces(&instance), [""; 0]);
}
