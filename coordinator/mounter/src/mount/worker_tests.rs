//! Projects in a process that is as a worker is, in the kernel.

use super::*;
use crate::{
    folders,
    host::Host,
    needs,
    wire::{MounterErrorKind, PrepareRequest},
};
use nix::{
    mount::{MsFlags, mount as mount_at},
    sched::{CloneFlags, unshare},
};
use podbay_model::model::HostPath;
use std::{
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
};

const WORKER: &str = "0123456789ab";
const UID: u32 = 200_000;

/// A worker: a process with a root and mounts of its own.
struct Bench {
    place: Place,
    worker: Child,
    project: PathBuf,
    folder: tempfile::TempDir,
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.worker.kill().unwrap();
        self.worker.wait().unwrap();
    }
}

impl Bench {
    fn pid(&self) -> i32 {
        i32::try_from(self.worker.id()).unwrap()
    }

    fn mount(&mut self, mode: MountMode) -> Result<Mounted> {
        let request = MountRequest {
            worker: WORKER.to_owned(),
            pid: self.pid(),
            project: HostPath::new(self.project.as_path()),
            mode,
            uid: UID,
            gid: UID,
            policy: Default::default(),
        };
        let mut then = Then::default();
        let mounted = mount(&mut self.place, &request, &mut then);
        if let Some(staged) = then.staged {
            staged.clean(&mut self.place);
        }
        mounted
    }

    /// Does something where the worker is.
    fn inside<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let worker = self.place.host.worker(WORKER).unwrap();
        let process = hold(self.pid()).unwrap();
        self.place.enter_worker(&process, &worker).unwrap();
        work()
    }

    fn read(&mut self, name: &str) -> std::io::Result<String> {
        let path = Path::new(WORKSPACE).join(name);
        self.inside(|| fs::read_to_string(path))
    }
}

/// Runs a test in mounts of its own; without root it says so and passes.
fn apart(test: impl FnOnce(Bench) + Send + 'static) {
    if !needs::root() {
        return;
    }
    let run = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_FS).unwrap();
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount_at(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["state", "project", "root"] {
            fs::create_dir(at(name)).unwrap();
        }
        // Upper folders of overlays cannot be in an overlay, in which this folder may be.
        let none = MsFlags::empty();
        mount_at(Some("t"), &at("state"), Some("tmpfs"), none, None::<&str>).unwrap();
        let host = Host::open(&at("state")).unwrap();
        let prepare = PrepareRequest {
            worker: WORKER.to_owned(),
            uid: UID,
            gid: UID,
        };
        folders::prepare(&host, &prepare).unwrap();
        let script = "mount -t tmpfs t root && mkdir -p root/workspace root/.podbay/run \
            && mount --bind \"state/workers/$0/run\" root/.podbay/run \
            && mount --move root / && echo ready && exec sleep 600";
        let mut worker = Command::new("unshare")
            .args(["--mount", "sh", "-c", script, WORKER])
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let said = worker.stdout.take().unwrap();
        BufReader::new(said).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        test(Bench {
            place: Place::new(Arc::clone(&host)).unwrap(),
            worker,
            project: at("project"),
            folder,
        });
    });
    run.join().unwrap();
}

#[test]
fn the_hosts_later_edits_are_in_an_overlay_once_it_was_refreshed() {
    apart(|mut bench| {
        let project = bench.project.clone();
        fs::write(project.join("conf"), "old").unwrap();
        bench.mount(MountMode::Overlay).unwrap();
        let worker = bench.pid();
        // Looked up, and so remembered.
        assert_eq!(bench.read("conf").unwrap(), "old");
        assert!(bench.read("late").is_err() && bench.read("folder/file").is_err());
        bench
            .inside(|| fs::write("/workspace/own", "of the worker"))
            .unwrap();
        bench.place.enter_engine().unwrap();
        fs::write(project.join("late"), "new").unwrap();
        fs::write(project.join("conf.new"), "saved").unwrap();
        fs::rename(project.join("conf.new"), project.join("conf")).unwrap();
        fs::create_dir(project.join("folder")).unwrap();
        fs::write(project.join("folder/file"), "deep").unwrap();
        assert!(
            bench.read("late").is_err(),
            "this kernel needs no refresh: the test shows nothing"
        );
        refresh::refresh(&mut bench.place, WORKER, worker).unwrap();
        assert_eq!(bench.read("late").unwrap(), "new");
        assert_eq!(bench.read("conf").unwrap(), "saved");
        assert_eq!(bench.read("folder/file").unwrap(), "deep");
        // It is the overlay of before, which can be written to.
        assert_eq!(bench.read("own").unwrap(), "of the worker");
        bench
            .inside(|| fs::write("/workspace/late", "changed"))
            .unwrap();
        assert_eq!(bench.read("late").unwrap(), "changed");
        let flags = bench.inside(|| rustix::fs::statvfs(WORKSPACE).unwrap().f_flag);
        let hard = rustix::fs::StatVfsMountFlags::NOSUID | rustix::fs::StatVfsMountFlags::NODEV;
        assert!(flags.contains(hard), "{flags:?}");
        bench.place.enter_engine().unwrap();
        assert_eq!(fs::read_to_string(project.join("late")).unwrap(), "new");
    });
}

#[test]
fn only_a_live_overlay_of_the_workers_own_is_refreshed() {
    apart(|mut bench| {
        let worker = bench.pid();
        let own = i32::try_from(std::process::id()).unwrap();
        let refused = |bench: &mut Bench, pid| {
            let refused = refresh::refresh(&mut bench.place, WORKER, pid).unwrap_err();
            assert_eq!(refused.kind, MounterErrorKind::BadTarget, "{refused}");
        };
        refused(&mut bench, worker);
        bench.mount(MountMode::Bind).unwrap();
        refused(&mut bench, worker);
        unmount_workspace(&mut bench.place, WORKER, worker).unwrap();
        bench.mount(MountMode::Overlay).unwrap();
        // A process that is not in this worker, and none.
        refused(&mut bench, own);
        refused(&mut bench, 0);
        let other = refresh::refresh(&mut bench.place, "../../0123ab", worker).unwrap_err();
        assert_eq!(other.kind, MounterErrorKind::BadTarget);
        refresh::refresh(&mut bench.place, WORKER, worker).unwrap();
    });
}
