//! Overlays over folders with awkward names, in the kernel.

use super::*;
use crate::{needs, wire::MounterErrorKind};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
};
use rustix::fs::{Mode, OFlags, openat};
use std::{fs, io::Read};

/// In mounts of the test's own.
fn apart(test: impl FnOnce() + Send + 'static) {
    let run = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
        test();
    });
    run.join().unwrap();
}

#[test]
fn any_name_of_a_project_is_one_lower_folder() {
    if !needs::root() {
        return;
    }
    apart(|| {
        // Upper folders of overlays cannot be in an overlay, in which this folder may be.
        let base = tempfile::tempdir().unwrap();
        let none = MsFlags::empty();
        mount(Some("t"), base.path(), Some("tmpfs"), none, None::<&str>).unwrap();
        let at = |folder: &str| base.path().join(folder);
        let names = [
            "plain", "a:b", "a\\b", "a,b", "a\\:b", ":", "\\", "a b\n", "ü",
        ];
        for (n, name) in names.into_iter().enumerate() {
            let (upper, work) = (format!("u{n}"), format!("w{n}"));
            for folder in [name, &upper, &work] {
                fs::create_dir(at(folder)).unwrap();
            }
            fs::write(at(name).join("file"), name).unwrap();
            let overlay = new_overlay(&at(name), &at(&upper), &at(&work), false);
            let overlay = overlay.unwrap_or_else(|e| panic!("{name:?}: {e}"));
            let file = openat(&overlay, "file", OFlags::RDONLY, Mode::empty()).unwrap();
            let mut text = String::new();
            fs::File::from(file).read_to_string(&mut text).unwrap();
            assert_eq!(text, name);
            // What is written is in the upper folder, and not in the project.
            let flags = OFlags::WRONLY | OFlags::CREATE;
            openat(&overlay, "new", flags, Mode::RUSR).unwrap();
            assert!(at(&upper).join("new").exists());
            assert!(!at(name).join("new").exists());
        }
        let missing = new_overlay(&at("none"), &at("u0"), &at("w0"), false).unwrap_err();
        assert_eq!(missing.kind, MounterErrorKind::Unsupported);
        umount2(base.path(), MntFlags::MNT_DETACH).unwrap();
    });
}
