//! Sums what a worker keeps on the state volume: its changes, its home, its recordings.
//!
//! All of it is a worker's and may be hostile: folders are streamed by descriptor, nothing is
//! followed, and entries, time and depth are bounded. What is over a bound makes the sum a lower
//! bound, and the answer says so. A file that was deleted while a program has it open is in no
//! folder and is not seen.

use crate::workspace::{
    MounterError, Usage, UsageRequest,
    error::system,
    tree::{next_name, open_beneath},
};
use rustix::{
    fs::{AtFlags, Dir, FileType, OFlags, StatxFlags, statx},
    io::{self, Errno},
};
use std::{
    ffi::OsStr,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    time::{Duration, Instant},
};

/// What is measured of a worker's folder.
const FOLDERS: [&str; 3] = ["changes", "home", "log"];
/// Deeper folders are not entered. Each level holds one descriptor, of the 2,048 of a review.
const MAX_DEPTH: usize = 1_500;
/// The longest that is ever worth the work, whatever is asked for.
const MAX_TIME: Duration = Duration::from_secs(60);
/// A block of `stx_blocks`, in bytes, on every file system.
const BLOCK: u64 = 512;

const DIR: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK);

/// Sums up the folders of the worker whose folder `worker` is.
///
/// # Errors
/// `System` with the folder that cannot be read at all.
pub(super) fn measure(worker: &OwnedFd, request: &UsageRequest) -> Result<Usage, MounterError> {
    let time = Duration::from_millis(request.most_ms).min(MAX_TIME);
    let mut sum = Sum {
        blocks: 0.0,
        entries: 0,
        complete: true,
        most: request.most,
        until: Instant::now() + time,
    };
    for name in FOLDERS {
        match open_beneath(worker, Path::new(name), DIR) {
            Ok(folder) => sum
                .tree(folder)
                .map_err(|e| system(&format!("measuring {name}/"), e))?,
            Err(Errno::NOENT) => {}
            Err(e) => return Err(system(&format!("opening {name}/"), e)),
        }
    }
    Ok(Usage {
        bytes: (sum.blocks * BLOCK as f64) as u64,
        entries: sum.entries,
        complete: sum.complete,
    })
}

struct Sum {
    /// A file with n links has an nth of its blocks at each of them: all are in what is measured,
    /// since none of these mounts may be linked into another one.
    blocks: f64,
    entries: u64,
    complete: bool,
    most: u64,
    until: Instant,
}

impl Sum {
    /// Everything below an open folder, itself included; the memory it takes goes by the depth.
    fn tree(&mut self, top: OwnedFd) -> io::Result<()> {
        self.add(&top, "")?;
        let mut levels = vec![Dir::new(top)?];
        while let Some(level) = levels.last_mut() {
            if self.entries >= self.most || Instant::now() >= self.until {
                self.complete = false;
                return Ok(());
            }
            // A folder that went while it was read is at its end.
            let Some(name) = there(next_name(level))?.flatten() else {
                levels.pop();
                continue;
            };
            let at = level.fd()?;
            if there(self.add(at, &name))? != Some(FileType::Directory) {
                continue;
            }
            if levels.len() >= MAX_DEPTH {
                self.complete = false;
                continue;
            }
            let at = match levels.last() {
                Some(level) => level.fd()?,
                None => return Ok(()),
            };
            if let Some(folder) = there(open_beneath(at, Path::new(&name), DIR))? {
                levels.push(Dir::new(folder)?);
            }
        }
        Ok(())
    }

    /// Adds one entry; its type.
    fn add(&mut self, at: impl AsFd, name: impl AsRef<OsStr>) -> io::Result<FileType> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::EMPTY_PATH;
        let name = Path::new(name.as_ref());
        let mask = StatxFlags::TYPE | StatxFlags::BLOCKS | StatxFlags::NLINK;
        let found = statx(at, name, flags, mask)?;
        let kind = FileType::from_raw_mode(u32::from(found.stx_mode));
        // The links of a folder are its sub-folders.
        let links = match kind {
            FileType::Directory => 1,
            _ => found.stx_nlink.max(1),
        };
        self.blocks += found.stx_blocks as f64 / f64::from(links);
        self.entries += 1;
        Ok(kind)
    }
}

