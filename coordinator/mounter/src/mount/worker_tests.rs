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

/// A mount in the engine's namespace, which is that of the test's parent: taken away at the end, by a
/// thread that is there.
struct There(PathBuf, fs::File);

impl Drop for There {
    fn drop(&mut self) {
        let (at, namespace) = (self.0.clone(), self.1.try_clone().unwrap());
        let away = std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_FS).unwrap();
            nix::sched::setns(namespace, CloneFlags::CLONE_NEWNS).unwrap();
            nix::mount::umount2(&at, nix::mount::MntFlags::MNT_DETACH).unwrap();
        });
        away.join().unwrap();
    }
}

impl Bench {
    fn there(&self, at: &Path) -> There {
        let path = format!("{}/ns/mnt", std::os::unix::process::parent_id());
        let namespace = self.place.host.proc(&path, OFlags::RDONLY).unwrap();
        There(at.to_owned(), namespace.into())
    }

    fn mount_there(&mut self, kind: &str, at: &Path, flags: MsFlags, data: &str) -> Option<There> {
        self.place.enter_engine().unwrap();
        mount_at(Some("t"), at, Some(kind), flags, Some(data)).ok()?;
        Some(self.there(at))
    }

    fn bind_there(&mut self, from: &Path, at: &Path, flags: MsFlags) -> There {
        self.place.enter_engine().unwrap();
        let none = None::<&str>;
        mount_at(Some(from), at, none, MsFlags::MS_BIND, none).unwrap();
        let there = self.there(at);
        let flags = flags | MsFlags::MS_BIND | MsFlags::MS_REMOUNT;
        mount_at(none, at, none, flags, none).unwrap();
        there
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

#[test]
fn what_an_overlay_leaves_out_is_named() {
    apart(|mut bench| {
        let project = bench.project.clone();
        bench.place.enter_engine().unwrap();
        for folder in ["da ta", "plain"] {
            fs::create_dir(project.join(folder)).unwrap();
        }
        fs::write(project.join("conf"), "under").unwrap();
        let secret = bench.folder.path().join("secret");
        fs::write(&secret, "over").unwrap();
        let none = MsFlags::empty();
        // The list of mounts is read before, too.
        let clean = bench.mount(MountMode::Overlay).unwrap();
        assert_eq!((clean.left_out.len(), clean.left_out_more), (0, false));
        let worker = bench.pid();
        unmount_workspace(&mut bench.place, WORKER, worker).unwrap();
        let data = bench.mount_there("tmpfs", &project.join("da ta"), none, "");
        let data = data.unwrap();
        fs::create_dir(project.join("da ta/in")).unwrap();
        let inner = bench.mount_there("tmpfs", &project.join("da ta/in"), none, "");
        let conf = bench.bind_there(&secret, &project.join("conf"), none);
        let found = bench.mount(MountMode::Overlay).unwrap();
        let named = |found: &Mounted| -> Vec<(String, bool)> {
            let named = found.left_out.iter();
            named.map(|l| (l.path.to_string(), l.file)).collect()
        };
        assert_eq!(
            named(&found),
            [("conf".to_owned(), true), ("da ta".to_owned(), false)]
        );
        // As it says: what lies under it.
        assert_eq!(bench.read("conf").unwrap(), "under");
        unmount_workspace(&mut bench.place, WORKER, worker).unwrap();
        let bound = bench.mount(MountMode::Bind).unwrap();
        assert!(bound.left_out.is_empty());
        assert_eq!(bench.read("conf").unwrap(), "over");
        unmount_workspace(&mut bench.place, WORKER, worker).unwrap();
        drop(inner);
        drop(data);
        let found = bench.mount(MountMode::Overlay).unwrap();
        assert_eq!(named(&found), [("conf".to_owned(), true)]);
        drop(conf);
    });
}

#[test]
fn an_overlay_over_a_mount_that_is_noexec_is_noexec() {
    apart(|mut bench| {
        let project = bench.project.clone();
        let noexec = |bench: &mut Bench| {
            bench.mount(MountMode::Overlay).unwrap();
            let flags = bench.inside(|| rustix::fs::statvfs(WORKSPACE).unwrap().f_flag);
            let worker = bench.pid();
            unmount_workspace(&mut bench.place, WORKER, worker).unwrap();
            flags.contains(rustix::fs::StatVfsMountFlags::NOEXEC)
        };
        assert!(!noexec(&mut bench));
        let ahead = |bench: &mut Bench| {
            let request = crate::wire::OverlayRequest {
                worker: WORKER.to_owned(),
                project: HostPath::new(bench.project.as_path()),
                uid: UID,
                gid: UID,
                policy: Default::default(),
            };
            prepared::prepare(&mut bench.place, &request).unwrap();
        };
        ahead(&mut bench);
        let there = bench.bind_there(&project, &project, MsFlags::MS_NOEXEC);
        assert!(noexec(&mut bench), "the one made ahead was given");
        ahead(&mut bench);
        assert!(noexec(&mut bench));
        drop(there);
    });
}

#[test]
fn the_mount_that_cannot_be_id_mapped_is_named() {
    apart(|mut bench| {
        let project = bench.project.clone();
        bench.place.enter_engine().unwrap();
        for folder in ["a", "b"] {
            fs::create_dir(project.join(folder)).unwrap();
        }
        let none = MsFlags::empty();
        let tmpfs = bench.mount_there("tmpfs", &project.join("a"), none, "");
        // A file system that no kernel id-maps.
        let proc = bench
            .mount_there("proc", &project.join("b"), none, "")
            .unwrap();
        let found = bench.mount(MountMode::Bind).unwrap();
        let why = found.idmap_reason.unwrap();
        // Where the tests run on a file system that cannot be mapped, that one is the first.
        let named = "what is mounted inside the project at b (proc) cannot be id-mapped: ";
        let own = "the project's file system cannot be id-mapped: ";
        let alone = {
            let open = project::open(
                &mut bench.place,
                &HostPath::new(project.as_path()),
                &Default::default(),
            );
            let ids = (UID, UID);
            let host = Arc::clone(&bench.place.host);
            layer(&host, &open.unwrap(), MountMode::Overlay, ids)
                .unwrap()
                .1
        };
        let expected = if alone.idmapped { named } else { own };
        assert!(why.starts_with(expected), "{why}");
        drop((tmpfs, proc));
    });
}

#[test]
fn a_fuse_file_system_of_somebody_else_is_refused_with_what_to_do() {
    apart(|mut bench| {
        use std::os::fd::AsRawFd;
        let project = bench.project.clone();
        let fuse = fs::File::options().read(true).write(true).open("/dev/fuse");
        if !needs::met("/dev/fuse", fuse.as_ref().map(|_| ())) {
            return;
        }
        let fuse = fuse.unwrap();
        let data = format!(
            "fd={},rootmode=40000,user_id=1000,group_id=1000",
            fuse.as_raw_fd()
        );
        let there = bench.mount_there("fuse", &project, MsFlags::empty(), &data);
        if !needs::met(
            "FUSE",
            there.as_ref().map(|_| ()).ok_or("it cannot be mounted"),
        ) {
            return;
        }
        for mode in [MountMode::Bind, MountMode::Overlay] {
            let refused = bench.mount(mode).unwrap_err();
            assert_eq!(refused.kind, MounterErrorKind::Unsupported, "{refused}");
            assert_eq!(
                refused.message,
                "reading the project's folder: Permission denied: a FUSE file system without \
                 allow_other can be read by its owner alone; mount it with -o allow_other"
            );
        }
        bench.project = project.join("inside");
        let refused = bench.mount(MountMode::Bind).unwrap_err();
        assert!(
            refused.message.ends_with("with -o allow_other"),
            "{refused}"
        );
        drop(there);
    });
}

#[test]
fn where_no_overlay_can_be_the_answer_says_what_can() {
    apart(|mut bench| {
        let project = bench.project.clone();
        bench.place.enter_engine().unwrap();
        // Overlays on overlays, as deep as the kernel has them.
        let mut there = Vec::new();
        let mut refused = None;
        for n in 0..4 {
            let at = |what: &str| bench.folder.path().join(format!("{what}{n}"));
            let (upper, work, merged) = (at("u"), at("w"), at("m"));
            let base = bench.folder.path().join(format!("t{n}"));
            fs::create_dir(&base).unwrap();
            fs::create_dir(&merged).unwrap();
            there.push(
                bench
                    .mount_there("tmpfs", &base, MsFlags::empty(), "")
                    .unwrap(),
            );
            let (upper, work) = (
                base.join(upper.file_name().unwrap()),
                base.join(work.file_name().unwrap()),
            );
            fs::create_dir(&upper).unwrap();
            fs::create_dir(&work).unwrap();
            let data = format!(
                "lowerdir={},upperdir={},workdir={}",
                bench.project.display(),
                upper.display(),
                work.display()
            );
            match bench.mount_there("overlay", &merged, MsFlags::empty(), &data) {
                Some(mounted) => there.push(mounted),
                None => break,
            }
            bench.project = merged;
            match bench.mount(MountMode::Overlay) {
                Ok(_) => {
                    let worker = bench.pid();
                    unmount_workspace(&mut bench.place, WORKER, worker).unwrap();
                }
                Err(error) => {
                    refused = Some(error);
                    break;
                }
            }
            bench.place.enter_engine().unwrap();
        }
        let refused = refused.expect("so deep no kernel goes");
        assert_eq!(refused.kind, MounterErrorKind::Unsupported, "{refused}");
        assert!(
            refused
                .message
                .starts_with("no overlay over this project ("),
            "{refused}"
        );
        assert!(
            refused.message.ends_with("; use --isolation bind"),
            "{refused}"
        );
        bench.project = project;
        while there.pop().is_some() {}
    });
}

#[test]
fn a_project_whose_device_got_another_number_is_the_one_that_was_claimed() {
    apart(|mut bench| {
        use crate::wire::{ReviewClaim, ReviewTarget};
        let mounted = bench.mount(MountMode::Overlay).unwrap();
        let (dev, ino, fsid) = (mounted.dev, mounted.ino, mounted.fsid);
        let mut same = |dev, ino, fsid| {
            let claim = ReviewClaim {
                target: ReviewTarget {
                    worker: WORKER.to_owned(),
                    project: mounted.project.clone(),
                    dev,
                    ino,
                    claimed_at_ns: 0,
                    policy: Default::default(),
                },
                fsid,
            };
            let found = project::reopen(&mut bench.place, &claim).unwrap();
            matches!(found, project::Reopened::Same(_))
        };
        assert!(same(dev, ino, fsid) && same(dev, ino, None));
        assert!(!same(dev + 1, ino, None) && !same(dev + 1, ino, Some(0)));
        assert!(!same(dev, ino + 1, fsid));
        let lasts = fsid
            .map(|_| ())
            .ok_or("that of the temporary folder has none");
        if !needs::met("a file system with an id that lasts", lasts) {
            return;
        }
        let fsid = fsid.unwrap();
        assert!(same(dev + 1, ino, Some(fsid)));
        assert!(!same(dev + 1, ino + 1, Some(fsid)));
        assert!(!same(dev + 1, ino, Some(fsid ^ 1)));
        // One that does not outlive its mount has none.
        let project = bench.project.clone();
        let there = bench.mount_there("tmpfs", &project, MsFlags::empty(), "");
        assert_eq!(bench.mount(MountMode::Bind).unwrap().fsid, None);
        drop(there);
    });
}
