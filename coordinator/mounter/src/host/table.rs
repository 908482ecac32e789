//! What is mounted in the engine's namespace, as the kernel lists it. Owns the list that was read last and
//! when it is read again: only once the kernel says that it changed. Never opens what is mounted there: a
//! file system whose server is gone would be waited for.

use crate::wire::LeftOut;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use podbay_model::model::HostPath;
use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read, Seek},
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStringExt,
    },
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// The most of the list that is read, in bytes.
const MAX_BYTES: u64 = 4 << 20;
/// The most mounts that are named.
pub(crate) const MAX_NAMED: usize = 16;

/// A line of proc(5)'s `mountinfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub id: u64,
    pub parent: u64,
    pub path: PathBuf,
    /// Such as `ext4`, `fuse.sshfs`.
    pub kind: String,
}

/// The list, read when it is needed.
pub(crate) struct MountTable(Option<Mutex<Table>>);

struct Table {
    file: File,
    /// `None` before the first reading, and after one that failed.
    mounts: Option<Vec<Listed>>,
}

impl MountTable {
    /// From an open `mountinfo`, or without one.
    pub(crate) fn new(file: Option<OwnedFd>) -> Self {
        let table = |fd: OwnedFd| Table {
            file: fd.into(),
            mounts: None,
        };
        Self(file.map(|fd| Mutex::new(table(fd))))
    }

    /// The mounts strictly below a folder of the mount `id`, outermost first; where the kernel does not
    /// tell ids, all below that path. Those that are covered are not among them.
    ///
    /// # Errors
    /// When the list cannot be read.
    pub(crate) fn below(&self, path: &Path, id: Option<u64>) -> io::Result<Vec<Listed>> {
        let Some(table) = &self.0 else {
            return Ok(Vec::new());
        };
        let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(below(table.mounts()?, path, id))
    }
}

impl Table {
    fn mounts(&mut self) -> io::Result<&[Listed]> {
        // The kernel tells of each change once to each open file; one that comes while it is read is
        // reported by the next poll.
        let mut fds = [PollFd::new(self.file.as_fd(), PollFlags::POLLPRI)];
        poll(&mut fds, PollTimeout::ZERO)?;
        let [fd] = fds;
        let events = fd.revents().unwrap_or(PollFlags::POLLPRI);
        if events.intersects(PollFlags::POLLPRI | PollFlags::POLLERR) {
            self.mounts = None;
        }
        if self.mounts.is_none() {
            let mut text = Vec::new();
            self.file.rewind()?;
            (&self.file).take(MAX_BYTES).read_to_end(&mut text)?;
            self.mounts = Some(text.split(|b| *b == b'\n').filter_map(parse).collect());
        }
        Ok(self.mounts.as_deref().unwrap_or_default())
    }
}

/// One line; `None` for what is none, such as the last one of a list that was cut.
fn parse(line: &[u8]) -> Option<Listed> {
    let mut fields = line.split(|b| *b == b' ');
    let mut number = || std::str::from_utf8(fields.next()?).ok()?.parse().ok();
    let (id, parent) = (number()?, number()?);
    let path = PathBuf::from(OsString::from_vec(unescaped(fields.nth(2)?)));
    let mut rest = fields.skip_while(|field| *field != b"-").skip(1);
    let kind = String::from_utf8_lossy(rest.next()?).into_owned();
    Some(Listed {
        id,
        parent,
        path,
        kind,
    })
}

