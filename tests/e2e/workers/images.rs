//! Any image can be a worker, unmodified.

use e2e::{
    engine,
    instance::{self, Instance, text},
    project::Project,
    unique,
};
use std::path::Path;

/// An image that goes with the test.
struct Image(String);

impl Image {
    fn import(files: &[(&str, &Path)]) -> Self {
        let tag = format!("{}:latest", unique("podbay-e2e-image"));
        engine::import_image(&tag, files);
        Self(tag)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        drop(engine::try_docker(&["rmi", "-f", &self.0]));
    }
}

fn busybox() -> &'static Path {
    let found = ["/bin/busybox", "/usr/bin/busybox"]
        .into_iter()
        .map(Path::new);
    found
        .into_iter()
        .find(|path| path.is_file())
        .expect("busybox-static is installed")
}

#[test]
fn a_busybox_image_and_one_with_a_single_static_program_are_workers() {
    let shell = busybox();
    let small = Image::import(&[
        ("/bin/busybox", shell),
        ("/bin/sh", shell),
        ("/bin/cat", shell),
        ("/bin/id", shell),
    ]);
    let alone = Image::import(&[("/busybox", shell)]);
    let config = instance::profile("busybox", &small.0, 1, 2)
        + &instance::profile("alone", &alone.0, 1, 2)
        + "[defaults]\nprofile = \"busybox\"\n";
    let instance = Instance::start(&config);
    let project = Project::new();
    let folder = project.text();

    let script = "cat hello.txt; id -un; echo from-busybox > made; tty; exit 4";
    let output = instance.run(["spawn", "-n", "bb", &folder, "--", "sh", "-c", script]);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(4), "{out}{err}");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], "hello", "{out}{err}");
    assert!(
        lines[1].parse::<u32>().is_err(),
        "no name for its uid: {out}"
    );
    assert_eq!(project.read("made").as_deref(), Some("from-busybox\n"));
    assert_eq!(instance.wait_state("bb", "exited")["warm_start"], true);

    let cat = [
        "spawn",
        "-n",
        "one",
        "-p",
        "alone",
        &folder,
        "--",
        "/busybox",
        "cat",
        "hello.txt",
    ];
    let output = instance.run(cat);
    assert_eq!(text(&output.stdout), "hello\n", "{}", text(&output.stderr));
    assert!(output.status.success());
    assert_eq!(instance.wait_state("one", "exited")["warm_start"], true);

    // On a terminal too, and without a shell anywhere.
    let vi = [
        "spawn",
        "-n",
        "vi",
        "-p",
        "alone",
        &folder,
        "--",
        "/busybox",
        "vi",
        "hello.txt",
    ];
    let mut terminal = instance.terminal(&vi, 60, 12);
    terminal.wait_for("hello");
    terminal.send("xx");
    terminal.wait_until("two letters less", |rows| rows[0] == "llo");
    terminal.send(":wq\r");
    assert_eq!(
        terminal.wait_exit().code(),
        Some(0),
        "{:?}",
        terminal.rows()
    );
    assert_eq!(project.read("hello.txt").as_deref(), Some("llo\n"));

    // The images are as they were: nothing of ours is in them.
    for image in [&small.0, &alone.0] {
        let layers = engine::docker(&["image", "inspect", "-f", "{{len .RootFS.Layers}}", image]);
        assert_eq!(layers, "1");
    }
}
