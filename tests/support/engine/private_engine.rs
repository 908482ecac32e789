//! An engine that a test may kill: its own network and mount namespace, its own containerd.
//!
//! A process that only waits holds the namespaces, so that an engine that was killed comes back to
//! the same bridge and the same mounts, as on a real machine. Whatever way the test ends, a keeper
//! outside of it takes everything away, and only what is this engine's: by its cgroup and by its
//! folder's name.

use crate::{engine::Engine, instance, processes, unique, wait};
use nix::sys::signal::Signal;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

/// Bound for an engine to come up.
const UP: Duration = Duration::from_secs(30);
/// Bound for everything to be taken away.
const AWAY: Duration = Duration::from_secs(30);

/// A worker image with a shell and nothing else, made here in no time.
const SMALL: &str = "podbay-small:latest";

/// [`instance::config`] of the small image.
#[must_use]
pub fn small_config(min_warm: u32, max_warm: u32) -> String {
    instance::profile("default", SMALL, min_warm, max_warm).replace("\"bash\"", "\"sh\"")
}

/// A static program that is a shell, `sleep` and the like by its name.
///
/// # Panics
/// busybox-static is not installed.
#[must_use]
pub fn busybox() -> &'static Path {
    let paths = ["/bin/busybox", "/usr/bin/busybox"].map(Path::new);
    let found = paths.into_iter().find(|path| path.is_file());
    found.expect("busybox-static is installed")
}

/// What a private engine is like.
#[derive(Debug, Clone, Default)]
pub struct EngineOptions {
    /// Containers outlive the daemon.
    pub live_restore: bool,
    /// The data root is a file system of its own, of so many MiB.
    pub data_mib: Option<u64>,
}

/// A dockerd and a containerd of one test.
#[derive(Debug)]
pub struct PrivateEngine {
    name: String,
    folder: PathBuf,
    options: EngineOptions,
    holder: Child,
    daemon: Option<Child>,
    containerd: Option<Child>,
    keeper: Child,
}

impl PrivateEngine {
    /// Starts one whose containers outlive its daemon.
    #[must_use]
    pub fn live_restoring() -> Self {
        Self::start(EngineOptions {
            live_restore: true,
            ..EngineOptions::default()
        })
    }

    /// Starts one, with the images that an instance needs.
    ///
    /// # Panics
    /// It starts and does not come up.
    #[must_use]
    pub fn start(options: EngineOptions) -> Self {
        let name = unique("podbay-eng");
        // On a real file system: overlays cannot be on an overlay or in memory.
        let folder = PathBuf::from("/var/tmp").join(&name);
        fs::create_dir_all(folder.join("data")).expect("making the engine's folder");
        let keeper = keeper(&name, &folder);
        let mut holder = Command::new("unshare")
            .args([
                "--net",
                "--mount",
                "--propagation",
                "private",
                "sh",
                "-ec",
                SETUP,
                "sh",
            ])
            .arg(&folder)
            .arg(options.data_mib.unwrap_or(0).to_string())
            .arg(&name)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("unshare is part of util-linux");
        wait::until_true("the engine's namespaces", UP, || {
            if let Some(status) = holder.try_wait().expect("waiting for a shell") {
                panic!("namespaces for an engine: {status}");
            }
            folder.join("ready").exists()
        });
        let mut engine = Self {
            name,
            folder,
            options,
            holder,
            daemon: None,
            containerd: None,
            keeper,
        };
        engine.start_containerd();
        engine.start_daemon();
        engine.bring(&instance::faults_image());
        let names = ["/bin/sh", "/bin/sleep", "/bin/cat", "/bin/dd"];
        let files = names.map(|name| (name, busybox()));
        engine.engine().import_image(SMALL, &files);
        engine
    }

    /// `DOCKER_HOST` for it.
    #[must_use]
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Its command line.
    #[must_use]
    pub fn engine(&self) -> Engine {
        Engine::at(&self.socket())
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.join("s.sock")
    }

