//! What the daemon keeps of a worker beside the fleet's own entry.

use super::{clients::Clients, underway::Underway};
use crate::{
    agent::Sessions,
    config::{Network, SecurityProfile},
    model::{Egress, HostPath, Limits, WorkerId},
    store::ClaimRecord,
    wire::{ChangeCount, EgressDenied, ListeningPort},
};
use podbay_protocol::{
    Activity, AgentError, ExitStatus, Landlock, Readings, SessionInfo, SessionIo, Size,
    StartSession,
};
use std::{collections::VecDeque, sync::Arc};
use tokio::time::Instant;

/// One worker that has, or is about to have, a container.
#[derive(Debug, Clone)]
pub(in crate::daemon) struct Record {
    pub id: WorkerId,
    pub profile: String,
    pub image: String,
    /// The worker's own uid and gid.
    pub uid: u32,
    pub created_ms: u64,
    /// Known once it runs.
    pub container: Option<String>,
    /// Host pid of its PID 1.
    pub pid: Option<i32>,
    pub limits: Limits,
    /// The claim, from the moment it is being placed.
    pub claim: Option<ClaimRecord>,
    /// The project was given to the engine at the creation (the fallback without hot mounts).
    pub engine_mounted: bool,
    /// Owner of `/workspace` as the agent sees it; the session's user in the fallback.
    pub workspace_owner: Option<(u32, u32)>,
    pub session: SessionView,
    pub readings: Readings,
    /// What is being done with it.
    pub underway: Underway,
    /// Its network is not the parent's any more.
    pub cut_off: bool,
    /// How often its container was recreated without being asked.
    pub recreate_tries: usize,
    /// What its session was started with, environment and secrets included, from the moment its
    /// container is being recreated until the session runs again: a try that fails must not lose it.
    pub origin: Option<Box<StartSession>>,
    /// Exec sessions that were started in it and have not ended; the oldest is forgotten beyond
    /// [`MAX_EXECS`].
    pub execs: VecDeque<Exec>,
    /// Whether the claim's record is on disk.
    pub written: bool,
    /// Why it is not; it is tried again.
    pub write_error: Option<String>,
    /// Why the last restart came to nothing, for who asked for it.
    pub restart_failed: Option<AgentError>,
    /// What it was made with; known from its label, or else from its profile.
    pub security: Option<SecurityProfile>,
    /// Its network.
    pub network: Network,
    /// Its OCI runtime, where that is not the engine's default.
    pub runtime: Option<String>,
    /// What its agent says of Landlock.
    pub landlock: Option<Landlock>,
    /// Of a warm one: the project that an overlay was made ahead on, and when.
    pub overlay_ahead: Option<(HostPath, Instant)>,
    /// Where it may connect to: what it was made with.
    pub egress: Egress,
    /// Its rules were taken away: it has no process any more, and its uid is given on.
    pub unguarded: bool,
    /// What the guard counted when it was last asked, and all that was refused so far.
    pub denied_seen: u64,
    pub denied: Option<EgressDenied>,
    /// TCP sockets its processes listen on.
    pub ports: Vec<ListeningPort>,
    /// How much it changed, when that was counted.
    pub changes: Option<ChangeCount>,
    /// Another coordinator placed its claim, and may have died before all that follows was done.
    pub unfollowed: bool,
    /// Whoever writes the claim's record or names the container takes turns.
    pub following: Arc<tokio::sync::Mutex<()>>,
}

/// Exec sessions of a worker that are known at a time.
const MAX_EXECS: usize = 256;

/// A session beside the main one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::daemon) struct Exec {
    pub session: String,
    /// Whether it is on pipes.
    pub pipes: bool,
}

impl Sessions for Record {
    fn has_started(&self, session: &str) -> bool {
        let claim = self.claim.as_ref();
        claim.is_some_and(|claim| claim.has_session(session)) || self.exec(session).is_some()
    }
}

