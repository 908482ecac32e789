//! Claim records that cannot be written: shown, tried again, and nothing is applied before.

use e2e::{
    instance::{self, Instance, SLOW, text},
    project::Project,
    wait,
};
use std::fs;

#[test]
fn a_record_that_cannot_be_written_is_shown_tried_again_and_applies_nothing() {
    let instance = Instance::start(&instance::config(1, 2));
    let project = Project::new();
    let folder = project.text();
    let spawn = [
        "spawn",
        "-d",
        "-n",
        "job",
        "--isolation",
        "overlay",
        &folder,
    ];
    let command = ["--", "sh", "-c", "echo made > made.txt; sleep 1000"];
    instance.ok(spawn.into_iter().chain(command));
    let id = instance.wait_state("job", "running")["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let own = instance.state().join("workers").join(&id);
    wait::until_true("the change and the record", SLOW, || {
        own.join("changes/upper/made.txt").exists() && own.join("worker.json").exists()
    });
    // Where the record is written first; a folder there is like a disk without room.
    fs::create_dir(own.join("worker.tmp")).unwrap();
    fs::write(own.join("worker.tmp/in-the-way"), "").unwrap();
    assert!(!instance.run(["rename", "job", "work"]).status.success());
    let why = || {
        let worker = instance.worker("work").unwrap();
        worker["why"].as_str().unwrap_or_default().to_owned()
    };
    assert!(why().contains("record is not on disk"), "{}", why());
    let output = instance.run(["apply", "work"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    let err = text(&output.stderr);
    assert!(err.contains("record is not on disk"), "{err}");
    assert_eq!(project.read("made.txt"), None);
    // What there is can be looked at.
    assert!(
        instance
            .ok(["diff", "--name-only", "work"])
            .contains("made.txt")
    );

    fs::remove_dir_all(own.join("worker.tmp")).unwrap();
    wait::until_true("the record to be written", SLOW, || why().is_empty());
    let record = text(&fs::read(own.join("worker.json")).unwrap());
    assert!(record.contains("\"work\""), "{record}");
    instance.ok(["apply", "work"]);
    assert_eq!(project.read("made.txt").as_deref(), Some("made\n"));
}
