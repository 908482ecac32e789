//! `up`, `doctor` and `down` on a real engine, with a peer in the coordinator's place.

#![allow(clippy::unwrap_used, clippy::panic)]

mod cli_support;

use cli_support::Peer;
use std::process::{Command, Output};

fn docker(args: &[&str]) -> String {
    let output = Command::new("docker").args(args).output().unwrap();
    assert!(
        output.status.success(),
        "docker {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

struct Cleanup(String);

impl Drop for Cleanup {
    fn drop(&mut self) {
        for args in [["rm", "-f", &self.0], ["rmi", "-f", &self.0]] {
            drop(Command::new("docker").args(args).output());
        }
    }
}

fn podbay(parent: &str, args: &[&str]) -> (Option<i32>, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(env!("CARGO_BIN_EXE_podbay"))
        .args(args)
        .env_remove("PODBAY_SOCKET")
        .env("PODBAY_PARENT", parent)
        .output()
        .unwrap();
    (
        status.code(),
        String::from_utf8([stdout, stderr].concat()).unwrap(),
    )
}

#[test]
fn a_parent_is_started_checked_and_taken_down() {
    let peer = Peer::start();
    let state = peer.socket.parent().unwrap();
    std::os::unix::fs::symlink(".", state.join("run")).unwrap();
    std::os::unix::fs::symlink("api.sock", state.join("podbay.sock")).unwrap();
    let name = format!("podbay-test-up-{}", std::process::id());
    let _cleanup = Cleanup(name.clone());

    // An image with the binary, whose first process only waits.
    docker(&["create", "--name", &name, "podbay/base:bookworm", "true"]);
    docker(&[
        "cp",
        env!("CARGO_BIN_EXE_podbay"),
        &format!("{name}:/usr/bin/podbay"),
    ]);
    docker(&[
        "commit",
        "-c",
        r#"ENTRYPOINT ["sleep", "600"]"#,
        &name,
        &name,
    ]);
    let (code, text) = podbay(&name, &["up", "--image", &name]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("is not a parent"), "{text}");
    docker(&["rm", "-f", &name]);

    let (code, text) = podbay(&name, &["up", "--image", "podbay/no-such-image"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("scripts/build-images.sh"), "{text}");
    assert_eq!(podbay(&name, &["status"]).0, Some(3));
    let (code, text) = podbay(&name, &["doctor"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("there is no") && text.contains("podbay up"),
        "{text}"
    );

    let up = ["up", "--image", &name, "--volume", state.to_str().unwrap()];
    let (code, text) = podbay(&name, &up);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.ends_with(&format!("{name} is up, pool 2/2 warm\n")),
        "{text}"
    );
    let settings = "{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.HostConfig.RestartPolicy.Name}} {{.HostConfig.LogConfig.Config}} {{index .Config.Labels \"dev.podbay.instance\"}}";
    let settings = docker(&["inspect", "-f", settings, &name]);
    assert_eq!(
        settings,
        format!("true [ALL] unless-stopped map[max-file:3 max-size:10m] {name}")
    );
    let (code, text) = podbay(&name, &up);
    assert!(code == Some(0) && text.contains("already up"), "{text}");
    docker(&["stop", "-t", "0", &name]);
    assert_eq!(podbay(&name, &["ls"]).0, Some(3));
    let (code, text) = podbay(&name, &up);
    assert!(code == Some(0) && text.contains("is up"), "{text}");
    let (_, text) = podbay(&name, &["doctor"]);
    assert!(
        text.contains("ok    parent") && text.contains("ok    coordinator"),
        "{text}"
    );

    let (code, text) = podbay(&name, &["down"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("  one: running") && text.contains("--force"),
        "{text}"
    );
    let (code, text) = podbay(&name, &["down", "--force"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(peer.seen.has("POST /v1/down"));
    assert_eq!(podbay(&name, &["down"]).0, Some(3));
}
