//! The engine, through its own command line.

use std::process::{Command, Output, Stdio};

/// Runs `docker` and gives its trimmed stdout.
///
/// # Panics
/// It failed.
#[must_use]
pub fn docker(args: &[&str]) -> String {
    let output = try_docker(args);
    assert!(
        output.status.success(),
        "docker {args:?} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Runs `docker`, whatever comes of it.
///
/// # Panics
/// There is no `docker` command.
#[must_use]
pub fn try_docker(args: &[&str]) -> Output {
    Command::new("docker")
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("running docker")
}

/// Ids of all containers of an instance, running or not, by role.
#[must_use]
pub fn containers(instance: &str, role: &str) -> Vec<String> {
    let instance = format!("label=dev.podbay.instance={instance}");
    let role = format!("label=dev.podbay.role={role}");
    let listed = docker(&[
        "ps",
        "-aq",
        "--no-trunc",
        "--filter",
        &instance,
        "--filter",
        &role,
    ]);
    listed.lines().map(str::to_owned).collect()
}

/// Imports a root filesystem made of `(path, file on this machine)` pairs as an image.
///
/// # Panics
/// A file is missing or the engine refuses.
pub fn import_image(tag: &str, files: &[(&str, &std::path::Path)]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (path, source) in files {
        let target = folder.path().join(path.trim_start_matches('/'));
        std::fs::create_dir_all(target.parent().expect("a parent")).expect("making folders");
        std::fs::copy(source, &target).expect("copying a file");
    }
    let tar = folder.path().with_extension("tar");
    let status = Command::new("tar")
        .arg("-C")
        .arg(folder.path())
        .arg("-cf")
        .arg(&tar)
        .arg(".")
        .status()
        .expect("running tar");
    assert!(status.success(), "tar failed");
    let imported = docker(&["import", &tar.to_string_lossy(), tag]);
    std::fs::remove_file(&tar).expect("removing the archive");
    assert!(imported.starts_with("sha256:"), "{imported}");
}
