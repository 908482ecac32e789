//! What the coordinator can ask.
//!
//! Owns: the meaning of each request and its answer. Every request is answered, in order.

use super::{Agent, hook};
use crate::{
    error::refuse,
    process::command::prepare,
    sandbox::secrets,
    session::{PendingRestart, Session, handed::no_stream, start::Surroundings},
    version_skew,
};
use podbay_protocol::{
    AgentError, Attach, Description, ErrorCode, FromAgent, MAX_ID, Reply, Response, StartSession,
    ToAgent, ToAgentBody, paths,
};
use rustix::net::{SocketType, sockopt};
use std::{
    os::fd::OwnedFd,
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, Instant},
};

/// Sessions that run in one worker at the same time.
const MAX_SESSIONS: usize = 256;
/// Clients of a worker that have, or wait for, sockets of their own.
const MAX_HANDED: usize = 256;
/// Longest id of a session, in bytes.
const MAX_SESSION_ID: usize = 200;

impl Agent {
    /// Answers one request. Its descriptor is closed where the request has no use for one.
    pub(crate) fn request(&mut self, frame: serde_json::Value, descriptor: Option<OwnedFd>) {
        let arrived = Instant::now();
        let frame = version_skew::incoming(frame);
        let id = frame
            .get("id")
            .and_then(serde_json::Value::as_u64)
            .unwrap_or(0);
        let result =
            parse(frame).and_then(|request| self.execute(request.body, descriptor, arrived));
        let mut response = FromAgent::Response(Response { id, result });
        if let Err(error) = response.to_frame() {
            // Every request has an answer, or the coordinator would wait for it.
            let result = Err(refuse(ErrorCode::System, format!("answer: {error}")));
            response = FromAgent::Response(Response { id, result });
        }
        if self.control.send(&response, &mut self.reactor) {
            self.coordinator_lost();
        }
    }

    fn execute(
        &mut self,
        body: ToAgentBody,
        descriptor: Option<OwnedFd>,
        arrived: Instant,
    ) -> Result<Reply, AgentError> {
        match body {
            ToAgentBody::Ping => {}
            ToAgentBody::Describe => {
                podbay_failpoints::failpoint!("agent.describe");
                return Ok(Reply::Described(Box::new(self.describe())));
            }
            ToAgentBody::Readings => return Ok(Reply::Readings(self.read_meters())),
            ToAgentBody::Start(start) | ToAgentBody::StartWithSecrets(start) => {
                return self.start(*start, arrived);
            }
            ToAgentBody::Attach(attach) => return self.attach(&attach),
            ToAgentBody::Hand { stream, first } => self.hand(&stream, &first, descriptor)?,
            ToAgentBody::Resize { stream, size } => {
                let reactor = &mut self.reactor;
                if !self
                    .sessions
                    .values_mut()
                    .any(|s| s.client_resized(&stream, size, reactor))
                {
                    return Err(no_stream(&stream));
                }
            }
            ToAgentBody::Takeover { stream } => {
                let reactor = &mut self.reactor;
                if !self
                    .sessions
                    .values_mut()
                    .any(|s| s.takeover(&stream, reactor))
                {
                    return Err(no_stream(&stream));
                }
            }
            ToAgentBody::Signal { session, signal } => self.session(&session)?.signal(signal)?,
            ToAgentBody::Detach { session } => {
                let key = self.session(&session)?.key;
                if let Some(session) = self.sessions.get_mut(&key) {
                    session.detached_on_purpose();
                }
            }
            ToAgentBody::Stop { session, grace_ms } => {
                let key = self.session(&session)?.key;
                if let Some(session) = self.sessions.get_mut(&key) {
                    session.pending_restart = None;
                    session.stop(Duration::from_millis(grace_ms), &mut self.reactor);
                }
            }
            ToAgentBody::Restart {
                session,
                next,
                grace_ms,
                claim,
            } => {
                let grace = Duration::from_millis(grace_ms);
                self.restart(&session, PendingRestart { next, claim }, grace)?;
            }
            ToAgentBody::Origin { session } => {
                let start = self.session(&session)?.current_start_spec();
                return start
                    .map(|start| Reply::Origin(Box::new(start)))
                    .ok_or_else(|| {
                        refuse(
                            ErrorCode::Invalid,
                            format!("session {session} has no start"),
                        )
                    });
            }
            ToAgentBody::UpdateClaim { session, claim } => {
                let key = self.session(&session)?.key;
                if let Some(session) = self.sessions.get_mut(&key) {
                    session.claim = Some(claim);
                }
            }
            ToAgentBody::Input { session, data } => {
                let key = self.session(&session)?.key;
                if let Some(session) = self.sessions.get_mut(&key) {
                    session.type_in(&data, &mut self.reactor)?;
                }
            }
            ToAgentBody::Screen { session } => {
                let session = self.session(&session)?;
                return Ok(Reply::Screen {
                    lines: session.text(),
                    title: session.title.clone(),
                });
            }
            ToAgentBody::Seen { session } => {
                let key = self.session(&session)?.key;
                if let Some(session) = self.sessions.get_mut(&key) {
                    session.mark_seen(&mut self.reactor);
                }
            }
            ToAgentBody::Shutdown { grace_ms } => self.shut_down(Duration::from_millis(grace_ms)),
        }
        Ok(Reply::Done)
    }

