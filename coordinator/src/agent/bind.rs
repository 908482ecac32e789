//! Sockets that only their owner reaches, and whose names tell nothing.

use rustix::fs::{Mode, OFlags};
use std::{
    io,
    os::{fd::AsRawFd, unix::fs::PermissionsExt},
    path::Path,
};
use tokio::net::UnixListener;

/// Binds a fresh socket in place of a stale one; mode 0600.
///
/// The kernel shows the name that a socket was bound by in `/proc/net/unix`, to every process of the
/// network namespace, and workers share ours. So it is bound through a descriptor of its folder: the
/// name is `/proc/self/fd/N/FILE`, whichever worker's folder that is.
pub(crate) fn bind_private(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let folder = rustix::fs::open(
        folder,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let through = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string());
    let listener = UnixListener::bind(through.join(name))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileTypeExt;

    #[tokio::test]
    async fn the_name_of_a_socket_tells_no_path() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("d".repeat(200));
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("hidden-id.sock");
        let stale = bind_private(&path).unwrap();
        drop(stale);
        let listener = bind_private(&path).unwrap();
        let meta = std::fs::metadata(&path).unwrap();
        assert!(meta.file_type().is_socket());
        assert_eq!(meta.permissions().mode() & 0o777, 0o600);
        let shown = std::fs::read_to_string("/proc/net/unix").unwrap();
        assert!(!shown.contains(&"d".repeat(200)), "{shown}");
        let name = listener.local_addr().unwrap();
        let name = name.as_pathname().unwrap().to_owned();
        assert!(name.starts_with("/proc/self/fd"), "{name:?}");
    }
}
