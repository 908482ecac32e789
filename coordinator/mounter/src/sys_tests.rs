//! The system calls, as root.

use super::*;
use crate::needs;
use nix::{
    sys::{
        signal::Signal,
        wait::{WaitStatus, waitpid},
    },
    unistd::Pid,
};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

#[test]
fn files_are_made_and_refused_as_the_user_that_was_set_and_of_that_thread_alone() {
    if !needs::root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o777)).unwrap();
    std::fs::write(path.join("private"), "").unwrap();
    std::fs::set_permissions(path.join("private"), PermissionsExt::from_mode(0o600)).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            set_fs_ids(1234, 4321).unwrap();
            std::fs::write(path.join("theirs"), "").unwrap();
            let refused = std::fs::read(path.join("private")).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
            // No id at all.
            for (uid, gid) in [(u32::MAX, 0), (1234, u32::MAX)] {
                set_fs_ids(uid, gid).unwrap_err();
            }
        });
    });
    std::fs::write(path.join("ours"), "").unwrap();
    let owner = |name: &str| {
        let meta = std::fs::metadata(path.join(name)).unwrap();
        (meta.uid(), meta.gid())
    };
    assert_eq!(owner("theirs"), (1234, 4321));
    assert_eq!(owner("ours").0, 0);
}

#[test]
fn a_child_for_a_user_namespace_waits_in_one_of_its_own_until_it_is_killed() {
    if !needs::root() {
        return;
    }
    let pid = userns_child().unwrap();
    let namespace = |of: &str| {
        std::fs::metadata(format!("/proc/{of}/ns/user"))
            .unwrap()
            .ino()
    };
    assert_ne!(namespace(&pid.to_string()), namespace("self"));
    let child = Pid::from_raw(pid);
    nix::sys::signal::kill(child, Signal::SIGKILL).unwrap();
    let ended = waitpid(child, None).unwrap();
    assert_eq!(ended, WaitStatus::Signaled(child, Signal::SIGKILL, false));
}

#[test]
fn what_is_no_detached_mount_is_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    let file = std::fs::File::open(folder.path()).unwrap();
    let change = MountChange {
        idmap: None,
        recursive: false,
    };
    let error = set_mount(&file, &change).unwrap_err();
    let expected = [nix::libc::EINVAL, nix::libc::EPERM];
    assert!(expected.contains(&error.raw_os_error().unwrap()), "{error}");
}
