//! Images as they are: what one says of itself is weaker than what a worker needs.

use super::{Image, script};
use e2e::{
    engine,
    instance::{self, Instance, SLOW},
    project::Project,
    wait,
};

/// Lines of a Dockerfile, a script in a worker of it, and what the script prints.
const CASES: &[(&str, &str, &str, &str)] = &[
    (
        "a volume at /workspace",
        "VOLUME /workspace",
        "cat hello.txt",
        "hello\n",
    ),
    (
        "a volume at /workspace with files in it",
        "RUN mkdir -p /workspace && echo of-the-image > /workspace/theirs\nVOLUME /workspace",
        "cat hello.txt; ls theirs 2>/dev/null; true",
        "hello\n",
    ),
    (
        "a health check, as root, each second",
        "HEALTHCHECK --interval=1s CMD id >> /tmp/health",
        "sleep 2; ls /tmp",
        "",
    ),
    (
        "an environment that would be ours",
        "ENV HOME=/root USER=root PORT=3000 TERM=dumb PODBAY_NAME=evil PODBAY_PORT_BASE=1",
        "echo $HOME $USER; test $PORT != 3000 && test $PODBAY_NAME != evil && touch ~/writable && echo ours",
        "/home/podbay podbay\nours\n",
    ),
    (
        "another user, folder, entry point and stop signal",
        "USER 12:34\nWORKDIR /var/tmp\nENTRYPOINT [\"/bin/false\"]\nCMD [\"nothing\"]\nSTOPSIGNAL SIGUSR1",
        "pwd; id -un",
        "/workspace\npodbay\n",
    ),
];

#[test]
fn what_an_image_says_of_itself_does_not_keep_a_project_out() {
    let images: Vec<Image> = CASES.iter().map(|case| Image::of(case.1)).collect();
    let names: Vec<String> = (0..CASES.len()).map(|at| format!("case-{at}")).collect();
    let mut config = String::from("[defaults]\nprofile = \"case-0\"\n");
    for (name, image) in names.iter().zip(&images) {
        config += &instance::profile(name, &image.0, 1, 1);
    }
    let instance = Instance::start(&config);
    for (name, (what, _, command, wanted)) in names.iter().zip(CASES) {
        instance.wait_warm(name, 1);
        let project = Project::new();
        let said = script(&instance, &["-p", name], &project, command);
        assert_eq!(&said, wanted, "{what}");
        let said = script(
            &instance,
            &["-p", name, "--isolation", "overlay"],
            &project,
            command,
        );
        assert_eq!(&said, wanted, "{what}, copy-on-write");
    }
}

#[test]
fn a_claim_after_a_rebuild_gets_the_new_image_and_one_after_a_removal_the_last() {
    let image = Image::of("RUN echo 1 > /version");
    let instance = Instance::start(
        &(instance::profile("it", &image.0, 1, 1) + "[defaults]\nprofile = \"it\"\n"),
    );
    let project = Project::new();
    instance.wait_warm("it", 1);
    assert_eq!(script(&instance, &[], &project, "cat /version"), "1\n");
    instance.wait_warm("it", 1);
    image.build("RUN echo 2 > /version");
    // The engine's event and one inspection of the image: not a matter of the interval any more.
    wait::until_true("a worker of the new image", SLOW, || {
        script(&instance, &[], &project, "cat /version") == "2\n"
    });
    for _ in 0..3 {
        assert_eq!(script(&instance, &[], &project, "cat /version"), "2\n");
    }
    // Workers that are warm serve claims also when their image has no name any more.
    instance.wait_warm("it", 1);
    drop(engine::docker(&["rmi", "-f", "--no-prune", &image.0]));
    assert_eq!(script(&instance, &[], &project, "cat /version"), "2\n");
}

#[test]
fn shared_memory_has_the_size_that_the_profile_says() {
    let instance = Instance::start(&(instance::config(1, 1) + "shm = \"200m\"\n"));
    let project = Project::new();
    let said = script(
        &instance,
        &[],
        &project,
        "df -k --output=size /dev/shm | tail -n 1",
    );
    assert_eq!(said.trim(), (200 << 10).to_string());
}

#[test]
fn without_hot_mounts_a_claim_is_a_cold_start_with_the_project_in_it() {
    let config = instance::config(1, 2) + "[workspace]\nhot_mounts = false\n";
    let instance = Instance::start(&config);
    let project = Project::new();
    let said = script(
        &instance,
        &["-n", "first"],
        &project,
        "cat hello.txt; echo x > made",
    );
    assert_eq!(said, "hello\n");
    assert_eq!(project.read("made").as_deref(), Some("x\n"));
    // A second one beside it, and the coordinator killed: what runs goes on, and is adopted.
    let folder = project.text();
    instance.ok([
        "spawn",
        "-d",
        "-n",
        "stays",
        &folder,
        "--",
        "sh",
        "-c",
        "echo up; exec sleep 1000",
    ]);
    let before = instance.wait_state("stays", "running");
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(instance.coordinator().expect("a coordinator")),
        nix::sys::signal::Signal::SIGKILL,
    )
    .expect("killing the coordinator");
    wait::until_true("the session to be adopted", SLOW, || {
        instance
            .worker("stays")
            .is_some_and(|now| now["state"] == "running" && now["container"] == before["container"])
    });
    assert_eq!(
        instance.ok(["exec", "-T", "stays", "--", "cat", "hello.txt"]),
        "hello\n"
    );
    assert_eq!(script(&instance, &[], &project, "cat hello.txt"), "hello\n");
}
