//! The coordinator's side of the guard's socket. Owns one connection, with one request at a time. Never
//! repeats a request: it may have been carried out.

use podbay_netguard::{GuardReport, GuardRequest, Guarded};
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

    /// Tells of these workers and no others. Callers take turns.
    ///
    /// # Errors
    /// As [`Self::ask`]; then what was in effect before still is.
    pub async fn replace(&self, workers: Vec<Guarded>) -> Result<GuardReport, String> {
        let mut report = Err("nothing was asked".to_owned());
        for request in replacing(workers) {
            report = self.ask(&request).await;
            if report.is_err() {
                break;
            }
        }
        report
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

/// Bytes of workers in one part, about: well below what a frame holds.
const MAX_PART: usize = 256 << 10;

/// Requests that replace all workers: one where that fits a frame, else several in a row.
fn replacing(workers: Vec<Guarded>) -> Vec<GuardRequest> {
    let size = |worker: &Guarded| serde_json::to_vec(worker).map_or(0, |json| json.len() + 1);
    let mut parts: Vec<Vec<Guarded>> = Vec::new();
    let mut room = 0;
    for worker in workers {
        let size = size(&worker);
        match parts.last_mut() {
            Some(part) if size <= room => {
                room -= size;
                part.push(worker);
            }
            _ => {
                room = MAX_PART.saturating_sub(size);
                parts.push(vec![worker]);
            }
        }
    }
    if parts.len() <= 1 {
        return vec![GuardRequest::Replace(parts.pop().unwrap_or_default())];
    }
    let end = parts.len() - 1;
    let parts = parts.into_iter().enumerate();
    let part = |(at, workers)| GuardRequest::ReplacePart {
        first: at == 0,
        last: at == end,
        workers,
    };
    parts.map(part).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard_client::FIRST_UID;

    fn house(count: u32, rules: usize) -> Vec<Guarded> {
        let list: Vec<String> = (0..rules)
            .map(|n| format!("{}{n:03}.example.com", "a.".repeat(60)))
            .collect();
        let egress = list.join(",").parse().unwrap();
        let worker = |n| Guarded {
            uid: FIRST_UID + n,
            egress: crate::model::Egress::clone(&egress),
            ports: (20_000, 20),
        };
        (0..count).map(worker).collect()
    }

    #[test]
    fn a_house_of_any_size_fits_frames_and_comes_whole_and_in_order() {
        for (count, rules) in [(0, 1), (3, 2), (130, 64), (300, 250)] {
            let workers = house(count, rules);
            let requests = replacing(workers.clone());
            let mut gathered = Vec::new();
            let end = requests.len() - 1;
            for (at, request) in requests.into_iter().enumerate() {
                assert!(encode(&request).is_ok(), "a frame holds it");
                match request {
                    GuardRequest::Replace(all) => gathered = all,
                    GuardRequest::ReplacePart {
                        first,
                        last,
                        workers,
                    } => {
                        assert_eq!((first, last), (at == 0, at == end));
                        gathered.extend(workers);
                    }
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(gathered, workers);
        }
        let whole = GuardRequest::Replace(house(300, 250));
        assert!(encode(&whole).is_err(), "as one frame it is refused");
    }
}
