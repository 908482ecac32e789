//! The state volume: its folders, and the files that belong to no single worker.

use super::{
    files::{absent_is_fine, make_dir, read_json, remove_temporary, write_json, write_whole},
    record::FinishedRecord,
    worker_folder::WorkerFolder,
};
use crate::model::WorkerId;
use std::{
    ffi::OsStr,
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// The state volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDir(PathBuf);

impl StateDir {
    /// Takes the folder and makes what is missing in it.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let dir = Self(path.into());
        for (name, mode) in [
            ("config", 0o755),
            ("profiles", 0o755),
            ("run", 0o700),
            ("bin", 0o755),
            ("net", 0o755),
            ("workers", 0o711),
            ("sessions", 0o700),
            ("logs", 0o700),
            ("keys", 0o700),
        ] {
            make_dir(&dir.0.join(name), mode)?;
        }
        Ok(dir)
    }

    /// The folder as it is.
    #[must_use]
    pub(super) fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A path inside.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Removes what a coordinator left that died while it wrote. Before anything is written: a
    /// temporary file that is in use has the same name.
    ///
    /// # Errors
    /// A folder cannot be read, a file not removed.
    pub fn sweep(&self) -> io::Result<()> {
        for name in ["config", "profiles", "bin", "sessions", "keys"] {
            remove_temporary(&self.0.join(name))?;
        }
        for id in self.workers()? {
            remove_temporary(self.worker(&id).path())?;
        }
        Ok(())
    }

    /// Copies seeds that are not there yet; what is there is the user's.
    ///
    /// # Errors
    /// No space, for example. Seeds that are absent are no error.
    pub fn seed(&self, from: &Path) -> io::Result<()> {
        copy_absent(from, &self.0)
    }

    /// The folder of a worker.
    #[must_use]
    pub fn worker(&self, id: &WorkerId) -> WorkerFolder {
        WorkerFolder(self.0.join("workers").join(id.as_str()))
    }

    /// Every worker that has a folder.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn workers(&self) -> io::Result<Vec<WorkerId>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(self.0.join("workers"))? {
            let name = entry?.file_name();
            if let Some(id) = name.to_str().and_then(|n| WorkerId::new(n).ok()) {
                found.push(id);
            }
        }
        Ok(found)
    }

    /// Finished sessions, those that parse.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn finished(&self) -> io::Result<Vec<FinishedRecord>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(self.0.join("sessions"))? {
            let path = entry?.path();
            if path.extension() == Some(OsStr::new("json")) {
                let record: Option<FinishedRecord> = read_json(&path);
                found.extend(record.filter(|r| path == self.finished_path(&r.claim.id)));
            }
        }
        Ok(found)
    }

    fn finished_path(&self, id: &WorkerId) -> PathBuf {
        self.0.join("sessions").join(format!("{id}.json"))
    }

    /// Writes a finished session's record.
    ///
    /// # Errors
    /// No space, for example; the former record stays.
    pub fn write_finished(&self, record: &FinishedRecord) -> io::Result<()> {
        write_json(&self.finished_path(&record.claim.id), record)
    }

    /// Forgets a finished session.
    ///
    /// # Errors
    /// The file is there and cannot be removed.
    pub fn remove_finished(&self, id: &WorkerId) -> io::Result<()> {
        absent_is_fine(fs::remove_file(self.finished_path(id)))
    }

    /// Puts the agent's binary under `bin/`, named by its content, and says that name.
    ///
    /// # Errors
    /// The binary cannot be read or written.
    pub fn install_agent(&self, binary: &Path) -> io::Result<String> {
        self.install_binary("worker-agent", binary)
    }

    /// The same with any binary and its plain name.
    ///
    /// # Errors
    /// The binary cannot be read or written.
    pub fn install_binary(&self, plain: &str, binary: &Path) -> io::Result<String> {
        let content = fs::read(binary)
            .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", binary.display())))?;
        let name = format!("{plain}-{:016x}", content_hash(&content));
        let target = self.0.join("bin").join(&name);
        // Compared whole: a disk may have kept its length and lost what was in it.
        if fs::read(&target).is_ok_and(|found| found == content) {
            return Ok(name);
        }
        write_whole(&target, &content, 0o755)?;
        Ok(name)
    }

    /// Writes the workers' own `hosts` and `resolv.conf` from the parent's: theirs are read-only.
    /// The files are written in place, since workers have them mounted.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn write_net_files(&self) -> io::Result<()> {
        for name in ["hosts", "resolv.conf"] {
            let content = match fs::read(Path::new("/etc").join(name)) {
                Ok(content) => content,
                Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
                Err(error) => return Err(error),
            };
            let target = self.0.join("net").join(name);
            if fs::read(&target).ok().as_deref() != Some(content.as_slice()) {
                fs::write(&target, content)?;
            }
            fs::set_permissions(&target, fs::Permissions::from_mode(0o644))?;
        }
        Ok(())
    }
}

