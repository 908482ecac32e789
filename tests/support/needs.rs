//! What a test needs of the machine it runs on.
//!
//! A test that returns because something is missing looks like one that passed. So it asks here:
//! where everything has to be tested (`CI` or `PODBAY_REQUIRE_ALL` is set; `scripts/test.sh` sets the
//! latter as root) what is missing fails the test, and elsewhere it is said with its reason, on
//! stderr and in the file that `PODBAY_SKIPPED` names. A rule of `tests/tidy.rs` finds tests that
//! return early without asking.
//!
//! Used by path in the other packages' tests as well.
#![allow(dead_code, reason = "each user asks for some of it")]
#![allow(clippy::panic, reason = "a test that cannot run fails")]

use std::{
    fmt::Display,
    fs::OpenOptions,
    io::Write,
    process::{Command, Stdio},
};

/// Root: owners, mounts, namespaces.
#[must_use]
pub fn root() -> bool {
    let root = nix::unistd::Uid::effective().is_root();
    met(
        "root",
        if root {
            Ok(())
        } else {
            Err("run by another user")
        },
    )
}

/// A program that is found in `PATH`.
#[must_use]
pub fn program(name: &str) -> bool {
    let mut command = Command::new("sh");
    command.args(["-c", "command -v \"$0\" >/dev/null", name]);
    let found = match command.stdin(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err("it is not installed".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    met(name, found)
}

/// An engine that answers.
#[must_use]
pub fn engine() -> bool {
    let answer = Command::new("docker").arg("version").output();
    let found = match answer {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Err(error.to_string()),
    };
    met("an engine", found)
}

/// Whether `what` is there. Where it is not, this is said, or the test fails.
///
/// # Panics
/// It is not there, and everything has to be tested.
#[must_use]
pub fn met<E: Display>(what: &str, there: Result<(), E>) -> bool {
    let Err(why) = there else { return true };
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    assert!(!required(), "{test} needs {what}: {why}");
    let line = format!("skipped: {test} needs {what}: {why}");
    eprintln!("{line}");
    if let Some(file) = std::env::var_os("PODBAY_SKIPPED") {
        let open = OpenOptions::new().create(true).append(true).open(&file);
        let written = open.and_then(|mut file| writeln!(file, "{line}"));
        assert!(written.is_ok(), "{}: {written:?}", file.display());
    }
    false
}

/// Whether what cannot be tested is a failure.
fn required() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    set("CI") || set("PODBAY_REQUIRE_ALL")
}
