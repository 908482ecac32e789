//! Hooks: an agent program (Claude Code, Codex, …) says itself what it is doing.
//!
//! Owns: the socket of this worker's hooks, who may use it, and the meaning of each hook. The sending
//! side, `worker-agent hook`, never fails and never prints.

use crate::{
    event_loop::reactor::{Reactor, Registration, Source, Timer},
    session::activity::HookSign,
};
use nix::{
    sys::{
        epoll::EpollFlags,
        socket::{getsockopt, sockopt::PeerCredentials},
    },
    time::{ClockId, clock_gettime},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    hash::{BuildHasher, Hasher, RandomState},
    io::{Read, Write},
    os::unix::{
        fs::{DirBuilderExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    time::Duration,
};

/// Environment of a session: the socket.
pub const SOCKET_ENV: &str = "PODBAY_HOOK_SOCKET";
/// Environment of a session: its id.
pub const SESSION_ENV: &str = "PODBAY_SESSION";
/// Environment of a session: path of this program, as in `"$PODBAY_AGENT" hook`.
pub const AGENT_ENV: &str = "PODBAY_AGENT";

const MAX_BYTES: usize = 8 << 10;
const MAX_CONNECTIONS: usize = 64;
const MAX_INPUT: u64 = 16 << 20;
const TIME_LIMIT: Duration = Duration::from_secs(2);

/// What one hook says, cut down to what matters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookMessage {
    /// The session's id, from its environment.
    pub session: String,
    /// Nanoseconds of the boot clock when the hook ran.
    pub stamp: u64,
    /// The hook's name.
    pub name: String,
    /// The kind of notification, or the tool.
    #[serde(default)]
    pub detail: String,
}

impl HookMessage {
    /// Reads what a program gives its hook: Claude Code's hook JSON, Codex's notify JSON, or
    /// `{"state": "working" | "waiting" | "done" | "error"}` from anything else.
    #[must_use]
    pub fn from_json(session: String, stamp: u64, json: &serde_json::Value) -> Option<Self> {
        let text = |key: &str| {
            let text = json.get(key).and_then(serde_json::Value::as_str)?;
            Some(text.chars().take(100).collect::<String>())
        };
        let name = text("hook_event_name")
            .or_else(|| text("type"))
            .or_else(|| text("state"))?;
        let detail = text("notification_type")
            .or_else(|| text("tool_name"))
            .unwrap_or_default();
        Some(Self {
            session,
            stamp,
            name,
            detail,
        })
    }

    /// What it means; `None` when it says nothing about the state.
    #[must_use]
    pub fn sign(&self) -> Option<HookSign> {
        match (self.name.as_str(), self.detail.as_str()) {
            ("PreToolUse", "AskUserQuestion" | "ExitPlanMode")
            | ("PermissionRequest" | "approval-requested" | "waiting", _)
            | ("Notification", "permission_prompt" | "elicitation_dialog") => {
                Some(HookSign::Waiting)
            }
            (
                "UserPromptSubmit" | "PreToolUse" | "PostToolUse" | "PostToolUseFailure"
                | "SubagentStart" | "SubagentStop" | "PreCompact" | "working",
                _,
            ) => Some(HookSign::Working),
            ("Stop" | "SessionEnd" | "agent-turn-complete" | "done", _) => Some(HookSign::Finished),
            ("StopFailure" | "error", _) => Some(HookSign::Error),
            ("SessionStart", _) | ("Notification", "idle_prompt") => Some(HookSign::Reminder),
            _ => None,
        }
    }

    /// The reason, as it is shown.
    #[must_use]
    pub fn reason(&self) -> String {
        match self.detail.as_str() {
            "" => format!("hook {}", self.name),
            detail => format!("hook {} {detail}", self.name),
        }
    }
}

/// One hook that is talking.
#[derive(Debug)]
struct Connection {
    stream: UnixStream,
    registration: Registration,
    uid: u32,
    bytes: Vec<u8>,
}

/// The socket for hooks.
#[derive(Debug)]
pub struct HookServer {
    listener: UnixListener,
    registration: Registration,
    folder: PathBuf,
    path: PathBuf,
    connections: HashMap<u64, Connection>,
}

impl HookServer {
    /// Listens in the first folder of these that can be written.
    #[must_use]
    pub fn open(folders: &[PathBuf], reactor: &mut Reactor) -> Option<Self> {
        folders
            .iter()
            .find_map(|folder| Self::listen(folder, reactor).ok())
    }

    fn listen(parent: &Path, reactor: &mut Reactor) -> std::io::Result<Self> {
        let random = RandomState::new().build_hasher().finish();
        let folder = parent.join(format!(".podbay-hook-{random:016x}"));
        std::fs::DirBuilder::new().mode(0o711).create(&folder)?;
        let path = folder.join("sock");
        let opened = UnixListener::bind(&path).and_then(|listener| {
            std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o711))?;
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o666))?;
            listener.set_nonblocking(true)?;
            let flags = EpollFlags::EPOLLIN;
            let registration = reactor.add(&listener, Source::HookListener, flags)?;
            Ok((listener, registration))
        });
        match opened {
            Ok((listener, registration)) => Ok(Self {
                listener,
                registration,
                folder,
                path,
                connections: HashMap::new(),
            }),
            Err(error) => {
                drop(std::fs::remove_dir_all(&folder));
                Err(error)
            }
        }
    }

    /// The socket's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Looks at the listener again.
    pub fn resume(&mut self, reactor: &Reactor) {
        reactor.interest(&self.listener, &mut self.registration, EpollFlags::EPOLLIN);
    }

    /// A hook connects. Over the bound it is turned away: hooks are hints.
    pub fn accept(&mut self, reactor: &mut Reactor) {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    // Out of descriptors: the listener stays readable, so it is not looked at
                    // for a while.
                    let (listener, registration) = (&self.listener, &mut self.registration);
                    reactor.interest(listener, registration, EpollFlags::empty());
                    reactor.after(TIME_LIMIT, Timer::HookListener);
                    return;
                }
            };
            let Ok(peer) = getsockopt(&stream, PeerCredentials) else {
                continue;
            };
            if self.connections.len() >= MAX_CONNECTIONS || stream.set_nonblocking(true).is_err() {
                continue;
            }
            let key = reactor.fresh_key();
            let added = reactor.add(&stream, Source::Hook(key), EpollFlags::EPOLLIN);
            if let Ok(registration) = added {
                reactor.after(TIME_LIMIT, Timer::Hook(key));
                let uid = peer.uid();
                let connection = Connection {
                    stream,
                    registration,
                    uid,
                    bytes: Vec::new(),
                };
                self.connections.insert(key, connection);
            }
        }
    }

    /// A hook talks. Gives its message and its user once it has said everything.
    pub fn ready(&mut self, key: u64, reactor: &mut Reactor) -> Option<(HookMessage, u32)> {
        let connection = self.connections.get_mut(&key)?;
        let mut buffer = [0_u8; 4096];
        loop {
            match (&connection.stream).read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    connection
                        .bytes
                        .extend_from_slice(buffer.get(..count).unwrap_or_default());
                    if connection.bytes.len() > MAX_BYTES {
                        self.close(key, reactor);
                        return None;
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return None,
                Err(_) => break,
            }
        }
        let message = serde_json::from_slice(&connection.bytes).ok();
        let uid = connection.uid;
        self.close(key, reactor);
        Some((message?, uid))
    }

    /// Ends a connection.
    pub fn close(&mut self, key: u64, reactor: &mut Reactor) {
        if let Some(connection) = self.connections.remove(&key) {
            reactor.remove(&connection.stream, connection.registration);
        }
    }
}

