//! The state volume's layout and its files.

use super::record::{ClaimRecord, FinishedRecord};
use crate::model::WorkerId;
use podbay_protocol::paths;
use serde::{Serialize, de::DeserializeOwned};
use std::{
    ffi::OsStr,
    fs, io,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// Extension of a file that is being written.
const TEMPORARY: &str = "tmp";

/// The state volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDir(PathBuf);

/// One worker's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerFolder(PathBuf);

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

impl WorkerFolder {
    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Makes the folder for a new worker, with its token; `home` is opened to the session by the
    /// mounter.
    ///
    /// # Errors
    /// No space, for example.
    pub fn create(&self, token: &str) -> io::Result<()> {
        make_dir(&self.0, 0o711)?;
        for (name, mode) in [
            ("run", 0o755),
            ("log", 0o700),
            ("changes", 0o700),
            ("home", 0o700),
        ] {
            make_dir(&self.0.join(name), mode)?;
        }
        // Not synced: a worker that a power cut interrupts is not there afterwards.
        let path = self.0.join("run").join(paths::TOKEN_NAME);
        let mut options = fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o400)
            .open(path)?;
        file.write_all(token.as_bytes())
    }

    /// Gives the folder of a worker whose container is made anew another token.
    ///
    /// # Errors
    /// No space, for example.
    pub fn renew(&self, token: &str) -> io::Result<()> {
        absent_is_fine(fs::remove_file(self.0.join("run").join(paths::TOKEN_NAME)))?;
        self.create(token)
    }

    /// Opens the home to any uid: for the fallback without a mounter, where nobody can give it to
    /// the session's user. It is mounted into this one worker only.
    ///
    /// # Errors
    /// The mode cannot be changed.
    pub fn open_home(&self) -> io::Result<()> {
        fs::set_permissions(self.0.join("home"), fs::Permissions::from_mode(0o777))
    }

    /// Writes the account files of a worker whose root is read-only.
    ///
    /// # Errors
    /// No space, for example.
    pub fn write_accounts(&self, passwd: &[u8], group: &[u8]) -> io::Result<()> {
        let folder = self.0.join("etc");
        make_dir(&folder, 0o755)?;
        for (name, content) in [("passwd", passwd), ("group", group)] {
            let path = folder.join(name);
            fs::write(&path, content)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?;
        }
        Ok(())
    }

    /// The token given to the worker.
    #[must_use]
    pub fn token(&self) -> Option<String> {
        fs::read_to_string(self.0.join("run").join(paths::TOKEN_NAME)).ok()
    }

    /// The claim record, when there is one that parses.
    #[must_use]
    pub fn claim(&self) -> Option<ClaimRecord> {
        let record: Option<ClaimRecord> = read_json(&self.0.join("worker.json"));
        record.filter(|r| self.0.file_name() == Some(OsStr::new(r.id.as_str())))
    }

    /// Writes the claim record.
    ///
    /// # Errors
    /// No space, for example; the former record stays.
    pub fn write_claim(&self, record: &ClaimRecord) -> io::Result<()> {
        write_json(&self.0.join("worker.json"), record)
    }

    /// The folder with the recordings.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    /// Removes what can be removed without the mounter: all that root owns.
    ///
    /// # Errors
    /// Something of another owner is left.
    pub fn remove(&self) -> io::Result<()> {
        absent_is_fine(fs::remove_dir_all(&self.0))
    }
}

fn make_dir(path: &Path, mode: u32) -> io::Result<()> {
    match fs::DirBuilder::new().mode(mode).create(path) {
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(mode)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(io::Error::new(
            error.kind(),
            format!("{}: {error}", path.display()),
        )),
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

fn remove_temporary(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension() == Some(OsStr::new(TEMPORARY)) {
            absent_is_fine(fs::remove_file(&path))?;
        }
    }
    Ok(())
}

pub(super) fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

pub(super) fn write_json<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    write_whole(path, &serde_json::to_vec_pretty(value)?, 0o600)
}

/// Temporary file, sync, rename, sync of the folder.
pub(super) fn write_whole(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let temporary = path.with_extension(TEMPORARY);
    absent_is_fine(fs::remove_file(&temporary))?;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary)?;
    worker_agent::failpoint!("store.opened");
    let written = file.write_all(content).and_then(|()| file.sync_all());
    worker_agent::failpoint!("store.synced");
    if let Err(error) = written.and_then(|()| fs::rename(&temporary, path)) {
        absent_is_fine(fs::remove_file(&temporary))?;
        return Err(error);
    }
    worker_agent::failpoint!("store.renamed");
    match path.parent() {
        Some(parent) => fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// `None` for a file that is absent or torn: what it said is rebuilt from the engine and agents.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let content = fs::read(path).ok()?;
    match serde_json::from_slice(&content) {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "passed over a file that does not parse");
            None
        }
    }
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
    use crate::model::{Isolation, Limits, WorkerName};

    fn record(id: &WorkerId) -> ClaimRecord {
        ClaimRecord {
            id: id.clone(),
            name: WorkerName::new("fix-tests").unwrap(),
            profile: "default".to_owned(),
            image: "i".to_owned(),
            session: "s".to_owned(),
            project: None,
            project_dev: 0,
            project_ino: 0,
            isolation: Isolation::None,
            hot: false,
            warm_start: true,
            created_ms: 1,
            claimed_ns: 2_000_000,
            argv: vec!["sh".to_owned()],
            limits: Limits::default(),
            uid: 1,
            gid: 1,
            remove: true,
            io: None,
            timeout_s: None,
            env_given: false,
            restarts: 0,
            note: None,
            moving: false,
            earlier: Vec::new(),
            unproven: None,
        }
    }

    #[test]
    fn a_record_torn_at_any_byte_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let id = WorkerId::from_bits(1);
        let folder = state.worker(&id);
        folder.create("token").unwrap();
        folder.write_claim(&record(&id)).unwrap();
        assert_eq!(folder.claim(), Some(record(&id)));
        let path = folder.path().join("worker.json");
        let whole = fs::read(&path).unwrap();
        for torn in torn(&whole) {
            fs::write(&path, &torn).unwrap();
            assert_eq!(folder.claim(), None);
        }
        // A record of another worker is none.
        let other = record(&WorkerId::from_bits(2));
        folder.write_claim(&other).unwrap();
        assert_eq!(folder.claim(), None);
    }

    /// Cut at every byte, zeros, garbage, other JSON.
    fn torn(whole: &[u8]) -> Vec<Vec<u8>> {
        let mut all: Vec<Vec<u8>> = (0..whole.len()).map(|cut| whole[..cut].to_vec()).collect();
        all.push(vec![0; whole.len()]);
        all.push(vec![0xff; whole.len()]);
        all.extend(["null", "{}", "[]", "7", "{\"claim\": {}}"].map(|json| json.into()));
        all.push("[".repeat(100_000).into());
        all
    }

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
