//! What changed, to every client that listens.
//!
//! Events are kept as they are sent, once for all listeners, and bounded in number and in bytes:
//! a listener that does not keep up is told to start over.

use crate::wire::EventBody;
use bytes::Bytes;
use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

/// Events a slow listener may lag behind before it is told to start over.
const MAX_EVENTS: usize = 512;
/// Their bytes, together.
const MAX_BYTES: usize = 2 << 20;

/// What a listener gets.
#[derive(Debug, Clone, PartialEq)]
pub enum BusMessage {
    /// Something changed: an [`EventBody`] as a JSON object.
    Event(Bytes),
    /// The listener was too slow: everything has to be told again.
    Lagged,
    /// The coordinator stops.
    Closed,
}

/// A bounded broadcast. Nobody who sends ever waits for a listener.
#[derive(Debug)]
pub struct Bus {
    kept: Mutex<Kept>,
    /// The number of the next event.
    next: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Kept {
    events: VecDeque<Bytes>,
    bytes: usize,
    /// The number of the first one that is kept.
    first: u64,
}

/// One listener.
#[derive(Debug)]
pub struct BusListener {
    /// The number of the next event it gets.
    at: u64,
    next: watch::Receiver<u64>,
}

impl Kept {
    fn end(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    fn push(&mut self, event: Bytes) -> u64 {
        self.bytes += event.len();
        self.events.push_back(event);
        while self.events.len() > MAX_EVENTS || self.bytes > MAX_BYTES {
            let Some(oldest) = self.events.pop_front() else {
                break;
            };
            self.bytes -= oldest.len();
            self.first += 1;
        }
        self.end()
    }
}

impl Bus {
    pub(in crate::daemon) fn new() -> Self {
        Self {
            kept: Mutex::default(),
            next: watch::channel(0).0,
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anybody listens: views are not made for nobody.
    pub(in crate::daemon) fn heard(&self) -> bool {
        self.next.receiver_count() > 0
    }

    pub(in crate::daemon) fn send(&self, body: EventBody) {
        if !self.heard() {
            return;
        }
        match serde_json::to_vec(&body) {
            Ok(json) => {
                let mut kept = self.kept();
                let next = kept.push(json.into());
                self.next.send_replace(next);
            }
            Err(error) => tracing::error!(%error, "an event cannot be written"),
        }
    }

    /// Listens from now on.
    #[must_use]
    pub fn listen(&self) -> BusListener {
        let kept = self.kept();
        BusListener {
            at: kept.end(),
            next: self.next.subscribe(),
        }
    }

    /// The next message of a listener of this bus.
    pub async fn next(&self, listener: &mut BusListener) -> BusMessage {
        loop {
            // Seen before the look, so that what comes after it wakes.
            listener.next.mark_unchanged();
            {
                let kept = self.kept();
                let Some(place) = listener.at.checked_sub(kept.first) else {
                    listener.at = kept.end();
                    return BusMessage::Lagged;
                };
                let place = usize::try_from(place).unwrap_or(usize::MAX);
                if let Some(event) = kept.events.get(place) {
                    listener.at += 1;
                    return BusMessage::Event(event.clone());
                }
            }
            if listener.next.changed().await.is_err() {
                return BusMessage::Closed;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn notice(text: &str) -> EventBody {
        EventBody::Notification {
            worker: "w".to_owned(),
            text: text.to_owned(),
        }
    }

    fn now(bus: &Bus, listener: &mut BusListener) -> Option<BusMessage> {
        bus.next(listener).now_or_never()
    }

    fn text(message: Option<BusMessage>) -> String {
        let Some(BusMessage::Event(json)) = message else {
            panic!("{message:?}");
        };
        match serde_json::from_slice(&json).unwrap() {
            EventBody::Notification { text, .. } => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_listener_gets_all_that_comes_after_it_in_order() {
        let bus = Bus::new();
        bus.send(notice("nobody hears"));
        let mut early = bus.listen();
        bus.send(notice("one"));
        let mut late = bus.listen();
        bus.send(notice("two"));
        assert_eq!(text(now(&bus, &mut early)), "one");
        assert_eq!(text(now(&bus, &mut early)), "two");
        assert_eq!(now(&bus, &mut early), None);
        assert_eq!(text(now(&bus, &mut late)), "two");
        assert_eq!(now(&bus, &mut late), None);
        bus.send(notice("three"));
        assert_eq!(text(now(&bus, &mut early)), "three");
        drop((early, late));
        assert!(!bus.heard());
    }

    #[tokio::test]
    async fn one_that_waits_is_woken() {
        let bus = std::sync::Arc::new(Bus::new());
        let mut listener = bus.listen();
        let waiting = {
            let bus = bus.clone();
            tokio::spawn(async move { bus.next(&mut listener).await })
        };
        tokio::task::yield_now().await;
        bus.send(notice("come"));
        assert_eq!(text(Some(waiting.await.unwrap())), "come");
    }

    #[test]
    fn events_are_bounded_in_number_and_in_bytes_and_who_lags_is_told() {
        let bus = Bus::new();
        for (large, times) in [(10, 2 * MAX_EVENTS), (100 << 10, 40), (MAX_BYTES, 2)] {
            let mut listener = bus.listen();
            for _ in 0..times {
                bus.send(notice(&"x".repeat(large)));
                let kept = bus.kept();
                assert!(kept.events.len() <= MAX_EVENTS && kept.bytes <= MAX_BYTES);
                let sum: usize = kept.events.iter().map(Bytes::len).sum();
                assert_eq!(sum, kept.bytes);
            }
            assert_eq!(now(&bus, &mut listener), Some(BusMessage::Lagged));
            assert_eq!(now(&bus, &mut listener), None);
            bus.send(notice("after"));
            assert_eq!(text(now(&bus, &mut listener)), "after");
        }
    }
}
