//! From an attached client to its session: input in a bounded queue, and everything else past it.
//!
//! The client is always read, so that signals, sizes, takeovers and its leaving are heard however
//! much input there is that the session's program does not read. A client that counts its input (see
//! [`ServerMessage::Window`](crate::wire::ServerMessage::Window)) cannot fill the queue; one of an
//! older version that has is not read until there is room again.

use crate::{
    daemon::Daemon,
    model::WorkerId,
    wire::{ClientMessage, INPUT_WINDOW},
};
use axum::extract::ws::{Message, WebSocket};
use bytes::{Buf, BytesMut};
use futures_util::{StreamExt, future::BoxFuture, stream::SplitStream};

use std::{collections::VecDeque, future::pending, sync::Arc};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    net::unix::OwnedWriteHalf,
    sync::watch,
};

/// Input that waits for the agent, of a client that does not count it; bytes. One message more may
/// come on top.
const MAX_WAITING: usize = 256 << 10;
/// What was taken is told once it is so much; a part of the window, so that the client never waits
/// for it while there is room.
const TELL_EVERY: u64 = INPUT_WINDOW as u64 / 4;
/// Wishes that wait for the agent.
const MAX_WISHES: usize = 64;

/// Input on its way to the agent.
#[derive(Debug)]
struct Input<W> {
    waiting: BytesMut,
    /// `None` once the session takes no more: what is typed then has no reader.
    agent: Option<W>,
    /// No more input comes; and the agent knows.
    ended: bool,
    shut: bool,
    /// Bytes that left the queue, and how many of them were told.
    taken: u64,
    told: u64,
    /// Where that is told, to a client that counts.
    tell: Option<watch::Sender<u64>>,
}

impl<W: AsyncWrite + Unpin> Input<W> {
    /// Takes what was typed in; `false` when the client sent more than it was granted.
    fn push(&mut self, bytes: &[u8]) -> bool {
        let window = usize::try_from(INPUT_WINDOW).unwrap_or(usize::MAX);
        if self.tell.is_some() && self.waiting.len() + bytes.len() > window {
            return false;
        }
        if !self.ended {
            self.waiting.extend_from_slice(bytes);
        }
        true
    }

    fn full(&self) -> bool {
        self.waiting.len() >= MAX_WAITING
    }

    /// Hands on a part of what waits. Safe to drop; never returns with nothing to do.
    async fn step(&mut self) {
        let Some(agent) = &mut self.agent else {
            let rest = self.waiting.len();
            if rest == 0 {
                return pending().await;
            }
            self.waiting.clear();
            return self.count(rest);
        };
        if self.waiting.is_empty() {
            if !self.ended || self.shut {
                return pending().await;
            }
            if let Err(error) = agent.shutdown().await {
                tracing::debug!(%error, "the session closed first");
            }
            self.shut = true;
            return;
        }
        match agent.write(&self.waiting).await {
            Ok(0) | Err(_) => self.agent = None,
            Ok(count) => {
                self.waiting.advance(count);
                self.count(count);
            }
        }
    }

    fn count(&mut self, bytes: usize) {
        self.taken += bytes as u64;
        if let Some(tell) = &self.tell
            && self.taken - self.told >= TELL_EVERY
        {
            self.told = self.taken;
            tell.send_replace(self.taken);
        }
    }
}

/// What a client wants besides typing, in order.
#[derive(Debug, Default)]
struct Wishes(VecDeque<ClientMessage>);

impl Wishes {
    /// Queues a wish; only the last of several sizes counts.
    fn push(&mut self, wish: ClientMessage) {
        if let (Some(last), ClientMessage::Resize { .. }) = (self.0.back_mut(), &wish)
            && matches!(last, ClientMessage::Resize { .. })
        {
            *last = wish;
        } else if self.0.len() < MAX_WISHES {
            self.0.push_back(wish);
        } else {
            tracing::debug!("a client wants more than its worker's agent answers");
        }
    }
}

/// A client's direction to its session.
pub(super) struct Uplink {
    agent: Agent,
    /// It is recorded as one that watches, and may do no more: a client that wants more attaches
    /// again, which is recorded as well.
    read_only: bool,
    input: Input<OwnedWriteHalf>,
    wishes: Wishes,
    /// It has said that it leaves on purpose.
    leaves: bool,
}

#[derive(Clone)]
struct Agent {
    daemon: Arc<Daemon>,
    worker: WorkerId,
    session: String,
    stream: String,
}

impl Uplink {
    /// A client's, that is called `stream` at the agent; `tell` gets how much input was taken.
    pub(super) fn new(
        daemon: Arc<Daemon>,
        worker: WorkerId,
        session: String,
        stream: String,
        read_only: bool,
        agent: OwnedWriteHalf,
        tell: Option<watch::Sender<u64>>,
    ) -> Self {
        Self {
            agent: Agent {
                daemon,
                worker,
                session,
                stream,
            },
            read_only,
            input: Input {
                waiting: BytesMut::new(),
                agent: Some(agent),
                ended: false,
                shut: false,
                taken: 0,
                told: 0,
                tell,
            },
            wishes: Wishes::default(),
            leaves: false,
        }
    }

    /// Carries what comes until the client leaves.
    pub(super) async fn run(mut self, from_client: SplitStream<WebSocket>) {
        self.carry(from_client).await;
        if self.leaves {
            self.agent.ask(ClientMessage::Detach).await;
        }
    }

