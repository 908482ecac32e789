//! What is said where there is no engine, none that may be used, or one that is too old; and what
//! is refused before any engine is asked.

use e2e::{
    instance::{bare, text},
    podbay, unique, wait,
};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::Path,
    process::{Command, Output},
    time::Duration,
};

/// Every command that needs the engine.
const COMMANDS: [&[&str]; 5] = [
    &["up"],
    &["ls"],
    &["status"],
    &["spawn", "--isolation", "none", "--", "true"],
    &["down"],
];

/// Runs `podbay` on an engine that is nobody's; it must end by itself.
fn run(engine: &Path, args: &[&str]) -> Output {
    let mut command = bare(args);
    command.env("DOCKER_HOST", format!("unix://{}", engine.display()));
    command.env("PODBAY_PARENT", unique("podbay-none"));
    command.output().expect("running podbay")
}

#[test]
fn without_an_engine_every_command_says_so_and_what_to_do() {
    let missing = Path::new("/nonexistent/engine.sock");
    for args in COMMANDS {
        let output = run(missing, args);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{args:?}: {said}");
        assert!(
            said.contains("engine") && said.contains("engine.sock"),
            "{args:?}: {said}"
        );
        assert!(said.contains("DOCKER_HOST"), "{args:?}: {said}");
    }
    // A socket that nobody listens on any more.
    let folder = tempfile::tempdir().unwrap();
    let dead = folder.path().join("dead.sock");
    drop(UnixListener::bind(&dead).unwrap());
    let output = run(&dead, &["ls"]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    // The check of everything says it too, and goes on to the next thing.
    let output = run(missing, &["doctor"]);
    assert!(!output.status.success());
    let all = text(&output.stdout) + &text(&output.stderr);
    assert!(all.contains("engine"), "{all}");
    let output = bare(["ls"])
        .env("DOCKER_HOST", "ssh://somewhere")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert!(
        text(&output.stderr).contains("ssh://"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_user_who_may_not_use_the_engine_is_told_so() {
    // Another user must reach the binary, wherever the checkout is.
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("podbay");
    fs::copy(podbay(), &program).unwrap();
    let socket = folder.path().join("engine.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o660)).unwrap();
    for args in COMMANDS {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&program)
            .args(args);
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", "/nonexistent");
        command
            .env("DOCKER_HOST", format!("unix://{}", socket.display()))
            .current_dir("/usr");
        let output = command.output().expect("setpriv is installed");
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{args:?}: {said}");
        assert!(
            said.to_lowercase().contains("permission denied"),
            "{args:?}: {said}"
        );
        assert!(said.contains("group"), "no way out: {said}");
    }
}

/// An engine that answers pings and version requests and nothing else.
fn old_engine(socket: &Path, api: &'static str) {
    let listener = UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().expect("cloning a stream"));
                let mut stream = stream;
                loop {
                    let mut head = String::new();
                    while reader.read_line(&mut head).is_ok_and(|n| n > 2) {}
                    if head.is_empty() {
                        return;
                    }
                    let body = if head.contains("/version") {
                        format!(
                            "{{\"Version\":\"1.12.6\",\"ApiVersion\":\"{api}\",\
                             \"MinAPIVersion\":\"1.12\",\"Os\":\"linux\",\"Arch\":\"amd64\"}}"
                        )
                    } else if head.contains("/_ping") {
                        "OK".to_owned()
                    } else {
                        "{\"message\":\"no such thing\"}".to_owned()
                    };
                    let status = if body.contains("no such") {
                        "404 Not Found"
                    } else {
                        "200 OK"
                    };
                    let answer = format!(
                        "HTTP/1.1 {status}\r\nApi-Version: {api}\r\nContent-Type: application/json\r\n\
                         Content-Length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    if stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
}

#[test]
fn an_engine_that_is_too_old_is_named_with_what_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("old.sock");
    old_engine(&socket, "1.24");
    wait::until_true("the old engine", Duration::from_secs(5), || socket.exists());
    for args in [&["up"][..], &["down"]] {
        let output = run(&socket, args);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{args:?}: {said}");
        assert!(
            said.contains("1.24") && said.contains("too old"),
            "{args:?}: {said}"
        );
        assert!(said.contains("1.41"), "{args:?}: {said}");
    }
    let output = run(&socket, &["doctor"]);
    assert!(!output.status.success());
    assert!((text(&output.stdout) + &text(&output.stderr)).contains("1.24"));
}

#[test]
fn mistakes_on_the_command_line_cost_no_connection() {
    // There is no engine: what is refused with 2 was refused before one was asked.
    let missing = Path::new("/nonexistent/engine.sock");
    let none = ["spawn", "--isolation", "none"];
    let limits: [&[&str]; 14] = [
        &["--memory", "0"],
        &["--memory", "-1g"],
        &["--memory", "lots"],
        &["--memory", "99999999t"],
        &["--memory", "1k"],
        &["--cpus", "0"],
        &["--cpus", "-2"],
        &["--cpus", "1e9"],
        &["--cpus", "nan"],
        &["--pids-limit", "0"],
        &["--pids-limit", "-5"],
        &["--pids-limit", "1.5"],
        &["--pids-limit", "99999999999"],
        &["--memory", "1g", "--no-limits"],
    ];
    let names: [&[&str]; 8] = [
        &["-n", "../../x"],
        &["-n", ".."],
        &["-n", "a/b"],
        &["-n", ""],
        &["-n", "UPPER"],
        &["-n", "new\nline"],
        &["-p", "../x"],
        &["--isolation", "chroot"],
    ];
    let other: [&[&str]; 5] = [
        &["--timeout", "soon"],
        &["-e", "=x"],
        &["-e", "A B=1"],
        &["--env-file", "/nonexistent/env"],
        &["--when-empty", "panic"],
    ];
    for flags in limits.into_iter().chain(names).chain(other) {
        let args: Vec<&str> = none
            .iter()
            .chain(flags)
            .chain(&["--", "true"])
            .copied()
            .collect();
        let output = run(missing, &args);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {said}");
        assert!(
            !said.contains("panicked") && said.len() < 4000,
            "{flags:?}: {said}"
        );
    }
    for (flags, hint) in [
        (&["--memory", "lots"][..], "512m"),
        (&["--cpus", "0"], "0.5"),
        (&["--pids-limit", "0"], "512"),
        (&["-n", "../../x"], "a-z"),
    ] {
        let args: Vec<&str> = none.iter().chain(flags).copied().collect();
        let said = text(&run(missing, &args).stderr);
        assert!(
            said.contains(hint),
            "{flags:?}: what would be right is not in: {said}"
        );
    }
    for args in [
        &["frobnicate"][..],
        &["stop"],
        &["attach"],
        &["attach", "x", "--read-only", "--takeover"],
        &["exec", "x"],
        &["rm"],
        &["logs", "x", "--since", "yesterday"],
        &["ls", "--nosuch"],
        &["spawn", "--isolation", "none", "/var/tmp", "--", "true"],
        &[],
    ] {
        let output = run(missing, args);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{args:?}: {}",
            text(&output.stderr)
        );
    }
    let version = run(missing, &["--version"]);
    assert!(version.status.success() && text(&version.stdout).starts_with("podbay "));
    for args in [
        &["--help"][..],
        &["spawn", "--help"],
        &["completions", "bash"],
        &["man"],
    ] {
        let output = run(missing, args);
        assert!(
            output.status.success() && output.stdout.len() > 300,
            "{args:?}"
        );
    }
}

#[test]
fn a_configuration_is_checked_and_each_fault_has_its_file_line_and_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("podbay.toml");
    let missing = Path::new("/nonexistent/engine.sock");
    let check = |content: &str| {
        fs::write(&file, content).unwrap();
        run(missing, &["config", "check", &file.to_string_lossy()])
    };
    let good = check("[profiles.default]\nimage = \"x/y:1\"\nmin_warm = 1\nmax_warm = 2\n");
    assert!(good.status.success(), "{}", text(&good.stderr));
    for (content, line, parts) in [
        (
            "[profiles.default]\nimage = \"x\"\nmin_wram = 3\n",
            3,
            &["min_wram", "min_warm"][..],
        ),
        (
            "[profile.default]\nimage = \"x\"\n",
            1,
            &["profile", "profiles"],
        ),
        (
            "\n\n[engine]\ntimeout = \"soon\"\n",
            4,
            &["timeout", "soon"],
        ),
        (
            "[profiles.default]\nimage = \"x\"\nmin_warm = 5\nmax_warm = 1\n",
            3,
            &["min_warm"],
        ),
        (
            "[profiles.default]\nimage = \"x\"\nmemory = \"0\"\n",
            3,
            &["memory"],
        ),
        (
            "[profiles.default]\nimage = \"x\"\ncpus = -1\n",
            3,
            &["cpus"],
        ),
        (
            "[profiles.default]\nimage = \"x\"\nisolation = \"jail\"\n",
            3,
            &["isolation", "overlay"],
        ),
        (
            "[attach]\ndetach_keys = [\"ctrl-1\"]\n",
            2,
            &["detach_keys"],
        ),
        ("[profiles.\"../x\"]\nimage = \"x\"\n", 1, &["../x"]),
        ("[log]\nlevel = \n", 2, &[]),
    ] {
        let output = check(content);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{content:?}: {said}");
        let place = format!("{}:{line}", file.display());
        assert!(said.contains(&place), "{place} is not in: {said}");
        for part in parts {
            assert!(said.contains(part), "{part:?} is not in: {said}");
        }
    }
    // Two faults are two lines.
    let output = check("[profiles.default]\nimage = 3\nmax_wram = 1\n[nosuch]\n");
    assert!(
        text(&output.stderr).lines().count() >= 2,
        "{}",
        text(&output.stderr)
    );
    let output = run(missing, &["config", "check", "/nonexistent/podbay.toml"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    let schema = run(missing, &["config", "schema"]);
    let schema: serde_json::Value = serde_json::from_slice(&schema.stdout).expect("JSON");
    assert!(schema.to_string().contains("min_warm"));
}
