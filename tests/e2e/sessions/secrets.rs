//! A secret reaches its session and nothing else.

use e2e::{
    engine,
    instance::{self, Instance, SLOW, text},
    unique, wait,
};
use std::{
    fs,
    io::Read,
    path::Path,
    process::{Child, Stdio},
};

/// Every file below a folder that has a text in it.
fn with_text(folder: &Path, needle: &str) -> Vec<String> {
    let found = std::process::Command::new("grep")
        .args(["-rlaF", "--devices=skip", needle])
        .arg(folder)
        .output()
        .unwrap();
    text(&found.stdout).lines().map(str::to_owned).collect()
}

/// Every command line of this machine that has a text in it.
fn command_lines_with(needle: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&line).contains(needle) {
            found.push(text(&line));
        }
    }
    found
}

fn events(instance: &Instance) -> Child {
    instance
        .curl("/v1/events")
        .stdout(Stdio::piped())
        .spawn()
        .expect("running curl")
}

#[test]
fn a_secret_is_read_by_its_session_and_found_nowhere_else() {
    let config = instance::config(2, 3) + "[log]\nlevel = \"debug\"\n";
    let instance = Instance::start(&config);
    let token = unique("top-secret-token");
    let key = unique("top-secret-key");
    let mut listener = events(&instance);
    let script = "test \"$TOKEN\" = '' && cat $TOKEN_FILE && echo && stat -c '%a %U' $TOKEN_FILE && \
                  echo key $KEY && printf '\\033]0;%s\\007' \"$KEY\" && \
                  printf '\\033]9;%s\\007' \"$KEY\" && echo done; sleep 1000";
    let mut spawn = instance.command([
        "spawn",
        "-d",
        "-n",
        "keeper",
        "--isolation",
        "none",
        "--secret",
        "TOKEN",
        "--secret-env",
        "KEY",
        "--",
        "bash",
        "-c",
        script,
    ]);
    spawn.env("TOKEN", &token).env("KEY", &key);
    let spawned = spawn.output().unwrap();
    assert!(spawned.status.success(), "{}", text(&spawned.stderr));
    let logs = || text(&instance.direct(["logs", "keeper"]).output().unwrap().stdout);
    wait::until_true("the session to be done", SLOW, || logs().contains("done"));
    // It had them: what it wrote is there, with the values taken out.
    assert_eq!(
        logs().split_whitespace().collect::<Vec<_>>()[..5],
        ["[secret]", "400", "podbay", "key", "[secret]"],
        "{}",
        logs()
    );
    let screen = instance.ok(["attach", "--help"]);
    assert!(!screen.is_empty());

    // Another session of the same worker has none; another user of it cannot read the file.
    let worker = instance.worker("keeper").unwrap();
    let file = format!("/.podbay/secrets/{}/TOKEN", worker["id"].as_str().unwrap());
    let other = instance.run(["exec", "keeper", "--", "sh", "-c", "echo x$TOKEN_FILE$KEY"]);
    assert_eq!(text(&other.stdout).trim(), "x");
    instance.session("other", &["sleep", "1000"]);
    let outside = instance.run(["exec", "other", "--", "cat", &file]);
    assert!(!outside.status.success(), "{}", text(&outside.stdout));

    instance.ok(["restart", "keeper"]);
    wait::until_true("the second run", SLOW, || logs().contains("done"));
    assert!(logs().contains("[secret]"), "given again: {}", logs());

    for secret in [&token, &key] {
        assert_eq!(with_text(&instance.state(), secret), Vec::<String>::new());
        assert_eq!(command_lines_with(secret), Vec::<String>::new());
        let mut all = Vec::new();
        for role in ["parent", "worker", "mounter"] {
            all.extend(engine::containers(&instance.name, role));
        }
        assert!(all.len() >= 4, "{all:?}");
        for container in all {
            assert!(!engine::docker(&["inspect", &container]).contains(secret.as_str()));
            let log = engine::try_docker(&["logs", &container]);
            assert!(!text(&log.stdout).contains(secret.as_str()));
            assert!(!text(&log.stderr).contains(secret.as_str()));
        }
    }
    // Its end takes the files away; what it was claimed with is not known to a later claim.
    instance.ok(["stop", "--all"]);
    listener.kill().unwrap();
    listener.wait().unwrap();
    let mut heard = String::new();
    listener
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut heard)
        .unwrap();
    assert!(heard.contains("keeper"), "{heard}");
    for secret in [&token, &key] {
        assert!(!heard.contains(secret.as_str()));
        assert_eq!(with_text(&instance.state(), secret), Vec::<String>::new());
    }
}

#[test]
fn secrets_that_are_not_usable_are_refused_without_being_shown() {
    let instance = Instance::start(&instance::config(1, 2));
    let on = |name: &str, value: &str| {
        let mut command =
            instance.command(["spawn", "-d", "--isolation", "none", "--secret", name]);
        command.args(["--", "true"]).env(name, value);
        let output = command.output().unwrap();
        (output.status.code(), text(&output.stderr))
    };
    let (code, said) = on("A-B", "hidden-value");
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("A-B") && !said.contains("hidden-value"),
        "{said}"
    );
    let long = "x".repeat(70_000);
    let (code, said) = on("LONG", &long);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("65536") && !said.contains("xxx"), "{said}");
    let (code, said) = on("SHORT", "1234");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("SHORT") && !said.contains("1234"), "{said}");
    let shown = instance.run(["spawn", "-d", "--secret", "A=hidden-value", "--", "true"]);
    assert_eq!(shown.status.code(), Some(2));
    assert!(!text(&shown.stderr).contains("hidden-value"));
}
