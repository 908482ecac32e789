//! `podbay relay`: stdio to the coordinator's socket and back, as an opaque stream.

use super::{Failure, Globals};
use crate::client::DEFAULT_SOCKET;
use clap::Args;
use std::{path::PathBuf, process::ExitCode, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::UnixStream,
};

/// `podbay relay`.
#[derive(Debug, Clone, Args)]
pub struct RelayArgs {}

/// How much is carried at once.
const BUFFER: usize = 256 << 10;
/// How long the socket may be absent: the coordinator rebinds it when it restarts.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) async fn run(globals: &Globals, _args: &RelayArgs) -> Result<ExitCode, Failure> {
    let path = globals
        .discover()
        .socket()
        .unwrap_or_else(|| PathBuf::from(DEFAULT_SOCKET));
    let (from, to) = connect(&path).await?.into_split();
    let up = copy(tokio::io::stdin(), to);
    let down = copy(from, tokio::io::stdout());
    tokio::pin!(up, down);
    // The coordinator's end ends the relay. The caller's end is passed on, and the answer awaited.
    tokio::select! {
        result = &mut down => result?,
        result = &mut up => {
            result?;
            down.await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn connect(path: &std::path::Path) -> Result<UnixStream, Failure> {
    let give_up = tokio::time::Instant::now() + PATIENCE;
    loop {
        match UnixStream::connect(path).await {
            Ok(stream) => return Ok(stream),
            Err(error) if tokio::time::Instant::now() >= give_up => {
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

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
) -> std::io::Result<()> {
    let mut buffer = bytes::BytesMut::with_capacity(BUFFER);
    loop {
        buffer.clear();
        if from.read_buf(&mut buffer).await? == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer).await?;
        to.flush().await?;
    }
}
