//! A parent, its pool and its state volume, for one test.

use crate::{engine, podbay, terminal::Terminal, unique, wait};
use serde_json::Value;
use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

/// Bound for what the engine has a hand in.
pub const SLOW: Duration = Duration::from_secs(60);

/// One running instance; removed with all it has when it is dropped.
#[derive(Debug)]
pub struct Instance {
    /// The parent container's name.
    pub name: String,
    volume: String,
    config: tempfile::TempDir,
}

impl Instance {
    /// Starts a parent with this configuration and waits until its API answers and its pools are
    /// full.
    ///
    /// # Panics
    /// `podbay up` failed.
    #[must_use]
    pub fn start(config: &str) -> Self {
        Self::start_with(config, &[])
    }

    /// The same with environment variables for `podbay up`.
    ///
    /// # Panics
    /// `podbay up` failed.
    #[must_use]
    pub fn start_with(config: &str, env: &[(&str, &str)]) -> Self {
        let instance = Self::prepare(config);
        let output = instance.up(env);
        assert!(
            output.status.success(),
            "podbay up failed ({}): {}{}",
            output.status,
            text(&output.stderr),
            instance.parent_log()
        );
        instance
    }

    /// All but `podbay up`.
    ///
    /// # Panics
    /// The configuration cannot be written.
    #[must_use]
    pub fn prepare(config: &str) -> Self {
        let name = unique("podbay-t");
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("podbay.toml"), config).expect("writing the configuration");
        let volume = format!("{name}-state");
        Self {
            name,
            volume,
            config: folder,
        }
    }

    /// Runs `podbay up`.
    #[must_use]
    pub fn up(&self, env: &[(&str, &str)]) -> Output {
        let config = self.config.path().join("podbay.toml");
        let mut command = self.command(["up", "--volume", &self.volume, "--config"]);
        command.arg(config).envs(env.iter().copied());
        command.output().expect("running podbay")
    }

    /// The state volume as the host sees it.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        PathBuf::from(engine::docker(&[
            "volume",
            "inspect",
            "-f",
            "{{.Mountpoint}}",
            &self.volume,
        ]))
    }

    /// The API's socket as the host sees it: root may use it directly.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.state().join("run/podbay.sock")
    }

    /// A `podbay` command for this instance.
    #[must_use]
    pub fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(podbay());
        command
            .args(args)
            .env("PODBAY_PARENT", &self.name)
            .stdin(Stdio::null());
        command
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
        Terminal::start(&argv, &[("PODBAY_PARENT", &self.name)], cols, rows)
    }

    /// One worker as `podbay ls` sees it, finished ones included.
    #[must_use]
    pub fn worker(&self, name: &str) -> Option<Value> {
        let all = self.json(["ls", "-a", "--json"]);
        all.as_array()?.iter().find(|w| w["name"] == name).cloned()
    }

    /// Waits until a pool has so many warm workers.
    pub fn wait_warm(&self, profile: &str, count: u64) {
        wait::until_true(&format!("{count} warm workers of {profile}"), SLOW, || {
            let pools = self.json(["pool", "status", "--json"]);
            pools.as_array().is_some_and(|pools| {
                pools
                    .iter()
                    .any(|p| p["profile"] == profile && p["warm"].as_u64() >= Some(count))
            })
        });
    }

    /// The end of the parent's log, for messages of failed tests.
    #[must_use]
    pub fn parent_log(&self) -> String {
        let output = engine::try_docker(&["logs", "--tail", "40", &self.name]);
        format!(
            "\n--- parent ---\n{}{}",
            text(&output.stdout),
            text(&output.stderr)
        )
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.parent_log());
        }
        drop(self.run(["down", "--force", "--volumes"]));
        for role in ["parent", "worker", "mounter"] {
            for container in engine::containers(&self.name, role) {
                drop(engine::try_docker(&["rm", "-f", "-v", &container]));
            }
        }
        drop(engine::try_docker(&["volume", "rm", "-f", &self.volume]));
    }
}

/// Bytes as text for messages and comparisons.
#[must_use]
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Every mount point of this machine below a path.
#[must_use]
pub fn mounts_below(path: &Path) -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = table.lines().filter_map(|line| line.split(' ').nth(4));
    points
        .filter(|point| Path::new(point).starts_with(path))
        .map(str::to_owned)
        .collect()
}
