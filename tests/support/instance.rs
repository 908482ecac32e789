//! A parent, its pool and its state volume, for one test.

use crate::{
    engine::Engine, podbay, processes, project::Project, terminal::Terminal, unique, wait,
};
use serde_json::Value;
use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicI32, Ordering},
    },
    time::{Duration, Instant},
};

/// Bound for what the engine has a hand in.
pub const SLOW: Duration = Duration::from_secs(60);

/// The worker image under test: has bash, git, less and procps.
#[must_use]
pub fn worker_image() -> String {
    std::env::var("PODBAY_WORKER_IMAGE").unwrap_or_else(|_| "podbay/worker:minimal".to_owned())
}

/// The parent image under test.
#[must_use]
pub fn parent_image() -> String {
    std::env::var("PODBAY_PARENT_IMAGE").unwrap_or_else(|_| "podbay/parent:latest".to_owned())
}

/// The parent with failpoints and a clock that tests set.
#[must_use]
pub fn faults_image() -> String {
    std::env::var("PODBAY_FAULTS_IMAGE").unwrap_or_else(|_| "podbay/parent:faults".to_owned())
}

/// One profile `default` with so many warm workers, and quick to stop.
#[must_use]
pub fn config(min_warm: u32, max_warm: u32) -> String {
    profile("default", &worker_image(), min_warm, max_warm)
}

/// A profile's section.
#[must_use]
pub fn profile(name: &str, image: &str, min_warm: u32, max_warm: u32) -> String {
    format!(
        "[profiles.{name}]\nimage = {image:?}\ncommand = [\"bash\"]\nmin_warm = {min_warm}\n\
         max_warm = {max_warm}\nmemory = \"256m\"\ncpus = 1\npids = 128\nstop_grace = \"1s\"\n"
    )
}

/// Arguments of `podbay spawn` for a session without a project.
#[must_use]
pub fn spawn<'a>(name: &'a str, flags: &[&'a str], command: &[&'a str]) -> Vec<&'a str> {
    let always = ["spawn", "-n", name, "--isolation", "none"];
    [&always[..], flags, &["--"], command].concat()
}

/// A `podbay` command that inherits nothing of this process that would steer it.
#[must_use]
pub fn bare<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(podbay());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PODBAY_") {
            command.env_remove(name);
        }
    }
    command.args(args).stdin(Stdio::null());
    command
}

/// One running instance; removed with all it has when it is dropped.
#[derive(Debug)]
pub struct Instance {
    /// The parent container's name.
    pub name: String,
    /// Where it runs.
    pub engine: Engine,
    volume: String,
    /// The parent's process, as last seen: an engine that is away does not tell.
    parent: AtomicI32,
    /// The parent's image.
    pub image: String,
    config: tempfile::TempDir,
    state: OnceLock<PathBuf>,
    _keeper: Child,
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

    /// The same with another parent image.
    ///
    /// # Panics
    /// `podbay up` failed.
    #[must_use]
    pub fn start_of(config: &str, image: &str) -> Self {
        let mut instance = Self::prepare(config);
        image.clone_into(&mut instance.image);
        instance.up_or_panic(&[], &[]);
        instance
    }

    /// The same with environment variables for `podbay up`.
    ///
    /// # Panics
    /// `podbay up` failed.
    #[must_use]
    pub fn start_with(config: &str, env: &[(&str, &str)]) -> Self {
        let instance = Self::prepare(config);
        instance.up_or_panic(env, &[]);
        instance
    }

    /// `podbay up` with further arguments, which has to succeed.
    ///
    /// # Panics
    /// It failed.
    pub fn up_or_panic(&self, env: &[(&str, &str)], args: &[&str]) {
        let output = self.up_with(env, args);
        assert!(
            output.status.success(),
            "podbay up failed ({}): {}{}",
            output.status,
            text(&output.stderr),
            self.parent_log()
        );
    }

    /// All but `podbay up`.
    ///
    /// # Panics
    /// The configuration cannot be written.
    #[must_use]
    pub fn prepare(config: &str) -> Self {
        Self::prepare_on(Engine::default(), None, config)
    }

