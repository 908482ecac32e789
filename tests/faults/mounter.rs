//! The mounter dies. It alone can remove what a session's user wrote, so nothing may depend on its
//! being there at the moment.

use crate::engine::kit::{behind, wait_reachable};
use e2e::{
    instance::{SLOW, text},
    invariants, measured,
    project::Project,
    proxy::{Mode, Proxy},
    wait,
};
use std::time::Instant;

#[test]
fn row_24_what_is_removed_without_a_mounter_goes_when_it_is_back() {
    let proxy = Proxy::of_the_machine();
    let instance = behind(&proxy, 1, 1);
    let project = Project::new();
    let folder = project.text();
    let script = "mkdir -p deep/er; echo changed > deep/er/file";
    let args = [
        "spawn",
        "-n",
        "gone",
        "--isolation",
        "overlay",
        &folder,
        "--",
        "sh",
        "-c",
        script,
    ];
    let output = instance.run(args);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let worker = instance.wait_state("gone", "exited");
    let id = worker["id"].as_str().expect("an id").to_owned();
    let kept = instance.state().join("workers").join(&id);
    wait::until_true("the worker's container to go", SLOW, || {
        instance
            .worker("gone")
            .is_some_and(|w| w["container"].is_null())
    });
    assert!(kept.is_dir(), "no changes to review");

    // Without the engine no other mounter is made.
    proxy.set(Mode::Down);
    wait_reachable(&instance, false, SLOW);
    for mounter in instance.engine.containers(&instance.name, "mounter") {
        instance.engine.docker(&["kill", &mounter]);
    }
    let removed = instance.direct(["rm", "--force", "gone"]).output();
    let removed = removed.expect("running podbay");
    assert!(removed.status.success(), "{}", text(&removed.stderr));
    assert!(kept.is_dir(), "another could remove it: nothing is tested");
    proxy.set(Mode::Pass);
    let began = Instant::now();
    wait::until_true("the folder to go", SLOW, || !kept.exists());
    measured(
        24,
        format!(
            "removed without a mounter: the folder went {:.1?} after the engine was back",
            began.elapsed()
        ),
    );
    invariants::settle(&instance, SLOW, "the mounter's return");
}
