//! What the helper processes, mounter and guard, share: the socket on which the coordinator reaches
//! each. Owns its place and mode. Never speaks on it.

#![forbid(unsafe_code)]

use std::{
    io,
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::Path,
};

/// A fresh socket in place of a stale one, for a helper's container: nobody but its user ever
/// connects. Not for a process with threads that make files, since the mask is all threads'.
///
/// # Errors
/// The stale one cannot be removed, or the socket not be made.
pub fn private_socket(socket: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(socket) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            if let Some(dir) = socket.parent() {
                std::fs::create_dir_all(dir)?;
            }
        }
        Err(e) => return Err(e),
    }
    let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(socket);
    rustix::process::umask(before);
    let listener = listener?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
