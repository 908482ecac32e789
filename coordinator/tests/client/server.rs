//! A server of a test's own: it answers what the test says, byte for byte, and notes what it was asked.

#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use coordinator::client::{Client, Target};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    task::AbortHandle,
};

/// What is done with a connection after an answer.
#[derive(Debug, Clone, Copy)]
enum Then {
    /// The next request is read from it.
    Keep,
    Close,
    /// It stays open, and nothing is said on it any more.
    Hold,
}

#[derive(Debug, Clone)]
pub struct Answer(Vec<u8>, Then);

impl Answer {
    pub fn keep(bytes: impl AsRef<[u8]>) -> Self {
        Self(bytes.as_ref().to_vec(), Then::Keep)
    }

    pub fn close(bytes: impl AsRef<[u8]>) -> Self {
        Self(bytes.as_ref().to_vec(), Then::Close)
    }

    pub fn hold(bytes: impl AsRef<[u8]>) -> Self {
        Self(bytes.as_ref().to_vec(), Then::Hold)
    }
}

/// A whole answer with a body.
pub fn json(status: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

#[derive(Default)]
struct Seen {
    answers: VecDeque<Answer>,
    requests: Vec<String>,
    connections: usize,
}

/// Answers requests in the order in which they come, whatever connection they are on.
pub struct Server {
    pub client: Client,
    seen: Arc<Mutex<Seen>>,
    accepting: AbortHandle,
    _folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Server {
    pub fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        let (listener, client, folder) = listen();
        let seen = Arc::new(Mutex::new(Seen {
            answers: answers.into_iter().collect(),
            ..Seen::default()
        }));
        let noted = seen.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                noted.lock().unwrap().connections += 1;
                tokio::spawn(serve(stream, noted.clone()));
            }
        });
        Self {
            client,
            seen,
            accepting: accepting.abort_handle(),
            _folder: folder,
        }
    }

    /// Head and body of each request.
    pub fn requests(&self) -> Vec<String> {
        self.seen.lock().unwrap().requests.clone()
    }

    pub fn connections(&self) -> usize {
        self.seen.lock().unwrap().connections
    }
}

/// A socket that a client of the API is given.
pub fn listen() -> (UnixListener, Client, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("api.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    (listener, Client::new(Target::Socket(socket)), folder)
}

async fn serve(mut stream: UnixStream, seen: Arc<Mutex<Seen>>) {
    while let Some(request) = request(&mut stream).await {
        let next = {
            let mut seen = seen.lock().unwrap();
            seen.requests.push(request);
            seen.answers.pop_front()
        };
        let Some(Answer(bytes, then)) = next else {
            return;
        };
        // The client may have had enough of it.
        stream.write_all(&bytes).await.ok();
        match then {
            Then::Keep => {}
            Then::Close => return,
            Then::Hold => {
                let mut rest = Vec::new();
                stream.read_to_end(&mut rest).await.ok();
                return;
            }
        }
    }
}

/// One request with its body, as text; `None` at the connection's end.
pub async fn request(stream: &mut UnixStream) -> Option<String> {
    let bytes = request_bytes(stream).await?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The same, and what has come behind it.
pub async fn request_bytes(stream: &mut UnixStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        if let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
            let length = text
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
            if bytes.len() >= head + 4 + length {
                return Some(bytes);
            }
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
        }
    }
}
