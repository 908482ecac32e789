//! What is refused, with the reason, the way out, and an exit code of its own.

use e2e::{
    engine,
    instance::{self, Instance, bare, text},
    project::Project,
    unique,
};
use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Output,
};

/// Every path in a folder, sorted.
fn listing(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(listing(&path));
        }
        found.push(path);
    }
    found.sort();
    found
}

fn refused(output: &Output, code: i32, parts: &[&str]) {
    let said = text(&output.stderr);
    assert_eq!(
        output.status.code(),
        Some(code),
        "{said}{}",
        text(&output.stdout)
    );
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in: {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn projects_that_are_no_folder_or_not_allowed_are_refused_by_name() {
    let instance = Instance::start(&instance::config(1, 2));
    let project = Project::new();
    let base = project.path();
    let claim = |isolation: &str, folder: &Path| {
        let mut command = instance.command(["spawn", "-n", "no", "--isolation", isolation]);
        command
            .arg(folder)
            .args(["--", "true"])
            .output()
            .expect("running podbay")
    };
    let missing = base.join("missing");
    refused(&claim("bind", &missing), 2, &[&missing.to_string_lossy()]);
    assert!(!missing.exists(), "a missing project was made");
    let file = base.join("hello.txt");
    refused(
        &claim("bind", &file),
        2,
        &[&file.to_string_lossy(), "folder"],
    );
    symlink("nowhere", base.join("dangling")).unwrap();
    refused(&claim("overlay", &base.join("dangling")), 2, &["dangling"]);

    let root = engine::docker(&["info", "-f", "{{.DockerRootDir}}"]);
    let state = instance.state();
    for (path, rule) in [
        (Path::new("/"), "root"),
        (Path::new("/etc"), "kernel"),
        (Path::new("/proc/self"), "kernel"),
        (Path::new("/var/run"), "kernel"),
        (Path::new("/root"), "home"),
        (Path::new(&root), ""),
        (state.as_path(), ""),
        (&state.join("workers"), ""),
    ] {
        for isolation in ["bind", "overlay"] {
            let output = claim(isolation, path);
            refused(&output, 6, &["rule", rule]);
        }
    }
    // The way there does not matter: what counts is where it leads.
    let keys = Path::new("/root/.ssh");
    let made = !keys.exists();
    if made {
        fs::create_dir(keys).unwrap();
    }
    let output = claim("bind", keys);
    symlink("/etc", base.join("innocent")).unwrap();
    let through = claim("bind", &base.join("innocent"));
    let dotted = claim("bind", &base.join("src/../../../../etc"));
    if made {
        fs::remove_dir(keys).unwrap();
    }
    refused(&output, 6, &["secrets"]);
    refused(&through, 6, &["/etc"]);
    refused(&dotted, 6, &["/etc"]);
    // The session of none of them ever ran, and the pool is as it was.
    assert!(
        instance.worker("no").is_none(),
        "{:?}",
        instance.worker("no")
    );
    instance.wait_warm("default", 1);
    let fine = instance.run(["spawn", &project.text(), "--", "cat", "hello.txt"]);
    assert_eq!(text(&fine.stdout), "hello\n", "{}", text(&fine.stderr));
}

#[test]
fn a_project_swapped_for_a_link_in_between_never_shows_what_the_link_leads_to() {
    let instance = Instance::start(&instance::config(2, 4));
    let base = Project::new();
    let secret = tempfile::tempdir_in("/etc").unwrap();
    fs::write(secret.path().join("hello.txt"), "secret\n").unwrap();
    let (path, real, link) = (
        base.path().join("p"),
        base.path().join("real"),
        base.path().join("link"),
    );
    fs::create_dir(&real).unwrap();
    fs::write(real.join("hello.txt"), "hello\n").unwrap();
    symlink(secret.path(), &link).unwrap();
    fs::rename(&real, &path).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let (mut fine, mut no) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                // Exchanges the folder and the link, back and forth.
                rustix::fs::renameat_with(
                    rustix::fs::CWD,
                    &path,
                    rustix::fs::CWD,
                    &link,
                    rustix::fs::RenameFlags::EXCHANGE,
                )
                .ok();
            }
        });
        for _ in 0..30 {
            let folder = path.to_string_lossy().into_owned();
            let mut command = instance.direct(["spawn", &folder, "--", "cat", "hello.txt"]);
            let output = command.output().expect("running podbay");
            match (output.status.code(), text(&output.stdout).as_str()) {
                (Some(0), "hello\n") => fine += 1,
                (Some(2 | 6), "") => no += 1,
                other => {
                    stop.store(true, std::sync::atomic::Ordering::Relaxed);
                    panic!("{other:?}: {}", text(&output.stderr));
                }
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    println!("swapped under 30 claims: {fine} got the folder, {no} were refused");
}

#[test]
fn names_and_commands_that_cannot_be_are_refused_and_leave_no_trace() {
    let instance = Instance::start(&instance::config(1, 2));
    instance.session("taken", &["sleep", "1000"]);
    instance.wait_warm("default", 1);
    let none = |name: &str| instance.run(instance::spawn(name, &["-d"], &["true"]));
    refused(&none("taken"), 1, &["in use"]);
    let outside = instance
        .state()
        .parent()
        .and_then(Path::parent)
        .unwrap()
        .join("x");
    let before = listing(&instance.state());
    for name in [
        "../../x",
        "..",
        "a/b",
        "UPPER",
        "with space",
        "new\nline",
        &"a".repeat(64),
    ] {
        refused(&none(name), 2, &["a-z"]);
    }
    // Not the command line alone checks: the API does too.
    let request = serde_json::json!({
        "name": "../../x", "isolation": "none", "argv": ["true"],
        "io": {"kind": "pty", "size": {"cols": 80, "rows": 24}}, "when_empty": "cold",
    });
    let answer = http(&instance, "POST", "/v1/workers", &request.to_string());
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    for path in [
        "/v1/workers/..%2f..%2fx",
        "/v1/workers/../../x/logs",
        "/v1/pools/..%2fx/drain",
    ] {
        let answer = http(&instance, "POST", path, "");
        assert!(answer.starts_with("HTTP/1.1 4"), "{path}: {answer}");
    }
    let after = listing(&instance.state());
    let logs = instance.state().join("logs");
    let new: Vec<_> = after
        .iter()
        .filter(|p| !before.contains(p) && !p.starts_with(&logs))
        .collect();
    assert!(new.is_empty(), "{new:?}");
    assert!(!outside.exists(), "{outside:?}");

    for command in ["attach", "stop", "logs", "exec", "diff", "apply", "rm"] {
        let mut args = vec![command, "nobody"];
        args.extend((command == "exec").then_some("true"));
        refused(&instance.run(args), 5, &["nobody"]);
    }
    refused(&instance.run(["diff", "taken"]), 1, &["isolation"]);
    refused(
        &instance.run(["spawn", "-p", "nosuch", "--isolation", "none"]),
        5,
        &["default"],
    );

    let run = |argv: &[&str]| {
        let args = ["spawn", "-n", "cmd", "--isolation", "none", "--"];
        instance.run(args.into_iter().chain(argv.iter().copied()))
    };
    refused(&run(&["no-such-program", "x"]), 127, &["no-such-program"]);
    refused(&run(&["/no/such/program"]), 127, &["/no/such/program"]);
    refused(&run(&["/etc/passwd"]), 126, &["/etc/passwd"]);
    refused(&run(&["/etc"]), 126, &["/etc"]);
    refused(&run(&[""]), 2, &[]);
    // Detached ones say it just the same; and each time the worker serves the next claim.
    let args = [
        "spawn",
        "-d",
        "--isolation",
        "none",
        "--",
        "no-such-program",
    ];
    refused(&instance.run(args), 127, &["no-such-program"]);
    assert_eq!(run(&["echo", "fine"]).stdout, b"fine\n");

    // Limits that only the API sees are checked there too.
    for (limit, value) in [("memory", "0"), ("cpus", "-1"), ("pids", "many")] {
        let request = serde_json::json!({
            "isolation": "none", "argv": ["true"], "limits": {limit: value},
            "io": {"kind": "pty", "size": {"cols": 80, "rows": 24}}, "when_empty": "cold",
        });
        let answer = http(&instance, "POST", "/v1/workers", &request.to_string());
        assert!(
            answer.starts_with("HTTP/1.1 4") && answer.contains(value),
            "{answer}"
        );
    }
    for body in ["", "{", "[]", "{\"isolation\": 3}", "\u{0}\u{1}"] {
        let answer = http(&instance, "POST", "/v1/workers", body);
        assert!(answer.starts_with("HTTP/1.1 4"), "{body:?}: {answer}");
    }
    let answer = http(&instance, "POST", "/v1/workers", &"x".repeat(20 << 20));
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
        "{answer}"
    );
    assert_eq!(instance.worker("taken").unwrap()["state"], "running");
}

