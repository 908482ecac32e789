//! One start request to an agent, and its result.
//!
//! A start that may have been carried out is never sent again: where no answer comes, the agent is
//! asked what it runs, and where that has no answer either, the error says so.

use crate::daemon::{
    Daemon,
    claims::placed::{StartError, StartedSession},
    sessions::{
        attach::{AGENT_DEADLINE, agent_error},
        attached::{Attached, ClientPath},
        opening::takes_no_clients,
    },
};
use crate::{
    agent::{AgentHandle, AgentRequestError},
    fleet::StartFault,
    model::WorkerId,
    wire::{ApiError, ErrorKind},
};
use podbay_protocol::{
    AttachMode, ErrorCode, Reply, SessionInfo, SessionIo, StartSession, ToAgentBody,
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// An agent's answer to `Start`: exec of a huge program from a cold disk included.
pub(in crate::daemon) const START_DEADLINE: Duration = Duration::from_secs(30);
/// How long an agent that did not answer is asked what it runs: its connection may be a new one.
const ASK_DEADLINE: Duration = Duration::from_secs(10);
const ASK_STEP: Duration = Duration::from_millis(50);

/// What an agent says of a session whose start was not answered.
#[derive(Debug)]
pub(in crate::daemon) enum Found {
    /// It was started; it may have ended since.
    Started(Box<SessionInfo>),
    /// The agent answers, and does not have it: it was not started and will not be.
    Absent,
    /// The agent is of a version that does not say.
    OtherVersion,
    /// Nobody answered; the last reason.
    Silent(String),
}

impl Daemon {
    /// Asks a worker's agent, within a bound, what became of a session.
    pub(in crate::daemon) async fn find_out(&self, worker: &WorkerId, session: &str) -> Found {
        let deadline = Instant::now() + ASK_DEADLINE;
        let mut reason = "its agent is not connected".to_owned();
        loop {
            if let Some(agent) = self.registry.handle(worker) {
                let asked = agent.request(ToAgentBody::Describe, AGENT_DEADLINE).await;
                match asked.and_then(|said| said.of(worker)) {
                    Ok(Reply::Described(described)) => {
                        let mut sessions = described.sessions.into_iter();
                        return match sessions.find(|s| s.session == session) {
                            Some(info) => Found::Started(Box::new(info)),
                            None => Found::Absent,
                        };
                    }
                    Ok(other) => reason = format!("its agent answered with {}", other.kind()),
                    Err(AgentRequestError::OtherVersion { .. }) => return Found::OtherVersion,
                    Err(error) => reason = error.to_string(),
                }
            }
            if Instant::now() >= deadline {
                return Found::Silent(reason);
            }
            tokio::time::sleep(ASK_STEP).await;
        }
    }

    /// One frame to the agent; with `client`, the first client comes with it: how it is connected, and
    /// whether it answers no terminal queries.
    pub(in crate::daemon) async fn start_session(
        self: &Arc<Self>,
        worker: &WorkerId,
        mut start: StartSession,
        client: Option<(ClientPath, bool)>,
    ) -> Result<StartedSession, StartError> {
        let agent = self
            .registry
            .handle(worker)
            .ok_or_else(|| StartError::worker("its agent is not connected"))?;
        if client.is_some_and(|(path, _)| path == ClientPath::Handed)
            && !agent.version().takes_clients()
        {
            return Err(StartError {
                error: takes_no_clients(),
                whose: StartFault::Agent,
            });
        }
        let (session, primary) = (start.session.clone(), start.primary);
        let (size, pipes) = match start.io {
            SessionIo::Pty { size } => (Some(size), false),
            SessionIo::Pipes => (None, true),
        };
        let mut opening = None;
        if let Some((path, silent)) = client {
            let opens = self
                .open_client(worker, pipes, path)
                .map_err(StartError::request)?;
            start.attach = Some(opens.attach(&session, AttachMode::Write, size, false, silent));
            self.client_opens(worker, &session, &opens.stream, &agent);
            opening = Some((opens, (path, silent)));
        }
        let (pid, exec_us) = self.send_start(&agent, worker, start, primary).await?;
        let started = |attached| StartedSession { attached, exec_us };
        if let Some(record) = self.lock().records.get_mut(worker)
            && record.is_main(&session)
        {
            record.session.pid = Some(pid);
            record.session.size = size;
        }
        let Some((opens, client)) = opening else {
            return Ok(started(None));
        };
        let stream = opens.stream.clone();
        let link = opens.arrive(agent).await;
        self.client_arrived(worker, &session, &stream, link.as_ref());
        if let Some(link) = link {
            return Ok(started(Some(Attached {
                worker: worker.clone(),
                session,
                stream,
                writer: true,
                pipes,
                read_only: false,
                link,
            })));
        }
        // It runs all the same: its client gets another stream, at the latest by attaching itself.
        tracing::warn!(%worker, session, "the agent did not open the session's stream");
        let again = self
            .attach_session(worker.clone(), session, AttachMode::Write, size, client)
            .await;
        match again {
            Ok(attached) => Ok(started(Some(attached))),
            Err(error) => {
                tracing::warn!(%worker, %error, "the session runs without its first client");
                Ok(started(None))
            }
        }
    }

    /// Sends the frame; gives the process id once it is known that the program was executed, and how
    /// long the agent took where it says so.
    async fn send_start(
        &self,
        agent: &AgentHandle,
        worker: &WorkerId,
        start: StartSession,
        primary: bool,
    ) -> Result<(i32, u64), StartError> {
        let session = start.session.clone();
        let body = if start.secrets.is_empty() {
            ToAgentBody::Start(Box::new(start))
        } else {
            ToAgentBody::StartWithSecrets(Box::new(start))
        };
        let asked = agent.request(body, START_DEADLINE).await;
        let trouble = match asked.and_then(|said| said.of(worker)) {
            Ok(Reply::Started { pid, exec_us }) => return Ok((pid, exec_us)),
            Err(AgentRequestError::Refused(refused)) => {
                let error = ApiError::new(crate::agent::kind_of(refused.code), refused.message);
                return Err(match refused.code {
                    // The system's refusals come at any point of a start.
                    ErrorCode::System => StartError::tainted(error),
                    _ => StartError::request(error),
                });
            }
            Err(error @ AgentRequestError::TooLarge(_)) => {
                return Err(StartError::request(agent_error(error)));
            }
            Err(AgentRequestError::NotSent) => {
                return Err(StartError::worker("its agent is not connected"));
            }
            Ok(other) => ApiError::new(
                ErrorKind::Internal,
                format!("the agent answered with {}", other.kind()),
            ),
            Err(error @ (AgentRequestError::Gone | AgentRequestError::TimedOut(_))) => {
                agent_error(error)
            }
            // It does not know the operation, or its answer was not understood.
            Err(error @ AgentRequestError::OtherVersion { .. }) => {
                let error = agent_error(error);
                return match self.find_out(worker, &session).await {
                    Found::Started(info) => Ok((info.pid, 0)),
                    Found::Absent | Found::OtherVersion => Err(StartError {
                        error,
                        whose: StartFault::Agent,
                    }),
                    Found::Silent(reason) => Err(self.unknown(worker, &reason)),
                };
            }
        };
        match self.find_out(worker, &session).await {
            Found::Started(info) => Ok((info.pid, 0)),
            // Of others than the main one an agent forgets the oldest.
            Found::Absent if primary => {
                let message = format!("the command was not started: {}", trouble.message);
                let error = ApiError::new(ErrorKind::Internal, message);
                Err(StartError::tainted(error.hint(
                    "the worker's agent confirms that nothing of it runs: try again",
                )))
            }
            Found::Absent | Found::OtherVersion => Err(self.unknown(worker, &trouble.message)),
            Found::Silent(reason) => {
                let reason = format!("{}; then: {reason}", trouble.message);
                Err(self.unknown(worker, &reason))
            }
        }
    }

    fn unknown(&self, worker: &WorkerId, reason: &str) -> StartError {
        let name = self.claim_of(worker).map(|claim| claim.name.to_string());
        let name = name.unwrap_or_else(|| worker.to_string());
        let message = format!(
            "the command may have been started in worker {name}; it was not repeated: {reason}"
        );
        let hint = format!(
            "`podbay ls` shows the worker and `podbay logs {name}` what it printed; \
             `podbay rm --force {name}` removes it"
        );
        StartError {
            error: ApiError::new(ErrorKind::Timeout, message).hint(hint),
            whose: StartFault::Unknown,
        }
    }
}
