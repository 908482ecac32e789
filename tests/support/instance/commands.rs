//! `podbay` commands for an instance, and requests to its API.

use super::{Instance, bare, spawn, text};
use crate::{podbay, project::Project, terminal::Terminal};
use serde_json::Value;
use std::{
    ffi::OsStr,
    process::{Command, Output},
};

impl Instance {
    /// A plain HTTP client's request to the API, on its socket.
    #[must_use]
    pub fn curl(&self, path: &str) -> Command {
        let mut command = Command::new("curl");
        command.args(["-sN", "--unix-socket"]).arg(self.socket());
        command.arg(format!("http://localhost{path}"));
        command
    }

    /// A `podbay` command for this instance, as anyone on the host would run it: through the
    /// engine.
    #[must_use]
    pub fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = bare(args);
        command.env("PODBAY_PARENT", &self.name);
        if let Some(host) = self.engine.host() {
            command.env("DOCKER_HOST", host);
        }
        command
    }

    /// The same on the API's socket: what is asked again and again costs the engine nothing.
    #[must_use]
    pub fn direct<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.command(args);
        command.env("PODBAY_SOCKET", self.socket());
        command
    }

    /// What a `podbay` command on the socket prints as JSON; `None` while there is no coordinator.
    ///
    /// # Panics
    /// The binary cannot be run, or prints something else.
    pub fn ask<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Option<Value> {
        let output = self.direct(args).output().expect("running podbay");
        output
            .status
            .success()
            .then(|| serde_json::from_slice(&output.stdout).expect("JSON"))
    }

    /// Runs a `podbay` command.
    ///
    /// # Panics
    /// The binary cannot be run.
    pub fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Output {
        self.command(args).output().expect("running podbay")
    }

    /// Runs a `podbay` command that has to succeed and gives its stdout.
    ///
    /// # Panics
    /// It failed.
    pub fn ok<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> String {
        let mut command = self.command(args);
        let output = command.output().expect("running podbay");
        assert!(
            output.status.success(),
            "{command:?} failed ({}):\n{}{}{}",
            output.status,
            text(&output.stdout),
            text(&output.stderr),
            self.parent_log()
        );
        text(&output.stdout)
    }

    /// Runs a `podbay` command whose stdout is JSON.
    ///
    /// # Panics
    /// It failed or printed something else.
    pub fn json<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Value {
        let printed = self.ok(args);
        serde_json::from_str(&printed).unwrap_or_else(|e| panic!("no JSON ({e}): {printed}"))
    }

    /// Runs a `podbay` command inside a terminal of its own.
    #[must_use]
    pub fn terminal(&self, args: &[&str], cols: u16, rows: u16) -> Terminal {
        let program = podbay();
        let mut argv: Vec<&OsStr> = vec![program.as_os_str()];
        argv.extend(args.iter().map(OsStr::new));
        let mut env = vec![("PODBAY_PARENT", self.name.as_str())];
        env.extend(self.engine.host().map(|host| ("DOCKER_HOST", host)));
        Terminal::start(&argv, &env, cols, rows)
    }

    /// The same on the API's socket: an engine that goes away takes nothing from it.
    #[must_use]
    pub fn direct_terminal(&self, args: &[&str], cols: u16, rows: u16) -> Terminal {
        let program = podbay();
        let socket = self.socket();
        let mut argv: Vec<&OsStr> = vec![program.as_os_str()];
        argv.extend(args.iter().map(OsStr::new));
        let socket = socket.to_string_lossy();
        let env = [
            ("PODBAY_PARENT", self.name.as_str()),
            ("PODBAY_SOCKET", socket.as_ref()),
        ];
        Terminal::start(&argv, &env, cols, rows)
    }

    /// Starts a detached session without a project in a worker of this name.
    ///
    /// # Panics
    /// `podbay spawn` failed.
    pub fn session(&self, name: &str, command: &[&str]) {
        assert_eq!(self.ok(spawn(name, &["-d"], command)).trim(), name);
    }

    /// Starts a detached session on a copy-on-write view of a project.
    ///
    /// # Panics
    /// `podbay spawn` failed.
    pub fn overlay_session(&self, name: &str, project: &Project, command: &[&str]) {
        let folder = project.text();
        let args = ["spawn", "-d", "-n", name, "--isolation", "overlay"];
        let all = [&args[..], &[&folder, "--"], command].concat();
        assert_eq!(self.ok(all).trim(), name);
    }
}
