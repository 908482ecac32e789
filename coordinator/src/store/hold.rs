//! The mark of a worker that is paused for what it keeps on the volume: `workers/<id>/held.json`.

use super::{files::absent_is_fine, worker_folder::WorkerFolder};
use crate::fleet::Held;
use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
};

const FILE: &str = "held.json";
/// Longer ones are not ours, in bytes.
const MAX_BYTES: u64 = 64 << 10;

impl WorkerFolder {
    /// Marks it as paused by us. The mark itself takes no block of the volume, which may be full; the
    /// reason in it does. Not synced: no container outlives a power cut.
    ///
    /// # Errors
    /// There is no mark, or the reason could not be written into it.
    pub fn write_hold(&self, held: &Held) -> io::Result<()> {
        let text = serde_json::to_vec(held)?;
        let mut options = fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(self.path().join(FILE))?;
        file.write_all(&text)
    }

    /// Why it was marked; [`Held::Former`] when the mark does not say. `None` without one.
    #[must_use]
    pub fn hold(&self) -> Option<Held> {
        let path = self.path().join(FILE);
        let size = fs::symlink_metadata(&path).ok()?.len();
        let text = (size <= MAX_BYTES)
            .then(|| fs::read(&path))
            .and_then(Result::ok);
        let held = text.and_then(|text| serde_json::from_slice(&text).ok());
        Some(held.unwrap_or(Held::Former))
    }

    /// Takes the mark away; none there is no error.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove_hold(&self) -> io::Result<()> {
        absent_is_fine(fs::remove_file(self.path().join(FILE)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::WorkerId, store::StateDir};

    #[test]
    fn a_mark_says_why_and_one_without_words_is_a_mark_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let store = StateDir::open(dir.path()).unwrap();
        let folder = store.worker(&WorkerId::from_bits(1));
        folder.create("token").unwrap();
        assert_eq!(folder.hold(), None);
        let held = Held::Reserve {
            used: 3,
            reserve: 4,
        };
        folder.write_hold(&held).unwrap();
        assert_eq!(folder.hold(), Some(held));
        for text in ["", "{", "{\"by\":\"of another version\"}"] {
            fs::write(folder.path().join(FILE), text).unwrap();
            assert_eq!(folder.hold(), Some(Held::Former), "{text}");
        }
        folder.remove_hold().unwrap();
        folder.remove_hold().unwrap();
        assert_eq!(folder.hold(), None);
    }
}
