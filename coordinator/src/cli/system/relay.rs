//! `podbay relay`: stdio to the coordinator's socket and back, as an opaque stream.
//!
//! A thread for each direction and plain reads and writes: everything that an attach from the host
//! shows goes through here.

use crate::{
    cli::{Failure, Globals},
    client::DEFAULT_SOCKET,
};
use clap::Args;
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    unistd::{read, write},
};
use std::{
    io,
    net::Shutdown,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};
use tokio::time::Instant;

/// `podbay relay`.
#[derive(Debug, Clone, Args)]
pub struct RelayArgs {}

/// How much is carried at once; also asked for as the size of the pipes.
const BUFFER: usize = 256 << 10;
/// How long the socket may be absent: the coordinator rebinds it when it restarts.
const PATIENCE: Duration = Duration::from_secs(2);

pub(in crate::cli) async fn run(globals: &Globals, _args: &RelayArgs) -> Result<ExitCode, Failure> {
    let path = globals
        .discover()
        .socket()
        .unwrap_or_else(|| PathBuf::from(DEFAULT_SOCKET));
    let socket = connect(&path).await?;
    let up = socket.try_clone()?;
    // The coordinator's end ends the relay. The caller's end is passed on, and the answer awaited;
    // a read of stdin that never returns must not keep the process, so nothing joins this thread.
    std::thread::Builder::new()
        .name("up".into())
        .spawn(move || {
            let stdin = io::stdin();
            widen(stdin.as_fd());
            copy(stdin.as_fd(), up.as_fd())
                .and_then(|()| up.shutdown(Shutdown::Write))
                .ok();
        })?;
    let down = move || {
        let stdout = io::stdout();
        widen(stdout.as_fd());
        copy(socket.as_fd(), stdout.as_fd())
    };
    let done = tokio::task::spawn_blocking(down).await;
    done.map_err(|error| Failure::new(1, error.to_string()))??;
    Ok(ExitCode::SUCCESS)
}

async fn connect(path: &Path) -> Result<UnixStream, Failure> {
    let give_up = Instant::now() + PATIENCE;
    loop {
        match UnixStream::connect(path) {
            Ok(stream) => return Ok(stream),
            Err(error) if Instant::now() >= give_up => {
                let message = format!(
                    "the coordinator does not answer on {}: {error}",
                    path.display()
                );
                return Err(Failure::new(1, message));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Gives a pipe more room; what is no pipe, or may not have more, stays as it is.
fn widen(fd: BorrowedFd<'_>) {
    fcntl(
        fd,
        FcntlArg::F_SETPIPE_SZ(i32::try_from(BUFFER).unwrap_or(i32::MAX)),
    )
    .ok();
}

fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let n = match read(from, &mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => n,
            Err(Errno::EINTR) => continue,
            Err(Errno::EAGAIN) => {
                wait(from, PollFlags::POLLIN)?;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let mut rest = buffer.get(..n).unwrap_or_default();
        while !rest.is_empty() {
            match write(to, rest) {
                Ok(n) => rest = rest.get(n..).unwrap_or_default(),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => wait(to, PollFlags::POLLOUT)?,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn wait(fd: BorrowedFd<'_>, what: PollFlags) -> io::Result<()> {
    match poll(&mut [PollFd::new(fd, what)], PollTimeout::NONE) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
