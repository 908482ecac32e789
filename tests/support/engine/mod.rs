//! The engine, through its own command line.

pub mod loopfs;
pub mod private_engine;
pub mod proxy;

use std::process::{Command, Output, Stdio};

/// An engine: the machine's own, or one that a test started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Engine {
    /// `DOCKER_HOST`; `None` for the machine's own.
    host: Option<String>,
}

impl Engine {
    /// The engine that listens on this socket.
    #[must_use]
    pub fn at(socket: &std::path::Path) -> Self {
        Self {
            host: Some(format!("unix://{}", socket.display())),
        }
    }

    /// What `DOCKER_HOST` has to be; `None` for the machine's own.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// A `docker` command.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("docker");
        if let Some(host) = &self.host {
            command.env("DOCKER_HOST", host);
        }
        command.args(args).stdin(Stdio::null());
        command
    }

    /// Runs `docker` and gives its trimmed stdout.
    ///
    /// # Panics
    /// It failed.
    pub fn docker(&self, args: &[&str]) -> String {
        let output = self.try_docker(args);
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
    pub fn try_docker(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("running docker")
    }

    /// Ids of all containers of an instance, running or not, by role.
    #[must_use]
    pub fn containers(&self, instance: &str, role: &str) -> Vec<String> {
        let instance = format!("label=dev.podbay.instance={instance}");
        let role = format!("label=dev.podbay.role={role}");
        let filter = ["--filter", &instance, "--filter", &role];
        let args: Vec<&str> = ["ps", "-aq", "--no-trunc"]
            .into_iter()
            .chain(filter)
            .collect();
        self.docker(&args).lines().map(str::to_owned).collect()
    }
}

/// Address of this machine on the engine's default bridge: what containers there have as gateway.
///
/// It is read from the interface. An engine that was installed and not yet restarted leaves the
/// gateway out of what it says of the network.
///
/// # Panics
/// The bridge has no interface here, or that has no IPv4 address.
#[must_use]
pub fn bridge_address() -> String {
    let option = "{{index .Options \"com.docker.network.bridge.name\"}}";
    let bridge = docker(&["network", "inspect", "bridge", "-f", option]);
    let said = Command::new("ip")
        .args(["-4", "-o", "addr", "show", "dev", &bridge])
        .output()
        .expect("ip is part of iproute2");
    let said = String::from_utf8_lossy(&said.stdout);
    let mut words = said.split_whitespace().skip_while(|word| *word != "inet");
    let address = words.nth(1).and_then(|net| net.split('/').next());
    let found = address.unwrap_or_else(|| panic!("no address of {bridge:?} in {said:?}"));
    found.to_owned()
}

/// Runs `docker` on the machine's own engine and gives its trimmed stdout.
///
/// # Panics
/// It failed.
pub fn docker(args: &[&str]) -> String {
    Engine::default().docker(args)
}

/// The same, whatever comes of it.
///
/// # Panics
/// There is no `docker` command.
#[must_use]
pub fn try_docker(args: &[&str]) -> Output {
    Engine::default().try_docker(args)
}

/// [`Engine::containers`] of the machine's own engine.
#[must_use]
pub fn containers(instance: &str, role: &str) -> Vec<String> {
    Engine::default().containers(instance, role)
}

/// Imports a root filesystem made of `(path, file on this machine)` pairs as an image.
///
/// # Panics
/// A file is missing or the engine refuses.
pub fn import_image(tag: &str, files: &[(&str, &std::path::Path)]) {
    Engine::default().import_image(tag, files);
}

impl Engine {
    /// Imports a root filesystem made of `(path, file on this machine)` pairs as an image.
    ///
    /// # Panics
    /// A file is missing or the engine refuses.
    pub fn import_image(&self, tag: &str, files: &[(&str, &std::path::Path)]) {
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
        let imported = self.docker(&["import", &tar.to_string_lossy(), tag]);
        std::fs::remove_file(&tar).expect("removing the archive");
        assert!(imported.starts_with("sha256:"), "{imported}");
    }
}
