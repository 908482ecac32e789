//! From a worker: output into the terminal model, pictures at their rate, what is asked of the
//! view. Reads within a budget; what is over it stays with the agent.

use crate::{
    client::{AttachReceiver, ClientError, Incoming},
    dashboard::{
        app::{
            effect::{LiveTarget, ScrollTo},
            message::LiveBody,
        },
        io::live::{
            attach_state::{AttachOutcome, LAST_TYPED, Outbox, ToWorker},
            budget::Budget,
            terminal_model::TerminalModel,
        },
    },
    wire::ServerMessage,
};
use podbay_protocol::Size;
use std::time::Duration;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

/// Shortest time between two pictures: of a worker that is typed into, and of one that is watched.
const FRAME: (Duration, Duration) = (Duration::from_millis(16), Duration::from_millis(33));
/// Lines kept above the visible ones: while nobody looks at them, once somebody did, and of a
/// worker that is typed into. They take 24 bytes a cell.
const LINES: (usize, usize, usize) = (100, 2_000, 5_000);
/// A screen that is restored is shown once nothing more comes for so long, or at last after so
/// long: half of it is nothing to look at.
const RESTORING: (Duration, Duration) = (Duration::from_millis(8), Duration::from_millis(300));
/// After another client has changed the size, the screen is asked for again, once that is over.
const RESIZED: Duration = Duration::from_millis(120);

/// From the worker, and what is wanted of it.
pub struct Receiving<'a> {
    pub(super) targets: &'a mut watch::Receiver<LiveTarget>,
    pub(super) scrolls: &'a mut mpsc::UnboundedReceiver<ScrollTo>,
    pub(super) out: &'a Outbox,
    pub(super) shared: &'a Budget,
    pub(super) own: Budget,
    pub(super) deep: &'a mut bool,
    pub(super) later: &'a mut Vec<ScrollTo>,
    pub(super) model: &'a mut Option<TerminalModel>,
    pub(super) say: mpsc::UnboundedSender<ToWorker>,
    pub(super) target: LiveTarget,
    /// Whether input is heard, once that was said.
    pub(super) writer: Option<bool>,
    /// Only to send what was typed.
    pub(super) brief: bool,
    pub(super) fresh: Restore,
}

/// Whether a restored screen is coming.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restore {
    /// It is there.
    No,
    /// Asked for then.
    Asked(Instant),
    /// It has been coming since then.
    Coming(Instant),
}

