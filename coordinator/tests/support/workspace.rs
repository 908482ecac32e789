//! A mounter in a helper container and workers around it, removed when the test ends.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests, outside a #[test]"
)]

#[path = "../../../tests/support/needs.rs"]
mod needs;

use coordinator::{
    model::HostPath,
    mounter_client::{
        MountMode, MountRequest, Mounted, MounterClient, MounterError, OverlayRequest, Policy,
        PrepareRequest, ReviewClaim, ReviewTarget,
    },
};
use podbay_mounter::{ReviewProgram, review, serve as serve_mounter};
use std::{
    fs,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// What sessions run as, in all workers of these tests.
pub const UID: u32 = 20_001;
const STATE: &str = "/var/lib/podbay";

/// What the helper container runs.
pub fn serve() {
    let state = std::env::var_os("PODBAY_TEST_STATE").unwrap_or_else(|| STATE.into());
    let state = Path::new(&state);
    let program = ReviewProgram {
        args: ["review_process", "--exact", "--test-threads=1"]
            .map(Into::into)
            .to_vec(),
    };
    serve_mounter(state, &state.join("run/mounter.sock"), program).unwrap();
}

/// What that starts for a review.
pub fn serve_review() {
    review().unwrap();
}

fn docker(args: &[&str]) -> Result<String, String> {
    let out = Command::new("docker")
        .args(args)
        .output()
        .map_err(|e| e.to_string())?;
    if out.status.success() {
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&out.stderr).into_owned())
    }
}

/// Gives a file or folder to somebody.
pub fn own(path: &Path, id: u32) {
    chown(path, Some(id), Some(id)).unwrap();
}

pub struct Stage {
    name: String,
    pub dir: tempfile::TempDir,
    pub state: PathBuf,
    pub client: MounterClient,
    next: AtomicU32,
}

pub struct Worker {
    pub id: String,
    pub pid: i32,
    name: String,
    pub claimed_at_ns: i64,
}

impl Worker {
    /// Runs a command as the session's user; it must succeed.
    pub fn sh(&self, command: &str) -> String {
        let user = format!("{UID}:{UID}");
        docker(&["exec", "-u", &user, &self.name, "sh", "-c", command]).unwrap()
    }

    /// Takes the container away.
    pub fn remove(&self) {
        docker(&["rm", "-f", &self.name]).unwrap();
    }
}

/// A socket's address is short; the state folder's path may not be. Each review dials it again.
fn short_path(name: &str) -> PathBuf {
    PathBuf::from(format!("/tmp/{name}"))
}

impl Drop for Stage {
    fn drop(&mut self) {
        fs::remove_file(short_path(&self.name)).unwrap_or_default();
        let filter = format!("name=^/{}-", self.name);
        let ids = docker(&["ps", "-aq", "--filter", &filter]).unwrap_or_default();
        for id in ids.split_whitespace() {
            if std::thread::panicking() && id == ids.split_whitespace().last().unwrap_or_default() {
                eprintln!("mounter: {}", docker(&["logs", id]).unwrap_or_default());
            }
            docker(&["rm", "-f", id]).unwrap_or_default();
        }
        docker(&["rmi", "-f", &self.name]).unwrap_or_default();
    }
}

impl Stage {
    /// Whether a stage can be started here.
    pub fn possible() -> bool {
        needs::engine() && needs::program("busybox")
    }

