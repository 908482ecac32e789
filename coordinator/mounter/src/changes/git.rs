//! What of a project belongs to a git repository, and what of it a review never loses. Owns the order in
//! which a repository's files are written, and the comparison of indexes. Never runs git.
//!
//! An index holds what `stat` said of each file beside what is staged. The first differs between worker and
//! host, and any `git status` rewrites it: indexes are equal when they stage the same.

use ring::digest::{Context, SHA256};
use std::{
    ffi::OsStr,
    io::{self, BufRead, BufReader, Read},
    os::unix::ffi::OsStrExt,
    path::Path,
};

/// Where it is noted what the project's index staged at the claim, in `changes/` of the worker.
pub(crate) const INDEX_NOTE: &str = "index";
/// The index that is compared with what it was at the claim.
pub(crate) const MAIN_INDEX: &str = ".git/index";
/// Largest index that is compared by what it stages, in bytes.
const MAX_INDEX: u64 = 256 << 20;
/// Longest path in an index, in bytes.
const MAX_PATH: usize = 1 << 16;
/// `stat` data of an entry up to its mode, and behind it up to the object's name.
const TIMES_AND_PLACE: usize = 24;
const OWNER_AND_SIZE: usize = 12;
/// SHA-1 names of objects; an index with longer ones is not understood.
const OBJECT: usize = 20;

/// What a path is to the repository that it belongs to, in the order in which they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// An object: added, never overwritten or deleted.
    Object,
    /// Not of a repository, or a part of it that says nothing of commits.
    Plain,
    /// A branch, a tag or another reference.
    Reference,
    /// A reflog: only ever added to.
    Reflog,
    /// `HEAD`, the index and what else says where the work is at.
    State,
}

/// A path's part, and the repository's folder where it has one.
pub(super) fn part(path: &Path) -> (Part, Option<&Path>) {
    let mut repository = None;
    for above in path.ancestors().skip(1) {
        if above.file_name() == Some(OsStr::new(".git")) {
            repository = Some(above);
        }
    }
    let Some(repository) = repository else {
        return (Part::Plain, None);
    };
    let names: Vec<&OsStr> = path
        .strip_prefix(repository)
        .unwrap_or(path)
        .iter()
        .collect();
    // A submodule's repository is in `modules/NAME`, and names may have slashes.
    let names = match names.split_first() {
        Some((first, rest)) if *first == OsStr::new("modules") => rest
            .iter()
            .position(|name| is_part_of_repository(name))
            .and_then(|at| rest.get(at..))
            .unwrap_or(&names),
        _ => &names,
    };
    let name = |at: usize| names.get(at).map_or(&b""[..], |name| name.as_bytes());
    let part = match name(0) {
        b"objects" => Part::Object,
        b"refs" | b"packed-refs" => Part::Reference,
        b"logs" => Part::Reflog,
        b"index" | b"HEAD" | b"MERGE_MSG" | b"MERGE_MODE" | b"AUTO_MERGE" => Part::State,
        b"rebase-merge" | b"rebase-apply" | b"sequencer" => Part::State,
        file if file.ends_with(b"_HEAD") => Part::State,
        _ => Part::Plain,
    };
    (part, Some(repository))
}

fn is_part_of_repository(name: &OsStr) -> bool {
    matches!(
        name.as_bytes(),
        b"objects" | b"refs" | b"packed-refs" | b"logs" | b"index" | b"HEAD"
    )
}

/// Whether a path is an index.
pub(super) fn is_index(path: &Path) -> bool {
    path.file_name() == Some(OsStr::new("index")) && part(path).0 == Part::State
}

/// The repository's folder of a path that is one.
pub(super) fn is_repository(path: &Path) -> bool {
    path.file_name() == Some(OsStr::new(".git"))
}

/// Whether two indexes stage the same.
pub(super) fn same_index(a: impl Read, b: impl Read) -> bool {
    matches!((staged(a), staged(b)), (Ok(Some(a)), Ok(Some(b))) if a == b)
}

