//! What the daemon keeps of a worker beside the fleet's own entry.

use crate::{
    agent::Sessions,
    config::{Network, SecurityProfile},
    model::{Egress, Limits, WorkerId},
    store::ClaimRecord,
    wire::{ChangeCount, EgressDenied, ListeningPort},
};
use podbay_protocol::{
    Activity, AgentError, ExitStatus, Landlock, Readings, SessionInfo, Size, StartSession,
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

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
    /// Removal has begun: what the agent says from here on is no news.
    pub removing: bool,
    /// Its network is not the parent's any more.
    pub cut_off: bool,
    /// Its container is being made anew.
    pub rehoming: bool,
    /// How often that was tried without being asked.
    pub rehome_tries: usize,
    /// What its session was started with, environment and secrets included, from the moment its
    /// container is being recreated until the session runs again: a try that fails must not lose it.
    pub origin: Option<Box<StartSession>>,
    /// The session that is to follow the main one, while that is being stopped for a restart.
    pub restarting: Option<String>,
    /// Exec sessions that were started in it and have not ended; the oldest is forgotten beyond
    /// [`MAX_EXECS`].
    pub execs: VecDeque<String>,
    /// Its agent is asked once more to describe itself.
    pub describing: bool,
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
    /// Where it may connect to: what it was made with.
    pub egress: Egress,
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

/// What an agent's main session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::daemon) enum Recognised {
    /// The one on record.
    Main,
    /// The one that follows it; it is on record now.
    StartedAgain,
    /// One that no coordinator started.
    Unknown,
}

/// Ids are made here: letters, digits and hyphens, and not long.
fn is_session_id(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    (1..=64).contains(&text.len()) && text.bytes().all(plain)
}

impl Sessions for Record {
    fn has_started(&self, session: &str) -> bool {
        let claim = self.claim.as_ref();
        claim.is_some_and(|claim| claim.has_session(session))
            || self.execs.iter().any(|known| known == session)
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

/// The clients of the main session, by their streams: each is dialled to this coordinator alone. It
/// is counted from its arrival to the agent's word that it left, in whichever order the two come.
#[derive(Debug, Clone, Default)]
pub(in crate::daemon) struct Clients(BTreeMap<String, bool>);

impl Clients {
    /// A stream is about to be asked for.
    pub fn opening(&mut self, stream: &str) {
        self.0.insert(stream.to_owned(), false);
    }

    /// It arrived; no news if the agent has said meanwhile that it left.
    pub fn opened(&mut self, stream: &str) {
        if let Some(open) = self.0.get_mut(stream) {
            *open = true;
        }
    }

    /// It left, or did not come.
    pub fn left(&mut self, stream: &str) {
        self.0.remove(stream);
    }

    /// The agent was away, which left all that were open.
    pub fn all_left(&mut self) {
        self.0.retain(|_, open| !*open);
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        let open = self.0.values().filter(|open| **open).count();
        u32::try_from(open).unwrap_or(u32::MAX)
    }
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
            removing: false,
            cut_off: false,
            rehoming: false,
            rehome_tries: 0,
            origin: None,
            restarting: None,
            execs: VecDeque::new(),
            describing: false,
            written: false,
            write_error: None,
            restart_failed: None,
            security: None,
            network: Network::Shared,
            runtime: None,
            landlock: None,
            egress: Egress::Open,
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
    pub fn exec_starts(&mut self, session: &str) {
        if self.execs.len() == MAX_EXECS {
            self.execs.pop_front();
        }
        self.execs.push_back(session.to_owned());
    }

    /// An exec session has ended: whether it was one of this worker's.
    pub fn exec_ended(&mut self, session: &str) -> bool {
        let before = self.execs.len();
        self.execs.retain(|known| known != session);
        self.execs.len() < before
    }

    /// Whether the main session that an agent describes is one that a coordinator started: the
    /// record says so, or what the agent carries, `carried`, and a coordinator sealed. `missing`
    /// stands for a record that is nowhere.
    pub fn recognise(
        &mut self,
        info: &SessionInfo,
        carried: Option<ClaimRecord>,
        missing: Option<ClaimRecord>,
    ) -> Recognised {
        let proven = carried.as_ref().is_some_and(|c| c.session == info.session);
        if self.claim.is_none() {
            self.claim = carried.or(missing).map(|mut claim| {
                if claim.session.is_empty() && is_session_id(&info.session) {
                    claim.session.clone_from(&info.session);
                }
                claim
            });
        }
        if self.is_main(&info.session) {
            return Recognised::Main;
        }
        let asked_for = self.restarting.as_ref() == Some(&info.session);
        let former = |claim: &ClaimRecord| claim.former_successor(&info.session);
        if proven || asked_for || self.claim.as_ref().is_some_and(former) {
            // It was started again while nobody listened.
            self.started_again(&info.session);
            return Recognised::StartedAgain;
        }
        Recognised::Unknown
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
        self.restarting = None;
        self.session = SessionView {
            size: self.session.size,
            ..SessionView::default()
        };
    }

    /// Takes over what the agent says of the main session.
    pub fn hear(&mut self, info: &SessionInfo) {
        self.session.pid = Some(info.pid);
        self.session.activity = Some(info.activity.clone());
        self.session.title.clone_from(&info.title);
        self.session.size = info.size;
        if info.clients == 0 {
            self.session.clients.all_left();
        }
        self.session.exit = info.exit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_counted_in_whichever_order_they_come_and_go() {
        let mut clients = Clients::default();
        clients.opening("a");
        assert_eq!(clients.count(), 0);
        clients.opened("a");
        // The word that one has left overtakes its arrival.
        clients.opening("b");
        clients.left("b");
        clients.opened("b");
        assert_eq!(clients.count(), 1);
        // One leaves while another is on its way.
        clients.opening("c");
        clients.left("a");
        clients.opened("c");
        assert_eq!(clients.count(), 1);
        clients.opening("d");
        clients.all_left();
        clients.opened("d");
        assert_eq!(clients.count(), 1);
        clients.left("d");
        assert_eq!(clients.count(), 0);
        assert!(clients.0.is_empty());
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod recognition;
