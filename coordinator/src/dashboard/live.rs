//! Workers' terminals, live: one task a worker that is watched or typed into. A task attaches,
//! feeds a terminal model, and gives pictures; it attaches again when the stream breaks.

mod budget;
mod follow;
mod mail;
pub mod model;

use super::event::{LiveBody, LiveMsg, LiveTarget, Picture, ScrollTo};
use crate::client::Client;
use budget::Budget;
use follow::Follower;
use mail::Mailbox;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};

/// What all that are only watched may cost together: four floods of 48 KiB each 33 ms.
const WATCHED: (u32, Duration) = ((4 * 48) << 10, Duration::from_millis(33));
/// A restore blob is no flood: that much at once, after a pause.
const WATCHED_BURST: Duration = Duration::from_millis(170);
/// Most typed bytes that wait for one worker; what is more is dropped.
const MOST_TYPED: usize = 4 << 20;
/// How long what was typed last may take to be sent when the dashboard is left.
const LAST_TYPED: Duration = Duration::from_secs(3);

/// The live workers.
pub struct Lives {
    client: Client,
    mail: Arc<Mailbox>,
    budget: Arc<Budget>,
    lives: BTreeMap<String, Life>,
    /// Not watched any more; they send what was typed and end.
    leaving: Vec<JoinHandle<()>>,
}

struct Life {
    target: watch::Sender<LiveTarget>,
    views: mpsc::UnboundedSender<ScrollTo>,
    typed: Pipe,
    task: JoinHandle<()>,
    picture: Option<Arc<Picture>>,
}

impl Lives {
    /// None yet.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            mail: Arc::default(),
            budget: Arc::new(Budget::new(WATCHED.0, WATCHED.1, WATCHED_BURST)),
            lives: BTreeMap::new(),
            leaving: Vec::new(),
        }
    }

    /// These are live from now on, and no others. Those that are already stay attached, unless the
    /// coordinator has no other way to make them writer or watcher.
    pub fn watch(&mut self, targets: Vec<LiveTarget>) {
        let wanted = |id: &String| targets.iter().any(|t| t.id == *id);
        let gone: Vec<String> = self
            .lives
            .keys()
            .filter(|id| !wanted(id))
            .cloned()
            .collect();
        self.leaving.retain(|task| !task.is_finished());
        for id in gone {
            if let Some(life) = self.lives.remove(&id) {
                self.leaving.push(life.task);
            }
            self.mail.forget(&id);
        }
        for target in targets {
            match self.lives.get(&target.id) {
                Some(life) => {
                    life.target.send_if_modified(|before| {
                        let differs = *before != target;
                        if differs {
                            // What it was attached as is no news about what it is to be.
                            self.mail.forget_attached(&target.id);
                        }
                        *before = target;
                        differs
                    });
                }
                None => self.start(target),
            }
        }
    }

    fn start(&mut self, target: LiveTarget) {
        let id = target.id.clone();
        let (views, scrolls) = mpsc::unbounded_channel();
        let (typed, pieces) = pipe();
        let (target, targets) = watch::channel(target);
        let follower = Follower::new(
            self.client.clone(),
            targets,
            scrolls,
            pieces,
            self.mail.clone(),
            self.budget.clone(),
        );
        let life = Life {
            target,
            views,
            typed,
            task: tokio::spawn(follower.run()),
            picture: None,
        };
        self.lives.insert(id, life);
    }

    /// Moves what is in view of a live worker; of another one nothing happens.
    pub fn scroll(&self, id: &str, to: ScrollTo) {
        if let Some(life) = self.lives.get(id) {
            // A task that has ended shows its last picture.
            drop(life.views.send(to));
        }
    }

    /// Types into a live worker, whose target has a size to write with. What comes before it is
    /// attached waits; what cannot be heard, because someone else types there, is dropped.
    pub fn input(&self, id: &str, bytes: Vec<u8>) {
        if let Some(life) = self.lives.get(id) {
            let target = life.target.borrow().clone();
            life.typed.send(bytes, target);
        }
    }

    /// The last picture of a live worker that [`Self::take`] gave.
    pub fn picture(&self, id: &str) -> Option<&Picture> {
        self.lives.get(id)?.picture.as_deref()
    }

    /// What is new, if anything is.
    pub fn take(&mut self) -> Option<LiveMsg> {
        let message = self.mail.take()?;
        if let LiveBody::Screen(picture) = &message.body
            && let Some(life) = self.lives.get_mut(&message.worker)
        {
            life.picture = Some(picture.clone());
        }
        Some(message)
    }

    /// Waits until there may be something to take. Safe to drop.
    pub fn filled(&self) -> impl Future<Output = ()> + Send + use<> {
        let mail = self.mail.clone();
        async move { mail.filled().await }
    }

    /// Ends all, and gives what was typed last a moment to be sent.
    pub async fn finish(mut self) {
        self.watch(Vec::new());
        let leaving = std::mem::take(&mut self.leaving);
        let all = async {
            for task in leaving {
                // A task that failed has nothing to send any more.
                drop(task.await);
            }
        };
        drop(timeout(LAST_TYPED, all).await);
    }
}

/// Typed bytes on their way to a worker.
struct Pipe {
    pieces: mpsc::UnboundedSender<Piece>,
    waiting: Arc<AtomicUsize>,
}

/// Bytes, and what the worker was asked to be when they were typed.
type Piece = (Vec<u8>, LiveTarget);

/// The other end of a [`Pipe`].
struct Pieces {
    pieces: mpsc::UnboundedReceiver<Piece>,
    waiting: Arc<AtomicUsize>,
    first: Option<Piece>,
}

fn pipe() -> (Pipe, Pieces) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    let pipe = Pipe {
        pieces: sender,
        waiting: waiting.clone(),
    };
    let pieces = Pieces {
        pieces: receiver,
        waiting,
        first: None,
    };
    (pipe, pieces)
}

impl Pipe {
    fn send(&self, bytes: Vec<u8>, target: LiveTarget) {
        let length = bytes.len();
        if self.waiting.load(Ordering::Relaxed) + length > MOST_TYPED {
            return;
        }
        self.waiting.fetch_add(length, Ordering::Relaxed);
        // A task that has ended hears nothing.
        drop(self.pieces.send((bytes, target)));
    }
}

impl Pieces {
    /// The next piece; `None` once no more will come. Safe to drop.
    async fn next(&mut self) -> Option<Vec<u8>> {
        let first = self.first.take();
        let (bytes, _) = match first {
            Some(first) => first,
            None => self.pieces.recv().await?,
        };
        self.waiting.fetch_sub(bytes.len(), Ordering::Relaxed);
        Some(bytes)
    }

    /// What the worker was asked to be when the next piece was typed, if one is there.
    fn meant_for(&mut self) -> Option<&LiveTarget> {
        if self.first.is_none() {
            self.first = self.pieces.try_recv().ok();
        }
        self.first.as_ref().map(|(_, target)| target)
    }

    /// A piece that is there.
    fn waiting(&mut self) -> Option<Vec<u8>> {
        self.meant_for()?;
        let (bytes, _) = self.first.take()?;
        self.waiting.fetch_sub(bytes.len(), Ordering::Relaxed);
        Some(bytes)
    }
}
