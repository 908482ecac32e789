//! Clients on sessions: attach, exec, input, screen, and how sessions ended.

use crate::daemon::{
    Daemon,
    claims::{
        environment::{home_of, user_of},
        placed::StartedSession,
        resolve,
    },
    detached,
    sessions::{
        attached::{Attached, ClientLink, ClientPath, SessionEnd},
        opening::{no_stream, takes_no_clients},
        pending_execs::EXEC_PREFIX,
        relayed::Writes,
    },
    workers::record::Record,
};
use crate::{
    agent::{AgentHandle, AgentRequestError},
    fleet::WorkerEntry,
    model::{WorkerId, WorkerState},
    runtime::allows_root,
    wire::{ApiError, AttachQuery, ErrorKind, ExecRequest, ExecResponse, ScreenView},
};
use podbay_protocol::{AttachMode, Reply, SessionIo, Size, StartSession, ToAgentBody, paths};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// An agent's answer to what needs no program to be started.
pub(in crate::daemon) const AGENT_DEADLINE: Duration = Duration::from_secs(5);
/// How long an agent that is away is waited for, looked for so often.
const REDIAL: Duration = Duration::from_secs(3);
const REDIAL_STEP: Duration = Duration::from_millis(20);
/// From the end of a stream to the word on how the session ended.
const EXIT_DEADLINE: Duration = Duration::from_secs(5);

impl Daemon {
    pub(in crate::daemon) fn agent(&self, worker: &WorkerId) -> Result<AgentHandle, ApiError> {
        self.not_held(worker)?;
        self.registry
            .handle(worker)
            .ok_or_else(|| self.no_agent(worker))
    }

    /// Why there is no agent to ask.
    fn no_agent(&self, worker: &WorkerId) -> ApiError {
        let state = self.lock();
        let Some(view) = self.view(&state, worker) else {
            return ApiError::new(ErrorKind::NotFound, format!("worker {worker} is gone"));
        };
        let (name, why) = (&view.name, view.why.as_deref());
        let (message, hint) = match (view.state, why) {
            (WorkerState::Lost, Some(why)) => (
                format!("{name} is lost: {why}"),
                format!("`podbay restart {name}` starts it again on its project"),
            ),
            (WorkerState::Stopping, _) => (
                format!("{name} is being stopped"),
                format!("`podbay logs {name}` shows what it printed"),
            ),
            _ => (
                format!("the agent of {name} is not connected"),
                format!(
                    "an agent connects again within a second; `podbay inspect {name}` shows more"
                ),
            ),
        };
        ApiError::new(ErrorKind::Conflict, message).hint(hint)
    }

    /// Waits until the agent of a living session has called and said what it runs: after a new
    /// coordinator's start it calls again within a second.
    pub(in crate::daemon) async fn agent_back(&self, worker: &WorkerId) {
        let deadline = Instant::now() + REDIAL;
        loop {
            let waits = {
                let state = self.lock();
                let live = |r: &&Record| {
                    r.claim.is_some() && r.session.exit.is_none() && !r.underway.removes()
                };
                let entry = state.fleet.worker(worker);
                let vanished = entry.is_some_and(WorkerEntry::has_no_container);
                let record = state.records.get(worker).filter(live);
                !vanished
                    && record.is_some_and(|r| {
                        r.session.pid.is_none() || self.registry.handle(worker).is_none()
                    })
            };
            if !waits || Instant::now() >= deadline {
                return;
            }
            tokio::time::sleep(REDIAL_STEP).await;
        }
    }

    /// A request to a worker's agent, with errors for people.
    pub(in crate::daemon) async fn ask(
        &self,
        worker: &WorkerId,
        body: ToAgentBody,
    ) -> Result<Reply, ApiError> {
        self.agent(worker)?
            .request(body, AGENT_DEADLINE)
            .await
            .and_then(|said| said.of(worker))
            .map_err(agent_error)
    }

