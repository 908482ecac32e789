//! What was mounted into a worker. Owns `workers/<id>/mount.json`, which no worker sees: written as soon
//! as the mounter has answered, whole or not at all, by a rename. Never synced: a claim waits neither for
//! the disk nor for the file system's journal.

use crate::{
    changes::git,
    host::Turn,
    tree::{Meta, Tree},
    wire::MountFacts,
};
use rustix::{
    fs::{AtFlags, Mode, OFlags, openat, renameat, unlinkat},
    io::Errno,
};
use std::{
    io::{self, Read, Write},
    os::fd::OwnedFd,
    path::Path,
};

const TEMPORARY: &str = "mount.tmp";
/// The most of the file that is read, in bytes.
const MAX_BYTES: u64 = 64 << 10;

/// Largest index that is looked at beside a claim, in bytes.
const MAX_INDEX: u64 = 16 << 20;

/// A mount that is to be noted.
pub(crate) struct Note {
    pub worker: Tree,
    pub facts: MountFacts,
    /// The project, where what its index stages is noted as well.
    pub index_of: Option<OwnedFd>,
    /// Nothing else is done to this worker's mount meanwhile.
    pub turn: Turn,
}

impl Note {
    /// Without it the claim's record and the agent's copy are what is known: a failure costs no claim.
    pub(crate) fn write(self) {
        let noted = record(&self.worker, self.facts).and_then(|first| match self.index_of {
            Some(project) if first => record_index(&self.worker, project),
            _ => Ok(()),
        });
        if let Err(error) = noted {
            tracing::warn!(worker = self.turn.worker, %error, "what is mounted is not noted");
        }
    }
}

/// Notes a mount. One of the same folder in the same way keeps the time of the first: it is the
/// claim's, however often its container is recreated. Whether it is the first.
fn record(worker: &Tree, mut facts: MountFacts) -> io::Result<bool> {
    let mut first = true;
    if let Some(former) = read(worker)
        && (former.ino, former.mode) == (facts.ino, facts.mode)
        && (former.dev == facts.dev || facts.fsid.is_some() && former.fsid == facts.fsid)
        && former.worker == facts.worker
    {
        facts.claimed_ns = former.claimed_ns;
        first = false;
    }
    let text = serde_json::to_vec(&facts)?;
    let dir = worker.dir(Path::new(""))?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let create = || openat(&dir, TEMPORARY, flags, Mode::RUSR | Mode::WUSR);
    let fd = match create() {
        // One that was cut short left it.
        Err(Errno::EXIST) => {
            unlinkat(&dir, TEMPORARY, AtFlags::empty())?;
            create()?
        }
        created => created?,
    };
    std::fs::File::from(fd).write_all(&text)?;
    renameat(&dir, TEMPORARY, &dir, MountFacts::FILE)?;
    Ok(first)
}

/// Notes what the project's index stages: `git status` on the host rewrites the file, which is no change.
fn record_index(worker: &Tree, project: OwnedFd) -> io::Result<()> {
    let staged = match Tree::new(project).file(Path::new(git::MAIN_INDEX)) {
        Ok(index) if Meta::of(&index)?.size <= MAX_INDEX => git::staged(index)?,
        Ok(_) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => None,
        Err(e) => return Err(e.into()),
    };
    let dir = worker.dir(Path::new("changes"))?;
    let flags =
        OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = openat(&dir, git::INDEX_NOTE, flags, Mode::RUSR | Mode::WUSR)?;
    std::fs::File::from(fd).write_all(staged.unwrap_or_default().as_bytes())
}

/// The mount is gone.
pub(crate) fn forget(worker: &Tree) -> rustix::io::Result<()> {
    match unlinkat(
        worker.dir(Path::new(""))?,
        MountFacts::FILE,
        AtFlags::empty(),
    ) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(e) => Err(e),
    }
}

fn read(worker: &Tree) -> Option<MountFacts> {
    let mut text = Vec::new();
    let file = worker.file(Path::new(MountFacts::FILE)).ok()?;
    file.take(MAX_BYTES).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::MountMode;
    use podbay_model::model::HostPath;

    fn facts(ino: u64, claimed_ns: i64) -> MountFacts {
        MountFacts {
            worker: "0123456789ab".to_owned(),
            project: HostPath::new("/p"),
            dev: 1,
            ino,
            fsid: None,
            mode: MountMode::Overlay,
            uid: 200_000,
            gid: 200_000,
            claimed_ns,
        }
    }

    #[test]
    fn a_mount_is_noted_whole_and_the_claims_time_stays_while_it_is_the_same_folder() {
        let dir = tempfile::tempdir().unwrap();
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let tree = Tree::new(rustix::fs::open(dir.path(), flags, Mode::empty()).unwrap());
        std::fs::write(dir.path().join(TEMPORARY), "half").unwrap();
        assert_eq!(read(&tree), None);
        record(&tree, facts(2, 10)).unwrap();
        assert_eq!(read(&tree), Some(facts(2, 10)));
        record(&tree, facts(2, 20)).unwrap();
        assert_eq!(read(&tree), Some(facts(2, 10)));
        record(&tree, facts(3, 20)).unwrap();
        assert_eq!(read(&tree), Some(facts(3, 20)));
        assert!(!dir.path().join(TEMPORARY).exists());
        forget(&tree).unwrap();
        forget(&tree).unwrap();
        assert_eq!(read(&tree), None);
    }
}