/// One request on the API's socket; what it answers, or nothing when it hangs up.
fn http(instance: &Instance, method: &str, path: &str, body: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::os::unix::net::UnixStream::connect(instance.socket()).expect("a socket");
    stream
        .set_read_timeout(Some(instance::SLOW))
        .expect("setting a timeout");
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: podbay\r\nContent-Type: application/json\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    drop(
        stream
            .write_all(head.as_bytes())
            .and_then(|()| stream.write_all(body.as_bytes())),
    );
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    text(&answer)
}

#[test]
fn a_parent_without_image_or_with_a_bad_configuration_does_not_start() {
    let absent = format!("{}:latest", unique("podbay-e2e-nosuch"));
    let instance = Instance::prepare(&instance::config(0, 1));
    let config = instance.config_file();
    let up = |image: &str, env: &[(&str, &str)], more: &[&str]| {
        let volume = instance.volume();
        let mut command = instance.command(["up", "--image", image, "--volume", volume]);
        command
            .arg("--config")
            .arg(&config)
            .args(more)
            .envs(env.iter().copied());
        command.output().expect("running podbay")
    };
    let nothing = || {
        assert!(
            engine::containers(&instance.name, "parent").is_empty(),
            "a parent was made"
        );
        let volumes = engine::docker(&["volume", "ls", "-q", "--filter", "name=podbay-t"]);
        assert!(
            !volumes.lines().any(|name| name == instance.volume()),
            "a volume was made"
        );
    };
    refused(&up(&absent, &[], &[]), 1, &[&absent, "build-images.sh"]);
    nothing();
    // A registry that nobody runs: asked only when that is allowed.
    let remote = format!("localhost:1/{absent}");
    refused(
        &up(&remote, &[("SKIP_IMAGE_PULL", "true")], &[]),
        1,
        &["not here"],
    );
    refused(&up(&remote, &[], &["--pull", "never"]), 1, &["not here"]);
    let output = up(&remote, &[], &[]);
    assert!(!output.status.success());
    assert!(
        !text(&output.stderr).contains("not here"),
        "not asked: {}",
        text(&output.stderr)
    );
    nothing();

    fs::write(&config, "[profiles.default]\nimage = \"x\"\nmin_wram = 1\n").unwrap();
    let output = up(&instance::parent_image(), &[], &[]);
    let said = text(&output.stderr);
    assert!(
        matches!(output.status.code(), Some(1 | 2)),
        "{}: {said}",
        output.status
    );
    assert!(said.contains("min_wram"), "{said}");
    let missing = bare(["up", "--config", "/nonexistent/podbay.toml"])
        .env("PODBAY_PARENT", &instance.name)
        .env("PODBAY_VOLUME", instance.volume())
        .env("PODBAY_IMAGE", instance::parent_image())
        .output()
        .unwrap();
    refused(&missing, 2, &["/nonexistent/podbay.toml"]);
    assert!(engine::containers(&instance.name, "worker").is_empty());
}

#[test]
fn worker_images_are_pulled_only_when_that_is_allowed() {
    let absent = format!("localhost:1/{}:latest", unique("podbay-e2e-nosuch"));
    let config = instance::profile("default", &absent, 0, 1);
    let spawn = ["spawn", "-d", "--isolation", "none", "--", "true"];
    let skip = Instance::start_with(&config, &[("SKIP_IMAGE_PULL", "true")]);
    let output = skip.run(spawn);
    refused(&output, 1, &[&absent, "docker pull", "build-images.sh"]);
    assert!(
        !text(&output.stderr).contains("pulling it failed"),
        "{}",
        text(&output.stderr)
    );
    drop(skip);
    let lazy = Instance::start_with(&config, &[("LAZY_IMAGE_PULL", "true")]);
    refused(&lazy.run(spawn), 1, &[&absent, "pulling it failed"]);
}
