//! What of an overlay was applied or discarded already, and what the project's files were right after our
//! own writes. Owns `workers/<id>/changes/journal.bin`, out of the worker's reach (`journal.json` is of
//! the version before). Never hides what the worker changed again.

use crate::tree::{Meta, Tree};
use podbay_model::model::HostPath;
use ring::digest::{Context, SHA256};
use rustix::{
    fs::{AtFlags, Mode, OFlags, openat, renameat, unlinkat},
    io::Errno,
};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeSeed, SeqAccess, Visitor},
};
use std::{
    fmt,
    io::{self, BufReader, BufWriter, Read, Write},
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::Path,
};

/// Enough of a file to know that it was not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    ino: u64,
    size: u64,
    mode: u32,
    mtime: i64,
    ctime: i64,
}

impl From<&Meta> for Stamp {
    fn from(m: &Meta) -> Self {
        Self {
            ino: m.ino,
            size: m.size,
            mode: m.mode,
            mtime: m.mtime,
            ctime: m.ctime,
        }
    }
}

/// The most that is kept of either kind.
pub(super) const MAX_SETTLED: usize = 1_000_000;
/// Bytes of a digest, the first of SHA-256.
const DIGEST: usize = 16;

/// Sorted digests, and what is to be added and taken out of them. It is only asked whether it holds
/// something, so a digest of the path and of what `statx` says is kept of each, [`DIGEST`] bytes, and no
/// path: a million changes are 16 MB.
#[derive(Debug, Default)]
struct Set {
    sorted: Vec<u128>,
    added: Vec<u128>,
    removed: Vec<u128>,
}

impl Set {
    fn has(&self, digest: u128) -> bool {
        self.sorted.binary_search(&digest).is_ok()
    }

    /// `false` when it is full.
    fn add(&mut self, digest: u128) -> bool {
        let room = self.sorted.len() + self.added.len() < MAX_SETTLED;
        if room {
            self.added.push(digest);
        }
        room
    }

    fn seal(&mut self) {
        self.sorted.append(&mut self.added);
        self.sorted.sort_unstable();
        self.sorted.dedup();
        if !self.removed.is_empty() {
            self.removed.sort_unstable();
            let removed = std::mem::take(&mut self.removed);
            self.sorted.retain(|d| removed.binary_search(d).is_err());
        }
    }
}

/// The journal of one worker. A path is hidden for as long as the upper folder holds the very thing that
/// was settled; what we wrote ourselves is no change by somebody else.
#[derive(Debug, Default)]
pub(super) struct Journal {
    hidden: Set,
    wrote: Set,
}

const FILE: &str = "journal.bin";
const FRESH: &str = ".journal.tmp";
const FORMER: &str = "journal.json";
const MAGIC: [u8; 8] = *b"podbayJ1";

impl Journal {
    /// Reads it; none is an empty one, and so is one that cannot be read: then what was settled
    /// is listed again, and nothing is lost.
    pub(super) fn load(changes: &Tree) -> Self {
        let read = match changes.file(Path::new(FILE)) {
            Ok(file) => read(BufReader::new(file)),
            Err(Errno::NOENT) => match changes.file(Path::new(FORMER)) {
                Ok(file) => read_former(BufReader::new(file)),
                Err(Errno::NOENT) => return Self::default(),
                Err(e) => Err(e.into()),
            },
            Err(e) => Err(e.into()),
        };
        read.unwrap_or_else(|e| {
            tracing::warn!(error = %e, "a review's journal cannot be read and starts empty");
            Self::default()
        })
    }