/// Whether `longer` is `shorter` and what was added to it.
pub(super) fn only_added(shorter: impl Read, longer: impl Read) -> io::Result<bool> {
    let (mut shorter, mut longer) = (BufReader::new(shorter), BufReader::new(longer));
    loop {
        let a = shorter.fill_buf()?;
        if a.is_empty() {
            return Ok(true);
        }
        let b = longer.fill_buf()?;
        let both = a.len().min(b.len());
        if both == 0 || a.get(..both) != b.get(..both) {
            return Ok(false);
        }
        shorter.consume(both);
        longer.consume(both);
    }
}

/// A digest of what an index stages; `None` for what is no index, or one of a kind that is not understood.
pub(crate) fn staged(index: impl Read) -> io::Result<Option<String>> {
    let mut index = BufReader::new(index.take(MAX_INDEX));
    match digest(&mut index) {
        Ok(found) => Ok(found),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(e) => Err(e),
    }
}

/// gitformat-index(5).
fn digest(index: &mut impl BufRead) -> io::Result<Option<String>> {
    let [magic, version, count] = [word(index)?, word(index)?, word(index)?];
    if magic != u32::from_be_bytes(*b"DIRC") || !(2..=4).contains(&version) {
        return Ok(None);
    }
    let mut context = Context::new(&SHA256);
    let mut path = Vec::new();
    for _ in 0..count {
        skip(index, TIMES_AND_PLACE)?;
        let mode = word(index)?;
        skip(index, OWNER_AND_SIZE)?;
        let mut object = [0; OBJECT];
        index.read_exact(&mut object)?;
        let flags = half(index)?;
        let mut length = TIMES_AND_PLACE + 4 + OWNER_AND_SIZE + OBJECT + 2;
        // All but the path's length.
        context.update(&(flags & 0xf000).to_be_bytes());
        if version >= 3 && flags & 0x4000 != 0 {
            context.update(&half(index)?.to_be_bytes());
            length += 2;
        }
        if version == 4 {
            let cut = variable(index)?;
            let Some(kept) = path.len().checked_sub(cut) else {
                return Ok(None);
            };
            path.truncate(kept);
        } else {
            path.clear();
        }
        if !until_nul(index, &mut path)? {
            return Ok(None);
        }
        if version < 4 {
            // The entry's length is a multiple of eight, with one NUL at least.
            let whole = (length + path.len() + 8) & !7;
            skip(index, whole - (length + path.len() + 1))?;
        }
        context.update(&mode.to_be_bytes());
        context.update(&object);
        context.update(&path);
        context.update(&[0]);
    }
    if has_base(index)? {
        return Ok(None);
    }
    let digest = context.finish();
    Ok(Some(
        digest.as_ref().iter().map(|b| format!("{b:02x}")).collect(),
    ))
}

/// Whether what it stages is partly in another file (extension `link`).
fn has_base(index: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let mut name = [0; 4];
        index.read_exact(&mut name)?;
        // The checksum at the end is no extension: it has 20 bytes, and nothing behind them.
        let Ok(size) = word(index) else {
            return Ok(false);
        };
        if name == *b"link" {
            return Ok(true);
        }
        if !name.iter().all(u8::is_ascii_alphabetic) {
            return Ok(false);
        }
        let skipped = io::copy(&mut index.by_ref().take(u64::from(size)), &mut io::sink())?;
        if skipped < u64::from(size) {
            return Ok(false);
        }
    }
}

fn word(from: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    from.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}

fn half(from: &mut impl Read) -> io::Result<u16> {
    let mut bytes = [0; 2];
    from.read_exact(&mut bytes)?;
    Ok(u16::from_be_bytes(bytes))
}

fn skip(from: &mut impl Read, count: usize) -> io::Result<()> {
    let mut rest = [0; TIMES_AND_PLACE];
    from.read_exact(rest.get_mut(..count).ok_or(io::ErrorKind::InvalidInput)?)
}

/// The number of bytes to cut off the former path (version 4), written as offsets in packs are.
fn variable(from: &mut impl Read) -> io::Result<usize> {
    let mut value = 0usize;
    loop {
        let mut byte = [0];
        from.read_exact(&mut byte)?;
        let [byte] = byte;
        value = (value << 7) | usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
        if value > MAX_PATH {
            return Err(io::ErrorKind::InvalidData.into());
        }
        value += 1;
    }
}