    /// Attaches a client to a worker's session.
    ///
    /// # Errors
    /// [`ApiError`]: no such worker, no session, the agent is away.
    pub async fn attach(
        self: &Arc<Self>,
        name: &str,
        query: AttachQuery,
        path: ClientPath,
    ) -> Result<Attached, ApiError> {
        let worker = self.find_live(name)?;
        self.not_held(&worker)?;
        self.agent_back(&worker).await;
        let agent = self.registry.handle(&worker);
        if path == ClientPath::Handed && agent.is_some_and(|a| !a.version().takes_clients()) {
            return Err(takes_no_clients());
        }
        let size = match (query.cols, query.rows) {
            (Some(cols), Some(rows)) => Some(Size { cols, rows }),
            _ => None,
        };
        let session = match query.session {
            Some(session) if self.runs_exec(&worker, &session) => session,
            Some(session) => {
                return self
                    .start_exec(worker, session, size, (path, query.silent))
                    .await;
            }
            None => self.main_session(&worker)?,
        };
        let mut attached = self
            .attach_session(worker, session, query.mode, size, (path, query.silent))
            .await?;
        attached.read_only = query.mode == AttachMode::ReadOnly;
        Ok(attached)
    }

    /// Whether it is an exec session that was started already: its client lost its connection.
    fn runs_exec(&self, worker: &WorkerId, session: &str) -> bool {
        let state = self.lock();
        let record = state.records.get(worker);
        record.is_some_and(|record| record.exec(session).is_some())
    }

    pub(in crate::daemon) fn main_session(&self, worker: &WorkerId) -> Result<String, ApiError> {
        let state = self.lock();
        let session = state
            .records
            .get(worker)
            .and_then(|r| r.session_id().map(str::to_owned));
        session.ok_or_else(|| {
            ApiError::new(
                ErrorKind::Conflict,
                "the worker has no session: it is not claimed",
            )
        })
    }

    pub(in crate::daemon) async fn attach_session(
        self: &Arc<Self>,
        worker: WorkerId,
        session: String,
        mode: AttachMode,
        size: Option<Size>,
        (path, silent): (ClientPath, bool),
    ) -> Result<Attached, ApiError> {
        let agent = self.agent(&worker)?;
        let pipes = {
            let state = self.lock();
            let record = state.records.get(&worker);
            record.is_some_and(|record| record.on_pipes(&session))
        };
        let opening = self.open_client(&worker, pipes, path)?;
        let stream = opening.stream.clone();
        self.client_opens(&worker, &session, &stream, &agent);
        let body = ToAgentBody::Attach(opening.attach(&session, mode, size, true, silent));
        let arrived = async {
            let asked = agent.request(body, AGENT_DEADLINE).await;
            let writer = match asked.and_then(|said| said.of(&worker)) {
                Ok(Reply::Attached { writer }) => writer,
                Ok(other) => return Err(unexpected(&other)),
                Err(error) => return Err(agent_error(error)),
            };
            let link = opening.arrive(agent.clone()).await.ok_or_else(no_stream)?;
            Ok((writer, link))
        };
        let arrived = arrived.await;
        self.client_arrived(
            &worker,
            &session,
            &stream,
            arrived.as_ref().ok().map(|a| &a.1),
        );
        let (writer, link) = arrived?;
        Ok(Attached {
            worker,
            session,
            stream,
            writer,
            pipes,
            read_only: false,
            link,
        })
    }

    /// Takes note of a client before its stream is asked for: it may have left before it is counted.
    pub(in crate::daemon) fn client_opens(
        &self,
        worker: &WorkerId,
        session: &str,
        stream: &str,
        agent: &AgentHandle,
    ) {
        let mut state = self.lock();
        let record = state.records.get_mut(worker);
        if let Some(record) = record.filter(|record| record.is_main(session)) {
            record.session.clients.opening(stream, agent.connection());
        }
    }

    /// Takes note of the way to a client's session, or that there is none. A client whose socket is to
    /// be handed over is there once it was.
    pub(in crate::daemon) fn client_arrived(
        &self,
        worker: &WorkerId,
        session: &str,
        stream: &str,
        link: Option<&ClientLink>,
    ) {
        self.update_session(worker, session, |s| match link {
            Some(ClientLink::Relayed { .. }) => s.clients.opened(stream),
            Some(ClientLink::Handed(_)) => {}
            None => s.clients.left(stream),
        });
    }

