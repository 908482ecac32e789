//! The control connection: dialled until it is there, greeted, and split into frames.
//!
//! Owns: the connection's state and back-off. It does not know what a request means.

use super::{
    dialer::Dialer,
    stream_conn::{Received, StreamConn},
};
use crate::{
    event_loop::reactor::{Reactor, Source, Timer},
    log::log_line,
    version_skew,
};
use nix::sys::epoll::EpollFlags;
use podbay_protocol::{FrameDecoder, FromAgent, Purpose, Welcome};
use std::{
    hash::{BuildHasher, Hasher, RandomState},
    os::fd::OwnedFd,
    time::Duration,
};

/// First pause between two dials; doubled up to [`MAX_PAUSE`], less a random part.
const MIN_PAUSE: Duration = Duration::from_millis(10);
const MAX_PAUSE: Duration = Duration::from_millis(200);
/// A coordinator that accepts and does not answer is dialled again after this.
const WELCOME_WITHIN: Duration = Duration::from_secs(5);
/// Bytes that may wait for the coordinator. Over it the connection is closed: it will ask again.
const QUEUE: usize = 8 << 20;

/// Requests that are taken in one round, each with at most one descriptor; the rest stays with the
/// kernel until the next one.
const MAX_AT_ONCE: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Away,
    Greeting,
    Ready,
}

/// The connection.
#[derive(Debug)]
pub struct Control {
    conn: StreamConn,
    decoder: FrameDecoder,
    /// The descriptor that came with the first byte of the frame that is under way.
    held: Option<OwnedFd>,
    stage: Stage,
    pause: Duration,
    dial: u64,
}

/// A request, and the descriptor that came with it.
#[derive(Debug)]
pub struct Request {
    /// The whole frame, not looked into.
    pub json: serde_json::Value,
    /// Of a request that hands one over.
    pub descriptor: Option<OwnedFd>,
}

/// What a readiness brought.
#[derive(Debug, Default)]
pub struct Incoming {
    /// Requests.
    pub requests: Vec<Request>,
    /// The connection was lost.
    pub lost: bool,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            conn: StreamConn::new(Source::Control),
            decoder: FrameDecoder::new(),
            held: None,
            stage: Stage::Away,
            pause: MIN_PAUSE,
            dial: 0,
        }
    }
}

impl Control {
    /// Dials, unless connected; sets the deadline for the next try or for the answer.
    pub fn dial(&mut self, dialer: &Dialer, reactor: &mut Reactor) {
        if self.stage != Stage::Away {
            return;
        }
        self.dial += 1;
        let dialled = self.conn.dial(&dialer.socket, reactor).and_then(|()| {
            self.conn.set_reading(true, reactor);
            self.conn.send(&dialer.hello(Purpose::Control), reactor)
        });
        match dialled {
            Ok(()) => {
                self.stage = Stage::Greeting;
                reactor.after(WELCOME_WITHIN, Timer::Welcome(self.dial));
            }
            Err(_) => self.lose(reactor),
        }
    }

    /// No answer came in time.
    pub fn overdue(&mut self, dial: u64, reactor: &mut Reactor) {
        if self.stage == Stage::Greeting && self.dial == dial {
            self.lose(reactor);
        }
    }

    /// Something happened on the connection.
    pub fn ready(
        &mut self,
        flags: EpollFlags,
        buffer: &mut [u8],
        reactor: &mut Reactor,
    ) -> Incoming {
        let mut incoming = Incoming::default();
        if flags.contains(EpollFlags::EPOLLOUT) {
            incoming.lost = self.conn.flush(reactor).is_err();
        }
        let mut descriptors = Vec::new();
        while !incoming.lost && incoming.requests.len() < MAX_AT_ONCE {
            // Never into the next frame: a descriptor is that frame's whose first byte it came with.
            let first = self.decoder.is_empty();
            let wanted = self.decoder.wanted().min(buffer.len());
            let part = buffer.get_mut(..wanted).unwrap_or_default();
            match self.conn.receive_descriptors(part, &mut descriptors) {
                Ok(Received::Bytes(count)) => {
                    let only = descriptors.pop().filter(|_| descriptors.is_empty());
                    if first {
                        self.held = only;
                    }
                    descriptors.clear();
                    self.decoder.push(buffer.get(..count).unwrap_or_default());
                    incoming.lost = !self.decode(&mut incoming.requests);
                }
                Ok(Received::Nothing) => break,
                Ok(Received::End) | Err(_) => incoming.lost = true,
            }
        }
        if incoming.lost {
            self.lose(reactor);
        }
        incoming
    }

    /// Takes whole frames; `false` when the peer does not speak this protocol.
    fn decode(&mut self, requests: &mut Vec<Request>) -> bool {
        loop {
            if self.stage == Stage::Greeting {
                match self.decoder.next_frame::<Welcome>() {
                    Ok(Some(_)) => {
                        self.held = None;
                        self.stage = Stage::Ready;
                        self.pause = MIN_PAUSE;
                    }
                    Ok(None) => return true,
                    Err(_) => return false,
                }
            }
            match self.decoder.next_json() {
                Ok(Some(json)) if is_request(&json) => requests.push(Request {
                    descriptor: self.held.take(),
                    json,
                }),
                Ok(None) => return true,
                Ok(Some(_)) | Err(_) => return false,
            }
        }
    }

    /// Sends a frame, when the coordinator is there. Whether the connection was lost over it.
    #[must_use]
    pub fn send(&mut self, message: &FromAgent, reactor: &mut Reactor) -> bool {
        if self.stage != Stage::Ready {
            return false;
        }
        let Ok(frame) = version_skew::to_frame(message) else {
            log_line("a message to the coordinator was too long and is dropped");
            return false;
        };
        let lost = self.conn.send(&frame, reactor).is_err() || self.conn.queued() > QUEUE;
        if lost {
            self.lose(reactor);
        }
        lost
    }

    /// Whether a coordinator is there.
    #[must_use]
    pub fn connected(&self) -> bool {
        self.stage == Stage::Ready
    }

    /// Bytes that wait for the coordinator.
    #[must_use]
    pub fn queued(&self) -> usize {
        if self.stage == Stage::Ready {
            self.conn.queued()
        } else {
            0
        }
    }

    /// Closes and dials again after a pause.
    pub fn lose(&mut self, reactor: &mut Reactor) {
        self.conn.close(reactor);
        self.conn = StreamConn::new(Source::Control);
        self.decoder = FrameDecoder::new();
        self.held = None;
        self.stage = Stage::Away;
        // Many workers must not dial a new coordinator in step.
        let random = RandomState::new().build_hasher().finish() % 512;
        let part = self.pause.as_micros() * u128::from(random) / 1024;
        let pause = self
            .pause
            .saturating_sub(Duration::from_micros(u64::try_from(part).unwrap_or(0)));
        self.pause = (self.pause * 2).min(MAX_PAUSE);
        reactor.after(pause, Timer::Redial);
    }
}

/// A request without an id cannot be answered: the peer speaks something else.
fn is_request(value: &serde_json::Value) -> bool {
    value.get("id").is_some_and(serde_json::Value::is_u64)
}

#[cfg(test)]
#[path = "control_tests.rs"]
mod tests;
