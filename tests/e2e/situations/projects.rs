//! Projects as they are: what a review tells, applies, keeps and leaves.

use super::script;
use e2e::{
    instance::{self, Instance, text},
    project::{OWNER, Project},
};
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::Path,
    process::Command,
};

const OVERLAY: &[&str] = &["--isolation", "overlay"];

fn git(at: &Path, args: &[&str]) -> String {
    let done = Command::new("git")
        .current_dir(at)
        .args([
            "-c",
            "safe.directory=*",
            "-c",
            "user.name=u",
            "-c",
            "user.email=u@example.org",
        ])
        .args(args)
        .output()
        .expect("running git");
    assert!(done.status.success(), "{args:?}: {}", text(&done.stderr));
    text(&done.stdout).trim().to_owned()
}

/// git on the host runs as somebody: what it makes is the owner's.
fn own(project: &Project) {
    let all = format!("{OWNER}:{OWNER}");
    let args = ["-R", "-h", "--from=0:0", &all];
    let done = Command::new("chown")
        .args(args)
        .arg(project.path())
        .status();
    assert!(done.expect("running chown").success());
}

/// In a copy-on-write worker of this name, to its end.
fn change(instance: &Instance, name: &str, project: &Project, command: &str) -> String {
    let said = script(
        instance,
        &[&["-n", name], OVERLAY].concat(),
        project,
        command,
    );
    instance.wait_state(name, "exited");
    said
}

const COMMIT: &str = "git config --global user.name w; git config --global user.email w@example.org; \
                      echo w > theirs; git add theirs; git commit -qm worker";