    /// Prepares an exec; it starts when its client attaches, so that no byte is missed.
    ///
    /// # Errors
    /// [`ApiError`]: no such worker, an impossible command.
    pub fn exec(&self, name: &str, request: ExecRequest) -> Result<ExecResponse, ApiError> {
        let worker = self.find_live(name)?;
        self.main_session(&worker)?;
        resolve::check_argv(&request.argv)?;
        resolve::check_env(&request.env)?;
        resolve::check_caller_env(&request.caller_env)?;
        let security = self.lock().records.get(&worker).and_then(|r| r.security);
        if request.root && !security.is_none_or(allows_root) {
            return Err(resolve::no_root());
        }
        let session = format!("{EXEC_PREFIX}{}", self.random_id()?);
        let mut state = self.lock();
        state.execs.add(session.clone(), worker, request)?;
        Ok(ExecResponse { session })
    }

    async fn start_exec(
        self: &Arc<Self>,
        worker: WorkerId,
        session: String,
        size: Option<Size>,
        client: (ClientPath, bool),
    ) -> Result<Attached, ApiError> {
        let (request, claim) = {
            let mut state = self.lock();
            let pending = state.execs.take(&session, &worker);
            let claim = state.records.get(&worker).and_then(|r| r.claim.clone());
            match (pending, claim) {
                (Some(request), Some(claim)) => (request, claim),
                _ => {
                    return Err(ApiError::new(
                        ErrorKind::NotFound,
                        "no such exec: it was started before, or its client came too late",
                    ));
                }
            }
        };
        let (uid, gid) = if request.root {
            (0, 0)
        } else {
            (claim.uid, claim.gid)
        };
        let io = match (request.io, size) {
            (SessionIo::Pty { .. }, Some(size)) => SessionIo::Pty { size },
            (io, _) => io,
        };
        let (own_uid, egress) = {
            let state = self.lock();
            let known = state.records.get(&worker);
            known.map_or((uid, crate::model::Egress::Open), |r| {
                (r.uid, r.egress.clone())
            })
        };
        crate::daemon::helpers::netguard::holds(&egress, own_uid, uid)?;
        let env = self
            .exec_env(&claim, uid, request.caller_env, request.env)
            .await;
        let start = StartSession {
            session,
            argv: request.argv,
            env,
            cwd: if claim.project.is_some() {
                paths::WORKSPACE
            } else {
                paths::HOME
            }
            .to_owned(),
            uid,
            gid,
            user: user_of(uid).to_owned(),
            home: home_of(uid).to_owned(),
            io,
            record: false,
            primary: false,
            claim: None,
            attach: None,
            timeout_s: None,
            secrets: std::collections::BTreeMap::new(),
        };
        if let Some(record) = self.lock().records.get_mut(&worker) {
            record.exec_starts(&start.session, start.io == SessionIo::Pipes);
        }
        let (daemon, session) = (self.clone(), start.session.clone());
        detached(async move {
            daemon.refresh_for_exec(&worker).await;
            match daemon.start_session(&worker, start, Some(client)).await {
                Ok(StartedSession {
                    attached: Some(attached),
                    ..
                }) => Ok(attached),
                Ok(_) => Err(ApiError::new(
                    ErrorKind::Internal,
                    "the command was started, but its streams could not be opened: its output is lost",
                )),
                Err(fault) => {
                    if let Some(record) = daemon.lock().records.get_mut(&worker) {
                        record.exec_ended(&session);
                    }
                    Err(fault.error)
                }
            }
        })
        .await
    }