    /// Replaces the file, whole or not at all.
    pub(super) fn save(&mut self, changes: &OwnedFd) -> io::Result<()> {
        self.seal();
        // Always the same name, so that one left by a process that died is overwritten; the caller that
        // changes something has the lock.
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let fd = openat(changes, FRESH, flags, Mode::RUSR | Mode::WUSR)?;
        let mut file = BufWriter::new(std::fs::File::from(fd));
        file.write_all(&MAGIC)?;
        for set in [&self.hidden, &self.wrote] {
            file.write_all(&(set.sorted.len() as u64).to_le_bytes())?;
        }
        for digest in self.hidden.sorted.iter().chain(&self.wrote.sorted) {
            file.write_all(&digest.to_le_bytes())?;
        }
        file.flush()?;
        file.get_ref().sync_all()?;
        podbay_failpoints::failpoint!("reviewer.journal.synced");
        renameat(changes, FRESH, changes, FILE)?;
        match unlinkat(changes, FORMER, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// What was added and taken out counts from now on.
    pub(super) fn seal(&mut self) {
        self.hidden.seal();
        self.wrote.seal();
    }

    /// Whether a change was settled and nothing happened to it since.
    pub(super) fn hides(&self, path: &Path, upper: Option<&Meta>) -> bool {
        self.hidden.has(hidden(path, upper.map(Stamp::from)))
    }

    /// Whether the project's file is as we wrote it.
    pub(super) fn wrote(&self, path: &Path, lower: &Meta) -> bool {
        self.wrote.has(written(path, Stamp::from(lower)))
    }

    /// Notes what the project holds after our write. Where there is no room for it, it counts as
    /// somebody else's change later: a question more, and nothing lost.
    pub(super) fn write(&mut self, path: &Path, lower: &Meta) {
        self.wrote.add(written(path, Stamp::from(lower)));
    }

    /// Hides a path until its entry in the upper folder changes; `false` when there is no room.
    #[must_use]
    pub(super) fn hide(&mut self, path: &Path, upper: Option<&Meta>) -> bool {
        self.hidden.add(hidden(path, upper.map(Stamp::from)))
    }

    /// The upper folder no longer holds it, so nothing is to be hidden.
    pub(super) fn show(&mut self, path: &Path, upper: Option<&Meta>) {
        let digest = hidden(path, upper.map(Stamp::from));
        self.hidden.removed.push(digest);
    }

    /// Nothing is hidden any more.
    pub(super) fn show_all(&mut self) {
        self.hidden = Set::default();
    }
}

fn hidden(path: &Path, upper: Option<Stamp>) -> u128 {
    digest(if upper.is_some() { b'u' } else { b'g' }, path, upper)
}

fn written(path: &Path, lower: Stamp) -> u128 {
    digest(b'w', path, Some(lower))
}

fn digest(kind: u8, path: &Path, stamp: Option<Stamp>) -> u128 {
    let mut context = Context::new(&SHA256);
    context.update(&[kind]);
    context.update(path.as_os_str().as_bytes());
    // A path has no NUL.
    context.update(&[0]);
    if let Some(s) = stamp {
        context.update(&s.ino.to_le_bytes());
        context.update(&s.size.to_le_bytes());
        context.update(&s.mode.to_le_bytes());
        context.update(&s.mtime.to_le_bytes());
        context.update(&s.ctime.to_le_bytes());
    }
    let mut first = [0; DIGEST];
    for (slot, byte) in first.iter_mut().zip(context.finish().as_ref()) {
        *slot = *byte;
    }
    u128::from_le_bytes(first)
}

fn torn() -> io::Error {
    io::Error::other("it is not whole")
}

fn read(mut file: impl Read) -> io::Result<Journal> {
    let mut magic = [0; 8];
    file.read_exact(&mut magic)?;
    if magic != MAGIC {
        return Err(torn());
    }
    let mut journal = Journal::default();
    let mut lengths = [0usize; 2];
    for length in &mut lengths {
        let mut bytes = [0; 8];
        file.read_exact(&mut bytes)?;
        *length = usize::try_from(u64::from_le_bytes(bytes)).map_err(|_| torn())?;
        if *length > MAX_SETTLED {
            return Err(torn());
        }
    }
    for (set, length) in [&mut journal.hidden, &mut journal.wrote]
        .into_iter()
        .zip(lengths)
    {
        set.sorted.reserve_exact(length);
        for _ in 0..length {
            let mut bytes = [0; DIGEST];
            file.read_exact(&mut bytes)?;
            set.sorted.push(u128::from_le_bytes(bytes));
        }
        set.sorted.sort_unstable();
    }
    Ok(journal)
}

/// A line of `journal.json`.
#[derive(Deserialize)]
struct Line {
    path: HostPath,
    hidden: bool,
    upper: Option<Stamp>,
    lower: Option<Stamp>,
}

/// Takes the lines one by one: they may be many.
struct Lines<'a>(&'a mut Journal);

impl<'de> DeserializeSeed<'de> for Lines<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Lines<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the lines of a journal")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(line) = seq.next_element::<Line>()? {
            let path = line.path.as_path();
            if line.hidden {
                self.0.hidden.add(hidden(path, line.upper));
            }
            if let Some(lower) = line.lower {
                self.0.wrote.add(written(path, lower));
            }
        }
        Ok(())
    }
}

