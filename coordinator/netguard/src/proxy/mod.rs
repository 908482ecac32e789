//! The forward proxy: names are resolved and judged here, and bytes pass through undecrypted. Owns the
//! lists by uid; who asks is known by the uid of its socket on loopback. Never connects to loopback or
//! to an address of its own, whatever a name resolves to.

mod dial;
mod head;
mod relay;

use crate::{
    count::Counts,
    peer,
    wire::{PROXY_MARK, PROXY_PORT},
};
use dial::{Failed, dial};
use head::{Bad, MOST_HEAD, read};
use nix::sys::socket::{setsockopt, sockopt};
use podbay_model::model::{Egress, FIRST_UID, UIDS};
use relay::relay;
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    os::fd::AsFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// Connections at a time of all workers, and of one.
const CONNECTIONS: usize = 4096;
const CONNECTIONS_EACH: usize = 512;
/// For the whole head of a request.
const HEAD_DEADLINE: Duration = Duration::from_secs(15);
/// For an answer of a line to be taken.
const WRITE_DEADLINE: Duration = Duration::from_secs(10);
/// For what a refused client still says, in time and bytes: closing before it is read would take the
/// refusal away from it.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 256 << 10;
/// Between tries to get the port, and after a failed accept.
const RETRY: Duration = Duration::from_millis(500);

/// The lists in force, and who is connected.
#[derive(Debug, Default)]
pub(super) struct Lists {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    lists: BTreeMap<u32, Arc<Egress>>,
    open: BTreeMap<u32, usize>,
    /// Why the proxy does not listen.
    down: Option<String>,
}

impl Lists {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set(&self, uid: u32, egress: &Egress) {
        self.lock().lists.insert(uid, Arc::new(egress.clone()));
    }

    pub fn remove(&self, uid: u32) {
        self.lock().lists.remove(&uid);
    }

    pub fn keep(&self, uids: &[u32]) {
        self.lock().lists.retain(|uid, _| uids.contains(uid));
    }

    /// Why the proxy does not listen, when it does not.
    pub fn down(&self) -> Option<String> {
        self.lock().down.clone()
    }

    fn list(&self, uid: u32) -> Option<Arc<Egress>> {
        self.lock().lists.get(&uid).cloned()
    }

    /// Counts a connection until dropped; `None` when there are too many.
    fn enter(self: &Arc<Self>, uid: u32) -> Option<Entered> {
        let mut state = self.lock();
        let all: usize = state.open.values().sum();
        let own = state.open.entry(uid).or_default();
        if all >= CONNECTIONS || *own >= CONNECTIONS_EACH {
            return None;
        }
        *own += 1;
        Some(Entered {
            lists: self.clone(),
            uid,
        })
    }
}

struct Entered {
    lists: Arc<Lists>,
    uid: u32,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut state = self.lists.lock();
        if let Some(own) = state.open.get_mut(&self.uid) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                state.open.remove(&self.uid);
            }
        }
    }
}

