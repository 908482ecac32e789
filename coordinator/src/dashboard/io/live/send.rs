//! To a worker: what is typed, as far as there is room; sizes and takeovers never wait for it.

use crate::{
    client::{AttachSender, ClientError},
    dashboard::io::live::{attach_state::ToWorker, typed_pipe::TypedReceiver},
};
use bytes::{Buf, Bytes};
use tokio::sync::mpsc;

/// To the worker.
pub struct Sending<'a> {
    pub(super) sender: AttachSender,
    pub(super) typed: &'a mut TypedReceiver,
    /// What is left of the piece that is being sent.
    pub(super) rest: Bytes,
    pub(super) said: mpsc::UnboundedReceiver<ToWorker>,
    /// Whether this attach is for typing; what is typed waits for one that is.
    pub(super) writes: bool,
    /// Whether input is heard, once that was said.
    pub(super) writer: Option<bool>,
}

impl Sending<'_> {
    /// Sends what is typed, as far as the worker has room for it; returns when there is no one left
    /// who could type. What else is said never waits for that.
    pub(super) async fn run(&mut self) {
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

    async fn pass_on(&mut self, what: ToWorker) -> Result<(), ClientError> {
        match what {
            ToWorker::Resize(size) => self.sender.resize(size).await,
            ToWorker::Takeover => {
                self.writes = true;
                self.sender.takeover().await
            }
            ToWorker::Writer(writer) => {
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
    pub(super) async fn finish(&mut self) -> Result<(), ClientError> {
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