#[test]
fn a_status_on_either_side_is_no_change_and_commits_of_both_sides_are_kept() {
    let instance = Instance::start(&instance::config(2, 2));
    let project = Project::new();
    project.git();
    own(&project);
    // In the worker alone.
    let name = "looks";
    change(&instance, name, &project, "touch hello.txt; git status");
    assert_eq!(
        instance.worker(name).map(|w| w["unapplied"].clone()),
        Some(false.into())
    );
    // On the host, after the claim.
    change(&instance, "works", &project, COMMIT);
    fs::File::open(project.path().join("run.sh"))
        .and_then(|file| file.set_modified(std::time::SystemTime::UNIX_EPOCH))
        .expect("touching a file");
    git(project.path(), &["status"]);
    own(&project);
    let output = instance.run(["apply", "works"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(git(project.path(), &["log", "-1", "--format=%s"]), "worker");
    assert_eq!(git(project.path(), &["status", "--porcelain"]), "");
    // Commits on both sides: refused with the way out, and the way out works.
    let second = COMMIT.replace("theirs", "second");
    change(&instance, "again", &project, &second);
    fs::write(project.path().join("mine"), "u").unwrap();
    git(project.path(), &["add", "mine"]);
    git(project.path(), &["commit", "-qm", "user"]);
    own(&project);
    let refused = instance.run(["apply", "again"]);
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(
        said.contains("commits, or staged files, of its own"),
        "{said}"
    );
    assert!(said.contains("git branch NAME COMMIT"), "{said}");
    let at = said.find("the worker's commit is ").expect("the commit");
    let commit = &said[at + "the worker's commit is ".len()..][..40];
    instance.run(["apply", "--force", "again"]);
    assert_eq!(git(project.path(), &["log", "-1", "--format=%s"]), "user");
    assert!(git(project.path(), &["reflog"]).contains("user"));
    git(project.path(), &["branch", "kept", commit]);
    assert_eq!(
        git(project.path(), &["log", "-1", "--format=%s", "kept"]),
        "worker"
    );
    assert!(!git(project.path(), &["fsck"]).contains("missing"));
}

#[test]
fn sockets_and_pipes_are_left_out_with_a_note_and_the_name_is_free() {
    let instance = Instance::start(&instance::config(1, 2));
    let project = Project::new();
    change(&instance, "pipes", &project, "mkfifo pipe; echo x > file");
    let output = instance.run(["apply", "pipes"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        said.contains("note pipe: sockets, FIFOs and devices are not applied"),
        "{said}"
    );
    assert!(said.contains("nothing left to review"), "{said}");
    assert_eq!(project.read("file").as_deref(), Some("x\n"));
    change(&instance, "pipes", &project, "echo y > file");
}

#[test]
fn groups_bits_and_attributes_of_a_project_are_kept() {
    let instance = Instance::start(&instance::config(1, 2));
    let project = Project::new();
    let at = |name: &str| project.path().join(name);
    let mode = |name: &str, mode| {
        fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).expect("setting a mode");
    };
    // A folder of a group, as teams share it; the project's root is one, too.
    chown(at("src"), Some(OWNER), Some(4242)).unwrap();
    mode("src", 0o2775);
    mode("", 0o2775);
    chown(at("hello.txt"), Some(OWNER), Some(4242)).unwrap();
    mode("hello.txt", 0o640);
    fs::hard_link(at("hello.txt"), at("again.txt")).unwrap();
    let set = Command::new("python3")
        .args([
            "-c",
            "import os,sys; os.setxattr(sys.argv[1], 'user.k', b'v')",
        ])
        .arg(at("hello.txt"))
        .status();
    let attributes = set.is_ok_and(|set| set.success());
    let said = change(
        &instance,
        "bits",
        &project,
        "stat -c %a .; echo more >> hello.txt; mkdir src/new; echo x > src/new/f; chmod u+s run.sh; \
         mkdir sticky; chmod 1777 sticky",
    );
    assert_eq!(said, "2775\n");
    let diff = instance.ok(["diff", "--stat", "bits"]);
    assert!(diff.contains("run.sh") && diff.contains("sticky"), "{diff}");
    let output = instance.run(["apply", "bits"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        said.contains("note hello.txt: it had other names (hard links)"),
        "{said}"
    );
    assert!(said.contains("note run.sh: set-user-ID"), "{said}");
    let is = |name: &str| {
        let is = fs::metadata(at(name)).unwrap();
        (is.gid(), is.mode() & 0o7777)
    };
    assert_eq!(is("hello.txt"), (4242, 0o640));
    assert_eq!(project.read("hello.txt").as_deref(), Some("hello\nmore\n"));
    assert_eq!(is("src/new"), (4242, 0o2755));
    assert_eq!(is("src/new/f").0, 4242);
    // It was made in a folder of a group.
    assert_eq!(is("sticky").1, 0o3777);
    assert_eq!(is("run.sh").1 & 0o6000, 0);
    if attributes {
        let read = Command::new("python3")
            .args([
                "-c",
                "import os,sys; print(os.getxattr(sys.argv[1], 'user.k').decode())",
            ])
            .arg(at("hello.txt"))
            .output()
            .unwrap();
        assert_eq!(text(&read.stdout), "v\n");
    }
}

#[test]
fn an_exec_sees_what_the_host_wrote_since_the_last_one() {
    let instance = Instance::start(&instance::config(1, 2));
    let project = Project::new();
    let folder = project.text();
    instance.ok([
        &["spawn", "-d", "-n", "live"],
        OVERLAY,
        &[&folder, "--", "sleep", "1000"],
    ]
    .concat());
    let read = |name: &str| {
        let output = instance.run(["exec", "-T", "live", "--", "cat", name]);
        output.status.success().then(|| text(&output.stdout))
    };
    for round in ["one\n", "two\n", "three\n"] {
        // Looked up before it is there, and replaced by a rename as editors do.
        let name = format!("{}.txt", round.trim());
        assert_eq!(read(&name), None);
        project.write(&name, round);
        assert_eq!(read(&name).as_deref(), Some(round));
        project.write("next", round);
        fs::rename(
            project.path().join("next"),
            project.path().join("hello.txt"),
        )
        .unwrap();
        assert_eq!(read("hello.txt").as_deref(), Some(round));
    }
    assert!(instance.run(["refresh", "live"]).status.success());
}
