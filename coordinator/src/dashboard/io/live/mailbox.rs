//! What the live workers report to the loop. Of a worker's pictures only the last one waits, so
//! that a loop that is held up costs no memory.

use crate::dashboard::app::message::{LiveBody, LiveMsg};
use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// The queue.
#[derive(Debug, Default)]
pub struct Mailbox {
    queue: Mutex<VecDeque<LiveMsg>>,
    filled: Notify,
}

impl Mailbox {
    fn queue(&self) -> MutexGuard<'_, VecDeque<LiveMsg>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a message in; a picture takes the place of the one before.
    pub fn post(&self, worker: &str, body: LiveBody) {
        let mut queue = self.queue();
        if let LiveBody::Screen(_) = body {
            queue.retain(|m| m.worker != worker || !matches!(m.body, LiveBody::Screen(_)));
        }
        queue.push_back(LiveMsg {
            worker: worker.to_owned(),
            body,
        });
        drop(queue);
        self.filled.notify_one();
    }

    /// Forgets what waits of a worker.
    pub fn forget(&self, worker: &str) {
        self.queue().retain(|m| m.worker != worker);
    }

    /// Forgets what waits about how a worker was attached to.
    pub fn forget_attached(&self, worker: &str) {
        let attached = |m: &LiveMsg| matches!(m.body, LiveBody::Attached { .. });
        self.queue().retain(|m| m.worker != worker || !attached(m));
    }

    /// Takes the next one out, if there is one.
    pub fn pop(&self) -> Option<LiveMsg> {
        self.queue().pop_front()
    }

    /// Waits until there may be something.
    pub async fn filled(&self) {
        self.filled.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::pages::terminal::picture::Picture;
    use std::sync::Arc;

    fn picture(offset: usize) -> LiveBody {
        LiveBody::Screen(Arc::new(Picture {
            offset,
            ..Picture::default()
        }))
    }

    #[test]
    fn of_the_pictures_the_last_one_waits_and_the_rest_keeps_its_order() {
        let mail = Mailbox::default();
        mail.post("one", picture(1));
        mail.post("two", picture(2));
        mail.post("one", LiveBody::Copied("text".to_owned()));
        mail.post("one", picture(3));
        let mut seen = Vec::new();
        while let Some(LiveMsg { worker, body }) = mail.pop() {
            seen.push(match body {
                LiveBody::Screen(picture) => format!("{worker} {}", picture.offset),
                _ => format!("{worker} text"),
            });
        }
        assert_eq!(seen, ["two 2", "one text", "one 3"]);
        mail.post("one", picture(4));
        mail.forget("one");
        assert!(mail.pop().is_none());
    }
}