    pub(crate) fn session(&self, id: &str) -> Result<&Session, AgentError> {
        let found = self.sessions.values().find(|s| s.id == id);
        found.ok_or_else(|| refuse(ErrorCode::NoSuchSession, format!("no session {id}")))
    }

    fn start(&mut self, start: StartSession, arrived: Instant) -> Result<Reply, AgentError> {
        let pid = self.launch(start)?;
        let exec_us = u64::try_from(arrived.elapsed().as_micros()).unwrap_or(u64::MAX);
        Ok(Reply::Started { pid, exec_us })
    }

    /// Starts a session and gives the id of its first process.
    pub(crate) fn launch(&mut self, start: StartSession) -> Result<i32, AgentError> {
        if self.session(&start.session).is_ok() {
            let message = format!("session {} exists already", start.session);
            return Err(refuse(ErrorCode::Exists, message));
        }
        if self.shutdown.is_some() {
            return Err(refuse(ErrorCode::System, "the worker is being stopped"));
        }
        let running = self.sessions.values().filter(|s| !s.ended).count();
        if running >= MAX_SESSIONS {
            let message = format!("{running} sessions run in this worker already");
            return Err(refuse(ErrorCode::Exhausted, message));
        }
        if start.session.is_empty() || start.session.len() > MAX_SESSION_ID {
            return Err(refuse(
                ErrorCode::Invalid,
                "a session's id has 1 to 200 bytes",
            ));
        }
        if let Some(attach) = start.attach.as_ref().filter(|a| a.handed) {
            self.room_for_handed(attach)?;
        }
        let mut extra = vec![(hook::SESSION_ENV, start.session.clone())];
        if let Some(path) = self.hooks.as_ref().and_then(|h| h.path().to_str()) {
            extra.push((hook::SOCKET_ENV, path.to_owned()));
        }
        if let Some(path) = std::env::current_exe()
            .ok()
            .and_then(|p| p.to_str().map(str::to_owned))
        {
            extra.push((hook::AGENT_ENV, path));
        }
        let variables = secrets::write_secrets(Path::new(paths::SECRETS), &start)?;
        extra.extend(
            variables
                .iter()
                .map(|(name, value)| (name.as_str(), value.clone())),
        );
        let clear = |id: &str| secrets::remove(Path::new(paths::SECRETS), id);
        let prepared = prepare(&start, &extra).inspect_err(|_| clear(&start.session))?;
        self.accounts
            .ensure(start.uid, start.gid, &start.user, &start.home);
        podbay_failpoints::failpoint!("agent.start.prepared");
        let key = self.reactor.fresh_key();
        let around = Surroundings {
            log: &self.config.log,
            wake: &self.wake,
            dialer: &self.config.dialer,
        };
        let id = start.session.clone();
        let session = Session::start(key, start, &prepared, &around, &mut self.reactor)
            .inspect_err(|_| clear(&id))?;
        let pid = session.pid;
        self.sessions.insert(key, session);
        podbay_failpoints::failpoint!("agent.start.forked");
        Ok(pid)
    }

