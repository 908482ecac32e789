//! A proxy on the engine's socket that does harm when it is told to, and counts.
//!
//! One request a connection (`Connection: close` is put in), so that what is decided about a
//! request is not carried over to the next one; what is upgraded is passed as it is.

use crate::{unique, wait};
use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

/// What is done to what passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nothing.
    Pass,
    /// Event streams stay open and nothing arrives on them.
    DropEvents,
    /// Event streams end at once; those that are open end now.
    EndEvents,
    /// Every request waits so long.
    Delay(Duration),
    /// Every request gets status 500.
    Refuse,
    /// Connections are accepted and never answered.
    HalfOpen,
    /// Answers are no HTTP.
    Garbage,
    /// Answers have a sound head and a body that is no JSON.
    GarbledBody,
    /// Answers are cut off after so many bytes.
    Truncate(usize),
    /// Connections are closed as they are made.
    Down,
}

struct Inner {
    mode: Mutex<Mode>,
    calls: Mutex<Vec<(Instant, String)>>,
    events: Mutex<Vec<UnixStream>>,
    upstream: PathBuf,
}

/// A running proxy; its socket goes with it.
pub struct Proxy {
    inner: Arc<Inner>,
    socket: PathBuf,
    folder: PathBuf,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

impl Proxy {
    /// A proxy to an engine's socket. The socket is dialled anew for each connection, so the engine
    /// may go and come back behind it.
    ///
    /// # Panics
    /// The socket cannot be bound.
    #[must_use]
    pub fn start(upstream: &Path) -> Self {
        let folder = PathBuf::from("/var/tmp").join(unique("podbay-proxy"));
        fs::create_dir_all(&folder).expect("making a folder");
        let socket = folder.join("engine.sock");
        let listener = UnixListener::bind(&socket).expect("binding the proxy's socket");
        let inner = Arc::new(Inner {
            mode: Mutex::new(Mode::Pass),
            calls: Mutex::default(),
            events: Mutex::default(),
            upstream: upstream.to_owned(),
        });
        let shared = inner.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let inner = shared.clone();
                std::thread::spawn(move || drop(inner.serve(client)));
            }
        });
        Self {
            inner,
            socket,
            folder,
        }
    }

    /// A proxy to the machine's own engine.
    #[must_use]
    pub fn of_the_machine() -> Self {
        let host = std::env::var("DOCKER_HOST").unwrap_or_default();
        let path = host
            .strip_prefix("unix://")
            .unwrap_or("/var/run/docker.sock");
        Self::start(Path::new(path))
    }

    /// Where clients connect.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// What is done from now on.
    pub fn set(&self, mode: Mode) {
        *lock(&self.inner.mode) = mode;
        if mode == Mode::EndEvents {
            for stream in lock(&self.inner.events).drain(..) {
                stream.shutdown(Shutdown::Both).ok();
            }
        }
    }

    /// Counts from nothing again.
    pub fn reset(&self) {
        lock(&self.inner.calls).clear();
    }

    /// Calls by method and path, ids left out.
    #[must_use]
    pub fn calls(&self) -> BTreeMap<String, usize> {
        let mut found = BTreeMap::new();
        for (_, path) in lock(&self.inner.calls).iter() {
            *found.entry(path.clone()).or_default() += 1;
        }
        found
    }

    /// The most calls in any one second.
    #[must_use]
    pub fn busiest_second(&self) -> usize {
        let calls = lock(&self.inner.calls);
        let times: Vec<Instant> = calls.iter().map(|call| call.0).collect();
        let second = Duration::from_secs(1);
        let within = |start: &Instant| {
            let after = times.iter().filter(|at| *at >= start);
            after
                .filter(|at| at.duration_since(*start) < second)
                .count()
        };
        times.iter().map(within).max().unwrap_or(0)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.set(Mode::EndEvents);
        fs::remove_dir_all(&self.folder).ok();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("the proxy's lock")
}

impl Inner {
    fn mode(&self) -> Mode {
        *lock(&self.mode)
    }

