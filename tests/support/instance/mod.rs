//! A parent, its pool and its state volume, for one test.

mod commands;
mod shown;

use crate::{engine::Engine, podbay, unique};
use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{OnceLock, atomic::AtomicI32},
    time::Duration,
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
