//! Which binary is in force: the image's own, or a newer one that an upgrade put beside it.
//!
//! The parent's root is read-only and its container is not started again for an upgrade: the new
//! binaries go to `bin/` in the state volume, and `bin/upgrade.json` names them. Whoever starts the
//! image's `podbay` becomes the one that is named. One that does not come up in a few starts is
//! not tried again.

use super::{
    files::{absent_is_fine, read_json, write_json},
    state_dir::StateDir,
};
use crate::model::STATE_DIR;
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
};

/// The image's own binary.
const OWN: &str = "/bin/podbay";
/// Starts of a binary that never came up.
const MOST_TRIES: u32 = 3;

/// What an upgrade put in place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upgrade {
    /// File name of the coordinator's binary under `bin/`.
    pub podbay: String,
    /// File name of the agent's binary under `bin/`.
    pub agent: String,
    /// The image they came from.
    pub image: String,
    /// The parent's own binary when this was made: in a parent of another image it is void.
    pub base: String,
    /// A coordinator of it came up.
    pub confirmed: bool,
    /// How often one was started before that.
    pub tries: u32,
}

impl StateDir {
    fn upgrade_file(&self) -> PathBuf {
        self.join("bin/upgrade.json")
    }

    /// The upgrade that is in place.
    #[must_use]
    pub fn upgrade(&self) -> Option<Upgrade> {
        read_json(&self.upgrade_file())
    }

    /// Puts an upgrade in place, for the next start.
    ///
    /// # Errors
    /// No space, for example.
    pub fn write_upgrade(&self, upgrade: &Upgrade) -> io::Result<()> {
        write_json(&self.upgrade_file(), upgrade)
    }

    /// Takes an upgrade back: the next start is the image's own binary.
    ///
    /// # Errors
    /// The file is there and cannot be removed.
    pub fn drop_upgrade(&self) -> io::Result<()> {
        absent_is_fine(fs::remove_file(self.upgrade_file()))
    }

    /// The upgrade to become, when there is one to; counts a start of the coordinator.
    fn upgrade_to_enter(&self, base: &str, serves: bool) -> Option<Upgrade> {
        let mut upgrade = self.upgrade()?;
        let there = self.join("bin").join(&upgrade.podbay).is_file();
        if upgrade.base != base || !there || (!upgrade.confirmed && upgrade.tries >= MOST_TRIES) {
            if serves && let Err(error) = self.drop_upgrade() {
                eprintln!("podbay: an upgrade that is void stays on disk: {error}");
            }
            return None;
        }
        if serves && !upgrade.confirmed {
            upgrade.tries += 1;
            self.write_upgrade(&upgrade).ok()?;
        }
        Some(upgrade)
    }
}

/// What tells one image's binary from another's.
#[must_use]
pub fn base() -> String {
    fs::metadata(OWN).map_or_else(
        |_| String::new(),
        |m| format!("{}-{}-{}", m.ino(), m.len(), m.ctime()),
    )
}

/// In a parent: becomes the binary that an upgrade put in place. Returns when there is none, or
/// when it cannot be executed.
pub fn become_current() {
    if std::env::current_exe().is_ok_and(|own| own != Path::new(OWN)) {
        return;
    }
    let state = std::env::var_os("PODBAY_STATE").unwrap_or_else(|| STATE_DIR.into());
    let state = StateDir::at(state);
    let mut args = std::env::args_os();
    let called = args.next().unwrap_or_default();
    let args: Vec<_> = args.collect();
    let serves = args.first().is_some_and(|word| word == "serve");
    let Some(upgrade) = state.upgrade_to_enter(&base(), serves) else {
        return;
    };
    let path = state.join("bin").join(&upgrade.podbay);
    let error = Command::new(&path).arg0(called).args(args).exec();
    eprintln!("podbay: {} cannot be run: {error}", path.display());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upgraded(confirmed: bool) -> (tempfile::TempDir, StateDir) {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        fs::write(state.join("bin/podbay-1"), "x").unwrap();
        let upgrade = Upgrade {
            podbay: "podbay-1".into(),
            agent: "worker-agent-1".into(),
            image: "i".into(),
            base: "b".into(),
            confirmed,
            tries: 0,
        };
        state.write_upgrade(&upgrade).unwrap();
        (dir, state)
    }

    #[test]
    fn one_that_never_comes_up_is_tried_three_times() {
        let (_dir, state) = upgraded(false);
        for _ in 0..3 {
            assert!(state.upgrade_to_enter("b", true).is_some());
            // Commands of people do not count.
            assert!(
                state.upgrade_to_enter("b", false).is_some() || state.upgrade().unwrap().tries == 3
            );
        }
        assert_eq!(state.upgrade_to_enter("b", true), None);
        assert_eq!(state.upgrade(), None);
    }

    #[test]
    fn one_that_came_up_stays_in_force_in_the_same_image_only() {
        let (_dir, state) = upgraded(true);
        for _ in 0..10 {
            assert!(state.upgrade_to_enter("b", true).is_some());
        }
        assert_eq!(state.upgrade_to_enter("of another image", false), None);
        assert!(state.upgrade().is_some(), "a command changes nothing");
        assert_eq!(state.upgrade_to_enter("of another image", true), None);
        assert_eq!(state.upgrade(), None);
    }

    #[test]
    fn one_whose_binary_is_gone_or_whose_file_is_torn_is_void() {
        let (_dir, state) = upgraded(true);
        fs::remove_file(state.join("bin/podbay-1")).unwrap();
        assert_eq!(state.upgrade_to_enter("b", true), None);
        fs::write(state.upgrade_file(), "{\"podbay\":").unwrap();
        assert_eq!(state.upgrade_to_enter("b", true), None);
    }
}
