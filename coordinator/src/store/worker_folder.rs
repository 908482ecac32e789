//! One worker's folder on the state volume, and its files.

use super::{
    files::{absent_is_fine, make_dir, read_json, write_json},
    record::ClaimRecord,
};
use podbay_protocol::paths;
use std::{
    ffi::OsStr,
    fs, io,
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// One worker's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerFolder(pub(super) PathBuf);

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

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        model::{Isolation, Limits, WorkerId, WorkerName},
        store::StateDir,
    };

    /// A claim of that worker.
    pub(in crate::store) fn record(id: &WorkerId) -> ClaimRecord {
        ClaimRecord {
            id: id.clone(),
            name: WorkerName::new("fix-tests").unwrap(),
            profile: "default".to_owned(),
            image: "i".to_owned(),
            session: "s".to_owned(),
            project: None,
            project_dev: 0,
            project_ino: 0,
            project_fsid: None,
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
            from_caller: Vec::new(),
            restarts: 0,
            note: None,
            moving: false,
            earlier: Vec::new(),
            unproven: None,
        }
    }

    /// Cut at every byte, zeros, garbage, other JSON.
    pub(in crate::store) fn torn(whole: &[u8]) -> Vec<Vec<u8>> {
        let mut all: Vec<Vec<u8>> = (0..whole.len()).map(|cut| whole[..cut].to_vec()).collect();
        all.push(vec![0; whole.len()]);
        all.push(vec![0xff; whole.len()]);
        all.extend(["null", "{}", "[]", "7", "{\"claim\": {}}"].map(|json| json.into()));
        all.push("[".repeat(100_000).into());
        all
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
}
