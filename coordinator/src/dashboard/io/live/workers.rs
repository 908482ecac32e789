//! The workers that are live: one attach task each, started, retargeted and ended here. What they
//! report waits in one mailbox; never waits for any of them.

use crate::{
    client::Client,
    dashboard::{
        app::{
            effect::{LiveTarget, ScrollTo},
            message::{LiveBody, LiveMsg},
        },
        io::live::{
            attach_task::AttachTask,
            budget::Budget,
            mailbox::Mailbox,
            typed_pipe::{self, TypedSender},
        },
        pages::terminal::picture::Picture,
    },
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};

/// What all that are only watched may cost together: four floods of 48 KiB each 33 ms.
const WATCHED: (u32, Duration) = ((4 * 48) << 10, Duration::from_millis(33));
/// A restore blob is no flood: that much in one go, after a pause.
const WATCHED_BURST: Duration = Duration::from_millis(170);
/// How long what was typed last may take to be sent when the dashboard is left.
const LAST_TYPED: Duration = Duration::from_secs(3);

/// The live workers.
pub struct LiveWorkers {
    client: Client,
    mail: Arc<Mailbox>,
    budget: Arc<Budget>,
    workers: BTreeMap<String, LiveWorker>,
    /// Not watched any more; they send what was typed and end.
    leaving: Vec<JoinHandle<()>>,
}

struct LiveWorker {
    target: watch::Sender<LiveTarget>,
    views: mpsc::UnboundedSender<ScrollTo>,
    typed: TypedSender,
    task: JoinHandle<()>,
    picture: Option<Arc<Picture>>,
}

impl LiveWorkers {
    /// None yet.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            mail: Arc::default(),
            budget: Arc::new(Budget::new(WATCHED.0, WATCHED.1, WATCHED_BURST)),
            workers: BTreeMap::new(),
            leaving: Vec::new(),
        }
    }

    /// These are live from now on, and no others. Those that are already stay attached, unless the
    /// coordinator has no other way to make them writer or watcher.
    pub fn watch(&mut self, targets: Vec<LiveTarget>) {
        let wanted = |id: &String| targets.iter().any(|t| t.id == *id);
        let gone: Vec<String> = self
            .workers
            .keys()
            .filter(|id| !wanted(id))
            .cloned()
            .collect();
        self.leaving.retain(|task| !task.is_finished());
        for id in gone {
            if let Some(live) = self.workers.remove(&id) {
                self.leaving.push(live.task);
            }
            self.mail.forget(&id);
        }
        for target in targets {
            match self.workers.get(&target.id) {
                Some(live) => {
                    live.target.send_if_modified(|before| {
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
        let (typed, pieces) = typed_pipe::typed_pipe();
        let (target, targets) = watch::channel(target);
        let follower = AttachTask::new(
            self.client.clone(),
            targets,
            scrolls,
            pieces,
            self.mail.clone(),
            self.budget.clone(),
        );
        let live = LiveWorker {
            target,
            views,
            typed,
            task: tokio::spawn(follower.run()),
            picture: None,
        };
        self.workers.insert(id, live);
    }

    /// Moves what is in view of a live worker; of another one nothing happens.
    pub fn scroll(&self, id: &str, to: ScrollTo) {
        if let Some(live) = self.workers.get(id) {
            // A task that has ended shows its last picture.
            drop(live.views.send(to));
        }
    }

    /// Types into a live worker, whose target has a size to write with. What comes before it is
    /// attached waits; what cannot be heard, because someone else types there, is dropped.
    pub fn input(&self, id: &str, bytes: Vec<u8>) {
        if let Some(live) = self.workers.get(id) {
            let target = live.target.borrow().clone();
            live.typed.send(bytes, target);
        }
    }

    /// The last picture of a live worker that [`Self::next_message`] gave.
    pub fn picture(&self, id: &str) -> Option<&Picture> {
        self.workers.get(id)?.picture.as_deref()
    }

    /// What is new, if anything is.
    pub fn next_message(&mut self) -> Option<LiveMsg> {
        let message = self.mail.pop()?;
        if let LiveBody::Screen(picture) = &message.body
            && let Some(live) = self.workers.get_mut(&message.worker)
        {
            live.picture = Some(picture.clone());
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
