//! What changed, to every client that listens.

use crate::wire::EventBody;
use tokio::sync::broadcast;

/// Messages a slow listener may lag behind before it is told to start over.
const CAPACITY: usize = 512;

/// What a listener gets.
#[derive(Debug, Clone, PartialEq)]
pub enum BusMessage {
    /// Something changed.
    Event(Box<EventBody>),
    /// The listener was too slow: everything has to be told again.
    Lagged,
    /// The coordinator stops.
    Closed,
}

/// A bounded broadcast. Nobody who sends ever waits for a listener.
#[derive(Debug)]
pub struct Bus(broadcast::Sender<EventBody>);

/// One listener.
#[derive(Debug)]
pub struct BusListener(broadcast::Receiver<EventBody>);

impl Bus {
    pub(super) fn new() -> Self {
        Self(broadcast::channel(CAPACITY).0)
    }

    /// Whether anybody listens: views are not made for nobody.
    pub(super) fn heard(&self) -> bool {
        self.0.receiver_count() > 0
    }

    pub(super) fn send(&self, body: EventBody) {
        if self.0.send(body).is_err() {
            tracing::trace!("nobody listens");
        }
    }

    /// Listens from now on.
    #[must_use]
    pub fn listen(&self) -> BusListener {
        BusListener(self.0.subscribe())
    }
}

impl BusListener {
    /// The next message.
    pub async fn next(&mut self) -> BusMessage {
        match self.0.recv().await {
            Ok(body) => BusMessage::Event(Box::new(body)),
            Err(broadcast::error::RecvError::Lagged(_)) => BusMessage::Lagged,
            Err(broadcast::error::RecvError::Closed) => BusMessage::Closed,
        }
    }
}