/// What went meanwhile, or is something else by now, is nothing.
fn there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => Ok(None),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, Mode, mkdirat, openat};
    use std::{fs, os::unix::fs::symlink};

    fn request(most: u64) -> UsageRequest {
        UsageRequest {
            worker: "00000000000a".into(),
            most,
            most_ms: 60_000,
        }
    }

    fn used(folder: &Path, most: u64) -> Usage {
        let fd = openat(CWD, folder, DIR, Mode::empty()).unwrap();
        measure(&fd, &request(most)).unwrap()
    }

    fn write(path: &Path, bytes: usize) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = fs::File::create(path).unwrap();
        std::io::Write::write_all(&mut &file, &vec![1; bytes]).unwrap();
        file.sync_all().unwrap();
    }

    #[test]
    fn blocks_are_summed_up_over_the_three_folders_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path();
        write(&at.join("elsewhere/big"), 8 << 20);
        assert_eq!(used(at, 1_000).bytes, 0);
        write(&at.join("home/a/b/c"), 1 << 20);
        write(&at.join("changes/upper/d"), 1 << 20);
        write(&at.join("log/e"), 1 << 20);
        // A hole takes no blocks; what a link leads to is not the worker's.
        fs::File::create(at.join("home/hole"))
            .unwrap()
            .set_len(1 << 40)
            .unwrap();
        symlink(at.join("elsewhere"), at.join("home/out")).unwrap();
        symlink("/", at.join("home/root")).unwrap();
        let found = used(at, 1_000);
        assert!(found.complete);
        assert!((3 << 20..4 << 20).contains(&found.bytes), "{found:?}");
        // home a b c hole out root, changes upper d, log e.
        assert_eq!(found.entries, 12);
    }

    #[test]
    fn hard_links_are_counted_once() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path();
        write(&at.join("home/one"), 3 << 20);
        let before = used(at, 1_000).bytes;
        for n in 0..7 {
            fs::hard_link(at.join("home/one"), at.join(format!("home/n{n}"))).unwrap();
        }
        assert_eq!(used(at, 1_000).bytes, before);
    }

    #[test]
    fn over_a_bound_it_is_a_lower_bound_and_said_so() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path();
        for n in 0..100 {
            write(&at.join(format!("home/{n}")), 4096);
        }
        let all = used(at, 1_000);
        assert!(all.complete);
        let some = used(at, 50);
        assert!(!some.complete && some.entries <= 51, "{some:?}");
        assert!(some.bytes < all.bytes);
        let fd = openat(CWD, at, DIR, Mode::empty()).unwrap();
        let mut late = request(1_000);
        late.most_ms = 0;
        assert!(!measure(&fd, &late).unwrap().complete);
    }

    #[test]
    fn a_tree_of_any_depth_takes_a_bounded_number_of_descriptors() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("home")).unwrap();
        let mut at = openat(CWD, dir.path().join("home"), DIR, Mode::empty()).unwrap();
        let parent = openat(CWD, dir.path(), DIR, Mode::empty()).unwrap();
        for _ in 0..MAX_DEPTH + 100 {
            mkdirat(&at, "d", Mode::RWXU).unwrap();
            at = openat(&at, "d", DIR, Mode::empty()).unwrap();
        }
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        rustix::process::setrlimit(
            rustix::process::Resource::Nofile,
            rustix::process::Rlimit {
                current: limit.maximum,
                ..limit
            },
        )
        .unwrap();
        let found = used(dir.path(), 1_000_000);
        assert!(!found.complete);
        assert_eq!(found.entries as usize, MAX_DEPTH + 1);
        crate::workspace::mounter::remove_tree(&parent, "home".as_ref()).unwrap();
    }
}