    async fn carry(&mut self, mut from_client: SplitStream<WebSocket>) {
        let mut asking: Option<BoxFuture<'static, ()>> = None;
        loop {
            if asking.is_none() {
                asking = self.wishes.0.pop_front().map(|wish| {
                    let agent = self.agent.clone();
                    let asked: BoxFuture<'static, ()> =
                        Box::pin(async move { agent.ask(wish).await });
                    asked
                });
            }
            tokio::select! {
                () = self.input.step() => {}
                () = answered(&mut asking) => asking = None,
                message = from_client.next(), if !self.input.full() => {
                    let Some(Ok(message)) = message else {
                        return;
                    };
                    if !self.take(message) {
                        return;
                    }
                }
            }
        }
    }

    /// Takes a message in; `false` when the client leaves, or is not to be listened to.
    fn take(&mut self, message: Message) -> bool {
        match message {
            Message::Binary(_) if self.read_only => {}
            Message::Binary(bytes) => {
                let granted = self.input.push(&bytes);
                if !granted {
                    tracing::debug!("a client sent more input than it was granted");
                }
                return granted;
            }
            Message::Text(text) => match serde_json::from_str(&text) {
                Ok(ClientMessage::Takeover) if self.read_only => return false,
                Ok(ClientMessage::Signal { .. } | ClientMessage::Eof | ClientMessage::Detach)
                    if self.read_only =>
                {
                    tracing::debug!("a client that only watches wants more");
                }
                Ok(ClientMessage::Eof) => self.input.ended = true,
                // Said before the connection is closed, and asked for however that ends.
                Ok(ClientMessage::Detach) => self.leaves = true,
                Ok(wish) => self.wishes.push(wish),
                Err(error) => tracing::debug!(%error, "a client's message is not understood"),
            },
            Message::Close(_) => return false,
            Message::Ping(_) | Message::Pong(_) => {}
        }
        true
    }
}

async fn answered(asking: &mut Option<BoxFuture<'static, ()>>) {
    match asking {
        Some(asked) => asked.await,
        None => pending().await,
    }
}

impl Agent {
    async fn ask(&self, wish: ClientMessage) {
        let Self {
            daemon,
            worker,
            session,
            stream,
        } = self;
        match wish {
            ClientMessage::Resize { size } => daemon.resize(worker, stream, size).await,
            ClientMessage::Takeover => daemon.takeover(worker, stream).await,
            ClientMessage::Signal { signal } => daemon.signal(worker, session, signal).await,
            ClientMessage::Detach => daemon.detached_on_purpose(worker, session).await,
            // Input's own.
            ClientMessage::Eof => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use podbay_protocol::Size;
    use tokio::io::AsyncReadExt;

    fn input<W>(agent: W) -> (Input<W>, watch::Receiver<u64>) {
        let (tell, told) = watch::channel(0);
        let input = Input {
            waiting: BytesMut::new(),
            agent: Some(agent),
            ended: false,
            shut: false,
            taken: 0,
            told: 0,
            tell: Some(tell),
        };
        (input, told)
    }

    #[tokio::test]
    async fn input_is_bounded_and_counted_as_it_is_taken() {
        let window = INPUT_WINDOW as usize;
        let (agent, mut session) = tokio::io::duplex(1024);
        let (mut input, mut told) = input(agent);
        assert!(input.push(&vec![b'x'; window]));
        assert!(!input.push(b"y"), "more than was granted");
        input.step().await;
        // The session reads no more than that: nothing is told, and nothing else waits for it.
        assert!(
            tokio::time::timeout(std::time::Duration::from_millis(20), input.step())
                .await
                .is_err()
        );
        assert_eq!(*told.borrow_and_update(), 0);
        let mut buffer = vec![0; window];
        let read = async { session.read_exact(&mut buffer).await.map(|_| ()) };
        let write = async {
            while !input.waiting.is_empty() {
                input.step().await;
            }
            Ok(())
        };
        tokio::try_join!(read, write).unwrap();
        let taken = *told.borrow_and_update();
        assert!(
            taken > INPUT_WINDOW as u64 - TELL_EVERY && taken <= INPUT_WINDOW.into(),
            "{taken}"
        );
        assert!(input.push(b"y"));
    }

    #[tokio::test]
    async fn the_end_comes_behind_what_waits_and_a_session_that_is_gone_takes_all() {
        let (agent, mut session) = tokio::io::duplex(4);
        let (mut input, _told) = input(agent);
        assert!(input.push(b"eight by"));
        input.ended = true;
        let mut all = Vec::new();
        tokio::select! {
            read = session.read_to_end(&mut all) => assert_eq!(read.unwrap(), 8),
            () = async { loop { input.step().await } } => {}
        }
        assert_eq!(all, b"eight by");
        let (agent, session) = tokio::io::duplex(4);
        let (mut input, mut told) = super::tests::input(agent);
        drop(session);
        assert!(input.push(&[b'x'; 40_000]));
        while !input.waiting.is_empty() {
            input.step().await;
        }
        assert_eq!(*told.borrow_and_update(), 40_000);
    }

    #[test]
    fn of_several_sizes_the_last_counts_and_signals_keep_their_order() {
        let size = |cols| ClientMessage::Resize {
            size: Size { cols, rows: 1 },
        };
        let mut wishes = Wishes::default();
        for wish in [
            size(1),
            size(2),
            ClientMessage::Signal { signal: 2 },
            size(3),
            size(4),
        ] {
            wishes.push(wish);
        }
        let expected = [size(2), ClientMessage::Signal { signal: 2 }, size(4)];
        assert_eq!(wishes.0, expected);
        for _ in 0..1000 {
            wishes.push(ClientMessage::Takeover);
        }
        assert_eq!(wishes.0.len(), MAX_WISHES);
    }
}