    /// Where its images, containers and volumes are; inside its mount namespace only when it has a
    /// file system of its own.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Process id of dockerd.
    ///
    /// # Panics
    /// It does not run.
    #[must_use]
    pub fn daemon_pid(&self) -> i32 {
        pid(self.daemon.as_ref().expect("a dockerd"))
    }

    /// Process id of containerd.
    ///
    /// # Panics
    /// It does not run.
    #[must_use]
    pub fn containerd_pid(&self) -> i32 {
        pid(self.containerd.as_ref().expect("a containerd"))
    }

    /// `kill -9` of dockerd.
    pub fn kill_daemon(&mut self) {
        kill(self.daemon.take());
        // dockerd does not start beside a file with a living process's id in it.
        fs::remove_file(self.folder.join("pid")).ok();
    }

    /// `kill -9` of containerd; what it looks after runs on.
    pub fn kill_containerd(&mut self) {
        kill(self.containerd.take());
    }

    /// Starts dockerd and waits until it answers.
    ///
    /// # Panics
    /// It does not within a bound.
    pub fn start_daemon(&mut self) -> Duration {
        let began = Instant::now();
        let (data, exec, pid) = (
            self.data(),
            self.folder.join("exec"),
            self.folder.join("pid"),
        );
        let mut command = self.inside("dockerd", "dockerd.log");
        command
            .arg("--data-root")
            .arg(data)
            .arg("--exec-root")
            .arg(exec)
            .arg("--pidfile")
            .arg(pid)
            .arg("--containerd")
            .arg(self.folder.join("containerd.sock"))
            .arg("-H")
            .arg(self.host())
            .args(["--bridge", "pod0", "--iptables=false", "--ip6tables=false"])
            .args(["--ip-masq=false", "--userland-proxy=false"])
            .arg("--cgroup-parent")
            .arg(format!("/{}", self.name));
        if self.options.live_restore {
            command.arg("--live-restore");
        }
        self.daemon = Some(command.spawn().expect("dockerd is installed"));
        wait::until_true("the private engine", UP, || {
            if let Some(Ok(Some(status))) = self.daemon.as_mut().map(Child::try_wait) {
                panic!("dockerd ended ({status}): {}", self.log());
            }
            self.try_docker(&["version"]).status.success()
        });
        began.elapsed()
    }

    /// Starts containerd and waits for its socket.
    ///
    /// # Panics
    /// It does not come up.
    pub fn start_containerd(&mut self) {
        let socket = self.folder.join("containerd.sock");
        fs::remove_file(&socket).ok();
        let mut command = self.inside("containerd", "containerd.log");
        command
            .arg("--config")
            .arg(self.folder.join("containerd.toml"));
        self.containerd = Some(command.spawn().expect("containerd is installed"));
        wait::until_true("containerd", UP, || socket.exists());
    }

    /// A command in the engine's namespaces, its output in a file of the engine's folder.
    fn inside(&self, program: &str, log: &str) -> Command {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.join(log))
            .expect("opening a log");
        let mut command = Command::new("setsid");
        command
            .args(["nsenter", "--net", "--mount", "--target"])
            .arg(self.holder_pid().to_string())
            .arg(program)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("cloning a file"))
            .stderr(log);
        command
    }

    /// Process id of what holds the engine's namespaces.
    #[must_use]
    pub fn holder_pid(&self) -> i32 {
        pid(&self.holder)
    }

    /// A path as the engine sees it, for this process.
    #[must_use]
    pub fn seen_from_here(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder_pid()));
        root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Runs `docker` on it, whatever comes of it.
    ///
    /// # Panics
    /// There is no `docker` command.
    #[must_use]
    pub fn try_docker(&self, args: &[&str]) -> Output {
        self.engine().try_docker(args)
    }

    /// Runs `docker` on it and gives its trimmed stdout.
    pub fn docker(&self, args: &[&str]) -> String {
        self.engine().docker(args)
    }

    /// Brings an image of the machine's own engine here. Its archive is kept: many tests need it.
    ///
    /// # Panics
    /// There is no such image, or it cannot be loaded.
    pub fn bring(&self, image: &str) {
        let id = crate::engine::docker(&["image", "inspect", "-f", "{{.Id}}", image]);
        let id = id.trim_start_matches("sha256:");
        let folder = crate::figures_folder().join("images");
        fs::create_dir_all(&folder).expect("making a folder");
        let archive = folder.join(format!("{}.tar", id.get(..16).unwrap_or(id)));
        if !archive.exists() {
            for old in fs::read_dir(&folder).into_iter().flatten().flatten() {
                // Of images that were built anew since; another test may be writing a part.
                if old.path().extension().is_some_and(|kind| kind == "tar") {
                    fs::remove_file(old.path()).ok();
                }
            }
            let part = folder.join(unique("part"));
            crate::engine::docker(&["save", "-o", &part.to_string_lossy(), image]);
            fs::rename(&part, &archive).expect("renaming an archive");
        }
        self.docker(&["load", "-q", "-i", &archive.to_string_lossy()]);
        // The archive may be from a time when the image had another name.
        self.docker(&["tag", id, image]);
    }

    /// The end of its logs, for messages of failed tests.
    #[must_use]
    pub fn log(&self) -> String {
        let mut all = String::new();
        for name in ["dockerd.log", "containerd.log"] {
            let text = fs::read_to_string(self.folder.join(name)).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let end = &lines[lines.len().saturating_sub(15)..];
            all.push_str(&format!("\n--- {name} ---\n{}", end.join("\n")));
        }
        all
    }
}

