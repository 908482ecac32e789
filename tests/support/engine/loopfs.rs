//! A small file system of its own, so that a disk can be full.

use crate::unique;
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// A mounted file system; unmounted when it is dropped, or when this process is killed.
#[derive(Debug)]
pub struct LoopFs {
    folder: PathBuf,
    keeper: Child,
}

impl LoopFs {
    /// One of so many MiB.
    ///
    /// # Panics
    /// It cannot be made: no root, no loop device.
    #[must_use]
    pub fn new(mib: u64) -> Self {
        let folder = PathBuf::from("/var/tmp").join(unique("podbay-disk"));
        let at = folder.join("disk");
        fs::create_dir_all(&at).expect("making a folder");
        let script = "cat >/dev/null; umount -l \"$0/disk\"; rm -rf \"$0\"";
        let keeper = Command::new("setsid")
            .args(["sh", "-c", script])
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starting a shell");
        let made = Command::new("sh")
            .args([
                "-ec",
                "truncate -s \"$1M\" \"$0/image\"; mkfs.ext4 -q -F -m 0 \"$0/image\"; \
                 mount -o loop \"$0/image\" \"$0/disk\"; rmdir \"$0/disk/lost+found\"",
            ])
            .arg(&folder)
            .arg(mib.to_string())
            .status()
            .expect("starting a shell");
        assert!(made.success(), "no small file system: {made}");
        Self { folder, keeper }
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.join("disk")
    }

    /// Fills it to the last block; the file that does is what [`make_room`] takes away.
    pub fn fill(&self) {
        fill(&self.path());
    }

    /// There is space again.
    pub fn make_room(&self) {
        make_room(&self.path());
    }
}

/// Fills the file system that a folder is on, to the last block.
///
/// # Panics
/// It cannot be written for another reason than that it is full.
pub fn fill(folder: &Path) {
    let mut file = fs::File::create(folder.join("filler")).expect("creating a file");
    for size in [1 << 20, 4096, 512, 1] {
        let block = vec![b'x'; size];
        loop {
            match file.write(&block) {
                Ok(n) if n > 0 => {}
                Ok(_) => break,
                Err(error) if error.kind() == std::io::ErrorKind::StorageFull => break,
                Err(error) => panic!("filling {}: {error}", folder.display()),
            }
        }
    }
    file.sync_all().ok();
}

/// Takes so much of the file system that a folder is on that `free` bytes are left of it.
///
/// # Panics
/// There is less, or it cannot be written.
pub fn fill_to(folder: &Path, free: u64) {
    let volume = nix::sys::statvfs::statvfs(folder).expect("a file system");
    let there = volume.blocks_available() * volume.fragment_size();
    let taken = there.checked_sub(free).expect("more than is to be left");
    let file = fs::File::create(folder.join("filler")).expect("creating a file");
    let taken = i64::try_from(taken).expect("a small file system");
    nix::fcntl::posix_fallocate(&file, 0, taken).expect("taking blocks");
}

/// Takes away what [`fill`] or [`fill_to`] wrote.
pub fn make_room(folder: &Path) {
    fs::remove_file(folder.join("filler")).ok();
}

impl Drop for LoopFs {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        drop(self.keeper.wait());
    }
}