fn copy_absent(from: &Path, to: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(from) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            make_dir(&target, 0o755)?;
            copy_absent(&entry.path(), &target)?;
        } else if !target.exists() {
            write_whole(&target, &fs::read(entry.path())?, 0o644)?;
        }
    }
    Ok(())
}

/// In the manner of FNV-1a, over words: names a binary by its content. No defence against an
/// attacker, who cannot write there.
fn content_hash(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let words = words.iter().map(|word| u64::from_le_bytes(*word));
    let all = words.chain(rest.iter().map(|byte| u64::from(*byte)));
    all.fold(0xcbf2_9ce4_8422_2325, |hash, word| {
        (hash ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(29)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::worker_folder::tests::{record, torn};

    #[test]
    fn a_finished_record_torn_at_any_byte_is_passed_over_and_the_others_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let finished = |bits: u64| FinishedRecord {
            claim: record(&WorkerId::from_bits(bits)),
            exit: None,
            oom: false,
            ended_ms: 3,
            why: Some("gone".to_owned()),
            unapplied: true,
            changes: None,
        };
        state.write_finished(&finished(1)).unwrap();
        state.write_finished(&finished(2)).unwrap();
        fs::create_dir(dir.path().join("sessions/folder.json")).unwrap();
        let path = state.finished_path(&WorkerId::from_bits(1));
        let whole = fs::read(&path).unwrap();
        assert_eq!(state.finished().unwrap().len(), 2);
        for torn in torn(&whole) {
            fs::write(&path, &torn).unwrap();
            assert_eq!(state.finished().unwrap(), [finished(2)]);
        }
    }

    #[test]
    fn what_a_dead_coordinator_was_writing_is_swept_away() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let id = WorkerId::from_bits(5);
        state.worker(&id).create("t").unwrap();
        state.worker(&id).write_claim(&record(&id)).unwrap();
        let half = [
            state.worker(&id).path().join("worker.tmp"),
            dir.path().join("sessions/a.tmp"),
            dir.path().join("bin/worker-agent-1.tmp"),
        ];
        for path in &half {
            fs::write(path, "half").unwrap();
        }
        state.sweep().unwrap();
        assert!(half.iter().all(|path| !path.exists()));
        assert_eq!(state.worker(&id).claim(), Some(record(&id)));
    }

    #[test]
    fn a_folder_that_is_no_worker_is_not_listed() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        fs::create_dir(dir.path().join("workers/..x")).unwrap();
        state.worker(&WorkerId::from_bits(5)).create("t").unwrap();
        assert_eq!(state.workers().unwrap(), [WorkerId::from_bits(5)]);
    }

    #[test]
    fn seeds_are_copied_once_and_an_edited_one_stays() {
        let dir = tempfile::tempdir().unwrap();
        let seeds = dir.path().join("seeds");
        fs::create_dir_all(seeds.join("config")).unwrap();
        fs::write(seeds.join("config/podbay.toml"), "seed").unwrap();
        let state = StateDir::open(dir.path().join("state")).unwrap_err();
        assert_eq!(state.kind(), io::ErrorKind::NotFound);
        fs::create_dir(dir.path().join("state")).unwrap();
        let state = StateDir::open(dir.path().join("state")).unwrap();
        state.seed(&seeds).unwrap();
        let file = state.join("config/podbay.toml");
        assert_eq!(fs::read_to_string(&file).unwrap(), "seed");
        fs::write(&file, "edited").unwrap();
        state.seed(&seeds).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "edited");
    }

    #[test]
    fn the_same_binary_keeps_its_name_and_another_gets_another() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let binary = dir.path().join("agent");
        fs::write(&binary, b"one").unwrap();
        let first = state.install_agent(&binary).unwrap();
        assert_eq!(state.install_agent(&binary).unwrap(), first);
        fs::write(&binary, b"two").unwrap();
        assert_ne!(state.install_agent(&binary).unwrap(), first);
    }
}