/// The main session as last heard.
#[derive(Debug, Clone, Default)]
pub(in crate::daemon) struct SessionView {
    pub pid: Option<i32>,
    pub activity: Option<Activity>,
    pub title: String,
    pub size: Option<Size>,
    pub clients: Clients,
    pub exit: Option<ExitStatus>,
    pub oom: bool,
    pub ended_ms: Option<u64>,
}

impl Record {
    pub fn new(id: WorkerId, profile: String, image: String, uid: u32, created_ms: u64) -> Self {
        Self {
            id,
            profile,
            image,
            uid,
            created_ms,
            container: None,
            pid: None,
            limits: Limits::default(),
            claim: None,
            engine_mounted: false,
            workspace_owner: None,
            session: SessionView::default(),
            readings: Readings::default(),
            underway: Underway::default(),
            cut_off: false,
            recreate_tries: 0,
            origin: None,
            execs: VecDeque::new(),
            written: false,
            write_error: None,
            restart_failed: None,
            security: None,
            network: Network::Shared,
            runtime: None,
            landlock: None,
            overlay_ahead: None,
            egress: Egress::Open,
            unguarded: false,
            denied_seen: 0,
            denied: None,
            ports: Vec::new(),
            changes: None,
            unfollowed: false,
            following: Arc::default(),
        }
    }

    /// The main session's id.
    pub fn session_id(&self) -> Option<&str> {
        self.claim.as_ref().map(|claim| claim.session.as_str())
    }

    /// An exec session is about to be started.
    pub fn exec_starts(&mut self, session: &str, pipes: bool) {
        if self.execs.len() == MAX_EXECS {
            self.execs.pop_front();
        }
        let session = session.to_owned();
        self.execs.push_back(Exec { session, pipes });
    }

    /// An exec session that was started and has not ended.
    pub fn exec(&self, session: &str) -> Option<&Exec> {
        self.execs.iter().find(|known| known.session == session)
    }

    /// Whether a session is on pipes. Of the main one the request decides, where that is known.
    pub fn on_pipes(&self, session: &str) -> bool {
        if let Some(exec) = self.exec(session) {
            return exec.pipes;
        }
        let asked = self.claim.as_ref().and_then(|claim| claim.io);
        self.is_main(session)
            && asked.map_or(self.session.size.is_none(), |io| io == SessionIo::Pipes)
    }

    /// An exec session has ended: whether it was one of this worker's.
    pub fn exec_ended(&mut self, session: &str) -> bool {
        let before = self.execs.len();
        self.execs.retain(|known| known.session != session);
        self.execs.len() < before
    }

    /// Whether `session` is the main one.
    pub fn is_main(&self, session: &str) -> bool {
        self.session_id() == Some(session)
    }

    /// The main session was started again under another id; the terminal keeps its size.
    pub fn started_again(&mut self, session: &str) {
        if let Some(claim) = &mut self.claim {
            claim.follow_with(session);
            claim.restarts = claim.restarts.saturating_add(1);
            claim.moving = false;
        }
        self.underway.end_restart();
        self.session = SessionView {
            size: self.session.size,
            ..SessionView::default()
        };
    }

    /// Takes over what the agent says of the main session on one of its connections.
    pub fn hear(&mut self, info: &SessionInfo, connection: u64) {
        self.session.pid = Some(info.pid);
        self.session.activity = Some(info.activity.clone());
        self.session.title.clone_from(&info.title);
        self.session.size = info.size;
        self.session.clients.described(&info.streams, connection);
        self.session.exit = info.exit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_execs_are_known_and_no_more() {
        let id = WorkerId::from_bits(1);
        let mut record = Record::new(id, "p".into(), "i".into(), 200_000, 1);
        for n in 0..2 * MAX_EXECS {
            record.exec_starts(&format!("x{n}"), n % 2 == 0);
        }
        assert_eq!(record.execs.len(), MAX_EXECS);
        assert!(!record.has_started("x0"));
        let last = format!("x{}", 2 * MAX_EXECS - 1);
        assert!(record.has_started(&last));
        assert!(record.exec_ended(&last));
        assert!(!record.exec_ended(&last) && !record.has_started(&last));
    }
}
