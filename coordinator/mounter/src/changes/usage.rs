//! Sums what a worker keeps on the state volume: its changes, its home, its recordings. Owns the bounds
//! on entries, time and depth, over which the sum is a lower bound and says so. Never follows anything:
//! folders are streamed by descriptor.

use crate::{
    error::system,
    tree::{Meta, next_name, open_beneath},
    wire::{MounterError, Usage, UsageRequest},
};
use podbay_protocol::paths;
use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, Statx, StatxFlags, makedev, openat, statx},
    io::{self, Errno},
};
use std::{
    collections::HashSet,
    ffi::OsStr,
    io::Read,
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
/// Deleted files that are told apart; more make the sum a lower bound.
const MAX_DELETED: usize = 65_536;
/// The longest list of control groups that is read, in bytes.
const MAX_CGROUP: u64 = 64 << 10;
/// A block of `stx_blocks`, in bytes, on every file system.
const BLOCK: u64 = 512;

const DIR: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK);

/// Sums up the folders of the worker whose folder `worker` is, and what its processes, below `proc`,
/// have open and deleted.
///
/// A file that was deleted while a program has it open is in no folder; it is found by the descriptors of
/// the worker's processes. One that is only mapped, or on its way through a socket, is not seen.
///
/// # Errors
/// `System` with the folder that cannot be read at all.
pub(super) fn measure(
    worker: &OwnedFd,
    proc: &OwnedFd,
    request: &UsageRequest,
) -> Result<Usage, MounterError> {
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
    if let Some(pid) = request.pid
        && sum.complete
    {
        let volume = Meta::of(worker).map_err(|e| system("measuring the worker's folder", e))?;
        // A worker that is gone has nothing open.
        there(sum.deleted(proc, pid, volume.dev, request.overlay))
            .map_err(|e| system("measuring deleted files", e))?;
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

    /// What the processes in the container of `pid` have open on the volume, or on the overlay that
    /// the project is in, and deleted.
    fn deleted(&mut self, proc: &OwnedFd, pid: i32, volume: u64, overlay: bool) -> io::Result<()> {
        let Some(own) = cgroup_of(proc, &pid.to_string()) else {
            return Ok(());
        };
        // An overlay's files have devices of its own making.
        let project = format!("{pid}/root{}", paths::WORKSPACE);
        let project = if overlay {
            found(proc, &project)?
        } else {
            None
        };
        let project = project.map(|project| project.stx_mnt_id);
        let mut seen = HashSet::new();
        let mut processes = Dir::read_from(proc)?;
        while let Some(process) = next_name(&mut processes)? {
            let number = |b: u8| b.is_ascii_digit();
            let Some(process) = process.to_str().filter(|name| name.bytes().all(number)) else {
                continue;
            };
            if !cgroup_of(proc, process).is_some_and(|cgroup| cgroup.starts_with(&own)) {
                continue;
            }
            let folder = format!("{process}/fd");
            let folder = match there(openat(proc, folder, DIR, Mode::empty())) {
                Ok(Some(folder)) => folder,
                Ok(None) => continue,
                Err(Errno::ACCESS | Errno::PERM) => {
                    self.complete = false;
                    continue;
                }
                Err(e) => return Err(e),
            };
            let mut fds = Dir::read_from(&folder)?;
            while let Some(fd) = there(next_name(&mut fds))?.flatten() {
                self.entries += 1;
                if self.entries >= self.most || Instant::now() >= self.until {
                    self.complete = false;
                    return Ok(());
                }
                let Some(file) = found(&folder, &fd)? else {
                    continue;
                };
                let dev = dev_of(&file);
                let gone =
                    file.stx_nlink == 0 && (dev == volume || Some(file.stx_mnt_id) == project);
                if gone && seen.len() < MAX_DELETED && seen.insert((dev, file.stx_ino)) {
                    self.blocks += file.stx_blocks as f64;
                }
                self.complete &= seen.len() < MAX_DELETED;
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

/// The control group of a process, as `/proc` has it: the first that is not the root.
fn cgroup_of(proc: &OwnedFd, process: &str) -> Option<String> {
    let file = format!("{process}/cgroup");
    let file = openat(proc, file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut text = String::new();
    let read = std::fs::File::from(file)
        .take(MAX_CGROUP)
        .read_to_string(&mut text);
    read.ok()?;
    let mut paths = text.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    paths.find(|path| *path != "/").map(str::to_owned)
}

/// What is behind a link of `/proc`, without waiting for whoever serves it.
fn found(at: impl AsFd, name: impl AsRef<OsStr>) -> io::Result<Option<Statx>> {
    let mask = StatxFlags::TYPE
        | StatxFlags::BLOCKS
        | StatxFlags::NLINK
        | StatxFlags::INO
        | StatxFlags::MNT_ID;
    let flags = AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
    match statx(at, Path::new(name.as_ref()), flags, mask) {
        Err(Errno::ACCESS | Errno::SRCH) => Ok(None),
        result => there(result),
    }
}

fn dev_of(file: &Statx) -> u64 {
    makedev(file.stx_dev_major, file.stx_dev_minor)
}

/// What went meanwhile, or is something else by now, is nothing.
fn there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV | Errno::SRCH) => Ok(None),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, mkdirat};
    use std::{fs, os::unix::fs::symlink};

    fn request(most: u64) -> UsageRequest {
        UsageRequest {
            worker: "00000000000a".into(),
            pid: None,
            overlay: false,
            most,
            most_ms: 60_000,
        }
    }

    fn proc() -> OwnedFd {
        openat(CWD, "/proc", DIR, Mode::empty()).unwrap()
    }

    #[test]
    fn what_is_deleted_and_open_is_found_by_its_descriptors() {
        // Of a file system that nobody else deletes much on.
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let path = dir.path().join("home/gone");
        write(&path, 24 << 20);
        let file = fs::File::open(&path).unwrap();
        let again = fs::File::open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let fd = openat(CWD, dir.path(), DIR, Mode::empty()).unwrap();
        let mut asked = request(1_000_000);
        asked.pid = Some(i32::try_from(std::process::id()).unwrap());
        let bytes = || measure(&fd, &proc(), &asked).unwrap().bytes;
        let with = bytes();
        drop((file, again));
        let without = bytes();
        assert!(with >= without + (23 << 20), "{with} and {without}");
        assert!(
            with < without + (25 << 20),
            "counted twice: {with} and {without}"
        );
        asked.pid = Some(i32::MAX);
        assert!(measure(&fd, &proc(), &asked).unwrap().complete);
    }

    fn used(folder: &Path, most: u64) -> Usage {
        let fd = openat(CWD, folder, DIR, Mode::empty()).unwrap();
        measure(&fd, &proc(), &request(most)).unwrap()
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
        assert!(!measure(&fd, &proc(), &late).unwrap().complete);
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
        crate::remove::remove_tree(&parent, "home".as_ref()).unwrap();
    }
}