/// Appends to a path up to a NUL; `false` when it is too long.
fn until_nul(from: &mut impl BufRead, path: &mut Vec<u8>) -> io::Result<bool> {
    let room = (MAX_PATH - path.len().min(MAX_PATH)) as u64;
    from.by_ref().take(room).read_until(0, path)?;
    Ok(path.pop() == Some(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn git(dir: &Path, args: &[&str]) {
        let done = Command::new("git")
            .current_dir(dir)
            .args(["-c", "user.name=a", "-c", "user.email=a@b"])
            .args(args)
            .output()
            .unwrap();
        assert!(done.status.success(), "{args:?}: {done:?}");
    }

    #[test]
    fn every_part_of_a_repository_is_known_by_its_path() {
        for (path, part_of, repository) in [
            ("src/refs/heads", Part::Plain, None),
            (".git/config", Part::Plain, Some(".git")),
            (".git/hooks/pre-commit", Part::Plain, Some(".git")),
            (".git/objects/ab/cd", Part::Object, Some(".git")),
            (".git/refs/heads/main", Part::Reference, Some(".git")),
            (".git/packed-refs", Part::Reference, Some(".git")),
            (".git/logs/HEAD", Part::Reflog, Some(".git")),
            (".git/HEAD", Part::State, Some(".git")),
            (".git/ORIG_HEAD", Part::State, Some(".git")),
            ("a/b/.git/index", Part::State, Some("a/b/.git")),
            (
                ".git/modules/x/y/objects/pack/p",
                Part::Object,
                Some(".git"),
            ),
            (
                ".git/modules/x/y/logs/refs/heads/m",
                Part::Reflog,
                Some(".git"),
            ),
            (".git/modules/x/index", Part::State, Some(".git")),
        ] {
            let found = part(Path::new(path));
            assert_eq!(found, (part_of, repository.map(Path::new)), "{path}");
        }
        assert!(is_index(Path::new(".git/index")) && !is_index(Path::new("index")));
    }

    #[test]
    fn indexes_of_every_version_are_equal_when_they_stage_the_same() {
        for version in ["2", "3", "4"] {
            let dir = tempfile::tempdir().unwrap();
            let at = dir.path();
            let read = || std::fs::read(at.join(".git/index")).unwrap();
            git(at, &["init", "-q"]);
            for name in ["a", "folder-one", "folder-two", "zz"] {
                std::fs::create_dir(at.join(name)).unwrap();
                std::fs::write(at.join(name).join("file"), name).unwrap();
            }
            git(at, &["add", "."]);
            git(at, &["commit", "-qm", "one"]);
            git(at, &["update-index", "--index-version", version]);
            if version == "3" {
                std::fs::write(at.join("later"), "x").unwrap();
                git(at, &["add", "--intent-to-add", "later"]);
            }
            let first = read();
            assert!(staged(&first[..]).unwrap().is_some(), "version {version}");
            // The same files with another inode, time and size on disk.
            for name in ["a/file", "zz/file"] {
                std::fs::remove_file(at.join(name)).unwrap();
                std::fs::write(at.join(name), name.split('/').next().unwrap()).unwrap();
                let file = std::fs::File::options()
                    .append(true)
                    .open(at.join(name))
                    .unwrap();
                file.set_modified(std::time::UNIX_EPOCH).unwrap();
            }
            git(at, &["status"]);
            let refreshed = read();
            assert_ne!(first, refreshed, "nothing was refreshed");
            assert!(same_index(&first[..], &refreshed[..]), "version {version}");
            std::fs::write(at.join("a/file"), "changed").unwrap();
            git(at, &["add", "a/file"]);
            assert!(!same_index(&first[..], &read()[..]), "version {version}");
            // Cut short, it is no index.
            for end in [0, 3, 11, 40, 80] {
                assert_eq!(staged(&first[..end]).unwrap(), None, "{end}");
            }
        }
    }

    #[test]
    fn a_reflog_that_was_only_added_to_is_told_from_one_that_was_rewritten() {
        let added = |a: &str, b: &str| only_added(a.as_bytes(), b.as_bytes()).unwrap();
        assert!(added("", "") && added("", "x") && added("one\n", "one\ntwo\n"));
        assert!(!added("one\n", "") && !added("one\n", "two\n") && !added("one\ntwo\n", "one\n"));
    }
}