    fn serve(&self, mut client: UnixStream) -> std::io::Result<()> {
        if self.mode() == Mode::Down {
            lock(&self.calls).push((Instant::now(), "connect".to_owned()));
            return Ok(());
        }
        let Some((head, rest)) = read_head(&mut client)? else {
            return Ok(());
        };
        let text = String::from_utf8_lossy(&head).into_owned();
        let path = call_of(&text);
        lock(&self.calls).push((Instant::now(), path.clone()));
        let events = path.ends_with("/events");
        match self.mode() {
            Mode::Delay(time) => wait::pause(time),
            Mode::Refuse => {
                let body = "{\"message\":\"something is wrong with the engine\"}";
                return write!(
                    client,
                    "HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\n\
                     Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
            }
            Mode::HalfOpen => {
                while self.mode() == Mode::HalfOpen {
                    wait::pause(Duration::from_millis(20));
                }
                return Ok(());
            }
            Mode::Garbage => return client.write_all(b"\x00\xff\x13garbage\r\n\r\n\x07"),
            Mode::GarbledBody => {
                return client.write_all(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
                      Content-Length: 9\r\nConnection: close\r\n\r\n[{\"Id\":7]",
                );
            }
            Mode::EndEvents if events => return Ok(()),
            _ => {}
        }
        let mut upstream = UnixStream::connect(&self.upstream)?;
        upstream.write_all(&one_request(&text, &head))?;
        upstream.write_all(&rest)?;
        let (mut from, mut to) = (client.try_clone()?, upstream.try_clone()?);
        if events {
            lock(&self.events).push(upstream.try_clone()?);
        }
        std::thread::spawn(move || {
            std::io::copy(&mut from, &mut to).ok();
            to.shutdown(Shutdown::Write).ok();
        });
        let result = self.answer(&mut upstream, &mut client, events);
        client.shutdown(Shutdown::Both).ok();
        upstream.shutdown(Shutdown::Both).ok();
        result
    }

    fn answer(
        &self,
        upstream: &mut UnixStream,
        client: &mut UnixStream,
        events: bool,
    ) -> std::io::Result<()> {
        let mut buffer = [0; 16384];
        let mut passed = 0;
        loop {
            let n = upstream.read(&mut buffer)?;
            let Some(mut bytes) = buffer.get(..n).filter(|b| !b.is_empty()) else {
                return Ok(());
            };
            match self.mode() {
                // The head of the stream passes.
                Mode::DropEvents if events && passed > 0 => continue,
                Mode::Truncate(most) if passed + bytes.len() > most => {
                    bytes = &bytes[..most.saturating_sub(passed)];
                    client.write_all(bytes)?;
                    return Ok(());
                }
                _ => {}
            }
            client.write_all(bytes)?;
            passed += bytes.len();
        }
    }
}

/// The head of a request, and what was read of its body.
fn read_head(client: &mut UnixStream) -> std::io::Result<Option<(Vec<u8>, Vec<u8>)>> {
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let n = client.read(&mut buffer)?;
        if n == 0 {
            return Ok(None);
        }
        all.extend_from_slice(&buffer[..n]);
        if let Some(at) = all.windows(4).position(|w| w == b"\r\n\r\n") {
            let rest = all.split_off(at + 4);
            return Ok(Some((all, rest)));
        }
        if all.len() > 1 << 20 {
            return Ok(None);
        }
    }
}

/// The request so that its connection is not used again.
fn one_request(text: &str, head: &[u8]) -> Vec<u8> {
    if text.to_ascii_lowercase().contains("\r\nupgrade:") {
        return head.to_vec();
    }
    let lines = text.trim_end().lines();
    let kept = lines.filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let mut request: Vec<&str> = kept.collect();
    request.push("Connection: close");
    (request.join("\r\n") + "\r\n\r\n").into_bytes()
}

/// `GET /containers/:id/json`.
fn call_of(head: &str) -> String {
    let mut words = head.lines().next().unwrap_or_default().split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next());
    let path = path
        .unwrap_or_default()
        .split('?')
        .next()
        .unwrap_or_default();
    let is_id = |part: &&str| part.len() >= 12 && part.bytes().all(|b| b.is_ascii_hexdigit());
    let is_version = |part: &str| {
        part.strip_prefix('v')
            .is_some_and(|v| v.starts_with(|c: char| c.is_ascii_digit()))
    };
    let parts = path.split('/').filter(|part| !is_version(part));
    let parts: Vec<&str> = parts
        .map(|part| if is_id(&part) { ":id" } else { part })
        .collect();
    format!("{method} {}", parts.join("/"))
}
