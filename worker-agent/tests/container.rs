//! The static binary as PID 1 of an image with nothing in it, as unprivileged as workers are.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods
)]

mod support;

use podbay_protocol::*;
use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use support::{Worker, attach, needs, session};

/// A name of this test's own, for its image and its container.
fn unique(test: &str) -> String {
    format!("podbay-agent-test-{test}-{}", std::process::id())
}

/// The static agent: `PODBAY_TEST_AGENT`, or the one that `scripts/build-images.sh` makes.
fn agent() -> PathBuf {
    if let Some(path) = std::env::var_os("PODBAY_TEST_AGENT") {
        return path.into();
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    target.join(triple).join("release/worker-agent")
}

/// Whether these tests can run here.
fn possible() -> bool {
    let built = std::fs::metadata(agent()).map(drop);
    needs::engine() && needs::met("the static agent (scripts/build-images.sh)", built)
}

/// An image of one empty folder.
fn image(name: &str) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("workspace")).unwrap();
    let tar = Command::new("tar")
        .arg("-C")
        .arg(dir.path())
        .args(["-c", "."])
        .output()
        .unwrap();
    let mut import = Command::new("docker")
        .args(["import", "-", name])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    import.stdin.take().unwrap().write_all(&tar.stdout).unwrap();
    assert!(import.wait().unwrap().success());
}

/// Removes the container and its image when dropped.
struct Made(String);

impl Drop for Made {
    fn drop(&mut self) {
        for args in [["rm", "-f", &self.0], ["rmi", "-f", &self.0]] {
            drop(Command::new("docker").args(args).output());
        }
    }
}

/// A worker in a container named `name`, of an image of the same name.
fn worker(name: &str, more: &[&str]) -> (Made, Worker) {
    let agent = agent();
    let made = Made(name.to_owned());
    image(name);
    let worker = Worker::start_with(|dir| {
        let mut command = Command::new("docker");
        command
            .args([
                "run",
                "--rm",
                "--name",
                name,
                "--network=none",
                "--cap-drop=ALL",
            ])
            .args(["--cap-add=SETUID", "--cap-add=SETGID", "--cap-add=KILL"])
            .args([
                "--security-opt=no-new-privileges",
                "--pids-limit=100",
                "--memory=256m",
            ])
            .args([
                "-e",
                "PODBAY_WORKER=w1",
                "-e",
                "PODBAY_AGENT_SOCKET=/.podbay/run/sock",
            ])
            .args(["-e", "PODBAY_AGENT_ETC=/etc"])
            .args(["-v", &format!("{}:/.podbay/run:ro", dir.display())])
            .args(["-v", &format!("{}:/.podbay/log", dir.join("log").display())])
            .args(["-v", &format!("{}:/agent:ro", agent.display())])
            .args(more)
            .args([name, "/agent"]);
        command
    });
    (made, worker)
}

fn as_user(id: &str, argv: &[&str]) -> StartSession {
    let mut start = session(id, argv);
    (start.uid, start.gid) = (1000, 1000);
    start
}

#[test]
fn an_empty_image_is_a_worker() {
    if !possible() {
        return;
    }
    let name = unique("1");
    let (_made, mut worker) = worker(&name, &[]);
    let mut start = as_user("s", &["/agent", "--version"]);
    start.attach = Some(attach("s", "c", AttachMode::Write));
    worker.start_session(start);
    assert!(String::from_utf8_lossy(&worker.stream("c").rest()).contains("worker-agent "));
    assert_eq!(worker.exited("s"), ExitStatus::Code(0));
    let missing = worker
        .ask(ToAgentBody::Start(Box::new(as_user("x", &["sh"]))))
        .unwrap_err();
    assert_eq!(missing.code, ErrorCode::CommandNotFound);
    let description = worker.describe();
    assert!(
        description.netns > 0 && description.workspace_ino > 0,
        "{description:?}"
    );
    assert_eq!(description.readings.memory_limit_bytes, Some(256 << 20));
    assert!(description.readings.pids.is_some_and(|pids| pids >= 1));
    let passwd = Command::new("docker")
        .args(["cp", &format!("{name}:/etc/passwd"), "-"])
        .output();
    assert!(String::from_utf8_lossy(&passwd.unwrap().stdout).contains("dev:x:1000:1000:"));
    // It has no child that could hold it up.
    worker.ask(ToAgentBody::Shutdown { grace_ms: 800 }).unwrap();
    assert_eq!(worker.wait().code(), Some(0));
}

#[test]
fn a_read_only_root_is_no_obstacle_and_the_engine_stops_it_cleanly() {
    if !possible() {
        return;
    }
    let name = unique("2");
    let (_made, mut worker) = worker(&name, &["--read-only"]);
    // Reads its stdin for ever: something to be ended, as another user than the agent's.
    let mut start = as_user("s", &["/agent", "hook"]);
    start.env.insert("PODBAY_SESSION".into(), "s".into());
    worker.start_session(start);
    let stop = Command::new("docker")
        .args(["stop", "-t", "10", &name])
        .output();
    assert!(stop.unwrap().status.success());
    assert_eq!(worker.exited("s"), ExitStatus::Signal(15));
    assert_eq!(worker.wait().code(), Some(0));
}

#[test]
fn the_oom_killer_takes_the_session_and_is_named() {
    if !possible() || !needs::program("busybox") {
        return;
    }
    let more = [
        "-v",
        "/usr/bin/busybox:/bin/busybox:ro",
        "--memory-swap=256m",
    ];
    let name = unique("3");
    let (_made, mut worker) = worker(&name, &more);
    worker.start_session(as_user("other", &["/bin/busybox", "sleep", "1000"]));
    // `tail` without a newline keeps all of its input.
    let script = "/bin/busybox head -c 2000000000 /dev/zero | /bin/busybox tail -n 1 >/dev/null";
    worker.start_session(as_user("hog", &["/bin/busybox", "sh", "-c", script]));
    let (status, oom) = worker.event("the hog's end", |event| match event {
        AgentEvent::Exited {
            session,
            status,
            oom,
        } if session == "hog" => Some((*status, *oom)),
        _ => None,
    });
    assert_eq!((status.shell_code(), oom), (137, true));
    assert!(
        worker
            .describe()
            .readings
            .oom_kills
            .is_some_and(|kills| kills >= 1)
    );
    assert_eq!(
        worker.info("other").exit,
        None,
        "others and the agent live on"
    );
    worker
        .ask(ToAgentBody::Signal {
            session: "other".into(),
            signal: 9,
        })
        .unwrap();
    let oom = worker.event("the other's end", |event| match event {
        AgentEvent::Exited { session, oom, .. } if session == "other" => Some(*oom),
        _ => None,
    });
    assert!(!oom, "an ordinary KILL is not blamed on the OOM killer");
}
