//! Copy-on-write: the project stays untouched until its changes are reviewed.

use e2e::{
    instance::{self, Instance, text},
    project::{OWNER, Project},
};
use serde_json::Value;
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
};

/// Runs a script in a copy-on-write worker of the project, to its end.
fn change(instance: &Instance, name: &str, project: &Project, script: &str) {
    let folder = project.text();
    let args = [
        "spawn",
        "-n",
        name,
        "--isolation",
        "overlay",
        &folder,
        "--",
        "sh",
        "-ec",
        script,
    ];
    let output = instance.run(args);
    let err = text(&output.stderr);
    assert!(output.status.success(), "{}{err}", text(&output.stdout));
    assert!(!err.contains("cold start"), "{err}");
    assert!(instance.wait_state(name, "exited")["unapplied"] == true);
}

/// The changes as `path kind`, with what else is to be said of them.
fn changes(instance: &Instance, name: &str) -> Vec<(String, Value)> {
    let diffs = instance.json(["diff", "--json", name]);
    let list = diffs.as_array().expect("an array").iter();
    list.map(|d| {
        (
            d["change"]["path"].as_str().expect("a path").to_owned(),
            d.clone(),
        )
    })
    .collect()
}

fn kinds(instance: &Instance, name: &str) -> Vec<String> {
    let changes = changes(instance, name).into_iter();
    changes
        .map(|(path, d)| format!("{path} {}", d["change"]["kind"].as_str().unwrap()))
        .collect()
}

/// Path, type, mode, owner and content of all that is in a folder, and the times of its files.
fn snapshot(folder: &Path) -> Vec<String> {
    let mut seen = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        let content = if path.is_symlink() {
            format!("{:?}", fs::read_link(&path).unwrap())
        } else if path.is_file() {
            format!("{:?}", fs::read(&path).unwrap())
        } else {
            seen.extend(snapshot(&path));
            String::new()
        };
        let times = (meta.mtime(), meta.mtime_nsec());
        let (mode, uid, gid) = (meta.mode(), meta.uid(), meta.gid());
        seen.push(format!("{path:?} {mode:o} {uid} {gid} {times:?} {content}"));
    }
    seen.sort();
    seen
}

