//! Secrets of sessions: files in memory that the session's user alone can read.
//!
//! Owns: a folder for each session on the worker's own tmpfs, made before the program starts and
//! removed at its end. A value never comes to a disk, to a command line or to a log.

use crate::{error::refuse, log::log_line, pty, recording::path_component};
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use podbay_protocol::{AgentError, ErrorCode, StartSession};
use std::{
    fs::{self, DirBuilder, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// Variable with the folder's path.
pub const FOLDER_ENV: &str = "PODBAY_SECRETS_DIR";

/// Puts a session's secrets in place and gives the variables that lead to them.
///
/// # Errors
/// [`ErrorCode::System`] where there is no tmpfs for them, or no room on it.
pub fn write_secrets(
    root: &Path,
    start: &StartSession,
) -> Result<Vec<(String, String)>, AgentError> {
    if start.secrets.is_empty() {
        return Ok(Vec::new());
    }
    let in_memory = statfs(root).is_ok_and(|fs| fs.filesystem_type() == TMPFS_MAGIC);
    if !in_memory {
        let message = format!("no place in memory for secrets at {}", root.display());
        return Err(refuse(ErrorCode::System, message));
    }
    let folder = folder(root, &start.session);
    let made = write_files(&folder, start);
    if let Err(error) = made {
        remove(root, &start.session);
        return Err(refuse(ErrorCode::System, format!("secrets: {error}")));
    }
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let mut env = vec![(FOLDER_ENV.to_owned(), path(""))];
    for (name, secret) in &start.secrets {
        env.push((format!("{name}_FILE"), path(name)));
        if secret.env {
            env.push((name.clone(), secret.value.reveal().to_owned()));
        }
    }
    Ok(env)
}

/// Removes what [`write_secrets`] made; nothing there is fine.
pub fn remove(root: &Path, session: &str) {
    match fs::remove_dir_all(folder(root, session)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            log_line(&format!("secrets of {session} are left over: {error}"));
        }
        _ => {}
    }
}

fn folder(root: &Path, session: &str) -> PathBuf {
    root.join(path_component(session))
}

fn write_files(folder: &Path, start: &StartSession) -> io::Result<()> {
    // The folder is the agent's, the files are the user's: without CAP_CHOWN they have to be made by
    // that user, who may write here only until they are.
    DirBuilder::new().mode(0o700).create(folder)?;
    fs::set_permissions(folder, Permissions::from_mode(0o733))?;
    for (name, secret) in &start.secrets {
        let path = folder.join(name);
        let mut file = pty::as_user(start.uid, start.gid, || {
            let mut options = OpenOptions::new();
            options.write(true).create_new(true).mode(0o400).open(path)
        })?;
        file.write_all(secret.value.reveal().as_bytes())?;
    }
    fs::set_permissions(folder, Permissions::from_mode(0o711))
}
