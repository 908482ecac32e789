//! Overlays that are made ahead and claimed, in the kernel.

use super::*;
use crate::{folders, needs, wire::PrepareRequest};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};
use podbay_model::model::HostPath;
use rustix::{
    fs::{Mode, OFlags, mkdirat, openat},
    io::Errno,
};
use std::{
    fs,
    io::{Read, Write},
    path::PathBuf,
    sync::Arc,
};

const WORKER: &str = "0123456789ab";
const UID: u32 = 200_000;

struct Bench {
    host: Arc<Host>,
    place: Place,
    state: PathBuf,
    project: PathBuf,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn overlay(&mut self) -> Result<(), MounterError> {
        let request = OverlayRequest {
            worker: WORKER.to_owned(),
            project: HostPath::new(self.project.as_path()),
            uid: UID,
            gid: UID,
            policy: Default::default(),
        };
        let prepared = prepare(&mut self.place, &request);
        // Where the state volume is; the engine's namespace does not have it here.
        self.place.enter_staging().unwrap();
        prepared
    }

    /// What a claim of this project gets, and whether something else was prepared.
    fn claim(&mut self, project: &Path) -> (Option<OwnedFd>, bool) {
        let request = MountRequest {
            worker: WORKER.to_owned(),
            pid: 1,
            project: HostPath::new(project),
            mode: MountMode::Overlay,
            uid: UID,
            gid: UID,
            policy: Default::default(),
        };
        let worker = self.host.worker(WORKER).unwrap();
        let project = project::open(&mut self.place, &request.project, &request.policy).unwrap();
        let mut unfit = None;
        let found = claim(&self.host, &worker, &project, &request, &mut unfit);
        self.place.enter_staging().unwrap();
        (found.map(|(overlay, _)| overlay), unfit.is_some())
    }

    fn changes(&self, path: &str) -> PathBuf {
        self.state
            .join("workers")
            .join(WORKER)
            .join("changes")
            .join(path)
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
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (state, project) = (folder.path().join("state"), folder.path().join("project"));
        fs::create_dir(&state).unwrap();
        fs::create_dir(&project).unwrap();
        fs::write(project.join("file"), "of the project").unwrap();
        // Upper folders of overlays cannot be in an overlay, in which this folder may be.
        let none = MsFlags::empty();
        mount(Some("t"), &state, Some("tmpfs"), none, None::<&str>).unwrap();
        let host = Host::open(&state).unwrap();
        let prepare = PrepareRequest {
            worker: WORKER.to_owned(),
            uid: UID,
            gid: UID,
        };
        folders::prepare(&host, &prepare).unwrap();
        test(Bench {
            place: Place::new(Arc::clone(&host)).unwrap(),
            host,
            state,
            project,
            _folder: folder,
        });
    });
    run.join().unwrap();
}

fn read(overlay: &OwnedFd, name: &str) -> rustix::io::Result<String> {
    let mut text = String::new();
    let file = openat(overlay, name, OFlags::RDONLY, Mode::empty())?;
    fs::File::from(file).read_to_string(&mut text).unwrap();
    Ok(text)
}

fn write(overlay: &OwnedFd, name: &str, text: &str) {
    let flags = OFlags::WRONLY | OFlags::CREATE;
    let file = openat(overlay, name, flags, Mode::from_raw_mode(0o600)).unwrap();
    fs::File::from(file).write_all(text.as_bytes()).unwrap();
}

#[test]
fn a_claim_gets_the_overlay_that_was_prepared_and_its_changes_are_where_reviews_look() {
    apart(|mut bench| {
        bench.overlay().unwrap();
        // The project goes on meanwhile.
        fs::write(bench.project.join("later"), "seen").unwrap();
        let project = bench.project.clone();
        let (overlay, unfit) = bench.claim(&project);
        let overlay = overlay.expect("prepared");
        assert!(!unfit);
        assert_eq!(read(&overlay, "file").unwrap(), "of the project");
        assert_eq!(read(&overlay, "later").unwrap(), "seen");
        write(&overlay, "new", "change");
        write(&overlay, "file", "changed");
        assert_eq!(
            fs::read_to_string(bench.changes("upper/new")).unwrap(),
            "change"
        );
        assert!(bench.changes("upper/file").exists());
        assert_eq!(
            fs::read_to_string(project.join("file")).unwrap(),
            "of the project"
        );
        // It is given once.
        let (again, unfit) = bench.claim(&project);
        assert!(again.is_none() && !unfit);
    });
}

#[test]
fn another_project_or_another_folder_in_its_place_is_not_served_by_it() {
    apart(|mut bench| {
        bench.overlay().unwrap();
        let other = bench._folder.path().join("other");
        fs::create_dir(&other).unwrap();
        let (none, unfit) = bench.claim(&other);
        assert!(none.is_none() && unfit);
        bench.overlay().unwrap();
        let project = bench.project.clone();
        fs::rename(&project, bench._folder.path().join("away")).unwrap();
        fs::create_dir(&project).unwrap();
        let (none, unfit) = bench.claim(&project);
        assert!(none.is_none() && unfit, "the folder of before was given");
        // The folders of an ordinary claim are as they were.
        assert!(bench.changes("upper").is_dir() && bench.changes("work").is_dir());
        assert_eq!(fs::read_dir(bench.changes("upper")).unwrap().count(), 0);
    });
}

#[test]
fn a_worker_with_a_project_or_with_changes_keeps_its_folders() {
    apart(|mut bench| {
        // Claimed: nothing is prepared.
        let facts = bench.state.join("workers").join(WORKER).join("mount.json");
        fs::write(&facts, "{}").unwrap();
        bench.overlay().unwrap();
        assert!(!bench.changes("next").exists());
        fs::remove_file(&facts).unwrap();
        // Changes in the way: the claim makes an overlay of its own, over them.
        bench.overlay().unwrap();
        let upper = rustix::fs::open(
            bench.changes("upper"),
            OFlags::RDONLY | OFlags::DIRECTORY,
            Mode::empty(),
        );
        mkdirat(upper.unwrap(), "kept", Mode::RWXU).unwrap();
        let project = bench.project.clone();
        let (none, _) = bench.claim(&project);
        assert!(none.is_none());
        assert!(bench.changes("upper/kept").is_dir());
        // The folders of the worker go, and the overlay with them.
        bench.overlay().unwrap();
        folders::remove(&bench.host, WORKER).unwrap();
        assert!(!bench.changes("").exists());
        assert!(bench.host.prepared.take(WORKER).is_none());
    });
}

#[test]
fn what_the_policy_refuses_is_not_prepared() {
    apart(|mut bench| {
        bench.project = "/etc".into();
        let refused = bench.overlay().unwrap_err();
        assert_eq!(refused.kind, crate::wire::MounterErrorKind::Refused);
        bench.project = "/no/such/folder".into();
        assert!(bench.overlay().is_err());
        assert!(bench.host.prepared.take(WORKER).is_none());
        assert_eq!(
            bench
                .host
                .worker(WORKER)
                .unwrap()
                .sub(Path::new("changes/next"))
                .unwrap_err(),
            Errno::NOENT
        );
    });
}