impl Drop for HookServer {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

/// `worker-agent hook [JSON]`: passes the JSON of the argument, or of stdin, on to the agent. It always
/// succeeds and prints nothing: the program that calls it may take either for an answer.
pub fn run(argument: Option<String>) {
    let stamp = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(0, |time| {
        let (seconds, nanoseconds) = (time.tv_sec(), time.tv_nsec());
        u64::try_from(seconds * 1_000_000_000 + nanoseconds).unwrap_or(0)
    });
    let json = argument.or_else(|| {
        let mut text = String::new();
        std::io::stdin()
            .take(MAX_INPUT)
            .read_to_string(&mut text)
            .ok()?;
        Some(text)
    });
    let (Ok(path), Ok(session), Some(json)) =
        (std::env::var(SOCKET_ENV), std::env::var(SESSION_ENV), json)
    else {
        return;
    };
    let message = serde_json::from_str(&json)
        .ok()
        .and_then(|json| HookMessage::from_json(session, stamp, &json))
        .and_then(|message| serde_json::to_vec(&message).ok());
    if let (Some(message), Ok(mut stream)) = (message, UnixStream::connect(path)) {
        // The agent is gone or refuses: nothing that the calling program could do about it.
        drop(
            stream
                .set_write_timeout(Some(TIME_LIMIT))
                .and_then(|()| stream.write_all(&message)),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign(json: &str) -> Option<HookSign> {
        let json = serde_json::from_str(json).unwrap();
        HookMessage::from_json("s".into(), 1, &json).and_then(|m| m.sign())
    }

    #[test]
    fn what_hooks_mean() {
        for (json, expected) in [
            (
                r#"{"hook_event_name":"UserPromptSubmit","prompt":"x"}"#,
                Some(HookSign::Working),
            ),
            (
                r#"{"hook_event_name":"PreToolUse","tool_name":"Bash"}"#,
                Some(HookSign::Working),
            ),
            (
                r#"{"hook_event_name":"PreToolUse","tool_name":"AskUserQuestion"}"#,
                Some(HookSign::Waiting),
            ),
            (
                r#"{"hook_event_name":"PermissionRequest","tool_name":"Bash"}"#,
                Some(HookSign::Waiting),
            ),
            (
                r#"{"hook_event_name":"Notification","notification_type":"permission_prompt"}"#,
                Some(HookSign::Waiting),
            ),
            (
                r#"{"hook_event_name":"Notification","notification_type":"idle_prompt"}"#,
                Some(HookSign::Reminder),
            ),
            (
                r#"{"hook_event_name":"Notification","notification_type":"auth_success"}"#,
                None,
            ),
            (r#"{"hook_event_name":"Stop"}"#, Some(HookSign::Finished)),
            (
                r#"{"hook_event_name":"StopFailure"}"#,
                Some(HookSign::Error),
            ),
            (
                r#"{"type":"agent-turn-complete"}"#,
                Some(HookSign::Finished),
            ),
            (r#"{"state":"waiting"}"#, Some(HookSign::Waiting)),
            (r#"{"x":1}"#, None),
            ("[]", None),
        ] {
            assert_eq!(sign(json), expected, "{json}");
        }
    }
}