    /// The same on another engine, and with a folder of the engine's host for the state volume.
    ///
    /// # Panics
    /// The configuration cannot be written.
    #[must_use]
    pub fn prepare_on(engine: Engine, state: Option<&Path>, config: &str) -> Self {
        let name = unique("podbay-t");
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("podbay.toml"), config).expect("writing the configuration");
        let volume = state.map_or_else(
            || format!("{name}-state"),
            |path| path.to_string_lossy().into_owned(),
        );
        let keeper = keeper(&engine, &name, &volume);
        Self {
            name,
            engine,
            parent: AtomicI32::new(0),
            volume,
            image: parent_image(),
            config: folder,
            state: OnceLock::new(),
            _keeper: keeper,
        }
    }

    /// Runs `podbay up`.
    #[must_use]
    pub fn up(&self, env: &[(&str, &str)]) -> Output {
        self.up_with(env, &[])
    }

    /// Runs `podbay up` with further arguments.
    #[must_use]
    pub fn up_with(&self, env: &[(&str, &str)], args: &[&str]) -> Output {
        let config = self.config.path().join("podbay.toml");
        let mut command = self.command(["up", "--image", &self.image, "--volume", &self.volume]);
        command
            .arg("--config")
            .arg(config)
            .args(args)
            .envs(env.iter().copied());
        command.output().expect("running podbay")
    }

    /// The state volume's name.
    #[must_use]
    pub fn volume(&self) -> &str {
        &self.volume
    }

    /// The configuration file on the host.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.config.path().join("podbay.toml")
    }

    /// The state volume as the host sees it.
    pub fn state(&self) -> PathBuf {
        self.state
            .get_or_init(|| {
                if self.volume.starts_with('/') {
                    return self.volume.clone().into();
                }
                let format = "{{.Mountpoint}}";
                let args = ["volume", "inspect", "-f", format, &self.volume];
                self.engine.docker(&args).into()
            })
            .clone()
    }

    /// The API's socket as the host sees it: root may use it directly.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.state().join("run/podbay.sock")
    }

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

    /// Every worker as `podbay ls -a` sees it; none while there is no coordinator.
    #[must_use]
    pub fn workers(&self) -> Vec<Value> {
        let all = self.ask(["ls", "-a", "--json"]);
        all.and_then(|all| all.as_array().cloned())
            .unwrap_or_default()
    }

    /// One worker as `podbay ls` sees it, finished ones included.
    #[must_use]
    pub fn worker(&self, name: &str) -> Option<Value> {
        self.workers().into_iter().find(|w| w["name"] == name)
    }

    /// Container ids of the warm workers, sorted.
    #[must_use]
    pub fn warm(&self) -> Vec<String> {
        let warm = self.workers().into_iter().filter(|w| w["state"] == "warm");
        let mut ids: Vec<String> = warm
            .filter_map(|w| w["container"].as_str().map(str::to_owned))
            .collect();
        ids.sort();
        ids
    }

    /// Waits until a worker has this state.
    ///
    /// # Panics
    /// It does not within [`SLOW`].
    pub fn wait_state(&self, name: &str, state: &str) -> Value {
        let start = Instant::now();
        loop {
            let worker = self.worker(name);
            if let Some(worker) = worker.as_ref().filter(|w| w["state"] == state) {
                return worker.clone();
            }
            assert!(
                start.elapsed() < SLOW,
                "waited {SLOW:?} in vain for {name} to be {state}; it is {worker:?}"
            );
            wait::pause(Duration::from_millis(10));
        }
    }

    /// The pool of a profile.
    #[must_use]
    pub fn pool(&self, profile: &str) -> Option<Value> {
        let pools = self.ask(["pool", "status", "--json"])?;
        pools
            .as_array()?
            .iter()
            .find(|p| p["profile"] == profile)
            .cloned()
    }

    /// Waits until a pool has exactly so many warm workers and none on the way.
    pub fn wait_warm(&self, profile: &str, count: u64) {
        wait::until_true(&format!("{count} warm workers of {profile}"), SLOW, || {
            self.pool(profile)
                .is_some_and(|p| p["warm"] == count && p["creating"] == 0)
        });
    }

    /// Process id of the coordinator on this machine; `None` while there is none.
    #[must_use]
    pub fn coordinator(&self) -> Option<i32> {
        let format = "{{.State.Pid}}";
        let said = self
            .engine
            .try_docker(&["inspect", "-f", format, &self.name]);
        if let Ok(pid) = text(&said.stdout).trim().parse() {
            self.parent.store(pid, Ordering::Relaxed);
        }
        let parent = self.parent.load(Ordering::Relaxed);
        if parent == 0 {
            return None;
        }
        processes::children(parent).into_iter().find(|pid| {
            let argv = processes::argv(*pid);
            argv.first().is_some_and(|name| name.ends_with("podbay"))
                && argv.get(1).is_some_and(|word| word == "serve")
        })
    }

    /// The end of the parent's log, for messages of failed tests.
    #[must_use]
    pub fn parent_log(&self) -> String {
        let output = self
            .engine
            .try_docker(&["logs", "--tail", "40", &self.name]);
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
        let version = self.engine.try_docker(&["version"]);
        if !version.status.success() {
            // A test's own engine, which takes everything with it.
            return;
        }
        drop(self.run(["down", "--force", "--volumes"]));
        for role in ["netguard", "parent", "worker", "mounter"] {
            for container in self.engine.containers(&self.name, role) {
                drop(self.engine.try_docker(&["rm", "-f", "-v", &container]));
            }
        }
        drop(
            self.engine
                .try_docker(&["volume", "rm", "-f", &self.volume]),
        );
    }
}

/// Takes the instance away when this process ends in whatever way, a kill by the test runner
/// included: the end of its stdin tells it.
fn keeper(engine: &Engine, name: &str, volume: &str) -> Child {
    let script = "cat; docker ps -aq --filter label=dev.podbay.instance=$0 | xargs -r docker rm -fv; \
                  docker volume rm -f \"$1\"";
    let mut command = Command::new("setsid");
    if let Some(host) = engine.host() {
        command.env("DOCKER_HOST", host);
    }
    command
        .args(["sh", "-c", script, name, volume])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starting a shell")
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