#[test]
fn changes_are_listed_applied_one_by_one_and_discarded() {
    let instance = Instance::start(&instance::config(2, 3));
    let project = Project::new();
    project.write("gone.txt", "to be deleted\n");
    project.write("sub/deep/kept.txt", "kept\n");
    project.write("dir/inside.txt", "inside\n");
    project.write("becomes-dir", "a file\n");
    project.write("image.bin", "\0binary\0");
    let before = snapshot(project.path());
    change(
        &instance,
        "work",
        &project,
        "echo more >> hello.txt; rm gone.txt; rm -r dir; mkdir -p new/sub; echo n > new/sub/n.txt; \
         rm becomes-dir; mkdir becomes-dir; echo x > becomes-dir/x; chmod 755 run.sh; \
         ln -s hello.txt link; printf '\\0other\\0' > image.bin; id -un",
    );
    assert_eq!(snapshot(project.path()), before, "the project was touched");
    assert_eq!(
        kinds(&instance, "work"),
        [
            "becomes-dir type_changed",
            "becomes-dir/x added",
            "dir deleted",
            "dir/inside.txt deleted",
            "gone.txt deleted",
            "hello.txt modified",
            "image.bin modified",
            "link added",
            "new added",
            "new/sub added",
            "new/sub/n.txt added",
            "run.sh modified",
        ]
    );
    let all = changes(&instance, "work");
    let of = |path: &str| all.iter().find(|(p, _)| p == path).unwrap().1.clone();
    assert_eq!(
        of("run.sh")["change"]["mode"],
        serde_json::json!([0o644, 0o755])
    );
    assert_eq!(of("image.bin")["change"]["binary"], true);
    assert_eq!(of("link")["change"]["after"], "symlink");
    assert_eq!(of("becomes-dir")["change"]["before"], "file");
    assert_eq!(of("hello.txt")["change"]["added"], 1);
    let unified = of("hello.txt")["unified"].as_str().unwrap().to_owned();
    assert!(
        unified.contains("@@") && unified.contains("\n+more"),
        "{unified}"
    );
    let stat = instance.ok(["diff", "--stat", "work"]);
    assert!(
        stat.contains("binary") && stat.contains("12 changed"),
        "{stat}"
    );
    let below = instance.ok(["diff", "--name-only", "work", "new"]);
    assert_eq!(below, "new\nnew/sub\nnew/sub/n.txt\n");

    // A worker with changes is not removed for nothing.
    let output = instance.run(["rm", "work"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(
        text(&output.stderr).contains("podbay diff work"),
        "{}",
        text(&output.stderr)
    );

    instance.ok(["apply", "work", "hello.txt"]);
    assert_eq!(project.read("hello.txt").as_deref(), Some("hello\nmore\n"));
    assert!(project.path().join("gone.txt").exists());
    assert_eq!(kinds(&instance, "work").len(), 11);
    instance.ok(["discard", "work", "gone.txt"]);
    assert_eq!(kinds(&instance, "work").len(), 10);

    instance.ok(["apply", "work"]);
    assert_eq!(kinds(&instance, "work"), [""; 0]);
    assert!(
        project.path().join("gone.txt").exists(),
        "a discarded deletion was applied"
    );
    assert!(!project.path().join("dir").exists());
    assert_eq!(project.read("becomes-dir/x").as_deref(), Some("x\n"));
    assert_eq!(project.read("new/sub/n.txt").as_deref(), Some("n\n"));
    assert_eq!(
        fs::read(project.path().join("image.bin")).unwrap(),
        b"\0other\0"
    );
    assert_eq!(
        fs::read_link(project.path().join("link")).unwrap(),
        Path::new("hello.txt")
    );
    let run = fs::metadata(project.path().join("run.sh")).unwrap();
    assert_eq!(run.permissions().mode() & 0o7777, 0o755);
    for path in [
        "hello.txt",
        "new",
        "new/sub",
        "new/sub/n.txt",
        "becomes-dir",
        "link",
        "run.sh",
    ] {
        let meta = fs::symlink_metadata(project.path().join(path)).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (OWNER, OWNER), "{path}");
    }
    assert_eq!(instance.worker("work").unwrap()["unapplied"], false);
    instance.ok(["rm", "work"]);

    // All thrown away at once; without a word of consent it is not.
    let before = snapshot(project.path());
    change(
        &instance,
        "bad",
        &project,
        "rm -r src; echo broken > hello.txt",
    );
    assert_eq!(instance.run(["discard", "bad"]).status.code(), Some(2));
    assert_eq!(
        kinds(&instance, "bad"),
        ["hello.txt modified", "src deleted", "src/main.c deleted"]
    );
    instance.ok(["discard", "-y", "bad"]);
    assert_eq!(kinds(&instance, "bad"), [""; 0]);
    assert_eq!(snapshot(project.path()), before);
}

#[test]
fn what_changed_underneath_is_a_conflict_and_links_lead_nowhere() {
    let instance = Instance::start(&instance::config(2, 3));
    let project = Project::new();
    let outside = Project::new();
    outside.write("target/victim.txt", "victim\n");
    let out = outside.path().join("target");
    symlink(&out, project.path().join("leads-out")).unwrap();
    project.write("both.txt", "one\n");
    project.write("mine.txt", "one\n");

    // The session swaps a folder for a link that points out of the project, writes through the
    // link that is there (its target does not exist in the worker), and edits two files.
    let target = out.to_string_lossy().into_owned();
    change(
        &instance,
        "clash",
        &project,
        &format!(
            "rm -r src; ln -s '{target}' src; echo two > both.txt; echo two > mine.txt; \
             rm leads-out; mkdir leads-out; echo through > leads-out/victim.txt; \
             mkdir later; echo late > later/victim.txt"
        ),
    );
    fs::write(project.path().join("both.txt"), "theirs\n").unwrap();
    symlink(&out, project.path().join("later")).unwrap();

    let output = instance.run(["apply", "clash", "both.txt", "mine.txt"]);
    let err = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(
        err.contains("conflict both.txt") && err.contains("--force"),
        "{err}"
    );
    assert_eq!(project.read("both.txt").as_deref(), Some("theirs\n"));
    assert_eq!(
        project.read("mine.txt").as_deref(),
        Some("one\n"),
        "applied in part"
    );
    instance.ok(["apply", "clash", "mine.txt"]);
    assert_eq!(project.read("mine.txt").as_deref(), Some("two\n"));
    let left = changes(&instance, "clash");
    let both = &left.iter().find(|(path, _)| path == "both.txt").unwrap().1;
    assert_eq!(both["change"]["conflict"], true, "{both}");
    instance.ok(["apply", "--force", "clash", "both.txt"]);
    assert_eq!(project.read("both.txt").as_deref(), Some("two\n"));

    // Everything else, by force: whatever comes of it, nothing outside is written, made or removed.
    let before = snapshot(outside.path());
    instance.run(["apply", "--force", "clash"]);
    assert_eq!(snapshot(outside.path()), before, "written through a link");
    let src = project.path().join("src");
    assert!(src.is_symlink() || src.is_dir());
    if src.is_symlink() {
        assert_eq!(
            fs::read_link(&src).unwrap(),
            out,
            "the link itself is the change"
        );
    }
    // And reading a diff does not read through links either.
    let shown = instance.ok(["diff", "--json", "clash"]);
    assert!(!shown.contains("victim\\n"), "{shown}");
    drop(instance.run(["discard", "-y", "clash"]));
    assert_eq!(snapshot(outside.path()), before);
}

#[test]
fn what_a_request_gets_wrong_is_said_and_nothing_is_done() {
    let instance = Instance::start(&instance::config(1, 2));
    let project = Project::new();
    change(
        &instance,
        "work",
        &project,
        "echo more >> hello.txt; echo n > new.txt",
    );
    let before = kinds(&instance, "work");
    let failed = |args: &[&str], code: i32, why: &str| {
        let output = instance.run(args);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(why), "{args:?}: {said}");
    };
    failed(&["diff", "work", "typo"], 0, "no changes at typo");
    let nothing = "there is no change at typo; nothing was discarded";
    failed(&["discard", "work", "new.txt", "typo"], 5, nothing);
    let refused = "1 not applied: there is no change at this path";
    failed(&["apply", "work", "typo"], 1, refused);
    let ended = "worker work has ended";
    failed(&["exec", "work", "true"], 5, ended);
    failed(&["attach", "work"], 5, ended);
    assert_eq!(kinds(&instance, "work"), before);

    let audit = instance.ok(["audit", "--json"]);
    let entries = audit
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let noted: Vec<String> = entries
        .filter(|entry| entry["worker"] == "work" && entry["what"] != "spawn")
        .map(|e| format!("{} {} {}", e["what"], e["result"], e["detail"]).replace('"', ""))
        .collect();
    let expected = [
        "discard not_found new.txt typo",
        "apply conflict 1 refused of typo",
        "exec not_found true",
        "attach not_found write",
    ];
    for line in expected {
        assert!(noted.iter().any(|noted| noted == line), "{line}: {noted:?}");
    }
}

