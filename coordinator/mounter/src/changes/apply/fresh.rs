//! A file that takes another's place in a project, whole or not at all. Owns its temporary name. Never
//! leaves anything in the project when its process dies while it copies, where the file system can.

use rustix::{
    fs::{self, AtFlags, Mode, OFlags, SeekFrom, Timespec, Timestamps, openat, renameat, unlinkat},
    io::Errno,
};
use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsRawFd, OwnedFd},
};

/// A file that is to take another's place. Where the filesystem can it has no name until it is
/// whole, so that a mounter that dies while it copies leaves nothing in the project.
pub(super) struct Fresh<'t> {
    pub file: File,
    temporary: &'t str,
    named: bool,
}

impl<'t> Fresh<'t> {
    pub(super) fn make(dir: &OwnedFd, temporary: &'t str) -> io::Result<Self> {
        let mode = Mode::RUSR | Mode::WUSR;
        let nameless = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
        if let Ok(fd) = openat(dir, ".", nameless, mode)
            // It gets its name through /proc, which not every mount namespace has.
            && fs::stat(through_proc(&fd)).is_ok()
        {
            return Ok(Self {
                file: File::from(fd),
                temporary,
                named: false,
            });
        }
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = at_free_name(dir, temporary, || openat(dir, temporary, flags, mode))?;
        Ok(Self {
            file: File::from(fd),
            temporary,
            named: true,
        })
    }

    /// Takes the place of `name`, whole.
    pub(super) fn put(self, dir: &OwnedFd, name: &OsStr) -> io::Result<()> {
        if !self.named {
            let source = through_proc(&self.file);
            at_free_name(dir, self.temporary, || {
                let follow = AtFlags::SYMLINK_FOLLOW;
                fs::linkat(fs::CWD, source.as_str(), dir, self.temporary, follow)
            })?;
            podbay_failpoints::failpoint!("reviewer.apply.linked");
        }
        replace(dir, self.temporary, name)
    }

    pub(super) fn drop_in(self, dir: &OwnedFd) {
        if self.named {
            clean(dir, self.temporary);
        }
    }
}

fn through_proc(fd: &impl AsRawFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// The temporary name is this worker's own, and its changes are locked: what has it was left by a
/// mounter that died, and goes.
pub(super) fn at_free_name<T>(
    dir: &OwnedFd,
    temporary: &str,
    make: impl Fn() -> rustix::io::Result<T>,
) -> rustix::io::Result<T> {
    match make() {
        Err(Errno::EXIST) => {
            unlinkat(dir, temporary, AtFlags::empty())?;
            make()
        }
        made => made,
    }
}

pub(super) fn replace(dir: &OwnedFd, temporary: &str, name: &OsStr) -> io::Result<()> {
    renameat(dir, temporary, dir, name).map_err(|e| {
        clean(dir, temporary);
        e.into()
    })
}

fn clean(dir: &OwnedFd, temporary: &str) {
    if let Err(e) = unlinkat(dir, temporary, AtFlags::empty()) {
        tracing::warn!(error = %e, file = temporary, "a temporary file stays in a project");
    }
}

pub(super) fn times(mtime: i64) -> Timestamps {
    let at = Timespec {
        tv_sec: mtime.div_euclid(1_000_000_000),
        tv_nsec: mtime.rem_euclid(1_000_000_000),
    };
    Timestamps {
        last_access: at,
        last_modification: at,
    }
}

/// Copies `size` bytes, holes as holes: a sparse file must not fill the project's disk.
pub(super) fn copy(from: &mut File, to: &mut File, size: u64) -> io::Result<()> {
    fs::ftruncate(&*to, size)?;
    let mut at = 0;
    while at < size {
        let (start, end) = match fs::seek(&*from, SeekFrom::Data(at)) {
            Ok(start) => (start, fs::seek(&*from, SeekFrom::Hole(start))?.min(size)),
            Err(Errno::NXIO) => break,
            Err(Errno::INVAL | Errno::OPNOTSUPP) => (at, size),
            Err(e) => return Err(e.into()),
        };
        if start >= end {
            break;
        }
        fs::seek(&*from, SeekFrom::Start(start))?;
        fs::seek(&*to, SeekFrom::Start(start))?;
        let mut buffer = vec![0; 128 << 10];
        let mut part = (&*from).take(end - start);
        loop {
            let n = part.read(&mut buffer)?;
            if n == 0 {
                break;
            }
            to.write_all(buffer.get(..n).unwrap_or_default())?;
        }
        at = end;
    }
    Ok(())
}