fn read_former(file: impl Read) -> io::Result<Journal> {
    let mut journal = Journal::default();
    let mut text = serde_json::Deserializer::from_reader(file);
    Lines(&mut journal).deserialize(&mut text)?;
    journal.seal();
    Ok(journal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType};

    fn meta(ino: u64) -> Meta {
        Meta {
            kind: FileType::RegularFile,
            mode: 0o644,
            uid: 0,
            links: 1,
            gid: 0,
            size: 3,
            ino,
            dev: 1,
            rdev: 0,
            mtime: 5,
            ctime: 6,
            btime: None,
        }
    }

    fn open(dir: &Path) -> (Tree, OwnedFd) {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let fd = || openat(CWD, dir, flags, Mode::empty()).unwrap();
        (Tree::new(fd()), fd())
    }

    #[test]
    fn what_is_settled_survives_the_file_and_what_changed_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        let (tree, fd) = open(dir.path());
        let mut journal = Journal::load(&tree);
        assert!(journal.hide(Path::new("a"), Some(&meta(1))));
        assert!(journal.hide(Path::new("gone"), None));
        assert!(journal.hide(Path::new("back"), None));
        journal.write(Path::new("a"), &meta(2));
        journal.show(Path::new("back"), None);
        journal.save(&fd).unwrap();
        let journal = Journal::load(&tree);
        assert!(journal.hides(Path::new("a"), Some(&meta(1))));
        assert!(!journal.hides(Path::new("a"), Some(&meta(2))));
        assert!(!journal.hides(Path::new("a"), None) && !journal.hides(Path::new("b"), None));
        assert!(journal.hides(Path::new("gone"), None) && !journal.hides(Path::new("back"), None));
        assert!(journal.wrote(Path::new("a"), &meta(2)));
        assert!(!journal.wrote(Path::new("a"), &meta(1)));
        // Cut anywhere it is an empty one.
        let file = dir.path().join(FILE);
        let whole = std::fs::read(&file).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&file, &whole[..length]).unwrap();
            assert!(!Journal::load(&tree).hides(Path::new("gone"), None));
        }
    }

    #[test]
    fn the_journal_of_the_version_before_is_read_and_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (tree, fd) = open(dir.path());
        let stamp = r#"{"ino":1,"size":3,"mode":420,"mtime":5,"ctime":6}"#;
        let text = format!(
            r#"[{{"path":"a","hidden":true,"upper":{stamp},"lower":{stamp}}},
                {{"path":"b","hidden":false,"upper":null,"lower":null}},
                {{"path":"c","hidden":true,"upper":null,"lower":null}}]"#
        );
        std::fs::write(dir.path().join(FORMER), text).unwrap();
        let mut journal = Journal::load(&tree);
        journal.save(&fd).unwrap();
        assert!(!dir.path().join(FORMER).exists());
        for journal in [journal, Journal::load(&tree)] {
            assert!(journal.hides(Path::new("a"), Some(&meta(1))));
            assert!(journal.wrote(Path::new("a"), &meta(1)));
            assert!(!journal.hides(Path::new("b"), None));
            assert!(journal.hides(Path::new("c"), None));
        }
    }

    #[test]
    fn a_full_journal_says_so() {
        let mut set = Set {
            sorted: (0..MAX_SETTLED as u128).collect(),
            ..Set::default()
        };
        assert!(!set.add(u128::MAX));
        set.removed.push(3);
        set.seal();
        assert!(!set.has(3) && set.add(u128::MAX));
    }
}
