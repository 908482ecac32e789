//! Names of workers and processes, and folders that are opened by their path alone.

use super::*;
use crate::needs;
use std::{
    os::unix::fs::symlink,
    process::{Child, Command},
};

#[test]
fn a_workers_id_is_twelve_lower_case_hexadecimal_digits() {
    for good in ["0123456789ab", "ffffffffffff", "000000000000"] {
        assert_eq!(valid_id(good).unwrap(), good);
    }
    for bad in [
        "",
        ".",
        "..",
        "0123456789a",
        "0123456789abc",
        "0123456789AB",
        "0123456789ag",
        "../../0123ab",
        "0123456789a\n",
        "0123456789a\0",
        "\u{661}23456789a",
    ] {
        let error = valid_id(bad).unwrap_err();
        assert_eq!(error.kind, MounterErrorKind::BadTarget, "{bad:?}");
        assert!(
            !error.message.contains(char::is_control),
            "{}",
            error.message
        );
    }
}

#[test]
fn a_process_that_is_none_is_a_bad_target() {
    for pid in [0, -1, i32::MIN, i32::MAX] {
        assert_eq!(
            hold(pid).unwrap_err().kind,
            MounterErrorKind::BadTarget,
            "{pid}"
        );
    }
    hold(i32::try_from(std::process::id()).unwrap()).unwrap();
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn a_process_is_known_by_its_start_whatever_its_name_is() {
    if !needs::root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let host = Host::open(folder.path()).unwrap();
    let own = i32::try_from(std::process::id()).unwrap();
    let began = host.start_time(own).unwrap();
    assert_eq!(host.start_time(own), Some(began));
    // proc(5): the name is in parentheses, and may hold some.
    let program = folder.path().join(") R 1 2 3) (x");
    std::fs::copy("/bin/sleep", &program).unwrap();
    let child = Ended(Command::new(&program).arg("600").spawn().unwrap());
    let pid = i32::try_from(child.0.id()).unwrap();
    let start = host.start_time(pid).unwrap();
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).unwrap();
    // Ticks are 100 a second wherever Linux runs (USER_HZ).
    let now = u64::try_from(now.tv_sec() + 1).unwrap() * 100;
    assert!((began..=now).contains(&start), "{began} {start} {now}");
    drop(child);
    assert_eq!(host.start_time(pid), None);
    assert_eq!(host.boot_id().len(), 36);
}

#[test]
fn a_plain_path_goes_through_no_link_and_ends_at_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap();
    std::fs::create_dir_all(path.join("a/b")).unwrap();
    std::fs::write(path.join("file"), "").unwrap();
    symlink("a", path.join("link")).unwrap();
    let open = |rest: &str| {
        let path = path.join(rest);
        open_plain(path.to_str().unwrap(), OFlags::PATH).map(drop)
    };
    open("a/b").unwrap();
    open("a/../a/b").unwrap();
    // The kernel looks at the folder first, and then at the link.
    assert_eq!(open("link"), Err(rustix::io::Errno::NOTDIR));
    assert_eq!(open("link/b"), Err(rustix::io::Errno::LOOP));
    assert_eq!(open("file"), Err(rustix::io::Errno::NOTDIR));
    assert_eq!(open("none"), Err(rustix::io::Errno::NOENT));
    let own = open_plain("/proc/self/cwd", OFlags::PATH);
    assert_eq!(own.map(drop), Err(rustix::io::Errno::LOOP));
}
