//! A folder tree behind one descriptor. Owns every look-up in it: by `openat2`, beneath the root, through
//! no symbolic link and no mount, so that whoever controls the inside cannot lead us out. Never give a
//! path that was joined by hand to any other call.

use rustix::{
    fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags, StatxFlags},
    io::{self, Errno},
};
use std::{
    ffi::{OsStr, OsString},
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Path, PathBuf},
};

/// What `statx` says of one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meta {
    pub kind: FileType,
    /// Permission bits, `0o7777`.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Its names.
    pub links: u32,
    /// Bytes.
    pub size: u64,
    pub ino: u64,
    pub dev: u64,
    pub rdev: u64,
    /// Unix nanoseconds.
    pub mtime: i64,
    /// Unix nanoseconds.
    pub ctime: i64,
    /// Unix nanoseconds, where the file system keeps it.
    pub btime: Option<i64>,
}

impl Meta {
    /// Of an open descriptor, `O_PATH` ones too.
    pub(crate) fn of(fd: impl AsFd) -> io::Result<Self> {
        let mask = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
        let s = fs::statx(fd, "", AtFlags::EMPTY_PATH, mask)?;
        let ns = |t: fs::StatxTimestamp| {
            t.tv_sec
                .saturating_mul(1_000_000_000)
                .saturating_add(i64::from(t.tv_nsec))
        };
        Ok(Self {
            kind: FileType::from_raw_mode(u32::from(s.stx_mode)),
            mode: u32::from(s.stx_mode) & 0o7777,
            uid: s.stx_uid,
            gid: s.stx_gid,
            links: s.stx_nlink,
            size: s.stx_size,
            ino: s.stx_ino,
            dev: fs::makedev(s.stx_dev_major, s.stx_dev_minor),
            rdev: fs::makedev(s.stx_rdev_major, s.stx_rdev_minor),
            mtime: ns(s.stx_mtime),
            ctime: ns(s.stx_ctime),
            btime: (s.stx_mask & StatxFlags::BTIME.bits() != 0).then(|| ns(s.stx_btime)),
        })
    }

    pub(crate) fn is_dir(&self) -> bool {
        self.kind == FileType::Directory
    }

    pub(crate) fn is_file(&self) -> bool {
        self.kind == FileType::RegularFile
    }

    pub(crate) fn is_link(&self) -> bool {
        self.kind == FileType::Symlink
    }
}

/// A folder tree; see the module.
#[derive(Debug)]
pub(crate) struct Tree {
    root: OwnedFd,
}

/// `openat2` asks for another try when a rename raced with it.
const TRIES: usize = 16;

impl Tree {
    /// From an open folder, `O_PATH` will do.
    pub(crate) fn new(root: OwnedFd) -> Self {
        Self { root }
    }

    /// Opens a path beneath the root; the empty path is the root itself.
    pub(crate) fn open(&self, rel: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        open_beneath(&self.root, rel, flags)
    }

    /// A subtree.
    pub(crate) fn sub(&self, rel: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        self.open(rel, flags).map(Self::new)
    }

    /// A folder, for reading.
    pub(crate) fn dir(&self, rel: &Path) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        self.open(rel, flags)
    }

    /// A regular file, for reading.
    pub(crate) fn file(&self, rel: &Path) -> io::Result<std::fs::File> {
        // A device or FIFO is never opened but as a path.
        let flags = OFlags::PATH | OFlags::NOFOLLOW;
        if !Meta::of(self.open(rel, flags)?)?.is_file() {
            return Err(Errno::INVAL);
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = self.open(rel, flags)?;
        if !Meta::of(&fd)?.is_file() {
            return Err(Errno::INVAL);
        }
        Ok(fd.into())
    }

    /// What is at a path, links not followed; `None` when nothing is there, or what would be in
    /// the way is a link, a file or another mount.
    pub(crate) fn meta(&self, rel: &Path) -> io::Result<Option<Meta>> {
        match self.open(rel, OFlags::PATH | OFlags::NOFOLLOW) {
            Ok(fd) => Meta::of(fd).map(Some),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// What a symbolic link says.
    pub(crate) fn link(&self, rel: &Path) -> io::Result<PathBuf> {
        let fd = self.open(rel, OFlags::PATH | OFlags::NOFOLLOW)?;
        let target = fs::readlinkat(&fd, "", Vec::new())?;
        Ok(PathBuf::from(OsString::from_vec(target.into_bytes())))
    }

    /// The folder a path is in, for `*at` calls on its last component.
    pub(crate) fn parent<'a>(&self, rel: &'a Path) -> io::Result<(OwnedFd, &'a OsStr)> {
        let name = rel.file_name().ok_or(Errno::INVAL)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let dir = self.open(rel.parent().unwrap_or(Path::new("")), flags)?;
        Ok((dir, name))
    }
}

/// See [`Tree::open`].
pub(crate) fn open_beneath(root: impl AsFd, rel: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let rel = if rel.as_os_str().is_empty() {
        Path::new(".")
    } else {
        rel
    };
    let resolve = ResolveFlags::BENEATH
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_XDEV;
    let mut result = Err(Errno::AGAIN);
    for _ in 0..TRIES {
        result = fs::openat2(&root, rel, flags | OFlags::CLOEXEC, Mode::empty(), resolve);
        if !matches!(result, Err(Errno::AGAIN | Errno::INTR)) {
            break;
        }
    }
    result
}

/// The next name that a folder has, without `.` and `..`; `None` at its end. A folder's names are
/// never collected: their number is chosen by the worker.
pub(crate) fn next_name(dir: &mut fs::Dir) -> io::Result<Option<OsString>> {
    loop {
        let Some(entry) = dir.next() else {
            return Ok(None);
        };
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            return Ok(Some(OsStr::from_bytes(name).to_owned()));
        }
    }
}
