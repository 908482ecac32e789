//! Files that are written whole or not at all, and folders with their modes.

use serde::{Serialize, de::DeserializeOwned};
use std::{
    ffi::OsStr,
    fs, io,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

/// Extension of a file that is being written.
const TEMPORARY: &str = "tmp";

/// Makes a folder with exactly this mode; one that is there stays as it is.
pub(super) fn make_dir(path: &Path, mode: u32) -> io::Result<()> {
    match fs::DirBuilder::new().mode(mode).create(path) {
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(mode)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(io::Error::new(
            error.kind(),
            format!("{}: {error}", path.display()),
        )),
    }
}

/// Removes what was being written in a folder.
pub(super) fn remove_temporary(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension() == Some(OsStr::new(TEMPORARY)) {
            absent_is_fine(fs::remove_file(&path))?;
        }
    }
    Ok(())
}

/// A file that is not there needs no removal.
pub(super) fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Writes a value as JSON, whole or not at all.
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
    podbay_failpoints::failpoint!("store.opened");
    let written = file.write_all(content).and_then(|()| file.sync_all());
    podbay_failpoints::failpoint!("store.synced");
    if let Err(error) = written.and_then(|()| fs::rename(&temporary, path)) {
        absent_is_fine(fs::remove_file(&temporary))?;
        return Err(error);
    }
    podbay_failpoints::failpoint!("store.renamed");
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