impl Receiving<'_> {
    fn tell(&self, what: ToWorker) {
        // The other direction lives as long as this one.
        drop(self.say.send(what));
    }

    /// The size that the worker's terminal has.
    fn size(&self) -> Size {
        match (self.target.write, self.writer) {
            (Some(size), Some(true)) => size,
            _ => self.target.size,
        }
    }

    fn lines(&self) -> usize {
        match (self.target.write, *self.deep) {
            (Some(_), _) => LINES.2,
            (None, true) => LINES.1,
            (None, false) => LINES.0,
        }
    }

    /// The model of this attach.
    fn begin(&mut self) {
        let (size, lines) = (self.size(), self.lines());
        *self.model = Some(match self.model.take() {
            Some(before) => TerminalModel::after(before, size, lines),
            None => TerminalModel::new(size, lines),
        });
    }

    pub(super) async fn run(&mut self, receiver: &mut AttachReceiver) -> AttachOutcome {
        // When the next picture is due, when output is read again, when to attach reattach.
        let (mut due, mut gate, mut reattach) = (None::<Instant>, None::<Instant>, None::<Instant>);
        let began = Instant::now();
        let mut last = began - FRAME.1;
        let never = last;
        self.begin();
        loop {
            tokio::select! {
                biased;
                () = sleep_until(began + LAST_TYPED), if self.brief => return AttachOutcome::Gone,
                changed = self.targets.changed(), if !self.brief => match changed {
                    Err(_) => return AttachOutcome::Gone,
                    Ok(()) => match self.retarget() {
                        Some(end) => return end,
                        None if self.target.write.is_none() => {
                            reattach = Some(Instant::now() + RESIZED);
                        }
                        None => {}
                    },
                },
                Some(to) = self.scrolls.recv() => {
                    if self.scroll(to) {
                        return AttachOutcome::Again;
                    }
                    // The user waits for it.
                    last = last.min(Instant::now() - FRAME.1);
                }
                () = sleep_until(due.unwrap_or(never)), if due.is_some() => {
                    last = Instant::now();
                    due = self.show();
                    continue;
                }
                () = sleep_until(reattach.unwrap_or(never)), if reattach.is_some() => return AttachOutcome::Again,
                () = sleep_until(gate.unwrap_or(never)), if gate.is_some() => {
                    gate = None;
                    continue;
                }
                incoming = receiver.next(), if gate.is_none() => match self.on_incoming(incoming) {
                    Ok(spent) => gate = spent,
                    Err(end) => return end,
                },
            }
            let every = if self.target.write.is_some() {
                FRAME.0
            } else {
                FRAME.1
            };
            let now = Instant::now();
            due = match self.fresh {
                Restore::Asked(at) => Some(at + RESTORING.1),
                Restore::Coming(since) => Some((now + RESTORING.0).min(since + RESTORING.1)),
                Restore::No => due.or(Some((last + every).max(now))),
            };
        }
    }

    /// Gives a picture if there is a new one; when to do so again.
    fn show(&mut self) -> Option<Instant> {
        self.fresh = Restore::No;
        let model = self.model.as_mut()?;
        for to in self.later.drain(..) {
            if let Some(text) = model.scroll(to) {
                self.out.say(LiveBody::Copied(text));
            }
        }
        let (picture, again) = model.picture();
        if let Some(picture) = picture {
            self.out.say(LiveBody::Screen(picture));
        }
        again
    }

    /// Takes in what came; gives until when nothing more is to be read.
    fn on_incoming(
        &mut self,
        incoming: Option<Result<Incoming, ClientError>>,
    ) -> Result<Option<Instant>, AttachOutcome> {
        match incoming {
            Some(Ok(Incoming::Output(bytes) | Incoming::Stderr(bytes))) => {
                if let Restore::Asked(_) = self.fresh {
                    self.fresh = Restore::Coming(Instant::now());
                }
                if let Some(model) = self.model.as_mut() {
                    model.process(&bytes);
                }
                let budget = match self.target.write {
                    Some(_) => &self.own,
                    None => self.shared,
                };
                Ok(budget.spend(bytes.len(), Instant::now()))
            }
            Some(Ok(Incoming::Message(ServerMessage::Attached { writer, .. }))) => {
                self.writer = Some(writer && self.target.write.is_some());
                self.fresh = Restore::Asked(Instant::now());
                self.begin();
                self.tell(ToWorker::Writer(writer));
                if self.brief {
                    return Err(AttachOutcome::Again);
                }
                // When it is to be something else by now, this is no news.
                if !self.targets.has_changed().unwrap_or(true) {
                    self.out.say(LiveBody::Attached { writer });
                }
                Ok(None)
            }
            Some(Ok(Incoming::Message(ServerMessage::Writer { writer }))) => {
                if self.target.write.is_some() {
                    self.set_writer(writer);
                }
                Ok(None)
            }
            Some(Ok(Incoming::Message(ServerMessage::Exited { status, .. }))) => {
                self.show();
                Err(AttachOutcome::Final(LiveBody::Ended(status)))
            }
            Some(Ok(Incoming::Message(ServerMessage::Error(error)))) => {
                Err(AttachOutcome::Final(LiveBody::Broken {
                    reason: error.message,
                    last: true,
                }))
            }
            Some(Ok(Incoming::Message(
                ServerMessage::Spawned(_)
                | ServerMessage::Window { .. }
                | ServerMessage::Taken { .. }
                | ServerMessage::Refused(_),
            ))) => Ok(None),
            Some(Err(error)) => Err(AttachOutcome::Broken(error.to_string())),
            None => Err(AttachOutcome::Broken(
                "the coordinator went away".to_owned(),
            )),
        }
    }

    /// Becomes what is asked for now, as far as that goes without attaching again.
    fn retarget(&mut self) -> Option<AttachOutcome> {
        let before = std::mem::replace(&mut self.target, self.targets.borrow_and_update().clone());
        match (before.write, self.target.write) {
            (Some(_), None) => return Some(AttachOutcome::Again),
            // What watches cannot become a writer: the audit log notes who types.
            (None, Some(_)) => return Some(AttachOutcome::Again),
            (Some(then), Some(now)) => {
                if then != now {
                    self.tell(ToWorker::Resize(now));
                }
                if self.target.takeover && !before.takeover && self.writer != Some(true) {
                    self.take_over();
                }
            }
            (None, None) => {}
        }
        let size = self.size();
        if let Some(model) = self.model.as_mut() {
            model.resize(size);
        }
        None
    }

    fn take_over(&mut self) {
        self.tell(ToWorker::Takeover);
        self.set_writer(true);
    }

    fn set_writer(&mut self, writer: bool) {
        self.writer = Some(writer);
        self.tell(ToWorker::Writer(writer));
        self.out.say(LiveBody::Attached { writer });
    }

    /// Does what was asked for with the view; whether more lines are needed for that than there
    /// are.
    pub(super) fn scroll(&mut self, to: ScrollTo) -> bool {
        let looks_back = match &to {
            ScrollTo::Lines(lines) => *lines > 0,
            ScrollTo::Top | ScrollTo::Next { .. } => true,
            ScrollTo::Search(text) => !text.is_empty(),
            ScrollTo::Bottom | ScrollTo::Select(_) | ScrollTo::Copy => false,
        };
        let shallow = self
            .model
            .as_ref()
            .is_none_or(|m| m.scrollback() <= LINES.0);
        if looks_back && shallow {
            self.later.push(to);
            *self.deep = true;
            return true;
        }
        if self.fresh != Restore::No {
            self.later.push(to);
            return false;
        }
        if let Some(text) = self.model.as_mut().and_then(|model| model.scroll(to)) {
            self.out.say(LiveBody::Copied(text));
        }
        false
    }
}
