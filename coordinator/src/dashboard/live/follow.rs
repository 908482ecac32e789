//! One live worker: attached as it is asked for, followed, and attached again when that breaks.

use super::{Pieces, budget::Budget, mail::Mailbox, model::Model};
use crate::{
    client::{AttachReceiver, AttachSender, Client, ClientError, Incoming},
    dashboard::event::{LiveBody, LiveTarget, ScrollTo},
    wire::{AttachQuery, ServerMessage},
};
use bytes::{Buf, Bytes};
use podbay_protocol::{AttachMode, Size};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until, timeout},
};

/// Waits so long before attaching, so that running through the list attaches to nothing on the way.
const SETTLE: Duration = Duration::from_millis(60);
/// Shortest time between two pictures: of a worker that is typed into, and of one that is watched.
const FRAME: (Duration, Duration) = (Duration::from_millis(16), Duration::from_millis(33));
/// First and longest wait between two tries.
const RETRY: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(3));
/// Lines kept above the visible ones: while nobody looks at them, once somebody did, and of a
/// worker that is typed into. They take 24 bytes a cell.
const LINES: (usize, usize, usize) = (100, 2_000, 5_000);
/// What the one that is typed into may cost: bytes, and in how long.
const WRITTEN: (u32, Duration) = (512 << 10, Duration::from_millis(16));
/// A screen that is restored is shown once nothing more comes for so long, or at last after so
/// long: half of it is nothing to look at.
const RESTORING: (Duration, Duration) = (Duration::from_millis(8), Duration::from_millis(300));
/// After another client has changed the size, the screen is asked for anew, once that is over.
const RESIZED: Duration = Duration::from_millis(120);
/// How long what was typed last may take to be sent.
const LAST_TYPED: Duration = Duration::from_secs(1);

/// The task.
pub(super) struct Follower {
    client: Client,
    targets: watch::Receiver<LiveTarget>,
    scrolls: mpsc::UnboundedReceiver<ScrollTo>,
    typed: Pieces,
    out: Out,
    budget: Arc<Budget>,
    /// Somebody has looked at what scrolled away.
    deep: bool,
    /// What is to be done once the screen is there with all its lines.
    later: Vec<ScrollTo>,
    model: Option<Model>,
}

struct Out {
    worker: String,
    mail: Arc<Mailbox>,
}

impl Out {
    fn say(&self, body: LiveBody) {
        self.mail.post(&self.worker, body);
    }
}

/// How one attach ended.
enum End {
    /// Nothing more will come.
    Final(LiveBody),
    /// It broke; why.
    Broken(String),
    /// Attach again: as something else, or for a fresh screen.
    Again,
    /// Not watched any more.
    Gone,
}

/// What the coordinator is to be told.
enum Say {
    Resize(Size),
    Takeover,
    /// Whether input is heard.
    Writer(bool),
}

impl Follower {
    pub(super) fn new(
        client: Client,
        targets: watch::Receiver<LiveTarget>,
        scrolls: mpsc::UnboundedReceiver<ScrollTo>,
        typed: Pieces,
        mail: Arc<Mailbox>,
        budget: Arc<Budget>,
    ) -> Self {
        let worker = targets.borrow().id.clone();
        Self {
            client,
            targets,
            scrolls,
            typed,
            out: Out { worker, mail },
            budget,
            deep: false,
            later: Vec::new(),
            model: None,
        }
    }

