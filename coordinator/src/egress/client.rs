//! The coordinator's side of the guard's socket: one connection, one request at a time.

use super::wire::{GuardReport, GuardRequest};
use podbay_protocol::{FrameDecoder, encode};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::Mutex,
    time::timeout,
};

/// For an answer; rules for a full house take milliseconds.
const DEADLINE: Duration = Duration::from_secs(5);

/// Talks to the guard. Clones share the connection.
#[derive(Debug, Clone)]
pub struct GuardClient {
    socket: PathBuf,
    connection: Arc<Mutex<Option<UnixStream>>>,
}

impl GuardClient {
    /// A client for the guard at `socket`; connects when first used.
    #[must_use]
    pub fn connect(socket: PathBuf) -> Self {
        Self {
            socket,
            connection: Arc::default(),
        }
    }

    /// Asks; the answer to a request that failed is an error, too.
    ///
    /// # Errors
    /// Why, for people. The request may have been carried out all the same.
    pub async fn ask(&self, request: &GuardRequest) -> Result<GuardReport, String> {
        let frame = encode(request).map_err(|e| e.to_string())?;
        let mut connection = self.connection.lock().await;
        let asked = timeout(DEADLINE, async {
            let mut stream = match connection.take() {
                Some(stream) => stream,
                None => UnixStream::connect(&self.socket).await?,
            };
            let report = exchange(&mut stream, &frame).await?;
            Ok::<_, std::io::Error>((stream, report))
        });
        match asked.await {
            Ok(Ok((stream, report))) => {
                *connection = Some(stream);
                match report.error {
                    Some(error) => Err(error),
                    None => Ok(report),
                }
            }
            Ok(Err(error)) => Err(format!("the guard does not answer: {error}")),
            Err(_) => Err(format!(
                "the guard does not answer within {} s",
                DEADLINE.as_secs()
            )),
        }
    }
}

async fn exchange(stream: &mut UnixStream, frame: &[u8]) -> std::io::Result<GuardReport> {
    stream.write_all(frame).await?;
    let mut decoder = FrameDecoder::new();
    let mut chunk = vec![0u8; 16 << 10];
    loop {
        let got = stream.read(&mut chunk).await?;
        if got == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        decoder.push(chunk.get(..got).unwrap_or_default());
        if let Some(report) = decoder.next_frame().map_err(std::io::Error::other)? {
            return Ok(report);
        }
    }
}