    fn attach(&mut self, attach: &Attach) -> Result<Reply, AgentError> {
        let key = self.session(&attach.session)?.key;
        if attach.handed {
            self.room_for_handed(attach)?;
        }
        let Some(session) = self.sessions.get_mut(&key) else {
            return Err(refuse(ErrorCode::NoSuchSession, &attach.session));
        };
        let writer = session.attach(attach, &self.config.dialer, &mut self.reactor)?;
        Ok(Reply::Attached { writer })
    }

    /// Every client with a socket of its own is named in descriptions, which have to fit into a frame.
    fn room_for_handed(&self, attach: &Attach) -> Result<(), AgentError> {
        if attach.stream.is_empty() || attach.stream.len() > MAX_ID {
            let message = format!("a stream's id has 1 to {MAX_ID} bytes");
            return Err(refuse(ErrorCode::Invalid, message));
        }
        let sessions = self.sessions.values();
        let handed = sessions.flat_map(Session::handed_clients).count();
        if handed >= MAX_HANDED {
            let message = format!("{handed} clients are attached to this worker already");
            return Err(refuse(ErrorCode::Exhausted, message));
        }
        Ok(())
    }

    /// A client's socket goes to its session.
    fn hand(
        &mut self,
        stream: &str,
        first: &[u8],
        descriptor: Option<OwnedFd>,
    ) -> Result<(), AgentError> {
        let invalid = |why: &str| refuse(ErrorCode::Invalid, why);
        let socket = descriptor.ok_or_else(|| invalid("one descriptor has to come with a hand"))?;
        if !sockopt::socket_type(&socket).is_ok_and(|kind| kind == SocketType::STREAM) {
            return Err(invalid("what was handed is no stream socket"));
        }
        rustix::io::ioctl_fionbio(&socket, true)
            .map_err(|e| invalid(&format!("what was handed cannot be used: {e}")))?;
        let session = self.sessions.values_mut().find(|s| s.has_client(stream));
        let session = session.ok_or_else(|| no_stream(stream))?;
        session.take_socket(stream, socket, first, &mut self.reactor)
    }

    fn describe(&self) -> Description {
        let workspace = std::fs::metadata(podbay_protocol::paths::WORKSPACE).ok();
        let of = |field: fn(&std::fs::Metadata) -> u64| workspace.as_ref().map_or(0, field);
        let owner = |field: fn(&std::fs::Metadata) -> u32| workspace.as_ref().map_or(0, field);
        Description {
            worker: self.config.dialer.worker.clone(),
            build: version_skew::build(),
            uptime_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            netns: std::fs::metadata("/proc/self/ns/net").map_or(0, |meta| meta.ino()),
            workspace_dev: of(MetadataExt::dev),
            workspace_ino: of(MetadataExt::ino),
            workspace_uid: owner(MetadataExt::uid),
            workspace_gid: owner(MetadataExt::gid),
            workspace_mounted: self.workspace.mounted(),
            landlock: self.landlock.clone(),
            sessions: self.sessions.values().map(Session::info).collect(),
            readings: self.cgroup.readings(),
        }
    }
}

/// Reads a request, its operation first: one that this agent does not know is distinguished from one
/// that it knows and that makes no sense.
fn parse(frame: serde_json::Value) -> Result<ToAgent, AgentError> {
    let op = frame.get("op").and_then(serde_json::Value::as_str);
    if let Some(op) = op.filter(|op| !ToAgentBody::OPERATIONS.contains(op)) {
        let op: String = op.escape_debug().take(MAX_SESSION_ID).collect();
        let message = format!("this agent knows no operation {op}");
        return Err(refuse(ErrorCode::Unsupported, message));
    }
    serde_json::from_value(frame).map_err(|error| refuse(ErrorCode::Invalid, error.to_string()))
}