    pub(super) async fn run(mut self) {
        if self.targets.borrow().write.is_none() {
            tokio::select! {
                () = sleep(SETTLE) => {}
                // What it is to be now decides; or it is not watched any more.
                _ = self.targets.changed() => {}
            }
        }
        let mut wait = RETRY.0;
        loop {
            let began = Instant::now();
            let unwatched = self.targets.has_changed().is_err();
            let mut target = self.targets.borrow_and_update().clone();
            // The user typed and turned away before it was attached to: what was typed counts.
            let mut brief = false;
            if (unwatched || target.write.is_none())
                && let Some(meant) = self.typed.meant_for()
            {
                (target, brief) = (meant.clone(), true);
            }
            if unwatched && !brief {
                return;
            }
            let end = self.attach(&target, brief).await;
            if brief && !matches!(end, End::Broken(_)) {
                // Once is enough for what could not be sent.
                while self.typed.waiting().is_some() {}
            }
            match end {
                End::Gone | End::Again => continue,
                End::Final(body) => {
                    self.out.say(body);
                    return self.ended().await;
                }
                End::Broken(_) if unwatched => return,
                End::Broken(reason) => self.out.say(LiveBody::Broken {
                    reason,
                    last: false,
                }),
            }
            wait = if began.elapsed() > RETRY.1 {
                RETRY.0
            } else {
                (wait * 2).min(RETRY.1)
            };
            tokio::select! {
                () = sleep(wait) => {}
                _ = self.targets.changed() => {}
            }
        }
    }

    /// Nothing more comes; what has come can be looked at.
    async fn ended(mut self) {
        loop {
            tokio::select! {
                changed = self.targets.changed() => if changed.is_err() {
                    return;
                },
                Some(to) = self.scrolls.recv() => if let Some(model) = &mut self.model {
                    if let Some(text) = model.scroll(to) {
                        self.out.say(LiveBody::Copied(text));
                    }
                    if let (Some(picture), _) = model.picture() {
                        self.out.say(LiveBody::Screen(picture));
                    }
                },
            }
        }
    }

    async fn attach(&mut self, target: &LiveTarget, brief: bool) -> End {
        let mode = match (target.write, target.takeover) {
            // Without a size: a watcher must not resize the session.
            (None, _) => AttachMode::ReadOnly,
            (Some(_), false) => AttachMode::Write,
            (Some(_), true) => AttachMode::Takeover,
        };
        let query = AttachQuery {
            mode,
            cols: target.write.map(|size| size.cols),
            rows: target.write.map(|size| size.rows),
            session: None,
        };
        match self.client.attach(&self.out.worker, &query).await {
            Ok(stream) => {
                let (sender, mut receiver) = stream.split();
                let (say, said) = mpsc::unbounded_channel();
                let mut down = Down {
                    targets: &mut self.targets,
                    scrolls: &mut self.scrolls,
                    out: &self.out,
                    shared: &self.budget,
                    own: Budget::new(WRITTEN.0, WRITTEN.1, WRITTEN.1),
                    deep: &mut self.deep,
                    later: &mut self.later,
                    model: &mut self.model,
                    say,
                    target: target.clone(),
                    writer: None,
                    brief,
                    fresh: Fresh::No,
                };
                let mut up = Up {
                    sender,
                    typed: &mut self.typed,
                    rest: Bytes::new(),
                    said,
                    writes: target.write.is_some(),
                    writer: None,
                };
                let end = tokio::select! {
                    biased;
                    end = down.run(&mut receiver) => end,
                    () = up.run() => End::Gone,
                };
                drop(down);
                if matches!(end, End::Again | End::Gone) {
                    // The user has turned away; what was typed before that counts. A connection
                    // that is closed with output unread could take it along.
                    let last = async {
                        // Reading goes on: it brings the room for what is left to send.
                        let rest = async { while receiver.next().await.is_some() {} };
                        drop(tokio::join!(up.finish(), rest));
                    };
                    if target.write.is_some() {
                        drop(timeout(LAST_TYPED, last).await);
                    }
                }
                end
            }
            Err(error) if error.is_transient() => End::Broken(error.to_string()),
            Err(error) => End::Final(LiveBody::Broken {
                reason: error.to_string(),
                last: true,
            }),
        }
    }
}

