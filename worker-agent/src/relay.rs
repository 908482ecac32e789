//! Raw bytes between stdin and stdout and a unix socket.
//!
//! Owns: passing each end of input on. It never looks at a byte.

use std::{
    io::{ErrorKind, Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    path::Path,
};

/// Passed on at once, in bytes.
const BUFFER: usize = 64 << 10;

/// Connects, and relays until the socket's side has ended.
///
/// # Errors
/// The socket cannot be connected to.
pub fn run(socket: &Path) -> std::io::Result<()> {
    let stream = UnixStream::connect(socket)?;
    let peer = stream.try_clone()?;
    // The thread may wait on a terminal for ever; it ends with the process.
    std::thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(move || {
            copy(&mut std::io::stdin().lock(), &mut &peer);
            drop(peer.shutdown(Shutdown::Write));
        })?;
    copy(&mut &stream, &mut std::io::stdout().lock());
    Ok(())
}

/// Copies until either end is closed; every chunk is passed on at once.
fn copy(from: &mut impl Read, to: &mut impl Write) {
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        let chunk = buffer.get(..count).unwrap_or_default();
        if to.write_all(chunk).and_then(|()| to.flush()).is_err() {
            return;
        }
    }
}
