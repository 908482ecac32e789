//! The task of one live worker: attached as it is asked for, and attached again when that breaks.
//! Reading is in `receive`, typing in `send`.

use crate::{
    client::Client,
    dashboard::{
        app::{
            effect::{LiveTarget, ScrollTo},
            message::LiveBody,
        },
        io::live::{
            attach_state::{AttachOutcome, LAST_TYPED, Outbox},
            budget::Budget,
            mailbox::Mailbox,
            receive::{Receiving, Restore},
            send::Sending,
            terminal_model::TerminalModel,
            typed_pipe::TypedReceiver,
        },
    },
    wire::AttachQuery,
};
use bytes::Bytes;
use podbay_protocol::AttachMode;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, timeout},
};

/// Waits so long before attaching, so that running through the list attaches to nothing on the way.
const SETTLE: Duration = Duration::from_millis(60);
/// First and longest wait between two tries.
const RETRY: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(3));
/// What the one that is typed into may cost: bytes, and in how long.
const WRITTEN: (u32, Duration) = (512 << 10, Duration::from_millis(16));

/// The task.
pub struct AttachTask {
    client: Client,
    targets: watch::Receiver<LiveTarget>,
    scrolls: mpsc::UnboundedReceiver<ScrollTo>,
    typed: TypedReceiver,
    out: Outbox,
    budget: Arc<Budget>,
    /// Somebody has looked at what scrolled away.
    deep: bool,
    /// What is to be done once the screen is there with all its lines.
    later: Vec<ScrollTo>,
    model: Option<TerminalModel>,
}

impl AttachTask {
    pub(super) fn new(
        client: Client,
        targets: watch::Receiver<LiveTarget>,
        scrolls: mpsc::UnboundedReceiver<ScrollTo>,
        typed: TypedReceiver,
        mail: Arc<Mailbox>,
        budget: Arc<Budget>,
    ) -> Self {
        let worker = targets.borrow().id.clone();
        Self {
            client,
            targets,
            scrolls,
            typed,
            out: Outbox { worker, mail },
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
            if brief && !matches!(end, AttachOutcome::Broken(_)) {
                // Once is enough for what could not be sent.
                while self.typed.waiting().is_some() {}
            }
            match end {
                AttachOutcome::Gone | AttachOutcome::Again => continue,
                AttachOutcome::Final(body) => {
                    self.out.say(body);
                    return self.ended().await;
                }
                AttachOutcome::Broken(_) if unwatched => return,
                AttachOutcome::Broken(reason) => self.out.say(LiveBody::Broken {
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

    async fn attach(&mut self, target: &LiveTarget, brief: bool) -> AttachOutcome {
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
            // What arrives is drawn by this process: its terminal sees none of it.
            silent: true,
        };
        match self.client.attach(&self.out.worker, &query).await {
            Ok(stream) => {
                let (sender, mut receiver) = stream.split();
                let (say, said) = mpsc::unbounded_channel();
                let mut down = Receiving {
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
                    fresh: Restore::No,
                };
                let mut up = Sending {
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
                    () = up.run() => AttachOutcome::Gone,
                };
                drop(down);
                if matches!(end, AttachOutcome::Again | AttachOutcome::Gone) {
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
            Err(error) if error.is_transient() => AttachOutcome::Broken(error.to_string()),
            Err(error) => AttachOutcome::Final(LiveBody::Broken {
                reason: error.to_string(),
                last: true,
            }),
        }
    }
}
