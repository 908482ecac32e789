//! The file with the spawn form's last values: the user's own, or in the state volume where the
//! dashboard runs inside of the parent.

use crate::{dashboard::dialogs::spawn::last_values::SpawnMemory, model::STATE_DIR};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The file's name.
const FILE: &str = "dashboard.json";

/// Where the values are kept; `None` when there is no place.
pub fn file() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty());
    let state = set("PODBAY_STATE").map_or_else(|| PathBuf::from(STATE_DIR), PathBuf::from);
    place(
        set("XDG_STATE_HOME").map(PathBuf::from),
        state.join("run").is_dir().then_some(state),
        set("HOME").map(PathBuf::from),
    )
}

fn place(xdg: Option<PathBuf>, state: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    xdg.map(|folder| folder.join("podbay"))
        .or(state)
        .or_else(|| home.map(|home| home.join(".local/state/podbay")))
        .map(|folder| folder.join(FILE))
}

/// The values kept; the first ones when there are none.
///
/// # Errors
/// The file is there and cannot be read or understood.
pub fn load(file: &Path) -> io::Result<SpawnMemory> {
    match fs::read(file) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(SpawnMemory::default()),
        Err(error) => Err(error),
    }
}

/// Keeps values. Several dashboards may: the last one wins, whole.
///
/// # Errors
/// The file cannot be written.
pub fn save(file: &Path, memory: &SpawnMemory) -> io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut fresh = tempfile::NamedTempFile::new_in(folder)?;
    serde_json::to_writer(&mut fresh, memory)?;
    fresh.persist(file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back_and_a_broken_file_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a/b/dashboard.json");
        assert_eq!(load(&file).unwrap(), SpawnMemory::default());
        let memory: SpawnMemory = serde_json::from_str(r#"{"project": "/srv/shop"}"#).unwrap();
        save(&file, &memory).unwrap();
        assert_eq!(load(&file).unwrap(), memory);
        fs::write(&file, "{").unwrap();
        assert!(load(&file).is_err());
    }

    #[test]
    fn the_users_own_place_comes_first_then_the_state_volume() {
        let path = |text: &str| Some(PathBuf::from(text));
        let at = |xdg, state, home| place(xdg, state, home).unwrap();
        assert_eq!(
            at(path("/x"), path("/s"), path("/h")),
            Path::new("/x/podbay/dashboard.json")
        );
        assert_eq!(
            at(None, path("/s"), path("/h")),
            Path::new("/s/dashboard.json")
        );
        assert_eq!(
            at(None, None, path("/h")),
            Path::new("/h/.local/state/podbay/dashboard.json")
        );
        assert_eq!(place(None, None, None), None);
    }
}