/// Serves for ever; the port may be somebody else's for a while.
pub(super) async fn run(lists: Arc<Lists>, counts: Arc<Counts>) {
    loop {
        let at = (Ipv4Addr::LOCALHOST, PROXY_PORT);
        match TcpListener::bind(at).await {
            Ok(listener) => match mark(&listener) {
                Ok(()) => {
                    lists.lock().down = None;
                    accept(&listener, &lists, &counts).await;
                }
                Err(error) => {
                    let reason = format!("the proxy's socket takes no mark: {error}");
                    lists.lock().down = Some(reason);
                }
            },
            Err(error) => {
                let reason = format!("the proxy cannot listen on 127.0.0.1:{PROXY_PORT}: {error}");
                lists.lock().down = Some(reason);
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// By this the rules know the proxy's answers from those of another that listens in its place.
/// Sockets that are accepted inherit it.
pub(super) fn mark(listener: &impl AsFd) -> std::io::Result<()> {
    setsockopt(listener, sockopt::Mark, &PROXY_MARK).map_err(Into::into)
}

async fn accept(listener: &TcpListener, lists: &Arc<Lists>, counts: &Arc<Counts>) {
    loop {
        match listener.accept().await {
            Ok((client, from)) => {
                let (lists, counts) = (lists.clone(), counts.clone());
                tokio::spawn(async move { serve(client, from, &lists, &counts).await });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection to the proxy was not accepted");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

async fn serve(mut client: TcpStream, from: SocketAddr, lists: &Arc<Lists>, counts: &Counts) {
    let uid = client
        .local_addr()
        .and_then(|own| peer::uid_of(from, own))
        .ok()
        .flatten();
    let Some(uid) = uid.filter(|uid| (FIRST_UID..FIRST_UID + UIDS).contains(uid)) else {
        let refused = Bad(403, "only workers of this parent are served".to_owned());
        return refuse(&mut client, &refused).await;
    };
    let Some(_entered) = lists.enter(uid) else {
        let refused = Bad(503, "too many connections at a time".to_owned());
        return refuse(&mut client, &refused).await;
    };
    match begin(&mut client, uid, lists).await {
        Ok(Some(mut host)) => {
            if let Err(error) = relay(&mut client, &mut host).await {
                tracing::debug!(uid, %error, "a connection broke");
            }
        }
        Ok(None) => {}
        Err((failed, denied)) => {
            if let Some(what) = denied {
                tracing::info!(uid, what, "refused");
                counts.denied(uid, &what);
            }
            refuse(&mut client, &failed).await;
        }
    }
}

/// From the request's head to a connection to its host; `None` for a client that says nothing.
async fn begin(
    client: &mut TcpStream,
    uid: u32,
    lists: &Lists,
) -> Result<Option<TcpStream>, (Bad, Option<String>)> {
    let mut bytes = Vec::new();
    let reading = async {
        loop {
            if let Some(found) = read(&bytes)? {
                return Ok(Some(found));
            }
            let mut chunk = [0u8; 4096];
            match client.read(&mut chunk).await {
                Ok(0) | Err(_) if bytes.is_empty() => return Ok(None),
                Ok(0) => return Err(Bad(400, "the request ends before its head does".into())),
                Ok(got) => bytes.extend(chunk.get(..got).unwrap_or_default()),
                Err(error) => return Err(Bad(400, error.to_string())),
            }
            // A head of the largest size and one chunk behind it: no more is held.
            debug_assert!(bytes.len() <= MOST_HEAD + chunk.len());
        }
    };
    let (head, length) = match timeout(HEAD_DEADLINE, reading).await {
        Ok(Ok(Some(found))) => found,
        Ok(Ok(None)) => return Ok(None),
        Ok(Err(bad)) => return Err((bad, None)),
        Err(_) => return Err((Bad(408, "the request's head took too long".into()), None)),
    };
    let egress = lists.list(uid).unwrap_or_else(|| Arc::new(Egress::None));
    let mut host = dial(&head, &egress).await.map_err(|failed| match failed {
        Failed::Denied { target, reason } => {
            let what = format!("{target} ({reason})");
            let bad = Bad(403, format!("egress: {what}"));
            (bad, Some(what))
        }
        Failed::Unreachable(reason) => (Bad(502, reason), None),
    })?;
    let rest = bytes.get(length..).unwrap_or_default();
    let sent = async {
        if head.connect {
            client
                .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                .await?;
        }
        host.write_all(&head.forward).await?;
        host.write_all(rest).await
    };
    match timeout(WRITE_DEADLINE, sent).await {
        Ok(Ok(())) => Ok(Some(host)),
        Ok(Err(error)) => Err((Bad(502, error.to_string()), None)),
        Err(_) => Err((Bad(504, "the host took nothing".into()), None)),
    }
}

async fn refuse(client: &mut TcpStream, Bad(status, reason): &Bad) {
    let words = match status {
        400 => "Bad Request",
        403 => "Forbidden",
        408 => "Request Timeout",
        431 => "Request Header Fields Too Large",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "Gateway Timeout",
    };
    // Headers are ASCII without control characters, whatever the client sent.
    let reason: String = reason
        .chars()
        .map(|c| {
            if c.is_ascii_graphic() || c == ' ' {
                c
            } else {
                '?'
            }
        })
        .collect();
    let body = format!("podbay: {reason}\n");
    let answer = format!(
        "HTTP/1.1 {status} {words}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
         X-Podbay-Reason: {reason}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let told = async {
        client.write_all(answer.as_bytes()).await?;
        client.shutdown().await
    };
    if !matches!(timeout(WRITE_DEADLINE, told).await, Ok(Ok(()))) {
        tracing::debug!("a client did not take its refusal");
        return;
    }
    let rest = async {
        let mut chunk = [0u8; 4096];
        let mut heard = 0;
        while heard < LINGER_BYTES {
            match client.read(&mut chunk).await {
                Ok(got) if got > 0 => heard += got,
                _ => return,
            }
        }
    };
    if timeout(LINGER, rest).await.is_err() {
        tracing::debug!("a refused client does not close");
    }
}

#[cfg(test)]
#[path = "proxy_tests.rs"]
mod tests;