    /// Starts the mounter.
    pub async fn start() -> Self {
        let busybox = ["/bin/busybox", "/usr/bin/busybox"]
            .into_iter()
            .find(|b| Path::new(b).exists())
            .expect("a static busybox");
        let nanos = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_nanos();
        let name = format!(
            "podbay-wstest-{}-{}",
            std::process::id(),
            nanos % 1_000_000_000
        );
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let state = dir.path().join("state");
        fs::create_dir_all(state.join("run")).unwrap();
        let socket = state.join("run/mounter.sock");
        let short = short_path(&name);
        std::os::unix::fs::symlink(&state, &short).unwrap();
        let stage = Self {
            client: MounterClient::connect(short.join("run/mounter.sock")),
            name,
            state,
            dir,
            next: AtomicU32::new(1),
        };
        stage.image(Path::new(busybox));
        stage.mounter();
        for _ in 0..500 {
            if socket.exists() && stage.client.probe().await.is_ok() {
                return stage;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let logs = docker(&["logs", &format!("{}-mounter", stage.name)]);
        panic!("the mounter does not answer: {logs:?}");
    }

    fn image(&self, busybox: &Path) {
        let root = self.dir.path().join("image");
        for folder in [
            "bin",
            "workspace",
            ".podbay/run",
            "proc",
            "dev",
            "sys",
            "etc",
            "lib64",
            "lib",
            "usr",
            "var/lib/podbay",
        ] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::copy(busybox, root.join("bin/busybox")).unwrap();
        for applet in [
            "sh", "cat", "ls", "stat", "sleep", "rm", "mkdir", "ln", "touch", "grep",
        ] {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
        fs::write(root.join("mounter"), "").unwrap();
        let mut tar = Command::new("tar")
            .args(["-C", root.to_str().unwrap(), "-c", "."])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let status = Command::new("docker")
            .args(["import", "-c", "ENV PATH=/bin", "-", &self.name])
            .stdin(tar.stdout.take().unwrap())
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(tar.wait().unwrap().success() && status.success());
    }

    fn mounter(&self) {
        let name = format!("{}-mounter", self.name);
        let me = std::env::current_exe().unwrap();
        let me = format!("{}:/mounter:ro", me.display());
        let state = format!("{}:{STATE}", self.state.display());
        let folder = format!("PODBAY_TEST_STATE={STATE}");
        let mut args = vec![
            "run",
            "-d",
            "--name",
            &name,
            "--network=none",
            "--pid=host",
            "--read-only",
            "--cap-drop=ALL",
            "--security-opt=no-new-privileges",
            "-e",
            &folder,
            "-v",
            &state,
            "-v",
            &me,
            // The test binary is dynamic; the real one is not and needs nothing else.
            "-v",
            "/lib:/lib:ro",
            "-v",
            "/lib64:/lib64:ro",
            "-v",
            "/usr/lib:/usr/lib:ro",
        ];
        let caps = std::env::var("PODBAY_TEST_CAPS").unwrap_or_else(|_| {
            "SYS_ADMIN SYS_CHROOT SYS_PTRACE SETUID SETGID CHOWN FOWNER DAC_OVERRIDE FSETID SETFCAP".into()
        });
        let caps: Vec<_> = caps.split(' ').map(|c| format!("--cap-add={c}")).collect();
        args.extend(caps.iter().map(String::as_str));
        args.extend([
            self.name.as_str(),
            "/mounter",
            "mounter_process",
            "--exact",
            "--nocapture",
            "--test-threads=1",
        ]);
        docker(&args).unwrap();
    }

    pub async fn worker(&self) -> Worker {
        self.worker_with(&[], false).await
    }

    /// With more `docker run` arguments, and `/workspace` replaced by a link if asked for.
    pub async fn worker_with(&self, more: &[&str], linked: bool) -> Worker {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        let id = format!("{n:012x}");
        let (uid, gid) = (UID, UID);
        let request = PrepareRequest {
            worker: id.clone(),
            uid,
            gid,
        };
        self.client.prepare(request).await.unwrap();
        let name = format!("{}-w{n}", self.name);
        let run = format!("{}/workers/{id}/run:/.podbay/run:ro", self.state.display());
        let mut args = vec![
            "run",
            "-d",
            "--name",
            &name,
            "--network=none",
            "--cap-drop=ALL",
            "--security-opt=no-new-privileges",
            "-v",
            &run,
        ];
        args.extend(more);
        if !linked {
            args.push("--read-only");
        }
        let command = if linked {
            "/bin/busybox rmdir /workspace && ln -s /scratch /workspace && exec sleep 3600"
        } else {
            "exec sleep 3600"
        };
        args.extend([self.name.as_str(), "sh", "-c", command]);
        docker(&args).unwrap();
        let pid = docker(&["inspect", "-f", "{{.State.Pid}}", &name]).unwrap();
        let pid = pid.trim().parse().unwrap();
        if linked {
            docker(&[
                "exec",
                &name,
                "sh",
                "-c",
                "until stat -c %F /workspace | grep -q link; do sleep 0.01; done",
            ])
            .unwrap();
        }
        Worker {
            id,
            pid,
            name,
            claimed_at_ns: 0,
        }
    }

    /// A project folder of somebody.
    pub fn project(&self, name: impl AsRef<Path>, owner: u32) -> PathBuf {
        let path = self.dir.path().join("projects").join(name);
        fs::create_dir_all(&path).unwrap();
        own(&path, owner);
        path
    }

    pub fn request(&self, worker: &Worker, project: &Path, mode: MountMode) -> MountRequest {
        MountRequest {
            worker: worker.id.clone(),
            pid: worker.pid,
            project: HostPath::new(project),
            mode,
            uid: UID,
            gid: UID,
            policy: Policy::default(),
        }
    }

    pub async fn prepare_overlay(
        &self,
        worker: &Worker,
        project: &Path,
    ) -> Result<(), MounterError> {
        let request = OverlayRequest {
            worker: worker.id.clone(),
            project: HostPath::new(project),
            uid: UID,
            gid: UID,
            policy: Policy::default(),
        };
        self.client.prepare_overlay(request).await
    }

    pub async fn mount(
        &self,
        worker: &Worker,
        project: &Path,
        mode: MountMode,
    ) -> Result<Mounted, MounterError> {
        self.client.mount(self.request(worker, project, mode)).await
    }

    /// A review of a worker whose claim is now.
    pub fn target(&self, worker: &Worker, mounted: &Mounted) -> ReviewClaim {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        ReviewClaim {
            target: ReviewTarget {
                worker: worker.id.clone(),
                project: mounted.project.clone(),
                dev: mounted.dev,
                ino: mounted.ino,
                claimed_at_ns: i64::try_from(now.as_nanos())
                    .unwrap()
                    .max(worker.claimed_at_ns),
                policy: Policy::default(),
            },
            fsid: mounted.fsid,
        }
    }
}