/// Blanks, line ends and backslashes are written as three octal digits.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| byte == b'\\');
        let code = digits
            .and_then(|d| std::str::from_utf8(d).ok())
            .and_then(|d| u8::from_str_radix(d, 8).ok());
        match code {
            Some(code) => {
                out.push(code);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    out
}

fn below(mounts: &[Listed], path: &Path, id: Option<u64>) -> Vec<Listed> {
    let inside = |m: &&Listed| m.path.starts_with(path) && m.path != path;
    let mut found: Vec<Listed> = Vec::new();
    match id {
        None => found.extend(mounts.iter().filter(inside).cloned()),
        // A mount on what is below an older one of the same path is no child of ours.
        Some(id) => {
            let mut parents = vec![id];
            while let Some(parent) = parents.pop() {
                for mount in mounts.iter().filter(inside).filter(|m| m.parent == parent) {
                    if found.iter().any(|known| known.id == mount.id) {
                        continue;
                    }
                    parents.push(mount.id);
                    found.push(mount.clone());
                }
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found.dedup_by(|later, first| later.path == first.path);
    found
}

/// The outermost ones by their names in the project, and whether there are more of them.
pub(crate) fn named(
    mounts: &[Listed],
    project: &Path,
    is_file: impl Fn(&Path) -> bool,
) -> (Vec<LeftOut>, bool) {
    let mut outermost: Vec<&Path> = Vec::new();
    for mount in mounts {
        let covered = outermost.last().is_some_and(|o| mount.path.starts_with(o));
        if !covered {
            outermost.push(&mount.path);
        }
    }
    let inside = outermost
        .iter()
        .filter_map(|p| p.strip_prefix(project).ok());
    let left_out = inside.take(MAX_NAMED).map(|path| LeftOut {
        file: is_file(path),
        path: HostPath::new(path),
    });
    (left_out.collect(), outermost.len() > MAX_NAMED)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "\
22 1 8:1 / / rw - ext4 /dev/sda1 rw
30 22 8:2 / /p rw,relatime shared:5 master:1 - ext4 /dev/sdb1 rw
31 30 0:40 / /p/old rw - tmpfs t rw
40 30 8:3 / /p rw - xfs /dev/sdc1 rw
41 40 0:41 / /p/da\\040ta rw - tmpfs t rw
42 41 0:42 / /p/da\\040ta/in rw - fuse.sshfs h: rw
43 40 8:1 /etc/x /p/conf rw shared:9 - ext4 /dev/sda1 rw
44 22 0:44 / /pp rw - tmpfs t rw
45 40 0:45 / /p/conf";

    fn list() -> Vec<Listed> {
        LIST.as_bytes()
            .split(|b| *b == b'\n')
            .filter_map(parse)
            .collect()
    }

    #[test]
    fn what_is_mounted_below_a_folder_is_found_by_the_mount_that_one_sees_there() {
        let mounts = list();
        assert_eq!(mounts.len(), 8, "the last line was cut");
        let paths = |id| -> Vec<PathBuf> {
            let found = below(&mounts, Path::new("/p"), id);
            found.into_iter().map(|m| m.path).collect()
        };
        let seen = ["/p/conf", "/p/da ta", "/p/da ta/in"].map(PathBuf::from);
        assert_eq!(paths(Some(40)), seen);
        assert_eq!(below(&mounts, Path::new("/"), Some(22)).len(), 6);
        assert_eq!(paths(None).len(), 4);
        assert!(below(&mounts, Path::new("/p/conf"), Some(43)).is_empty());
        let found = below(&mounts, Path::new("/p"), Some(40));
        assert_eq!(found[2].kind, "fuse.sshfs");
        let (left_out, more) = named(&found, Path::new("/p"), |p| p == Path::new("conf"));
        let left_out: Vec<_> = left_out
            .iter()
            .map(|l| (l.path.to_string(), l.file))
            .collect();
        assert_eq!(left_out, [("conf".into(), true), ("da ta".into(), false)]);
        assert!(!more);
    }

    #[test]
    fn so_many_mounts_are_named_and_no_more() {
        let many = (0..100).map(|n| Listed {
            id: 100 + n,
            parent: 40,
            path: PathBuf::from(format!("/p/{n:03}")),
            kind: "tmpfs".to_owned(),
        });
        let found = below(&many.collect::<Vec<_>>(), Path::new("/p"), Some(40));
        let (left_out, more) = named(&found, Path::new("/p"), |_| false);
        assert_eq!((left_out.len(), more), (MAX_NAMED, true));
        // Parents in a circle, which no kernel lists.
        let circle = [(1, 2), (2, 1)].map(|(id, parent)| Listed {
            id,
            parent,
            path: format!("/p/{id}").into(),
            kind: String::new(),
        });
        assert_eq!(below(&circle, Path::new("/p"), Some(1)).len(), 2);
    }
}