/// From the worker, and what is wanted of it.
struct Down<'a> {
    targets: &'a mut watch::Receiver<LiveTarget>,
    scrolls: &'a mut mpsc::UnboundedReceiver<ScrollTo>,
    out: &'a Out,
    shared: &'a Budget,
    own: Budget,
    deep: &'a mut bool,
    later: &'a mut Vec<ScrollTo>,
    model: &'a mut Option<Model>,
    say: mpsc::UnboundedSender<Say>,
    target: LiveTarget,
    /// Whether input is heard, once that was said.
    writer: Option<bool>,
    /// Only to send what was typed.
    brief: bool,
    fresh: Fresh,
}

/// Whether a restored screen is coming.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fresh {
    /// It is there.
    No,
    /// Asked for then.
    Asked(Instant),
    /// It has been coming since then.
    Coming(Instant),
}

impl Down<'_> {
    fn tell(&self, what: Say) {
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
            Some(before) => Model::after(before, size, lines),
            None => Model::new(size, lines),
        });
    }

    async fn run(&mut self, receiver: &mut AttachReceiver) -> End {
        // When the next picture is due, when output is read again, when to attach anew.
        let (mut due, mut gate, mut anew) = (None::<Instant>, None::<Instant>, None::<Instant>);
        let began = Instant::now();
        let mut last = began - FRAME.1;
        let never = last;
        self.begin();
        loop {
            tokio::select! {
                biased;
                () = sleep_until(began + LAST_TYPED), if self.brief => return End::Gone,
                changed = self.targets.changed(), if !self.brief => match changed {
                    Err(_) => return End::Gone,
                    Ok(()) => match self.retarget() {
                        Some(end) => return end,
                        None if self.target.write.is_none() => {
                            anew = Some(Instant::now() + RESIZED);
                        }
                        None => {}
                    },
                },
                Some(to) = self.scrolls.recv() => {
                    if self.scroll(to) {
                        return End::Again;
                    }
                    // The user waits for it.
                    last = last.min(Instant::now() - FRAME.1);
                }
                () = sleep_until(due.unwrap_or(never)), if due.is_some() => {
                    last = Instant::now();
                    due = self.show();
                    continue;
                }
                () = sleep_until(anew.unwrap_or(never)), if anew.is_some() => return End::Again,
                () = sleep_until(gate.unwrap_or(never)), if gate.is_some() => {
                    gate = None;
                    continue;
                }
                incoming = receiver.next(), if gate.is_none() => match self.take(incoming) {
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
                Fresh::Asked(at) => Some(at + RESTORING.1),
                Fresh::Coming(since) => Some((now + RESTORING.0).min(since + RESTORING.1)),
                Fresh::No => due.or(Some((last + every).max(now))),
            };
        }
    }

    /// Gives a picture if there is a new one; when to do so again.
    fn show(&mut self) -> Option<Instant> {
        self.fresh = Fresh::No;
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
    fn take(
        &mut self,
        incoming: Option<Result<Incoming, ClientError>>,
    ) -> Result<Option<Instant>, End> {
        match incoming {
            Some(Ok(Incoming::Output(bytes) | Incoming::Stderr(bytes))) => {
                if let Fresh::Asked(_) = self.fresh {
                    self.fresh = Fresh::Coming(Instant::now());
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
                self.fresh = Fresh::Asked(Instant::now());
                self.begin();
                self.tell(Say::Writer(writer));
                if self.brief {
                    return Err(End::Again);
                }
                // When it is to be something else by now, this is no news.
                if !self.targets.has_changed().unwrap_or(true) {
                    self.out.say(LiveBody::Attached { writer });
                }
                Ok(None)
            }
            Some(Ok(Incoming::Message(ServerMessage::Exited { status, .. }))) => {
                self.show();
                Err(End::Final(LiveBody::Ended(status)))
            }
            Some(Ok(Incoming::Message(ServerMessage::Error(error)))) => {
                Err(End::Final(LiveBody::Broken {
                    reason: error.message,
                    last: true,
                }))
            }
            Some(Ok(Incoming::Message(
                ServerMessage::Spawned(_)
                | ServerMessage::Window { .. }
                | ServerMessage::Taken { .. },
            ))) => Ok(None),
            Some(Err(error)) => Err(End::Broken(error.to_string())),
            None => Err(End::Broken("the coordinator went away".to_owned())),
        }
    }

    /// Becomes what is asked for now, as far as that goes without attaching again.
    fn retarget(&mut self) -> Option<End> {
        let before = std::mem::replace(&mut self.target, self.targets.borrow_and_update().clone());
        match (before.write, self.target.write) {
            (Some(_), None) => return Some(End::Again),
            // What watches cannot become a writer: the audit log notes who types.
            (None, Some(_)) => return Some(End::Again),
            (Some(then), Some(now)) => {
                if then != now {
                    self.tell(Say::Resize(now));
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
        self.writer = Some(true);
        self.tell(Say::Takeover);
        self.tell(Say::Writer(true));
        self.out.say(LiveBody::Attached { writer: true });
    }

    /// Does what was asked for with the view; whether more lines are needed for that than there
    /// are.
    fn scroll(&mut self, to: ScrollTo) -> bool {
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
        if self.fresh != Fresh::No {
            self.later.push(to);
            return false;
        }
        if let Some(text) = self.model.as_mut().and_then(|model| model.scroll(to)) {
            self.out.say(LiveBody::Copied(text));
        }
        false
    }
}

/// To the worker.
struct Up<'a> {
    sender: AttachSender,
    typed: &'a mut Pieces,
    /// What is left of the piece that is being sent.
    rest: Bytes,
    said: mpsc::UnboundedReceiver<Say>,
    /// Whether this attach is for typing; what is typed waits for one that is.
    writes: bool,
    /// Whether input is heard, once that was said.
    writer: Option<bool>,
}

impl Up<'_> {
    /// Sends what is typed, as far as the worker has room for it; returns when there is no one left
    /// who could type. What else is said never waits for that.
    async fn run(&mut self) {
        loop {
            self.type_in();
            let waits = !self.rest.is_empty();
            let sent = tokio::select! {
                biased;
                Some(what) = self.said.recv() => self.pass_on(what).await,
                sent = self.sender.progress(), if waits || self.sender.is_busy() => sent,
                piece = self.typed.next(), if !waits && self.writes && self.writer.is_some() => match piece {
                    Some(piece) => {
                        self.rest = piece.into();
                        Ok(())
                    }
                    None => return,
                },
            };
            if sent.is_err() {
                // The other direction sees the end too, and perhaps why.
                std::future::pending::<()>().await;
            }
        }
    }

    async fn pass_on(&mut self, what: Say) -> Result<(), ClientError> {
        match what {
            Say::Resize(size) => self.sender.resize(size).await,
            Say::Takeover => {
                self.writes = true;
                self.sender.takeover().await
            }
            Say::Writer(writer) => {
                self.writer = Some(writer);
                Ok(())
            }
        }
    }

    fn type_in(&mut self) {
        match self.writer {
            Some(true) => {
                let sent = self.sender.queue_input(&self.rest);
                self.rest.advance(sent);
            }
            // Someone else types; the user was told.
            _ => self.rest.clear(),
        }
    }

    /// Sends what waits and says goodbye.
    async fn finish(&mut self) -> Result<(), ClientError> {
        while let Ok(what) = self.said.try_recv() {
            self.pass_on(what).await?;
        }
        // Before it is known whether input is heard, it waits for the next attach.
        while self.writes && self.writer.is_some() {
            self.type_in();
            if self.sender.is_busy() || !self.rest.is_empty() {
                self.sender.progress().await?;
            } else if let Some(piece) = self.typed.waiting() {
                self.rest = piece.into();
            } else {
                break;
            }
        }
        self.sender.close().await
    }
}
