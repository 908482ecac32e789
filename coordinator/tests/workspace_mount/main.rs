//! The mounter in a real helper container, real workers, real mounts.
//!
//! Needs root, a Docker engine on this machine and a static busybox; without them each test says
//! so and passes. This test binary is also the mounter that runs in the container.

/// A mounter in its container; where there can be none, the test ends.
macro_rules! stage {
    () => {{
        if !Stage::possible() {
            return;
        }
        Stage::start().await
    }};
}

mod reviews;
#[path = "../support/workspace.rs"]
mod support;

use coordinator::{
    model::HostPath,
    mounter_client::{MountFacts, MountMode, MounterErrorKind, Policy},
};
use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use support::{Stage, UID};

#[test]
fn mounter_process() {
    // What the other tests start, in a process or a container of its own.
    if std::env::var_os("PODBAY_TEST_STATE").is_some() {
        support::serve();
    }
}

#[test]
fn review_process() {
    // What that one starts, with a socket as its stdin.
    let stdin = std::io::stdin();
    if std::env::var_os("PODBAY_TEST_STATE").is_some() && rustix::net::getpeername(&stdin).is_ok() {
        support::serve_review();
    }
}

#[test]
fn sigterm_ends_it_at_once() {
    use std::os::unix::{fs::PermissionsExt, process::ExitStatusExt};
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["mounter_process", "--exact", "--test-threads=1"])
        .env("PODBAY_TEST_STATE", dir.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let socket = dir.path().join("run/mounter.sock");
    while !socket.exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended early");
        std::thread::yield_now();
    }
    let _idle = std::os::unix::net::UnixStream::connect(&socket).unwrap();
    let mode = fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let asked = Instant::now();
    let pid = nix::unistd::Pid::from_raw(child.id().try_into().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    let status = child.wait().unwrap();
    // The harness may have the test on a second thread, and then the signal ends the first.
    assert!(status.success() || status.signal() == Some(15), "{status}");
    assert!(asked.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn a_bind_works_both_ways_and_keeps_the_owner() {
    let stage = stage!();
    let caps = stage.client.probe().await.unwrap();
    assert!(caps.bind && caps.overlay && caps.idmap, "{caps:?}");
    let worker = stage.worker().await;
    let project = stage.project("with space\nand \"newline\"", 1234);
    fs::write(project.join("from-host"), "hello").unwrap();
    support::own(&project.join("from-host"), 1234);

    let mounted = stage
        .mount(&worker, &project, MountMode::Bind)
        .await
        .unwrap();
    assert!(mounted.idmapped, "{:?}", mounted.idmap_reason);
    assert_eq!((mounted.session_uid, mounted.owner_uid), (UID, 1234));
    assert_eq!(mounted.ino, fs::metadata(&project).unwrap().ino());
    let seen = worker.sh("cat /workspace/from-host; stat -c %u /workspace /workspace/from-host");
    assert_eq!(seen, format!("hello{UID}\n{UID}\n"));
    worker.sh("echo back > /workspace/from-worker; echo more >> /workspace/from-host");
    let made = fs::metadata(project.join("from-worker")).unwrap();
    assert_eq!((made.uid(), made.gid()), (1234, 1234));
    let text = fs::read_to_string(project.join("from-host")).unwrap();
    assert_eq!(text, "hellomore\n");
    let flags = worker.sh("grep ' /workspace ' /proc/self/mountinfo");
    assert!(
        flags.contains("nosuid,nodev") && !flags.contains("shared:"),
        "{flags}"
    );

    stage.client.unmount(&worker.id, worker.pid).await.unwrap();
    assert_eq!(worker.sh("ls /workspace"), "");
    stage.client.unmount(&worker.id, worker.pid).await.unwrap();
}

#[tokio::test]
async fn what_must_not_be_mounted_is_refused() {
    use MounterErrorKind::{BadTarget, NotAFolder, Refused};
    let stage = stage!();
    let worker = stage.worker().await;
    let other = stage.worker().await;
    let project = stage.project("plain", 1234);
    fs::write(project.join("file"), "").unwrap();
    let link = stage.dir.path().join("to-etc");
    std::os::unix::fs::symlink("/etc", &link).unwrap();
    let policy = Policy {
        refuse: vec![(HostPath::new(stage.state.as_path()), "state volume".into())],
        ..Policy::default()
    };
    let state = stage.state.as_path();
    for (path, kind, says) in [
        (Path::new("/etc"), Refused, "`kernel`"),
        (Path::new("/"), Refused, "`root`"),
        (Path::new("/usr/bin"), Refused, "`system`"),
        (Path::new("/root"), Refused, "`home`"),
        (link.as_path(), Refused, "`kernel`"),
        (state, Refused, "`state volume`"),
        (stage.dir.path(), Refused, "`state volume`"),
        (&project.join("file"), NotAFolder, "not a folder"),
        (&project.join("none"), NotAFolder, "no such folder"),
        (Path::new("relative"), NotAFolder, "absolute"),
    ] {
        let mut request = stage.request(&worker, path, MountMode::Bind);
        request.policy = policy.clone();
        let e = stage.client.mount(request).await.unwrap_err();
        assert!(
            e.kind == kind && e.message.contains(says),
            "{path:?}: {e:?}"
        );
    }
    for (id, pid) in [
        (worker.id.as_str(), other.pid),
        (worker.id.as_str(), 1),
        (worker.id.as_str(), i32::MAX),
        (worker.id.as_str(), -1),
        ("0123456789ab", worker.pid),
        ("../workers/x", worker.pid),
    ] {
        let mut request = stage.request(&worker, &project, MountMode::Bind);
        (request.worker, request.pid) = (id.to_owned(), pid);
        let e = stage.client.mount(request).await.unwrap_err();
        assert_eq!(e.kind, BadTarget, "{id} {pid}: {e:?}");
    }
    assert_eq!(worker.sh("ls /workspace"), "");
    let odd = stage.project(OsStr::from_bytes(b"odd \xff\xfe"), 1234);
    for mode in [MountMode::Overlay, MountMode::Bind] {
        let mounted = stage.mount(&worker, &odd, mode).await.unwrap();
        assert_eq!(mounted.project.as_path(), odd);
    }
}

#[tokio::test]
async fn a_link_swapped_all_the_time_never_leads_to_another_folder() {
    let stage = stage!();
    let worker = stage.worker().await;
    let good = stage.project("good", 1234);
    let link = stage.dir.path().join("swapped");
    std::os::unix::fs::symlink(&good, &link).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let swapper = {
        let (stop, good, link) = (stop.clone(), good.clone(), link.clone());
        std::thread::spawn(move || {
            let next = link.with_extension("next");
            while !stop.load(Ordering::Relaxed) {
                for target in [Path::new("/etc"), &good] {
                    std::os::unix::fs::symlink(target, &next).unwrap();
                    fs::rename(&next, &link).unwrap();
                }
            }
        })
    };
    let (mut mounted, mut refused) = (0, 0);
    for _ in 0..200 {
        match stage.mount(&worker, &link, MountMode::Bind).await {
            Ok(m) => {
                assert_eq!(m.ino, fs::metadata(&good).unwrap().ino());
                mounted += 1;
                stage.client.unmount(&worker.id, worker.pid).await.unwrap();
            }
            Err(e) => {
                assert_eq!(e.kind, MounterErrorKind::Refused, "{e:?}");
                refused += 1;
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    swapper.join().unwrap();
    assert!(
        mounted > 0 && refused > 0,
        "{mounted} mounted, {refused} refused"
    );
}

#[tokio::test]
async fn a_workspace_that_is_no_plain_folder_is_refused() {
    let stage = stage!();
    let worker = stage.worker_with(&["--tmpfs", "/scratch"], true).await;
    let project = stage.project("plain", 1234);
    let e = stage
        .mount(&worker, &project, MountMode::Bind)
        .await
        .unwrap_err();
    assert_eq!(e.kind, MounterErrorKind::BadTarget, "{e:?}");
    assert!(e.message.contains("not a plain folder"), "{e:?}");
}

#[tokio::test]
async fn fifty_mounts_at_once_and_what_one_costs() {
    let stage = stage!();
    let mut workers = Vec::new();
    for _ in 0..5 {
        workers.push(stage.worker().await);
    }
    let projects: Vec<_> = (0..50)
        .map(|i| stage.project(format!("p{i}"), 1234))
        .collect();
    let start = Instant::now();
    let calls: Vec<_> = projects
        .iter()
        .enumerate()
        .map(|(i, project)| {
            let mode = if i < 5 {
                MountMode::Overlay
            } else {
                MountMode::Bind
            };
            let request = stage.request(&workers[i % workers.len()], project, mode);
            let client = stage.client.clone();
            tokio::spawn(async move { client.mount(request).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    println!("50 mounts at once: {:?}", start.elapsed());
    let worker = stage.worker().await;
    for mode in [MountMode::Bind, MountMode::Overlay] {
        let (mut inside, mut outside) = (Vec::new(), Vec::new());
        for _ in 0..100 {
            let start = Instant::now();
            let mounted = stage.mount(&worker, &projects[0], mode).await.unwrap();
            outside.push(start.elapsed().as_micros());
            inside.push(mounted.took_us);
            stage.client.unmount(&worker.id, worker.pid).await.unwrap();
        }
        inside.sort_unstable();
        outside.sort_unstable();
        println!(
            "{mode:?}: in the mounter p50 {} p95 {} us, for the client p50 {} p95 {} us",
            inside[50], inside[95], outside[50], outside[95]
        );
        assert!(inside[50] < 20_000, "{inside:?}");
    }
    let mut cold = Vec::new();
    for uid in UID + 1000..UID + 1030 {
        let mut request = stage.request(&worker, &projects[0], MountMode::Bind);
        (request.uid, request.gid) = (uid, uid);
        cold.push(stage.client.mount(request).await.unwrap().took_us);
        stage.client.unmount(&worker.id, worker.pid).await.unwrap();
    }
    cold.sort_unstable();
    println!("Bind with an id-map never made before: p50 {} us", cold[15]);
}

#[tokio::test]
async fn paths_on_the_host_are_completed_without_what_no_project_may_be_in() {
    let stage = stage!();
    let one = stage.project("alpha", 1234);
    stage.project("alphabet", 1234);
    stage.project(".album", 1234);
    stage.project("alpha/.ssh", 1234);
    fs::create_dir(one.join(".git")).unwrap();
    let base = one.parent().unwrap();
    fs::write(base.join("alpaca"), "a file").unwrap();
    std::os::unix::fs::symlink("/etc", base.join("aleph")).unwrap();
    std::os::unix::fs::symlink("alpha", base.join("alp")).unwrap();
    std::os::unix::fs::symlink("/no/such", base.join("also")).unwrap();
    let complete = async |typed: &Path, policy: Policy| {
        stage.client.folders(HostPath::new(typed), policy).await
    };
    let names = async |typed: &Path| {
        let found = complete(typed, Policy::default()).await.unwrap();
        assert!(!found.truncated);
        let names = found.folders.iter().map(|f| {
            assert_eq!(f.path.as_path().parent(), typed.parent());
            let name = f.path.as_path().file_name().unwrap();
            (name.to_str().unwrap().to_owned(), f.is_git)
        });
        names.collect::<Vec<_>>()
    };
    let named = |list: &[(&str, bool)]| {
        let owned = list.iter().map(|(name, git)| ((*name).to_owned(), *git));
        owned.collect::<Vec<_>>()
    };
    assert_eq!(
        names(&base.join("al")).await,
        named(&[("alp", true), ("alpha", true), ("alphabet", false)])
    );
    assert_eq!(names(&base.join(".a")).await, named(&[(".album", false)]));
    assert_eq!(names(&one.join(".s")).await, named(&[]), "keys");
    assert_eq!(names(&base.join("none/such")).await, named(&[]));
    let roots = names(Path::new("/s")).await;
    assert!(!roots.iter().any(|(name, _)| name == "sys"), "{roots:?}");

    let refused = complete(Path::new("/proc/1/"), Policy::default()).await;
    let error = refused.unwrap_err();
    assert_eq!(error.kind, MounterErrorKind::Refused);
    assert!(error.message.contains("`kernel`"), "{error}");
    let odd = complete(Path::new("relative/x"), Policy::default()).await;
    assert_eq!(odd.unwrap_err().kind, MounterErrorKind::NotAFolder);
    let state = Policy {
        refuse: vec![(HostPath::new(&one), "the state volume".to_owned())],
        ..Policy::default()
    };
    let found = complete(&base.join("alpha"), state).await.unwrap();
    let left: Vec<_> = found.folders.iter().map(|f| f.path.as_path()).collect();
    assert_eq!(left, [base.join("alphabet")]);

    for n in 0..250 {
        stage.project(format!("many/{n:03}"), 1234);
    }
    let many = complete(&base.join("many/x").with_file_name(""), Policy::default()).await;
    let many = many.unwrap();
    assert_eq!((many.folders.len(), many.truncated), (200, true));
    assert_eq!(many.folders[0].path.as_path(), base.join("many/000"));
}

#[tokio::test]
async fn a_mount_is_noted_and_waits_for_a_change_to_the_upper_folder() {
    let stage = stage!();
    let worker = stage.worker().await;
    let project = stage.project("noted", 1234);
    let own = stage.state.join("workers").join(&worker.id);
    let mount = || stage.mount(&worker, &project, MountMode::Overlay);

    // Somebody changes the upper folder.
    let changes = fs::File::open(own.join("changes")).unwrap();
    rustix::fs::flock(&changes, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let e = mount().await.unwrap_err();
    assert!(e.message.contains("try again"), "{e:?}");
    drop(changes);

    // What is mounted cannot be noted: the claim's record and the agent's copy are left.
    fs::create_dir_all(own.join("mount.json/in-the-way")).unwrap();
    mount().await.unwrap();
    stage
        .client
        .unmount(&worker.id, worker.pid)
        .await
        .unwrap_err();
    fs::remove_dir_all(own.join("mount.json")).unwrap();
    stage.client.unmount(&worker.id, worker.pid).await.unwrap();

    // The next order for the worker waits for its note.
    let mounted = mount().await.unwrap();
    mount().await.unwrap_err();
    let facts = fs::read(own.join("mount.json")).unwrap();
    let facts: MountFacts = serde_json::from_slice(&facts).unwrap();
    assert_eq!(facts.worker, worker.id);
    assert_eq!(facts.project, mounted.project);
    assert_eq!((facts.dev, facts.ino), (mounted.dev, mounted.ino));
    assert_eq!(facts.mode, MountMode::Overlay);
    assert_eq!(facts.uid, mounted.session_uid);
    assert!(facts.claimed_ns > 0);
    let mode = fs::metadata(own.join("mount.json")).unwrap().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(own.join("changes/mounted.json").exists());
    assert!(!worker.sh("ls -R /.podbay").contains("mount.json"));
}

#[tokio::test]
async fn an_overlay_that_was_prepared_is_the_claims_and_another_project_gets_its_own() {
    let stage = stage!();
    let (first, second) = (stage.worker().await, stage.worker().await);
    let (project, other) = (stage.project("ahead", 1234), stage.project("other", 1234));
    for folder in [&project, &other] {
        fs::write(folder.join("name"), folder.file_name().unwrap().as_bytes()).unwrap();
        support::own(&folder.join("name"), 1234);
    }
    for worker in [&first, &second] {
        stage.prepare_overlay(worker, &project).await.unwrap();
    }
    // What the project has by then is seen.
    fs::write(project.join("later"), "x").unwrap();
    let mounted = stage
        .mount(&first, &project, MountMode::Overlay)
        .await
        .unwrap();
    assert_eq!(mounted.prepared, Some(true));
    assert_eq!((mounted.session_uid, mounted.idmapped), (UID, true));
    let seen = first.sh("cat /workspace/name; ls /workspace; stat -c %u /workspace/name");
    assert_eq!(seen, format!("aheadlater\nname\n{UID}\n"));
    first.sh("echo changed > /workspace/name; echo new > /workspace/new");
    assert_eq!(fs::read_to_string(project.join("name")).unwrap(), "ahead");
    let upper = stage
        .state
        .join("workers")
        .join(&first.id)
        .join("changes/upper");
    assert_eq!(fs::read_to_string(upper.join("new")).unwrap(), "new\n");

    let mounted = stage
        .mount(&second, &other, MountMode::Overlay)
        .await
        .unwrap();
    assert_eq!(mounted.prepared, Some(false));
    assert_eq!(second.sh("cat /workspace/name"), "other");
    // A worker that has a project keeps it.
    stage.prepare_overlay(&second, &project).await.unwrap();
    assert_eq!(second.sh("cat /workspace/name"), "other");
    let mounted = stage.mount(&second, &project, MountMode::Overlay).await;
    assert!(mounted.is_err(), "two overlays on one upper folder");
}