    /// How the session of an ended stream stands. Waits a moment for the agent's word.
    pub async fn session_end(&self, attached_worker: &WorkerId, session: &str) -> SessionEnd {
        let deadline = Instant::now() + EXIT_DEADLINE;
        let ended = || {
            let state = self.lock();
            if let Some((status, oom)) = state.exits.get(attached_worker, session) {
                return Some(SessionEnd::Exited { status, oom });
            }
            match state.records.get(attached_worker) {
                None => Some(SessionEnd::Gone("the worker was removed".to_owned())),
                Some(record) if record.underway.removes() => {
                    Some(SessionEnd::Gone("the worker was stopped".to_owned()))
                }
                Some(_) => None,
            }
        };
        let ended = self.wakes.until(deadline, ended).await;
        ended.unwrap_or(SessionEnd::StillRunning)
    }

    /// A client of a session is relayed from now on, until what this gives is dropped.
    pub fn relay_begins(
        &self,
        worker: &WorkerId,
        session: &str,
        stream: &str,
        writer: bool,
    ) -> Writes {
        self.relayed.enter(worker, session, stream, writer)
    }

    /// Tells the agent a client's new size.
    pub async fn resize(&self, worker: &WorkerId, stream: &str, size: Size) {
        self.tell_agent(
            worker,
            ToAgentBody::Resize {
                stream: stream.to_owned(),
                size,
            },
        )
        .await;
    }

    /// Makes a client the writer.
    pub async fn takeover(&self, worker: &WorkerId, stream: &str) {
        self.tell_agent(
            worker,
            ToAgentBody::Takeover {
                stream: stream.to_owned(),
            },
        )
        .await;
    }

    /// A client has left on purpose: its session goes on.
    pub async fn detached_on_purpose(&self, worker: &WorkerId, session: &str) {
        let session = session.to_owned();
        self.tell_agent(worker, ToAgentBody::Detach { session })
            .await;
    }

    /// Sends a signal to a session's process group.
    pub async fn signal(&self, worker: &WorkerId, session: &str, signal: i32) {
        let body = ToAgentBody::Signal {
            session: session.to_owned(),
            signal,
        };
        self.tell_agent(worker, body).await;
    }

    async fn tell_agent(&self, worker: &WorkerId, body: ToAgentBody) {
        if let Err(error) = self.ask(worker, body).await {
            tracing::debug!(%worker, %error, "the agent refused a client's wish");
        }
    }

    /// Types into the main session.
    ///
    /// # Errors
    /// [`ApiError`]: no such worker, the agent is away.
    pub async fn input(&self, name: &str, data: Vec<u8>) -> Result<(), ApiError> {
        let worker = self.find_live(name)?;
        let session = self.main_session(&worker)?;
        self.ask(&worker, ToAgentBody::Input { session, data })
            .await
            .map(|_| ())
    }

    /// The main session's visible screen.
    ///
    /// # Errors
    /// [`ApiError`]: no such worker, the agent is away.
    pub async fn screen(&self, name: &str) -> Result<ScreenView, ApiError> {
        let worker = self.find_live(name)?;
        let session = self.main_session(&worker)?;
        match self.ask(&worker, ToAgentBody::Screen { session }).await? {
            Reply::Screen { lines, title } => Ok(ScreenView { lines, title }),
            other => Err(unexpected(&other)),
        }
    }
}

pub(in crate::daemon) fn agent_error(error: AgentRequestError) -> ApiError {
    match error {
        AgentRequestError::Refused(refused) => {
            ApiError::new(crate::agent::kind_of(refused.code), refused.message)
        }
        AgentRequestError::OtherVersion { .. } => {
            ApiError::new(ErrorKind::Conflict, error.to_string()).hint(
                "what the worker runs goes on; stop it and spawn it anew for an agent of this \
                 version",
            )
        }
        AgentRequestError::TimedOut(_) => ApiError::new(ErrorKind::Timeout, error.to_string()),
        AgentRequestError::NotSent | AgentRequestError::Gone => {
            ApiError::new(ErrorKind::Conflict, error.to_string())
        }
        AgentRequestError::TooLarge(_) => ApiError::new(ErrorKind::Invalid, error.to_string()),
    }
}

fn unexpected(reply: &Reply) -> ApiError {
    ApiError::new(
        ErrorKind::Internal,
        format!("the agent answered with {}", reply.kind()),
    )
}
