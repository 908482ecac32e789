//! Who is on the other end of a connection.

use crate::wire::Who;
use axum::http::HeaderMap;
use std::{net::SocketAddr, sync::OnceLock};

/// Header in which a client says who it is; nobody checks it.
const SAYS: &str = "podbay-client";

/// Names the token a request came with, without being of use to anyone.
#[derive(Debug, Clone)]
pub(super) struct TokenId(pub String);

/// The other end.
#[derive(Debug)]
pub(super) enum Peer {
    /// A process of this container, and what it runs once somebody asked.
    Unix {
        uid: u32,
        pid: Option<i32>,
        program: OnceLock<Option<String>>,
    },
    /// Over TCP.
    Tcp { address: SocketAddr },
}

impl Peer {
    pub(super) fn unix(socket: &tokio::net::UnixStream) -> Self {
        let (uid, pid) = match socket.peer_cred() {
            Ok(cred) => (cred.uid(), cred.pid()),
            Err(_) => (u32::MAX, None),
        };
        Self::Unix {
            uid,
            pid,
            program: OnceLock::new(),
        }
    }

    /// For the audit log; `token` is the id of the one it came with.
    pub(super) fn who(&self, headers: &HeaderMap, token: Option<&str>) -> Who {
        let says = headers.get(SAYS).and_then(|value| value.to_str().ok());
        let says = says.map(|text| short(text, 80));
        match self {
            Self::Unix { uid, pid, program } => Who::Unix {
                uid: *uid,
                pid: *pid,
                program: program.get_or_init(|| pid.and_then(program_of)).clone(),
                says,
            },
            Self::Tcp { address } => Who::Tcp {
                address: address.to_string(),
                token: token.map(str::to_owned),
                says,
            },
        }
    }
}

/// At most so many characters, none of them a control character.
pub(super) fn short(text: &str, most: usize) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(most)
        .collect()
}

/// Program and first argument of a process: `podbay relay`. No more: arguments may be private.
fn program_of(pid: i32) -> Option<String> {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let mut words = line.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let program = words.next()?;
    let name = program.rsplit('/').next().unwrap_or_default().to_owned();
    let first = words
        .next()
        .filter(|word| word.bytes().all(|b| b.is_ascii_lowercase()));
    let text = match first.filter(|word| !word.is_empty()) {
        Some(word) => format!("{name} {word}"),
        None => name,
    };
    Some(short(&text, 60))
}