impl Drop for PrivateEngine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
        kill(self.daemon.take());
        kill(self.containerd.take());
        drop(self.keeper.stdin.take());
        let began = Instant::now();
        while began.elapsed() < AWAY && !matches!(self.keeper.try_wait(), Ok(Some(_))) {
            wait::pause(Duration::from_millis(20));
        }
        self.holder.kill().ok();
        self.holder.wait().ok();
    }
}

fn pid(child: &Child) -> i32 {
    i32::try_from(child.id()).expect("a process id")
}

fn kill(child: Option<Child>) {
    let Some(mut child) = child else { return };
    processes::signal(pid(&child), Signal::SIGKILL);
    drop(child.wait());
}

/// In fresh namespaces: loopback, a bridge, containerd's configuration, perhaps a data root of its
/// own; then waits until its stdin closes.
const SETUP: &str = r#"
folder=$1 mib=$2 name=$3
ip link set lo up
ip link add pod0 type bridge
ip address add 10.213.0.1/24 dev pod0
ip link set pod0 up
cat >"$folder/containerd.toml" <<TOML
version = 2
root = "$folder/containerd"
state = "$folder/containerd-state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "$folder/containerd.sock"
TOML
if [ "$mib" -gt 0 ]; then
  truncate -s "${mib}M" "$folder/data.img"
  mkfs.ext4 -q -F -m 0 "$folder/data.img"
  mount -o loop "$folder/data.img" "$folder/data"
fi
: >"$folder/ready"
exec cat
"#;

/// Takes an engine away when this process ends in whatever way: the end of its stdin tells it.
fn keeper(name: &str, folder: &Path) -> Child {
    let script = r#"
cat >/dev/null
mine() { grep -lsF -e "$1" /proc/[0-9]*/cmdline | sed 's,/proc/\([0-9]*\)/.*,\1,' | grep -vx $$; }
end() {
  for pid in $(mine "$1"); do kill -9 "$pid"; done
  for try in 1 2 3 4 5; do
    for pid in $(cat $(find /sys/fs/cgroup -path "*/$0/*" -name cgroup.procs) </dev/null | sort -u); do
      kill -9 "$pid"
    done
  done
}
end "$1/" 2>/dev/null
sleep 0.3
end "$1/" 2>/dev/null
for pid in $(mine "$1"); do kill -9 "$pid"; done 2>/dev/null
find /sys/fs/cgroup -depth -type d -path "*/$0*" -exec rmdir {} + 2>/dev/null
for try in 1 2 3 4 5 6 7 8 9 10; do
  rm -rf "$1" 2>/dev/null && break
  sleep 0.3
done
"#;
    Command::new("setsid")
        .args(["sh", "-c", script, name])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starting a shell")
}
