//! Whether an overlay counts as mounted: when in doubt it does.

use super::*;
use crate::needs;
use nix::{sys::stat, unistd::mkfifo};
use std::{os::unix::fs::symlink, path::PathBuf, sync::Arc};

struct Bench {
    host: Arc<Host>,
    worker: Tree,
    record: PathBuf,
    _folder: tempfile::TempDir,
}

fn bench() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let worker = folder.path().join("workers/0123456789ab");
    std::fs::create_dir_all(worker.join("changes")).unwrap();
    let host = Host::open(folder.path()).unwrap();
    Bench {
        worker: host.worker("0123456789ab").unwrap(),
        host,
        record: worker.join("changes").join(FILE),
        _folder: folder,
    }
}

#[test]
fn an_overlay_lives_as_long_as_the_process_it_was_mounted_for() {
    if !needs::root() {
        return;
    }
    let bench = bench();
    let live = || is_live(&bench.host, &bench.worker);
    assert!(!live(), "nothing was mounted");
    let mut child = std::process::Command::new("sleep")
        .arg("600")
        .spawn()
        .unwrap();
    let pid = i32::try_from(child.id()).unwrap();
    record(&bench.host, &bench.worker, pid).unwrap();
    assert!(live());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!live());
    let gone = record(&bench.host, &bench.worker, pid).unwrap_err();
    assert_eq!(gone.raw_os_error(), Some(Errno::SRCH.raw_os_error()));
    // The id is another process's now, or that of another boot.
    let own = i32::try_from(std::process::id()).unwrap();
    record(&bench.host, &bench.worker, own).unwrap();
    assert!(live());
    let text = std::fs::read_to_string(&bench.record).unwrap();
    let mut found: MountedIn = serde_json::from_str(&text).unwrap();
    found.start += 1;
    std::fs::write(&bench.record, serde_json::to_vec(&found).unwrap()).unwrap();
    assert!(!live());
    found.start -= 1;
    found.boot = "another".to_owned();
    std::fs::write(&bench.record, serde_json::to_vec(&found).unwrap()).unwrap();
    assert!(!live());
    forget(&bench.worker).unwrap();
    forget(&bench.worker).unwrap();
    assert!(!live());
}

#[test]
fn a_record_that_cannot_be_read_counts_as_mounted() {
    if !needs::root() {
        return;
    }
    let bench = bench();
    for text in ["", "{", "{}", r#"{"pid":1,"start":2}"#, &" ".repeat(5000)] {
        std::fs::write(&bench.record, text).unwrap();
        assert!(is_live(&bench.host, &bench.worker), "{text:?}");
    }
    // Nothing of these is opened: the first would be waited for.
    std::fs::remove_file(&bench.record).unwrap();
    mkfifo(&bench.record, stat::Mode::S_IRWXU).unwrap();
    assert!(is_live(&bench.host, &bench.worker));
    std::fs::remove_file(&bench.record).unwrap();
    symlink("/dev/null", &bench.record).unwrap();
    assert!(is_live(&bench.host, &bench.worker));
    // A new record is never written through a link either.
    let own = i32::try_from(std::process::id()).unwrap();
    record(&bench.host, &bench.worker, own).unwrap_err();
    std::fs::remove_file(&bench.record).unwrap();
    std::fs::create_dir(&bench.record).unwrap();
    assert!(is_live(&bench.host, &bench.worker));
}

#[test]
fn a_change_to_the_upper_folder_keeps_a_mount_out_until_it_is_done() {
    if !needs::root() {
        return;
    }
    let bench = bench();
    let changing = lock(&bench.worker).unwrap();
    let kept_out = lock(&bench.worker).map(drop).unwrap_err();
    assert_eq!(kept_out.kind(), io::ErrorKind::WouldBlock);
    drop(changing);
    drop(lock(&bench.worker).unwrap());
}