#[test]
fn a_running_overlay_can_be_reviewed_and_says_what_it_left() {
    let instance = Instance::start(&instance::config(2, 3));
    let project = Project::new();
    project.git();
    let folder = project.text();
    let script = "echo live > live.txt; git status --porcelain; id -un; sleep 1000";
    let args = [
        "spawn",
        "-d",
        "-n",
        "live",
        "--isolation",
        "overlay",
        &folder,
        "--",
        "sh",
        "-c",
    ];
    instance.ok(args.into_iter().chain([script]));
    e2e::wait::until_true("the change of a running session", instance::SLOW, || {
        kinds(&instance, "live")
            .iter()
            .any(|k| k == "live.txt added")
    });
    e2e::wait::until_true("what git says", instance::SLOW, || {
        let log = instance.ok(["logs", "live"]);
        assert!(!log.contains("dubious"), "{log}");
        log.contains("?? live.txt")
    });
    assert!(project.read("live.txt").is_none());
    instance.ok(["stop", "live"]);
    assert!(
        kinds(&instance, "live")
            .iter()
            .any(|k| k == "live.txt added")
    );
    assert!(project.read("live.txt").is_none());

    // An attached one says how to review it; one that changed nothing says nothing.
    let args = [
        "spawn",
        "-n",
        "said",
        "--isolation",
        "overlay",
        &folder,
        "--",
        "touch",
        "said.txt",
    ];
    let output = instance.run(args);
    assert!(
        text(&output.stderr).contains("podbay diff said"),
        "{}",
        text(&output.stderr)
    );
    let args = [
        "spawn",
        "-n",
        "idle",
        "--isolation",
        "overlay",
        &folder,
        "--",
        "ls",
    ];
    let output = instance.run(args);
    assert!(text(&output.stdout).contains("hello.txt"));
    assert!(
        !text(&output.stderr).contains("podbay diff"),
        "{}",
        text(&output.stderr)
    );
    assert_eq!(instance.wait_state("idle", "exited")["unapplied"], false);
}
