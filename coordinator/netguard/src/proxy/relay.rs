//! Bytes between a client and its host, both ways, until both have said all. Owns the deadlines. Never
//! looks at a byte.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    time::{Instant, timeout},
};

/// A connection on which nothing is said for so long is closed.
const IDLE: Duration = Duration::from_secs(3600);
/// Bytes taken at once.
const CHUNK: usize = 32 << 10;

/// Passes bytes on; each side's end is passed on as well.
pub(super) async fn relay(client: &mut TcpStream, host: &mut TcpStream) -> io::Result<()> {
    // Small writes are somebody's keystrokes or a stream of words: they do not wait.
    client.set_nodelay(true)?;
    host.set_nodelay(true)?;
    let (from_client, to_client) = client.split();
    let (from_host, to_host) = host.split();
    let began = Instant::now();
    let heard = AtomicU64::new(0);
    tokio::try_join!(
        pass(from_client, to_host, began, &heard),
        pass(from_host, to_client, began, &heard),
    )?;
    Ok(())
}

async fn pass(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    began: Instant,
    heard: &AtomicU64,
) -> io::Result<()> {
    let mut chunk = vec![0u8; CHUNK];
    loop {
        let got = match timeout(IDLE, from.read(&mut chunk)).await {
            Ok(got) => got?,
            Err(_) => {
                // Quiet in this direction only is no end.
                let last = Duration::from_millis(heard.load(Ordering::Relaxed));
                if began.elapsed().saturating_sub(last) < IDLE {
                    continue;
                }
                return Err(io::ErrorKind::TimedOut.into());
            }
        };
        let now = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        heard.store(now, Ordering::Relaxed);
        match chunk.get(..got) {
            Some(bytes) if got > 0 => match timeout(IDLE, to.write_all(bytes)).await {
                Ok(written) => written?,
                Err(_) => return Err(io::ErrorKind::TimedOut.into()),
            },
            _ => return to.shutdown().await,
        }
    }
}
