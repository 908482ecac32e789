//! What agents report, as it happens.
//!
//! Each report is taken in by the record of the worker that it comes from, and only where it is
//! about a session that was started there.

use crate::daemon::{
    Daemon, sessions::exits::ExitLog, unix_ms, wakes::Task, workers::record::Record,
};
use crate::{
    agent::{ConnectionEvent, FromWorker},
    fleet::Event,
    model::WorkerId,
};
use podbay_protocol::{ActivityState, AgentError, AgentEvent, ExitStatus};
use std::sync::Arc;
use tokio::sync::mpsc;

/// What follows a report.
enum Heard {
    /// Nothing.
    Nothing,
    /// Clients get the worker's new view.
    Shown,
    /// Likewise, and its changes are counted: it has come to rest.
    Rests,
    /// Likewise, and they are not counted for now.
    Works,
    /// A session ended; of the main one also whether the worker goes with it.
    Ended(Option<bool>),
    /// The main session was to be started again.
    Restarted(Result<(), AgentError>),
    /// The main session was started again as one that this coordinator does not know: what the
    /// agent carries says whether the former coordinator asked for it.
    Describe,
    /// Another client types into this session: its stream.
    Writer(String, String),
    /// Something to say to a person, by the worker of this name.
    Notification(String, String),
}

impl Daemon {
    /// Follows the agents' words until the coordinator stops.
    pub(in crate::daemon) async fn run_agent_events(
        self: Arc<Self>,
        mut notices: mpsc::Receiver<ConnectionEvent>,
    ) {
        while let Some(notice) = notices.recv().await {
            match notice {
                ConnectionEvent::Connected { worker, handle } => {
                    let daemon = self.clone();
                    tokio::spawn(async move { daemon.describe_and_adopt(worker, handle).await });
                }
                ConnectionEvent::Gone { worker, generation } => {
                    if self.registry.ended(&worker, generation) {
                        self.feed(Event::AgentGone(worker));
                    }
                }
                ConnectionEvent::Event { said, slot } => {
                    self.hear(said);
                    drop(slot);
                }
            }
        }
    }

    /// Takes in what an agent reports.
    pub(in crate::daemon) fn hear(self: &Arc<Self>, said: FromWorker<AgentEvent>) {
        let worker = said.worker().clone();
        let heard = {
            let mut guard = self.lock();
            let state = &mut *guard;
            match said.resolve(&mut state.records) {
                Some((record, event)) => take(record, &mut state.exits, event),
                None => {
                    tracing::debug!(%worker, "passed over what is said of an unknown session");
                    return;
                }
            }
        };
        match heard {
            Heard::Nothing => {}
            Heard::Shown => self.tell_program(&worker),
            Heard::Rests => {
                self.tell_program(&worker);
                self.want_count(&worker);
            }
            Heard::Works => {
                self.tell_program(&worker);
                self.wakes.wake(Task::Counts);
            }
            Heard::Ended(main) => self.after_end(&worker, main),
            Heard::Restarted(Ok(())) => self.follow_restart(&worker),
            Heard::Restarted(Err(error)) => {
                tracing::warn!(%worker, error = error.message, "not started again");
                self.wakes.news();
            }
            Heard::Describe => self.describe_again(worker),
            Heard::Writer(session, stream) => self.relayed.writer(&worker, &session, &stream),
            Heard::Notification(name, text) => self.tell_notice(&worker, name, text),
        }
    }

    /// What follows a session's end; of the main one, `main` says whether the worker goes with it.
    fn after_end(self: &Arc<Self>, worker: &WorkerId, main: Option<bool>) {
        self.wakes.news();
        if let Some(remove) = main {
            self.feed(Event::SessionEnded {
                worker: worker.clone(),
                remove,
            });
            self.want_count(worker);
            self.tell_worker(worker);
        }
    }

    fn describe_again(self: &Arc<Self>, worker: WorkerId) {
        let handle = self.registry.handle(&worker);
        let daemon = self.clone();
        tokio::spawn(async move {
            if let Some(handle) = handle {
                daemon
                    .clone()
                    .describe_and_adopt(worker.clone(), handle)
                    .await;
            }
            let main = {
                let mut guard = daemon.lock();
                let state = &mut *guard;
                let Some(record) = state.records.get_mut(&worker) else {
                    return;
                };
                record.underway.end_describing();
                // The end that was held back is that of the main session after all.
                let ended = record
                    .session_id()
                    .filter(|_| record.session.exit.is_none())
                    .and_then(|main| state.exits.get(&worker, main));
                ended.map(|(status, oom)| main_ended(record, status, oom))
            };
            if main.is_some() {
                daemon.after_end(&worker, main);
            }
        });
    }
}

/// The main session has ended: whether the worker goes with it.
fn main_ended(record: &mut Record, status: ExitStatus, oom: bool) -> bool {
    record.underway.end_restart();
    record.session.exit = Some(status);
    record.session.oom = oom;
    record.session.ended_ms = Some(unix_ms());
    record.claim.as_ref().is_none_or(|claim| claim.remove)
}

/// Changes the worker's record by what is said of one of its sessions.
fn take(record: &mut Record, exits: &mut ExitLog, event: AgentEvent) -> Heard {
    match event {
        AgentEvent::Exited {
            session,
            status,
            oom,
        } => {
            record.exec_ended(&session);
            // While its agent is asked what followed it, its end is not yet the worker's.
            let main = record.is_main(&session) && !record.underway.describes();
            exits.add(&record.id, session, status, oom);
            Heard::Ended(main.then(|| main_ended(record, status, oom)))
        }
        AgentEvent::Restarted {
            session,
            next,
            outcome,
        } => {
            if !record.is_main(&session) {
                return Heard::Nothing;
            }
            match outcome {
                Ok(pid) if record.underway.restart() == Some(next.as_str()) => {
                    record.started_again(&next);
                    record.session.pid = Some(pid);
                    Heard::Restarted(Ok(()))
                }
                Ok(_) if record.underway.begin_describing() => Heard::Describe,
                Ok(_) => Heard::Nothing,
                Err(error) => {
                    record.underway.end_restart();
                    record.restart_failed = Some(error.clone());
                    Heard::Restarted(Err(error))
                }
            }
        }
        AgentEvent::Notification { text, .. } => {
            let claim = record.claim.as_ref();
            let name = claim.map_or_else(|| record.id.to_string(), |c| c.name.to_string());
            Heard::Notification(name, text)
        }
        AgentEvent::Writer { session, stream } => Heard::Writer(session, stream),
        AgentEvent::ScreenRebuilt { session, reason } => {
            tracing::warn!(worker = %record.id, session, reason, "the screen model was rebuilt");
            Heard::Nothing
        }
        AgentEvent::Activity { ref session, .. }
        | AgentEvent::Title { ref session, .. }
        | AgentEvent::Resized { ref session, .. }
        | AgentEvent::Detached { ref session, .. }
            if !record.is_main(session) =>
        {
            Heard::Nothing
        }
        AgentEvent::Activity { activity, .. } => {
            let works = activity.state == ActivityState::Working;
            let was = record.session.activity.replace(activity);
            if works {
                Heard::Works
            } else if was.is_some_and(|a| a.state == ActivityState::Working) {
                Heard::Rests
            } else {
                Heard::Shown
            }
        }
        AgentEvent::Title { title, .. } => {
            record.session.title = title;
            Heard::Shown
        }
        AgentEvent::Resized { size, .. } => {
            record.session.size = Some(size);
            Heard::Shown
        }
        AgentEvent::Detached { stream, .. } => {
            record.session.clients.left(&stream);
            Heard::Shown
        }
    }
}
